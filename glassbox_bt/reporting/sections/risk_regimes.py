"""The regime over the market's curve, year by year, and what the weak labels had to do without."""

from __future__ import annotations

import numpy as np
import pandas as pd

from glassbox_bt.reporting.derived import EQUITY, derived, starting_capital
from glassbox_bt.reporting.derived_risk import answers_file, by_day
from glassbox_bt.reporting.figures import Timeline
from glassbox_bt.reporting.figures_regime import SHADES
from glassbox_bt.reporting.record import TEST, RunRecord, table_source
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Column,
    Figure,
    Figures,
    Item,
    Listing,
    Paragraph,
    Prose,
    Row,
    RowGroup,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.performance import curves
from glassbox_bt.reporting.sections.phrases import chunk_name, listed, period
from glassbox_bt.reporting.sections.risk_names import answered_chunks, fit_source, not_there, reasons
from glassbox_bt.types import FloatArray

__all__ = ["clause_blocks", "regime_blocks", "timeline_figures"]

MODULE = "regime"
SAID, TODAY, CRISIS = "regime_label", "nowcast_regime", "prob_crisis"
CURVES = ("benchmark", "buy_and_hold", "monthly_1n")  # the first that the run has stands for the market
LIMIT = "manifest.json#/plan/rules/crisis_prob"
CLAUSES = "/missing_clauses"


def regime_blocks(record: RunRecord) -> list[Block]:
    """Timelines, days by regime, and the clauses that the market could not serve."""
    chunks = answered_chunks(record, MODULE, (SAID, CRISIS))
    left_out = [chunk for chunk in record.chunks if chunk not in chunks]
    blocks: list[Block] = timeline_figures(record)
    blocks += [not_there(_why_not(record, chunk)) for chunk in left_out]
    return [*blocks, *([_days(record, chunks)] if chunks else []), *clause_blocks(record)]


def timeline_figures(record: RunRecord) -> list[Block]:
    """One timeline per chunk in which the module answered."""
    chunks = answered_chunks(record, MODULE, (SAID, CRISIS))
    if not chunks:
        return [not_there(prose("There is no regime to draw: the module said none on any test day."))]
    title = prose("Regime said to come, test days: the market’s curve over its bands, and the chance of crisis below")
    return [Figures("risk-regime-timeline", title, tuple(_figure(record, chunk) for chunk in chunks))]


def _why_not(record: RunRecord, chunk: int) -> Prose:
    if not record.holds(answers_file(MODULE, chunk)):
        return prose("In ", chunk_name(record, chunk), " this run recorded no regime.")
    return prose("In ", chunk_name(record, chunk), " the module said no regime: ", reasons(record, MODULE, chunk), ".")


def _figure(record: RunRecord, chunk: int) -> Figure:
    days, equity = curves(record, chunk, "equity")
    name = next((one for one in CURVES if one in equity), next(iter(equity)))
    answers = by_day(record, MODULE, chunk).set_index("date").reindex(days)
    today = _named(answers[TODAY]) if TODAY in answers.columns else ()
    limit = record.resolve(LIMIT) if record.has(LIMIT) else None
    row = next(one for one in record.rows(chunk, selection=False) if one.strategy == name)
    words = record.claim(row.source("strategy"), "strategy")
    chance: FloatArray = answers[CRISIS].to_numpy(dtype=np.float64)
    picture = Timeline(
        days,
        words.text,
        equity[name] / starting_capital(record),
        _named(answers[SAID]),
        chance,
        today,
        float(limit) if isinstance(limit, int | float) else None,
    )
    source = (answers_file(MODULE, chunk), f"{EQUITY}?chunk={chunk}&split={TEST}&strategy={name}")
    title = prose(chunk_name(record, chunk), ", ", period(record, chunk))
    return Figure(f"risk-regime-chunk{chunk}", title, _in_words(record, chunk, words), picture, source)


def _named(column: pd.Series) -> tuple[str | None, ...]:
    return tuple(str(value) if isinstance(value, str) else None for value in column)


def _n_days(record: RunRecord, chunk: int, column: str, regime: str) -> Claim:
    return record.claim(table_source(answers_file(MODULE, chunk), "nunique(date)", **{column: regime}), "integer")


