"""The daily loop once more, on a market that ends at a cut: decisions and fills up to there must be those of the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check
from glassbox_bt.audits.subject import Subject, Walk, on_store
from glassbox_bt.audits.twins import Twin, difference
from glassbox_bt.types import IntArray
from glassbox_bt.walkforward.answers import ModuleAnswers
from glassbox_bt.walkforward.chunks import ChunkDays
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.replay import replay_chunk
from glassbox_bt.walkforward.text_answers import Said

__all__ = ["decision_checks"]

ROUNDING = 1e-9  # relative; clusters of correlated names are summed over more names in the whole split
SHORT = 5  # sessions of validation that are replayed beside test; only test is compared
DAY = {"decisions": "date", "fills": "filled_on"}
COMPARED = {
    "decisions": (
        "final_recommendation",
        "final_fusion_signal",
        "final_position_fraction",
        "target_weight",
        "held_weight",
        "binding_rule_id",
    ),
    "fills": ("ordered_shares", "filled_shares", "price"),
}


def decision_checks(subject: Subject, walk: Walk, twin: Twin) -> Iterator[Check]:
    """Replay the test split up to the cut on the other store and compare with what the run recorded."""
    if subject.plan is None or subject.decisions is None or subject.orders is None:
        return
    fitter = _until_cut(walk.fitter, twin)
    for replay in replay_chunk(subject.plan, fitter):
        if replay.split != "test":
            continue
        fills, dates = replay.book.fills, twin.other.dates[replay.days]
        again = pd.DataFrame(
            {
                "filled_on": dates[fills.filled_session],
                "ticker": np.array(replay.tickers, dtype=object)[fills.asset],
                **{name: getattr(fills, name) for name in COMPARED["fills"]},
            }
        )
        made = _rows(subject.orders, walk, "fills", twin)
        made = made[made["strategy"] == replay.strategy]
        yield from _table_checks(twin, walk.number, ("fills", replay.strategy), made, again)
        if "decisions" in replay.tables:
            made = _rows(subject.decisions, walk, "decisions", twin)
            yield from _table_checks(twin, walk.number, ("decisions", replay.strategy), made, replay.tables["decisions"])


def _until_cut(fitter: ChunkFitter, twin: Twin) -> ChunkFitter:
    """The walk on the other store, as if the cut were the end of its test split."""
    days, moved = fitter.days, on_store(fitter, twin.other)
    short = ChunkDays(days.number, days.train, days.val[:SHORT], days.test[days.test <= twin.day])
    moved = dataclasses.replace(moved, days=short)
    answers: dict[str, Said] = {
        name: _for_names(given, moved.assets) for name, given in moved.answers.items() if isinstance(given, ModuleAnswers)
    }
    return dataclasses.replace(moved, answers=answers)


def _for_names(given: ModuleAnswers, assets: IntArray) -> ModuleAnswers:
    """The answers for these names only, which are among those of the chunk."""
    place = np.searchsorted(given.assets, assets)
    return dataclasses.replace(
        given,
        assets=assets,
        outputs={name: values[:, place] for name, values in given.outputs.items()},
        known=given.known[:, place],
        reason=given.reason[:, place],
    )


def _rows(table: pd.DataFrame, walk: Walk, what: str, twin: Twin) -> pd.DataFrame:
    days = table[DAY[what]].to_numpy().astype("datetime64[D]")
    here = (table["chunk"] == walk.number).to_numpy() & (table["split"] == "test").to_numpy()
    kept: pd.DataFrame = table.loc[here & (days <= twin.clean.dates[twin.day])]
    return kept


def _table_checks(twin: Twin, chunk: int, kind: tuple[str, str], made: pd.DataFrame, again: pd.DataFrame) -> Iterator[Check]:
    what, strategy = f"replayed {kind[0]}", kind[1]
    columns = COMPARED[kind[0]]
    keys = [DAY[kind[0]], "ticker"]
    made, again = (table.sort_values(keys, kind="stable").reset_index(drop=True) for table in (made, again))
    rows = [
        [f"{str(day)[:10]} {name}" for day, name in zip(table[keys[0]], table["ticker"], strict=True)]
        for table in (made, again)
    ]
    if rows[0] != rows[1]:
        strange = sorted(set(rows[0]) ^ set(rows[1]))
        yield twin.check(
            what, strategy, "rows", chunk, f"{len(made)} rows became {len(again)}, first {' '.join(strange[:1])}"
        )
        return
    labels = np.array(rows[0], dtype=object)
    for name in columns:
        one, two = made[name].to_numpy(), again[name].to_numpy()
        rounding = ROUNDING if one.dtype.kind == "f" else 0.0
        yield twin.check(what, strategy, name, chunk, difference(one, two, labels, rounding=rounding))
