"""Do explanations of text point at what carries the answer? Spec 9, 19 and 25.5; nothing here is a contradiction.

1. A document of several chunks loses the one that most attention goes to: its impact must shrink in at least 70 % of a drawn
   sample of test documents, or attention is unfaithful. Where no network speaks, attention is even and says nothing.
2. A day loses its strongest document: the share of drawn days whose score moves against what that document said, reported.
3. Weights of words that claim to add up do so within 1 %: those of ``xai/text_examples.json``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, Case
from glassbox_bt.audits.subject import Walk
from glassbox_bt.audits.text_rows import has_text
from glassbox_bt.errors import RunFolderError
from glassbox_bt.types import Answers

__all__ = ["QUESTION", "audit_text_explanations"]

QUESTION = "Do explanations of text point at what carries the answer?"
TOWARDS_ZERO, ENOUGH, COMPLETE = 0.70, 20, 0.01
EXAMPLES = "xai/text_examples.json"
Told = tuple[list[Check], list[Metric]]


def audit_text_explanations(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Every chunk of a run with text."""
    if not has_text(case):
        why = "no module of this run reads text" if case.whole else f"{NO_RUN}, which holds the fitted modules"
        unasked = not_asked("explanations of text", "news", "all", why)
        return AuditResult("text_explanations", (unasked,), {}, QUESTION, hard=False, reason=why)
    checks: list[Check] = []
    metrics: list[Metric] = []
    for at, walk in enumerate(case.subject.walks):
        progress("explanations of text", at / len(case.subject.walks))
        for told in (_top_chunk(walk), _strongest(walk)):
            checks += told[0]
            metrics += told[1]
    checks += _words(case)
    return AuditResult("text_explanations", tuple(checks), {}, QUESTION, tuple(metrics), hard=False)


def _asked(walk: Walk, name: str) -> tuple[Any, Any, Answers, np.random.Generator] | None:
    """The fit that answers test, the span of test, its answers and a stream; None where the module is not there."""
    fitter = walk.fitter
    if name not in fitter.stack or name in fitter.stand_ins:
        return None
    fitted = fitter.answering(name, int(fitter.days.test[0]))[0]
    span = fitter.span(fitter.stack[name], fitter.days.test, fitter.days.last)
    rng = np.random.default_rng([walk.fitter.seed, walk.number, zlib.crc32(name.encode())])
    return fitted, span, fitted.predict_many(span), rng


def _top_chunk(walk: Walk) -> Told:
    what, column = "without its top chunk", "attention_mean"
    asked = _asked(walk, "news")
    if asked is None or not hasattr(asked[0], "without_top_chunk"):
        return [not_asked(what, "news", column, "there is no news analyst", walk.number)], []
    fitted, span, answers, rng = asked
    dropped = fitted.without_top_chunk(span, answers, rng)
    n, share = len(dropped.rows), float(dropped.share_towards_zero)
    metrics = [
        Metric("documents without their top chunk", "news", walk.number, "test", float(n), f">= {ENOUGH}", "reported")
    ]
    speaks = answers.outputs["network_speaks"][answers.known]
    if n < ENOUGH or not speaks.any():
        why = f"{n} documents of several chunks were drawn, {ENOUGH} are needed" if n < ENOUGH else "no network attends"
        return [not_asked(what, "news", column, why, walk.number)], metrics
    fault = f"the impact of {share:.1%} of {n} documents shrinks, asked 70 %" if share < TOWARDS_ZERO else ""
    verdict = "note" if fault else "pass"
    metrics.append(Metric("share that shrinks", "news", walk.number, "test", round(share, 6), ">= 0.70", verdict))
    return [Check(what, "news", column, walk.number, "", not fault, fault, "test", hard=False)], metrics


def _strongest(walk: Walk) -> Told:
    asked = _asked(walk, "qualitative")
    if asked is None or not hasattr(asked[0], "drop_strongest_event") or not asked[2].known.any():
        why = "there is no qualitative analyst, or it knows nothing on test"
        return [not_asked("without its strongest document", "qualitative", "qualitative_score", why, walk.number)], []
    fitted, span, answers, rng = asked
    dropped = fitted.drop_strongest_event(span, answers, rng)
    told = dropped.as_expected[dropped.own_score != 0.0]
    share = round(float(told.mean()), 6) if len(told) else None
    name = "days whose score moves against their strongest document, once it is gone"
    return [], [Metric(name, "qualitative", walk.number, "test", share, None, "reported")]


def _words(case: Case) -> Iterator[Check]:
    """Recorded weights of words, where they claim to add up."""
    what, path = "weights of words add up", case.folder / EXAMPLES
    if not path.is_file():
        yield not_asked(what, "sentiment", EXAMPLES, f"this run has no {EXAMPLES}")
        return
    try:
        examples = json.loads(path.read_text(encoding="utf-8"))["examples"]
        errors = [(one, float(one["completeness_error"])) for one in examples if one["completeness_error"] is not None]
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken!r}. Write it again with `glassbox run`.") from broken
    if not errors:
        yield not_asked(what, "sentiment", EXAMPLES, "no method that claims to add up was used")
        return
    worst, error = max(errors, key=lambda one: one[1])
    far = sum(one > COMPLETE for _, one in errors)
    said = f"{far} of {len(errors)} texts, worst {worst['ticker']} {worst['session']}: the sum is off by {error:.1%}"
    yield Check(what, "sentiment", EXAMPLES, None, "", not far, said if far else "", "test", hard=False)
