"""Whether signals order the names as their later returns do, and whether stated probabilities come true."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.figures import Bin, Forest, Reliability, Span
from glassbox_bt.reporting.record import METRICS, POOLED, Entry, RunRecord
from glassbox_bt.reporting.report import Block, Column, Figure, Figures, Prose, Row, Section, Table, prose
from glassbox_bt.reporting.sections.estimates import absent, interval, level, span, value_with_interval
from glassbox_bt.reporting.sections.phrases import chunk_name, listed, quoted

__all__ = ["signals"]

CALIBRATION_ENDS = ("ece_low", "ece_high")


def signals(record: RunRecord) -> Section:
    """Rank correlations in a forest plot and a table, then one reliability plot per confidence and their table."""
    ranked, stated = record.entries("signals", chunk=POOLED), record.entries("calibration", chunk=POOLED)
    blocks: list[Block] = []
    if ranked:
        blocks.append(_rank_plots(record, ranked))
    else:
        blocks.append(absent("rank correlation of a signal"))
    if stated:
        blocks += [*_reliabilities(record, stated), _calibration_table(record, stated)]
    else:
        blocks.append(absent("calibration of a stated probability"))
    head = prose("Rank correlations in numbers")
    parts = (Section("rank-numbers", head, (_rank_table(record, ranked),), folded=True),) if ranked else ()
    return Section("signals", prose("Signals and calibration"), tuple(blocks), parts)


def _reliabilities(record: RunRecord, stated: Sequence[Entry]) -> list[Block]:
    drawn = tuple(_reliability(record, one) for one in stated if one.get("bins"))
    head = prose("Stated probability and observed rate of the event, test days of all chunks")
    return [Figures("reliability", head, drawn)] if drawn else []


def _signal_name(record: RunRecord, entry: Entry) -> Prose:
    return prose(record.claim(entry.source("module"), "words"), ": ", record.claim(entry.source("signal"), "words"))


def _label(entry: Entry) -> str:
    return f"{entry.get('module')}: {entry.get('signal')}".replace("_", " ")


def _rank_plots(record: RunRecord, ranked: Sequence[Entry]) -> Figures:
    """One forest plot per outcome, the longest horizon first."""
    outcomes = dict.fromkeys(str(one.get("outcome")) for one in sorted(ranked, key=lambda one: -int(one.get("horizon"))))
    figures = tuple(_rank_plot(record, [one for one in ranked if one.get("outcome") == name]) for name in outcomes)
    head = prose("Rank correlation of each signal with what came after, test days of all chunks")
    return Figures("rank-plots", head, figures)


def _rank_plot(record: RunRecord, ranked: Sequence[Entry]) -> Figure:
    forest = Forest(
        tuple(_rank_span(record, one) for one in ranked), "rank IC", sides=("wrong order", "right order"),
    )  # fmt: skip
    said = [
        prose(_signal_name(record, one), " ", value_with_interval(record, one, "rank_ic", "difference_3")) for one in ranked
    ]
    words = prose(
        "Dots are mean daily rank correlations over the test days of all chunks, bars their intervals, ticks the single "
        "chunks. ", listed(said), "."
    )  # fmt: skip
    first = ranked[0]
    title = prose("Against the return over ", record.claim(first.source("horizon"), "integer"), " sessions")
    return Figure(f"rank-ic-{first.get('outcome')}".replace("_", "-"), title, words, forest, (f"{METRICS}#/signals",))


def _rank_span(record: RunRecord, entry: Entry) -> Span:
    chunks = (one for one in _chunks(record, entry) if one is not None and one.get("rank_ic") is not None)
    return span(_label(entry), entry, "rank_ic", points=tuple(float(one.get("rank_ic")) for one in chunks))


def _chunks(record: RunRecord, entry: Entry) -> list[Entry | None]:
    keys = {key: entry.get(key) for key in ("module", "signal", "outcome", "horizon")}
    by_chunk = {one.get("chunk"): one for one in record.entries("signals", **keys)}
    return [by_chunk.get(chunk) for chunk in record.chunks]


def _rank_table(record: RunRecord, ranked: Sequence[Entry]) -> Table:
    columns = (
        Column(prose("Signal"), numeric=False),
        Column(prose("Sessions ahead"), hint="horizon of the return that the signal is held against"),
        Column(prose("Rank IC"), hint="mean over days of the rank correlation between names; positive = right order"),
        Column(level(record), hint="by blocks of days"),
        Column(prose("p"), hint="two-sided, not adjusted"),
        Column(prose("Days")),
        *(Column(chunk_name(record, chunk), hint="rank IC on the test days of the chunk") for chunk in record.chunks),
    )
    rows = tuple(
        Row(
            (
                _signal_name(record, one),
                prose(record.claim(one.source("horizon"), "integer")),
                prose(record.claim(one.source("rank_ic"), "difference_3")),
                interval(record, one, "number_3"),
                prose(record.claim(one.source("p_value"), "p_value")),
                prose(record.claim(one.source("n_days"), "integer")),
                *(
                    prose("not recorded") if chunk is None else prose(record.claim(chunk.source("rank_ic"), "difference_3"))
                    for chunk in _chunks(record, one)
                ),
            )
        )
        for one in ranked
    )
    notes = (
        (prose(quoted(record, f"{METRICS}#/settings/day_blocks")),) if record.has(f"{METRICS}#/settings/day_blocks") else ()
    )
    return Table("rank-table", prose("Rank IC of each signal, test days of all chunks"), columns, rows, notes)


def _reliability(record: RunRecord, entry: Entry) -> Figure:
    bins = tuple(Bin(float(b["mean_confidence"]), float(b["rate"]), int(b["n"])) for b in entry.content["bins"])
    n_rows = sum(one.n_rows for one in bins)
    base = sum(one.observed * one.n_rows for one in bins) / n_rows if n_rows else 0.0
    points = [
        prose(
            record.claim(entry.source(f"bins/{place}/mean_confidence"), "percent_0"), " came true in ",
            record.claim(entry.source(f"bins/{place}/rate"), "percent_0"), " of ",
            record.claim(entry.source(f"bins/{place}/n"), "integer"),
        )
        for place in range(len(bins))
    ]  # fmt: skip
    words = prose("On the diagonal what is said comes true as often as said. Said: ", listed(points), " rows.")
    key = f"reliability-{entry.get('module')}-{entry.get('confidence')}".replace("_", "-")
    place = entry.place.partition("#")[2]
    return Figure(key, _confidence(record, entry), words, Reliability(bins, base), (f"{METRICS}#{place}",))


def _confidence(record: RunRecord, entry: Entry) -> Prose:
    return prose(record.claim(entry.source("module"), "words"), ": ", record.claim(entry.source("confidence"), "words"))


def _calibration_table(record: RunRecord, stated: Sequence[Entry]) -> Table:
    columns = (
        Column(prose("Confidence"), numeric=False),
        Column(prose("Event"), numeric=False),
        Column(prose("Brier"), hint="mean squared distance between stated probability and outcome; smaller is better"),
        Column(prose("Base rate’s"), hint="Brier score of always stating the base rate"),
        Column(prose("Calibration error"), hint="mean distance between stated probability and observed rate, over bins"),
        Column(level(record), hint="of the calibration error"),
        Column(prose("Rows")),
        Column(prose("Days")),
    )
    rows = tuple(
        Row(
            (
                _confidence(record, one),
                prose(record.claim(one.source("event"))),
                prose(record.claim(one.source("brier"), "number_4")),
                prose(record.claim(one.source("base_brier"), "number_4")),
                prose(record.claim(one.source("ece"), "number_3")),
                interval(record, one, "number_3", CALIBRATION_ENDS),
                prose(record.claim(one.source("n_rows"), "integer")),
                prose(record.claim(one.source("n_days"), "integer")),
            )
        )
        for one in stated
    )
    return Table("calibration-table", prose("Stated probabilities, test days of all chunks"), columns, rows)
