"""The risk engine: whether learned forecasts earn their place, whether tails and chances hold, and what they show."""

from __future__ import annotations

from glassbox_bt.reporting.derived_risk import answers_file
from glassbox_bt.reporting.record import POOLED, RunRecord
from glassbox_bt.reporting.report import Block, Column, Paragraph, Prose, Row, Section, Table, prose
from glassbox_bt.reporting.sections.phrases import chunk_name, listed
from glassbox_bt.reporting.sections.risk_contests import contest_blocks, contest_parts
from glassbox_bt.reporting.sections.risk_names import (
    CONTESTS,
    MODULES,
    TAIL_CONTESTS,
    TAIL_VERDICTS,
    absence,
    counted_verdicts,
    has_columns,
    not_there,
    reasons,
    share_answered,
    variant_in_use,
)
from glassbox_bt.reporting.sections.risk_network import network_blocks
from glassbox_bt.reporting.sections.risk_probabilities import probability_blocks
from glassbox_bt.reporting.sections.risk_regimes import regime_blocks
from glassbox_bt.reporting.sections.risk_tails import tail_sections
from glassbox_bt.reporting.sections.risk_thresholds import threshold_section

__all__ = ["answers_table", "risk_engine", "risk_summary"]

LEARNED = ("volatility", "drawdown", "contagion", "regime")


def risk_engine(record: RunRecord) -> Section:
    """Who answered, then module by module: rivals, choice of variant, probabilities and pictures; tails and thresholds."""
    blocks: tuple[Block, ...] = (Paragraph(risk_summary(record)), answers_table(record))
    parts = [part for module in LEARNED for part in _module(record, module)]
    sections = (*parts, *tail_sections(record), threshold_section(record))
    return Section("risk", prose("Risk engine"), blocks, sections)


def risk_summary(record: RunRecord) -> Prose:
    """How many claims stand, over all modules; that none was tested, where none was."""
    said = []
    if record.entries(CONTESTS, chunk=POOLED):
        said.append(
            prose(
                "Claims that a learned risk forecast is better than a rival, out of sample, over all test days: ",
                counted_verdicts(record), ".",
            )
        )  # fmt: skip
    if record.entries(TAIL_CONTESTS, chunk=POOLED):
        words = "Claims that value at risk and expected shortfall are better than a rival: "
        said.append(prose(words, counted_verdicts(record, TAIL_CONTESTS), "."))
    if record.entries(TAIL_VERDICTS, chunk=POOLED):
        said.append(
            prose("Claims that a stated tail is as stated: ", counted_verdicts(record, TAIL_VERDICTS), "."),
        )
    if not said:
        return prose("This run recorded no tests of its risk forecasts.")
    return prose(*(prose(" " if place else "", one) for place, one in enumerate(said)))


def _module(record: RunRecord, module: str) -> tuple[Section, ...]:
    key, title = f"risk-{module}", prose(MODULES[module])
    why = absence(record, module)
    if why is not None:
        return (Section(key, title, (not_there(why),)),)
    blocks = [*contest_blocks(record, module), *probability_blocks(record, module)]
    if module == "contagion":
        blocks += network_blocks(record)
    if module == "regime":
        blocks += regime_blocks(record)
    return (Section(key, title, tuple(blocks)), *contest_parts(record, module))


def answers_table(record: RunRecord) -> Table:
    """Share of rows that each module answered, which variant did, and why others have no answer."""
    columns = (
        Column(prose("Module"), numeric=False),
        *(
            Column(chunk_name(record, chunk), hint="share of the test rows with an answer, and the variant that gave it")
            for chunk in record.chunks
        ),
        Column(prose("Without an answer"), numeric=False, hint="reasons recorded by the module, with rows of test"),
    )
    rows = tuple(_answers_row(record, module) for module in MODULES)
    return Table("risk-answers", prose("Who answered on the test days"), columns, rows)


def _answers_row(record: RunRecord, module: str) -> Row:
    cells = tuple(_answered(record, module, chunk) for chunk in record.chunks)
    return Row((prose(MODULES[module]), *cells, _unanswered(record, module)), "plain" if any(cells) else "muted")


def _answered(record: RunRecord, module: str, chunk: int) -> Prose:
    if not has_columns(record, module, chunk, ("known", "reason")):
        return prose("")
    variant = variant_in_use(record, module, chunk)
    share = share_answered(record, module, chunk)
    return prose(share, " ", variant) if variant is not None else prose(share)


def _unanswered(record: RunRecord, module: str) -> Prose:
    there = [chunk for chunk in record.chunks if has_columns(record, module, chunk, ("known", "reason"))]
    if not there:
        return prose("silent in this plan" if module in record.manifest.get("silent_modules", []) else "not recorded")
    said = []
    for chunk in there:
        if not bool(record.table(answers_file(module, chunk))["known"].all()):
            said.append(prose(chunk_name(record, chunk), " ", reasons(record, module, chunk)))
    return listed(said)
