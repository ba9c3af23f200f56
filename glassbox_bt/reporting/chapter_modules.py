"""The chapter on the parts: signals and confidences, what each part adds, and whether explanations hold."""

from __future__ import annotations

from dataclasses import replace

from glassbox_bt.reporting.chapter_results import differs, mark_note
from glassbox_bt.reporting.chapter_setting import blocks_of, counted, table_of
from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import POOLED, RESULTS, VARIANTS, Entry, RunRecord, table_source
from glassbox_bt.reporting.report import (
    Block,
    Column,
    Figures,
    Paragraph,
    Prose,
    Ref,
    Row,
    RowGroup,
    Section,
    Table,
    plain_text,
    prose,
)
from glassbox_bt.reporting.sections.ablations import ablations as ablations_of_page
from glassbox_bt.reporting.sections.audits import audits as audits_of_page
from glassbox_bt.reporting.sections.estimates import difference_style, interval, level, measure_style, primary
from glassbox_bt.reporting.sections.learned import learned
from glassbox_bt.reporting.sections.parts import part_of, same_books_note
from glassbox_bt.reporting.sections.signals import signals

__all__ = ["ablations", "audits", "forecasts"]

METRICS = "audit-metrics-table"
NO_EFFECT = "no effect on inputs"
DEPTHS = {
    "inference": "The fits of all other parts are those of the run.",
    "retrained": "Everything downstream of the part is fitted again without it.",
}


def forecasts(record: RunRecord) -> Section:
    """Rank correlations, calibration, and learned parts against their anchors."""
    page = signals(record)
    anchors = table_of(learned(record), "learned-test")
    if anchors:
        words = prose(
            "A learned part is a simple anchor plus what a network adds to it. On test rows the learned part was better "
            "than its anchor alone in ", record.claim(derived("n_learned_better"), "integer"), " of ",
            record.claim(derived("n_learned"), "integer"), " comparisons (",
            Ref("table", "learned-test", "table of anchors"), ").",
        )  # fmt: skip
    else:
        words = prose("The run recorded no comparison of a learned part with its anchor.")
    beside = Section("forecasts-anchors", prose("Learned parts against their anchors"), (Paragraph(words), *anchors))
    return Section("forecasts", prose("Signals and confidences"), (*_said(record), *blocks_of(page)), (beside,))


def _said(record: RunRecord) -> tuple[Paragraph, ...]:
    """What is asked of signals and of confidences, and how many claims about them stand."""
    said = []
    if record.entries("signals", chunk=POOLED):
        said.append(
            prose(
                "A signal is asked whether it orders the names of a day as their later returns do: the rank correlation (",
                Ref("table", "rank-table", "table of rank correlations"), ").", *_stand(record, "signal"),
            )
        )  # fmt: skip
    if record.entries("calibration", chunk=POOLED):
        said.append(
            prose(
                "A confidence is asked whether its event comes as often as it says, and whether it says more than the base "
                "rate (", Ref("table", "calibration-table", "table of confidences"), ").", *_stand(record, "calibration"),
            )
        )  # fmt: skip
    return tuple(Paragraph(one) for one in said)


def _stand(record: RunRecord, kind: str) -> Prose:
    if not record.entries("verdicts", kind=kind):
        return ()
    return prose(" Of these claims: ", counted(record, kind=kind), ".")


def ablations(record: RunRecord) -> Section:
    """What changed when one part at a time was taken out."""
    title = prose("Ablations")
    variants = record.entries_of(VARIANTS)
    if not variants:
        words = prose("No ablation was run: this chapter says nothing about what any single part of the stack adds.")
        return Section("ablations", title, (Paragraph(words),))
    blocks: list[Block] = [Paragraph(_how(record, variants))]
    if not record.holds(RESULTS):
        blocks.append(Paragraph(prose("Their results were not evaluated.")))
        return Section("ablations", title, tuple(blocks))
    page = ablations_of_page(record)
    blocks.append(Paragraph(_outcome(record)))
    blocks.append(_table(record, variants))
    blocks += [block for block in page.blocks if isinstance(block, Figures)]
    return Section("ablations", title, tuple(blocks))


def _how(record: RunRecord, variants: tuple[Entry, ...]) -> Prose:
    depths = {str(one.get("depth")) for one in variants}
    how = DEPTHS.get(next(iter(depths)), "") if len(depths) == 1 else "The table says which parts were fitted again."
    return prose(
        "One part at a time was taken out or changed, ", record.claim(derived("n_variants"), "integer"), " times in all, "
        "and the stack was replayed on the same test days with the same costs, fills and random streams. ", how,
        " A difference is the stack as it is less the stack so changed: above zero, the part is worth having.",
    )  # fmt: skip