def _peak(record: RunRecord, chunk: int) -> tuple[Claim, Claim]:
    """Largest chance of crisis, and the first day that has it."""
    chance = record.claim(table_source(answers_file(MODULE, chunk), f"max({CRISIS})"), "percent")
    return chance, record.claim(derived("peak_day", module=MODULE, chunk=chunk, column=CRISIS), "date")


def _in_words(record: RunRecord, chunk: int, curve: Claim) -> Prose:
    counts = [prose(name, " on ", _n_days(record, chunk, SAID, name), " days") for name in SHADES]
    chance, day = _peak(record, chunk)
    words = prose(
        "The curve is that of ", curve, ". Said to come: ", listed(counts), ", with ",
        record.claim(derived("n_changes", module=MODULE, chunk=chunk, column=SAID), "integer"),
        " changes. The largest chance of crisis is ", chance, " on ", day, ".",
    )  # fmt: skip
    if TODAY not in record.table(answers_file(MODULE, chunk)).columns:
        return words
    same = record.claim(derived("agreement", module=MODULE, chunk=chunk, column=SAID, **{"with": TODAY}), "percent_0")
    return prose(words, " It is the regime that the rule names on the day itself on ", same, " of days.")


def _days(record: RunRecord, chunks: tuple[int, ...]) -> Table:
    """How many days had which regime, as said to come and by the rule on the day."""
    columns = (
        Column(prose("Regime"), numeric=False),
        *(Column(prose(name), hint="days") for name in SHADES),
        Column(prose("Changes"), hint="from one answered day to the next"),
        Column(prose("Largest chance of crisis")),
        Column(prose("On"), numeric=False),
    )
    groups = []
    for chunk in chunks:
        rows = [_days_row(record, chunk, SAID, "said to come")]
        if TODAY in record.table(answers_file(MODULE, chunk)).columns:
            rows.append(_days_row(record, chunk, TODAY, "by the rule, on the day"))
        groups.append(RowGroup(tuple(rows), prose(chunk_name(record, chunk), ", ", period(record, chunk))))
    return Table("risk-regime-days", prose("Test days by regime"), columns, tuple(groups))


def _days_row(record: RunRecord, chunk: int, column: str, words: str) -> Row:
    chance, day = (prose(one) for one in _peak(record, chunk)) if column == SAID else (prose(""), prose(""))
    changes = record.claim(derived("n_changes", module=MODULE, chunk=chunk, column=column), "integer")
    counts = (prose(_n_days(record, chunk, column, name)) for name in SHADES)
    return Row((prose(words), *counts, prose(changes), chance, day))


def clause_blocks(record: RunRecord) -> list[Block]:
    """Clauses of the rule behind the labels that a chunk's train years could not serve."""
    found: dict[tuple[str, ...], list[int]] = {}
    for chunk in record.chunks:
        source = fit_source(MODULE, chunk, "frozen.json")
        if record.has(source + CLAUSES):
            missing = record.document(source.removesuffix("#"))[CLAUSES.removeprefix("/")]
            found.setdefault(tuple(map(str, missing)), []).append(chunk)
    if not found:
        return [not_there(prose("This run recorded no clauses of the rule that names regimes."))]
    items = tuple(_clauses(record, clauses, chunks) for clauses, chunks in found.items())
    head = Paragraph(
        prose(
            "The labels behind all this are weak: a rule names regimes by clauses with percentiles of train. Clauses whose "
            "series this market lacks, or has on too few train days, are dropped and nothing is filled in for them:"
        )
    )
    return [head, Listing(items)]


def _clauses(record: RunRecord, clauses: tuple[str, ...], chunks: list[int]) -> Item:
    head = prose(listed([chunk_name(record, chunk) for chunk in chunks]), ": ")
    if not clauses:
        return Item(prose("every clause is served."), head)
    source = fit_source(MODULE, chunks[0], "frozen.json", CLAUSES)
    said = [record.claim(f"{source}/{place}") for place in range(len(clauses))]
    parts = [prose("; " if place else "", one) for place, one in enumerate(said)]
    return Item(prose("dropped: ", *parts, "."), head)
