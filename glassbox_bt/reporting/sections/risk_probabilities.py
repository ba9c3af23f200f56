"""Probabilities of the risk modules: reliability before and after calibration, Brier score and log loss."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.figures import Bin, Reliability
from glassbox_bt.reporting.record import METRICS, POOLED, Entry, RunRecord
from glassbox_bt.reporting.report import Block, Column, Figure, Figures, Prose, Row, RowGroup, Table, prose
from glassbox_bt.reporting.sections.estimates import absent, interval, level
from glassbox_bt.reporting.sections.phrases import listed
from glassbox_bt.reporting.sections.risk_names import CALIBRATION, MODULES

__all__ = ["probability_blocks", "probability_table"]

RAW = "raw"
ENDS = ("ece_low", "ece_high")
OF_RIVALS = ("own_history",)  # beginnings of columns, and endings below: in the table, not drawn
BY_RIVALS = ("_anchor", "_bucket")


def probability_blocks(record: RunRecord, module: str) -> list[Block]:
    """One reliability plot per probability of the module, and the table of all."""
    entries = record.entries(CALIBRATION, module=module, chunk=POOLED)
    if not entries:
        return [absent(f"outcome of a probability of {MODULES[module].lower()}")]
    raw = {_base(one): one for one in entries if one.get("stage") == RAW}
    drawn = [one for one in entries if one.get("stage") != RAW and _is_own(one) and one.get("bins")]
    figures = tuple(_figure(record, one, raw.get(_base(one))) for one in drawn)
    blocks: list[Block] = []
    if figures:
        words = " (hollow: before calibration)" if raw else ""
        title = prose(f"{MODULES[module]}: how often it came true, test days of all chunks{words}")
        blocks.append(Figures(f"risk-{module}-reliability", title, figures))
    return [*blocks, probability_table(record, module)]


def _base(entry: Entry) -> str:
    return str(entry.get("probability")).removesuffix("_raw")


def _is_own(entry: Entry) -> bool:
    name = _base(entry)
    return not name.startswith(OF_RIVALS) and not name.endswith(BY_RIVALS)


def _bins(entry: Entry) -> tuple[Bin, ...]:
    return tuple(Bin(float(b["mean_confidence"]), float(b["rate"]), int(b["n"])) for b in entry.content["bins"])


def _figure(record: RunRecord, entry: Entry, raw: Entry | None) -> Figure:
    name = prose(record.claim(entry.source("probability"), "answer"))
    words = prose(
        "Event: ", record.claim(entry.source("event")), ". On the diagonal what is said comes true as often as said. Said: ",
        _points(record, entry), " rows. ", *_scores(record, entry),
    )  # fmt: skip
    if raw is not None:
        words = prose(words, " Before calibration: ", _points(record, raw), " rows. ", *_scores(record, raw))
    key = f"risk-reliability-{entry.get('module')}-{_base(entry)}".replace("_", "-")
    picture = Reliability(_bins(entry), float(entry.content["rate"]), () if raw is None else _bins(raw))
    sources = tuple(f"{METRICS}#{one.place.partition('#')[2]}" for one in (entry, raw) if one is not None)
    return Figure(key, name, words, picture, sources)


def _points(record: RunRecord, entry: Entry) -> Prose:
    return listed(
        [
            prose(
                record.claim(entry.source(f"bins/{place}/mean_confidence"), "percent"), " came true in ",
                record.claim(entry.source(f"bins/{place}/rate"), "percent"), " of ",
                record.claim(entry.source(f"bins/{place}/n"), "integer"),
            )
            for place in range(len(entry.content["bins"]))
        ]
    )  # fmt: skip


def _scores(record: RunRecord, entry: Entry) -> Prose:
    brier, log_loss = (record.claim(entry.source(name), "number_4") for name in ("brier", "log_loss"))
    return prose("Brier score ", brier, ", log loss ", log_loss, ".")


def probability_table(record: RunRecord, module: str) -> Table:
    """Every recorded probability of the module, rivals' included, in groups by event."""
    entries = record.entries(CALIBRATION, module=module, chunk=POOLED)
    columns = (
        Column(prose("Probability"), numeric=False),
        Column(prose("Stage"), numeric=False, hint="raw, calibrated, or as given where nothing calibrates it"),
        Column(prose("Rate"), hint="how often the event came"),
        Column(prose("Brier"), hint="mean squared distance from the outcome; smaller is better"),
        Column(prose("Constant’s"), hint="Brier score of always stating the rate of these very days"),
        Column(prose("Log loss"), hint="smaller is better"),
        Column(prose("Constant’s"), hint="log loss of always stating the rate of these very days"),
        Column(prose("Calibration error"), hint="mean distance of stated probability and observed rate, over bins"),
        Column(level(record), hint="of the calibration error"),
        Column(prose("Rows")),
    )
    events = dict.fromkeys((str(one.get("event")), one.get("horizon")) for one in entries)
    grouped = [[one for one in entries if (str(one.get("event")), one.get("horizon")) == event] for event in events]
    groups = tuple(RowGroup(tuple(_row(record, one) for one in rows)) for rows in grouped)
    notes = tuple(_event(record, rows) for rows in grouped)
    caption = prose(f"Probabilities of {MODULES[module].lower()}, test days of all chunks")
    return Table(f"risk-{module}-probabilities", caption, columns, groups, notes)


def _row(record: RunRecord, entry: Entry) -> Row:
    scores = ("brier", "base_brier", "log_loss", "base_log_loss")
    return Row(
        (
            prose(record.claim(entry.source("probability"), "answer")),
            prose(record.claim(entry.source("stage"))),
            prose(record.claim(entry.source("rate"), "percent")),
            *(prose(record.claim(entry.source(name), "number_4")) for name in scores),
            prose(record.claim(entry.source("ece"), "number_3")),
            interval(record, entry, "number_3", ENDS),
            prose(record.claim(entry.source("n_rows"), "integer")),
        )
    )


def _event(record: RunRecord, rows: Sequence[Entry]) -> Prose:
    name = record.claim(rows[0].source("probability"), "answer")
    return prose("Event of ", name, ": ", record.claim(rows[0].source("event")), ".")