def _outcome(record: RunRecord) -> Prose:
    """Verdicts in numbers; variants that changed nothing are counted as such."""
    n_none = record.claim(derived("n_variants", effect="none"), "integer")
    silent = prose(" Of all variants, ", n_none, " changed nothing downstream and can show nothing.") if n_none.value else ()
    if not record.entries("verdicts", kind="ablation"):
        return prose("The run recorded no verdicts on them.", silent)
    refer = Ref("table", "ablations", "the table of ablations")
    return prose("Claims that a part is worth having: ", counted(record, kind="ablation"), " (", refer, ").", silent)


def _table(record: RunRecord, variants: tuple[Entry, ...]) -> Table:
    other = _other(record)
    columns = (
        Column(prose("Stack"), numeric=False),
        Column(prose("Difference")),
        Column(level(record)),
        Column(prose("p, adjusted")),
        Column(prose("Could have shown")),
        Column(prose("Difference in ", record.claim(table_source(RESULTS, "first(measure)", measure=other), "measure"))),
        Column(prose("Changed decisions")),
        Column(prose("Changed orders")),
        Column(prose("Verdict"), numeric=False),
    )
    groups = []
    for key in dict.fromkeys((str(one.get("set")), str(one.get("depth"))) for one in variants):
        mine = [one for one in variants if (one.get("set"), one.get("depth")) == key]
        head = prose(record.claim(mine[0].source("set"), "words"), ", ", record.claim(mine[0].source("depth"), "words"))
        groups.append(RowGroup(tuple(_row(record, one) for one in mine), head))
    measure = record.claim("metrics.json#/settings/primary", "measure")
    caption = prose("The stack’s ", measure, " less that of the stack without a part, test days of all chunks")
    notes = (mark_note(record), *same_books_note(record, variants))
    return Table("ablations", caption, columns, tuple(groups), notes)


def _row(record: RunRecord, variant: Entry) -> Row:
    measure = primary(record)
    changed = tuple(
        prose(record.claim(variant.source(f"changed/{what}"), "integer"))
        if what in variant.content["changed"]
        else prose("–")
        for what in ("decisions", "orders")
    )
    found = record.line(RESULTS, variant=str(variant.get("name")), chunk=POOLED, measure=measure)
    if found is None:
        words = prose(NO_EFFECT if variant.get("effect") == "none" else "not recorded")
        return Row((part_of(record, variant), *(prose("") for _ in range(5)), *changed, words))
    size = measure_style(measure)
    return Row(
        (
            part_of(record, variant),
            differs(record, found, measure),
            interval(record, found, size),
            prose(record.claim(found.source("p_holm"), "p_value")),
            prose(record.claim(found.source("smallest_detectable"), size)),
            _described(record, variant),
            *changed,
            prose(record.claim(found.source("verdict"))),
        )
    )


def _other(record: RunRecord) -> str:
    """A measure that is described beside the primary one: it is defined where a stack that stops trading has no ratio."""
    return "sharpe" if primary(record) == "annual_return" else "annual_return"


def _described(record: RunRecord, variant: Entry) -> Prose:
    measure = _other(record)
    found = record.line(RESULTS, variant=str(variant.get("name")), chunk=POOLED, measure=measure)
    return prose("") if found is None else prose(record.claim(found.source("difference"), difference_style(measure)))


def audits(record: RunRecord) -> Section:
    """Every audit, what it measured, and what it found."""
    page = audits_of_page(record)
    title = prose("Explanation audits")
    if not [block for block in page.blocks if isinstance(block, Table)]:
        words = prose("No audit was run: whether the explanations are true to what was computed is open.")
        return Section("audits", title, (Paragraph(words),))
    return Section("audits", title, tuple(_asked_for(block) for block in blocks_of(page)))


def _asked_for(block: Block) -> Block:
    """Of the measures of the audits only those with a threshold, which stands in the last column; the page has all."""
    if not isinstance(block, Table) or block.key != METRICS:
        return block
    groups = [replace(group, rows=tuple(row for row in group.rows if plain_text(row.cells[-1]))) for group in block.groups]
    note = prose("Measures that are held against no threshold stand on the page of the run and in its folder.")
    return replace(block, rows=tuple(group for group in groups if group.rows), notes=(*block.notes, note))
