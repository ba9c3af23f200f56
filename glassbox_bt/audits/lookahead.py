"""Did anything look ahead? The market is cut at a decision, its future replaced, and everything up to the cut compared.

1. Cuts: the end of train and of validation of each chunk, and days of the test years, drawn with the run's seed.
2. At each cut the *raw* tables get another future, and none at all; the store is built anew from both.      perturb.py
3. The store up to the cut, what fits and predictions are handed, and targets must not change.               twins.py
   Nor must the decisions and fills of the daily loop.                                                       replays.py
4. Record checks need no other future: the clock of fills and answers, one day answered alone.               recorded.py
5. With ``refit`` the modules are fitted again on the poisoned market and compared bit for bit.              refit.py

A module is a pure function of what it is handed (it cannot import the store), so equal inputs prove equal answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, Case
from glassbox_bt.audits.perturb import Cut, Perturber
from glassbox_bt.audits.recorded import answer_checks, clock_checks, fill_checks, input_checks
from glassbox_bt.audits.refit import refit_checks
from glassbox_bt.audits.replays import decision_checks
from glassbox_bt.audits.subject import Subject, Walk
from glassbox_bt.audits.twins import Twin, difference, fit_checks, market_checks, prediction_checks, rival_checks
from glassbox_bt.errors import RunFolderError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import IntArray

__all__ = ["QUESTION", "audit_lookahead", "audit_run", "chosen_days"]

QUESTION = "Does anything that was decided depend on what became known later?"
SOON = np.timedelta64(3, "h")  # from a close at 16:00 until 19:00, so on the same day everywhere in the Americas


def audit_run(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:
    """Audit a run.

    Raises
    ------
    RunFolderError
        If its walk is not recorded, or its market or its stack cannot be rebuilt as they were.
    """
    if not case.whole:
        why = f"{NO_RUN}, which names the market that it was made from"
        return _not_audited(why)
    edited = (*case.plan.stand_ins, *case.plan.blank, *(["text"] if case.plan.text != "as_it_came" else []))
    if edited:
        return _not_audited(
            f"this plan shuffles, freezes, silences, blanks or moves {', '.join(edited)}, which no trader could (R28); "
            "audit the plan without the edit"
        )
    progress("look-ahead: reading the run", 0.0)
    return audit_lookahead(case.subject, settings, progress)


def _not_audited(why: str) -> AuditResult:
    return AuditResult("lookahead", (not_asked("market", "market", "all", why),), {}, QUESTION, reason=why)


def audit_lookahead(
    subject: Subject, settings: AuditSettings | None = None, progress: Progress | None = None
) -> AuditResult:
    """Audit a walk; every part of ``subject`` may be a faulty one."""
    settings, tell = settings or AuditSettings(), progress or (lambda _what, _share: None)
    _refuse_other_store(subject)
    perturber, days = Perturber.of(subject.raw), chosen_days(subject, settings.n_days)
    checks: list[Check] = [*fill_checks(subject)]
    for walk in subject.walks:
        checks += [*clock_checks(walk), *input_checks(walk)]
        rng = np.random.default_rng([subject.seed, walk.number])
        alone = np.append(days[walk.number], walk.fitter.days.val[-1])
        checks += answer_checks(walk, np.sort(alone), rng)
    cuts = list(_cuts(subject, days))
    for i, (walk, day) in enumerate(cuts):
        tell("look-ahead: other futures", i / len(cuts))
        for twin in _twins(subject, perturber, day):
            checks += market_checks(twin)
            if twin.other.n_sessions > day:
                checks += _walk_checks(subject, walk, twin, replay=day == days[walk.number][-1])
    if settings.refit or settings.full:
        for walk in subject.walks if settings.full else subject.walks[:1]:
            tell("look-ahead: fitting again", walk.number / len(subject.walks))
            checks += refit_checks(subject, walk, perturber)
    return AuditResult("lookahead", _merged(checks), _facts(subject, settings, cuts), QUESTION)


def chosen_days(subject: Subject, n_days: int) -> dict[int, IntArray]:
    """Test days at which the market is cut, by chunk; at least one in each, and never the last of the data.

    Where there are such days, one without a bar of some member comes first, then one with a text soon after its close: a gap
    that is filled backwards and a text that is dated by day are seen nowhere else. The others are drawn from all.
    """
    rng = np.random.default_rng([subject.seed, n_days])
    chosen: dict[int, IntArray] = {}
    for i, walk in enumerate(subject.walks):
        able = walk.fitter.days.test[walk.fitter.days.test < subject.store.n_sessions - 1]
        share = min(max(1, (n_days + len(subject.walks) - 1 - i) // len(subject.walks)), len(able))
        telling = [rng.choice(days, size=1) for days in _telling(subject.store, able) if len(days)]
        wanted = np.concatenate([*telling, rng.permutation(able)])
        _, first = np.unique(wanted, return_index=True)
        chosen[walk.number] = np.sort(wanted[np.sort(first)][:share]).astype(np.int64)
    return chosen


def _telling(store: MarketStore, able: IntArray) -> tuple[IntArray, IntArray]:
    """Days on which a member has no bar, and days with a text between the close and the end of the day."""
    gaps = (store.member[able] & ~(np.asarray(store.columns["is_observed"])[able] > 0.0)).any(axis=1)
    published = np.sort(store.text.frame["published_at"].to_numpy())
    closes = store.decided_at[able]
    after = np.searchsorted(published, closes + SOON, side="right") > np.searchsorted(published, closes, side="right")
    return able[gaps], able[after]


def _cuts(subject: Subject, days: dict[int, IntArray]) -> Iterator[tuple[Walk, int]]:
    for walk in subject.walks:
        parts = walk.fitter.days
        for day in (parts.train[-1], parts.val[-1], *days[walk.number]):
            yield walk, int(day)


def _twins(subject: Subject, perturber: Perturber, day: int) -> Iterator[Twin]:
    store = subject.store
    cut = Cut(store.dates[day], store.decided_at[day])
    for how, raw in (("poisoned", perturber.poisoned(cut, subject.seed)), ("truncated", perturber.truncated(cut))):
        yield Twin(store, subject.build(raw), day, how)


def _walk_checks(subject: Subject, walk: Walk, twin: Twin, *, replay: bool) -> Iterator[Check]:
    yield from fit_checks(walk, twin)
    yield from prediction_checks(walk, twin)
    yield from rival_checks(walk, twin, subject.strategies)
    if replay and twin.how == "poisoned":
        yield from decision_checks(subject, walk, twin)


def _merged(checks: Iterable[Check]) -> tuple[Check, ...]:
    """One check per question, module, column, chunk and cut; it fails with the first that failed."""
    merged: dict[tuple[str, str, str, int | None, str], Check] = {}
    for check in checks:
        key = (check.check, check.module, check.column, check.chunk, check.cut)
        if key not in merged or (merged[key].passed and not check.passed):
            merged[key] = check
    return tuple(merged.values())


def _refuse_other_store(subject: Subject) -> None:
    """The audit says nothing about a run whose store is not what its raw tables give today."""
    again = subject.build(subject.raw)
    for name, values in _columns(subject.store).items():
        theirs = _columns(again).get(name)
        if theirs is None or difference(np.asarray(values), np.asarray(theirs)):
            raise RunFolderError(
                f"The raw tables no longer give the store of this run: `{name}` differs. The program has changed since; "
                "run again, then audit."
            )


def _columns(store: MarketStore) -> dict[str, Any]:
    labels = {f"label {name}": label.values for name, label in store.labels.items()}
    return {"tickers": np.array(store.tickers, dtype=object), "dates": store.dates, **store.columns, **labels}


def _facts(subject: Subject, settings: AuditSettings, cuts: list[tuple[Walk, int]]) -> dict[str, Any]:
    return {
        "cuts": [{"chunk": walk.number, "date": str(subject.store.dates[day])} for walk, day in cuts],
        "futures": ["poisoned", "truncated"],
        "n_days": settings.n_days,
        "refitted": settings.refit or settings.full,
        "seed": subject.seed,
    }
