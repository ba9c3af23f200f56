"""Does an explanation stay when its inputs hardly move? Audit A7 (i).

1. Of each learned module and chunk, up to 500 rows of the test years are drawn that lie more than 0.02 from every threshold.
2. Each is put to the fitted module 20 times with all inputs moved by 0.01 train standard deviations times a standard normal,
   within their legal range. Inputs that only take whole values (flags, codes, counts) stay.
3. Reported are the share of draws in which the first driver changes (at most 5 %), the mean cosine of the explanation with
   the unmoved one (at least 0.95), the local Lipschitz constant, and the share in which the action changes (at most 1 %).

Before that, each drawn row is put to the module unmoved: the record must come out bit for bit. Stability over time is asked
by `top_driver`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, Case
from glassbox_bt.audits.probes import NOT_BY_ROWS, Drawn, Probe, answers_of_names, drawn_rows, moved, probes
from glassbox_bt.audits.subject import Walk
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["QUESTION", "audit_stability"]

QUESTION = "Does an explanation stay when its inputs hardly move?"
ENOUGH = 500  # rows; with fewer nothing is judged
FLIPS, COSINE, ACTION_FLIPS = 0.05, 0.95, 0.01
SPLIT = "test"


def audit_stability(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:
    """Every learned module of a run, in every chunk."""
    if not case.whole:
        why = f"{NO_RUN}, which holds the fitted modules"
        return AuditResult("stability", (not_asked("stability", "all", "all", why),), {}, QUESTION, hard=False, reason=why)
    checks: list[Check] = []
    metrics: list[Metric] = []
    walks, known = case.subject.walks, probes(case.plan.rules)
    for at, walk in enumerate(walks):
        learned = [name for name, module in walk.fitter.stack.items() if module.learns_from or module.self_supervised]
        learned = [name for name in learned if name not in walk.fitter.stand_ins]  # a control explains nothing
        for i, name in enumerate(learned):
            progress("stability", (at + i / len(learned)) / len(walks))
            found, told = _module(walk, name, known.get(name), (case.subject.seed, settings))
            checks += found
            metrics += told
    facts = {"n_rows": settings.n_rows, "n_draws": settings.n_draws, "sigma": settings.sigma}
    return AuditResult("stability", tuple(checks), facts, QUESTION, tuple(metrics))


def _module(walk: Walk, name: str, probe: Probe | None, how: tuple[int, AuditSettings]) -> tuple[list[Check], list[Metric]]:
    seed, settings = how
    if probe is None or not _explained(walk, name, probe):
        why = NOT_BY_ROWS.get(name, "its explanation has no declared vector")
        return [not_asked("explanation under perturbation", name, "all", why, walk.number)], []
    rng = np.random.default_rng([seed, walk.number, zlib.crc32(name.encode())])
    rows = drawn_rows(walk, name, probe, settings.n_rows, rng)
    if not len(rows.days):
        why = "no row lies far enough from every threshold"
        return [not_asked("explanation under perturbation", name, probe.phi[0], why, walk.number)], []
    unmoved, outputs, steps = moved(walk, name, rows, settings, rng)
    checks = list(_same_as_recorded(walk, name, rows, unmoved))
    figures = list(_figures(probe, unmoved, outputs, steps))
    enough = len(rows.days) >= min(ENOUGH, settings.n_rows)
    for what, value, bound, good in figures:
        if good is None or not enough:
            continue
        detail = "" if good else f"{value:.4f}, asked {bound}"
        checks.append(Check(what, name, probe.phi[0], walk.number, "", good, detail, SPLIT, hard=False))
    if not enough:
        why = f"{len(rows.days)} rows lie far enough from every threshold, {ENOUGH} are needed"
        checks.append(not_asked("explanation under perturbation", name, probe.phi[0], why, walk.number))
    rows_told = Metric("rows perturbed", name, walk.number, SPLIT, float(len(rows.days)), f">= {ENOUGH}", _enough(enough))
    return checks, [rows_told, *(_metric(name, walk, one, enough=enough) for one in figures)]


def _explained(walk: Walk, name: str, probe: Probe) -> bool:
    """Whether the variant that answers test has such an explanation."""
    given, test = walk.fitter.answers[name], walk.fitter.days.test
    said = (given.outputs.get(output) for output in probe.phi)
    return all(one is not None and bool(np.isfinite(one[test - given.days[0]]).any()) for one in said)


def _figures(
    probe: Probe, unmoved: dict[str, AnyArray], outputs: list[dict[str, AnyArray]], steps: list[FloatArray]
) -> Iterator[tuple[str, float, str | None, bool | None]]:
    """What, its value, its bound in words, and whether it keeps it (None: only reported)."""
    phi, first = probe.explanation(unmoved), probe.driver(unmoved)
    moved_phi = [probe.explanation(one) for one in outputs]
    flips = float(np.mean([probe.driver(one) != first for one in outputs]))
    cosine = float(np.mean([_cosine(phi, one) for one in moved_phi]))
    lipschitz = np.max(
        [
            np.divide(np.linalg.norm(one - phi, axis=1), step, out=np.zeros(len(step)), where=step > 0.0)
            for one, step in zip(moved_phi, steps, strict=True)
        ],
        axis=0,
    )
    yield "driver flip rate", flips, "<= 0.05", flips <= FLIPS
    yield "explanation cosine", cosine, ">= 0.95", cosine >= COSINE
    yield "Lipschitz constant, 50th percentile", float(np.quantile(lipschitz, 0.5)), None, None
    yield "Lipschitz constant, 95th percentile", float(np.quantile(lipschitz, 0.95)), None, None
    if probe.action is not None:
        action = probe.action(unmoved)
        changed = float(np.mean([probe.action(one) != action for one in outputs]))
        yield "action flip rate", changed, "<= 0.01", changed <= ACTION_FLIPS


def _same_as_recorded(walk: Walk, name: str, rows: Drawn, unmoved: dict[str, AnyArray]) -> Iterator[Check]:
    """The fitted module on the drawn rows alone says what the run recorded (R12)."""
    given = answers_of_names(walk, name)
    day, asset = rows.days - given.days[0], np.searchsorted(given.assets, rows.assets)
    for output, values in unmoved.items():
        made = np.asarray(given.outputs[output][day, asset])
        same = np.array_equal(made, values, equal_nan=True)
        detail = "" if same else "the module answers otherwise for rows taken by themselves than the run recorded"
        yield Check("answers as recorded", name, output, walk.number, "", same, detail, SPLIT)


def _cosine(one: FloatArray, two: FloatArray) -> FloatArray:
    """Of each row; 1 where both vectors are nothing, 0 where one is."""
    sizes = np.linalg.norm(one, axis=1), np.linalg.norm(two, axis=1)
    product = sizes[0] * sizes[1]
    cosine = np.divide((one * two).sum(axis=1), product, out=np.zeros(len(product)), where=product > 0.0)
    return np.where((sizes[0] == 0.0) & (sizes[1] == 0.0), 1.0, cosine)


def _metric(name: str, walk: Walk, figure: tuple[str, float, str | None, bool | None], *, enough: bool) -> Metric:
    what, value, bound, good = figure
    verdict = "reported" if good is None else _enough(enough) if not enough else "pass" if good else "note"
    return Metric(what, name, walk.number, SPLIT, round(value, 6), bound, verdict)


def _enough(enough: bool) -> str:
    return "pass" if enough else "insufficient"
