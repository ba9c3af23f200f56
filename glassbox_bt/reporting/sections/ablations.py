"""What each part of the stack adds: the stack with it less the stack without it, on the same days, fills and costs."""

from __future__ import annotations

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.figures import Forest, Span
from glassbox_bt.reporting.record import METRICS, POOLED, RESULTS, VARIANTS, Entry, RunRecord, table_source
from glassbox_bt.reporting.report import (
    Block,
    Column,
    Figure,
    Figures,
    Item,
    Listing,
    Paragraph,
    Prose,
    Row,
    RowGroup,
    RowRole,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import (
    absent,
    difference_style,
    how_to_read,
    interval,
    level,
    measure_style,
    p_values,
    primary,
    span,
    tested_how,
    value_with_interval,
    verdict_cell,
    verdict_rule,
)
from glassbox_bt.reporting.sections.parts import SAME_BOOK, has_same_book, part_label, part_of, same_books_note
from glassbox_bt.reporting.sections.phrases import chunk_name, listed

__all__ = ["ablations"]

NO_EFFECT = "no effect on inputs"
SECOND = "annual_return"  # drawn beside the primary measure where that is not defined for all
CHANGED = ("answers", "inputs", "decisions", "orders")
MEASURES = ("sharpe", "annual_return", "volatility", "max_drawdown", "turnover", "exposure")


def ablations(record: RunRecord) -> Section:
    """A forest plot per set of ablations, a table grouped by set, and every measure, folded."""
    title = prose("What each part adds: ablations")
    variants = record.entries_of(VARIANTS)
    if not variants:
        return Section("ablations", title, (absent("ablations"),))
    blocks: list[Block] = [_intro(record, variants)]
    if not record.holds(RESULTS):
        blocks += [absent("results of its ablations"), _changes(record, variants)]
        return Section("ablations", title, tuple(blocks))
    measure = primary(record)
    blocks.append(_figures(record, measure, variants))
    undefined = tuple(one for rows in _sets(variants).values() if _lacks(record, rows, measure) for one in rows)
    if undefined and measure != SECOND:
        blocks.append(_figures(record, SECOND, undefined))
    blocks.append(_table(record, variants))
    downstream = Section("ablations-downstream", prose("What was changed"), (_changes(record, variants),), folded=True)
    parts = (_by_measure(record, variants), _by_chunk(record, variants), downstream, *_absent(record))
    return Section("ablations", title, tuple(blocks), parts)


def _lacks(record: RunRecord, variants: tuple[Entry, ...], measure: str) -> bool:
    """Whether a variant that changed something has no such difference: it may not have traded at all."""
    lines = (_line(record, one, POOLED, measure) for one in variants)
    return any(line is not None and line.get("difference") is None for line in lines)


def _figures(record: RunRecord, measure: str, variants: tuple[Entry, ...]) -> Figures:
    """One forest plot per set; the primary measure with its verdicts, another one described."""
    name = record.claim(table_source(RESULTS, "first(measure)", measure=measure), "measure")
    is_primary = measure == primary(record)
    head = prose("Difference in ", name, ", with the part less without it, test days of all chunks")
    if not is_primary:
        head = prose("Difference in ", name, " where a stack that stops trading leaves the above undefined; described only")
    key = "ablation-plots" if is_primary else f"ablation-plots-{measure.replace('_', '-')}"
    return Figures(key, head, tuple(_figure(record, measure, rows) for rows in _sets(variants).values()))


def _sets(variants: tuple[Entry, ...]) -> dict[tuple[str, str], tuple[Entry, ...]]:
    """Variants by set and depth, in the order of running."""
    found: dict[tuple[str, str], tuple[Entry, ...]] = {}
    for one in variants:
        key = (str(one.get("set")), str(one.get("depth")))
        found[key] = (*found.get(key, ()), one)
    return found


def _absent(record: RunRecord) -> tuple[Section, ...]:
    """What the sets would ask and this plan cannot answer, with the reason; folded."""
    place = "manifest.json#/ablations/absent"
    n_absent = len(record.entry("/ablations/absent")) if record.has(place) else 0
    if not n_absent:
        return ()
    items = tuple(
        Item(prose(record.claim(f"{place}/{i}/why")), prose(record.claim(f"{place}/{i}/target", "words"), ": "))
        for i in range(n_absent)
    )
    return (Section("ablations-absent", prose("Not asked, and why"), (Listing(items),), folded=True),)


def _line(record: RunRecord, variant: Entry, chunk: int, measure: str) -> Entry | None:
    """The difference of one measure, None for a variant that changed nothing."""
    if variant.get("effect") == "none":
        return None
    return record.line(RESULTS, variant=str(variant.get("name")), chunk=chunk, measure=measure)


def _measure(record: RunRecord) -> Prose:
    return prose(record.claim(f"{METRICS}#/settings/primary", "measure"))


def _intro(record: RunRecord, variants: tuple[Entry, ...]) -> Paragraph:
    depths = {str(one.get("depth")) for one in variants}
    kept = {
        "inference": "The fits of the others are kept",
        "retrained": "Everything downstream is fitted again without it",
    }
    how = kept.get(next(iter(depths)), "") if len(depths) == 1 else "The table says which fits were made again"
    n_none = record.claim(derived("n_variants", effect="none"), "integer")
    none = prose(" Without any effect on what follows: ", n_none, ".") if n_none.value else ()
    return Paragraph(
        prose(
            "One part is changed or taken out at a time, ", record.claim(derived("n_variants"), "integer"),
            " times. ", how, "; days, fills, costs and random streams stay the same, so differences are paired. "
            "To the right of the line the stack is better with the part as it is.", none,
        )
    )  # fmt: skip


def _figure(record: RunRecord, measure: str, variants: tuple[Entry, ...]) -> Figure:
    spans = tuple(_span(record, one, measure) for one in variants)
    is_primary = measure == primary(record)
    band = record.metrics.get("settings", {}).get("smallest_effect") if is_primary else None
    words = record.claim(table_source(RESULTS, "first(measure)", measure=measure), "measure")
    forest = Forest(
        spans,
        f"difference in {words.text}",
        "percent" if measure_style(measure).startswith("percent") else "plain",
        band=None if band is None else float(band),
        sides=("better without", "better with"),
    )
    first = variants[0]
    name, depth = str(first.get("set")), str(first.get("depth"))
    title = prose(record.claim(first.source("set"), "words"), ", depth ", record.claim(first.source("depth")))
    sources = (f"{RESULTS}?set={name}&depth={depth}&chunk={POOLED}&measure={measure}", VARIANTS)
    key = f"ablations-{name}-{depth}-{measure.replace('_', '-')}"
    return Figure(key, title, _in_words(record, measure, variants), forest, sources)


def _span(record: RunRecord, variant: Entry, measure: str) -> Span:
    label = part_label(record, variant)
    pooled = _line(record, variant, POOLED, measure)
    if pooled is None:
        return Span(label, None, note=NO_EFFECT if variant.get("effect") == "none" else "not recorded")
    if has_same_book(variant):
        return Span(label, None, note=SAME_BOOK)
    lines = (_line(record, variant, chunk, measure) for chunk in record.chunks)
    points = tuple(float(one.get("difference")) for one in lines if one is not None and one.get("difference") is not None)
    return span(label, pooled, "difference", points=points)


def _in_words(record: RunRecord, measure: str, variants: tuple[Entry, ...]) -> Prose:
    said = []
    for one in variants:
        pooled = _line(record, one, POOLED, measure)
        if pooled is None:
            said.append(prose(part_of(record, one), ": ", NO_EFFECT))
            continue
        if has_same_book(one):
            said.append(prose(part_of(record, one), ": ", SAME_BOOK))
            continue
        value = value_with_interval(record, pooled, "difference", difference_style(measure))
        verdict = prose(", ", record.claim(pooled.source("verdict"))) if measure == primary(record) else ()
        said.append(prose(part_of(record, one), ": ", value, verdict))
    return how_to_read(said)


def _table(record: RunRecord, variants: tuple[Entry, ...]) -> Table:
    columns = (
        Column(prose("Stack"), numeric=False, hint="what was changed"),
        Column(prose("Verdict"), numeric=False, hint="on the claim that the stack is better with the part as it is"),
        Column(prose("Difference"), hint="with the part less without it"),
        Column(level(record), hint="of the difference, by paired block bootstrap"),
        Column(prose("p (adjusted)"), hint="two-sided; in brackets adjusted for the ablations of the set (Holm)"),
        Column(prose("Could have shown"), hint="smallest true difference that this sample would have found"),
        Column(prose("Changed orders"), hint="orders that differ on the test days of all chunks"),
    )
    groups = tuple(
        RowGroup(
            tuple(_row(record, one) for one in rows),
            prose(record.claim(rows[0].source("set"), "words"), ", depth ", record.claim(rows[0].source("depth"))),
        )
        for rows in _sets(variants).values()
    )
    caption = prose(_measure(record), " with the part less without it, test days of all chunks")
    notes = (*verdict_rule(record), tested_how(record), *same_books_note(record, variants), *_notes(record, variants))
    return Table("ablations-table", caption, columns, groups, notes)


def _changes(record: RunRecord, variants: tuple[Entry, ...]) -> Table:
    """How many values differ downstream of the edit."""
    heads = (Column(prose(what.capitalize()), hint="that differ on the test days of all chunks") for what in CHANGED)
    rows = tuple(
        Row(
            (part_of(record, one), *(prose(record.claim(one.source(f"changed/{what}"), "integer")) for what in CHANGED)),
            _role(one),
        )
        for one in variants
    )
    caption = prose("Values that differ from the stack as it is, on the test days of all chunks")
    return Table("ablations-changes", caption, (Column(prose("Stack"), numeric=False), *heads), rows)


def _notes(record: RunRecord, variants: tuple[Entry, ...]) -> tuple[Prose, ...]:
    """What the run noted about variants, once for those with the same remarks."""
    noted: dict[tuple[str, ...], list[Entry]] = {}
    for one in variants:
        if one.get("notes"):
            noted.setdefault(tuple(str(text) for text in one.content["notes"]), []).append(one)
    return tuple(
        prose(
            listed([part_of(record, one) for one in found]), ": ",
            *(prose(" " if place else "", record.claim(found[0].source(f"notes/{place}"))) for place in range(len(texts))),
        )
        for texts, found in noted.items()
    )  # fmt: skip


def _row(record: RunRecord, variant: Entry) -> Row:
    measure = primary(record)
    changed = prose(record.claim(variant.source("changed/orders"), "integer"))
    pooled = _line(record, variant, POOLED, measure)
    if pooled is None:
        verdict = prose(NO_EFFECT if variant.get("effect") == "none" else "not recorded")
        return Row((part_of(record, variant), verdict, *(prose("") for _ in range(4)), changed), _role(variant))
    style = difference_style(measure)
    size = measure_style(measure)
    return Row(
        (
            part_of(record, variant),
            verdict_cell(record, pooled),
            prose(record.claim(pooled.source("difference"), style)),
            interval(record, pooled, size),
            p_values(record, pooled),
            prose(record.claim(pooled.source("smallest_detectable"), size)),
            changed,
        )
    )


def _by_measure(record: RunRecord, variants: tuple[Entry, ...]) -> Section:
    """Every measure over the pooled test days, with intervals; no test is made on them."""
    recorded = set(record.table(RESULTS)["measure"])
    measures = [measure for measure in MEASURES if measure in recorded]
    heads = (record.claim(table_source(RESULTS, "first(measure)", measure=measure), "measure") for measure in measures)
    columns = (Column(prose("Stack"), numeric=False), *(Column(prose(head)) for head in heads))
    rows = []
    for variant in variants:
        lines = [_line(record, variant, POOLED, measure) for measure in measures]
        cells = (_difference(record, line, measure) for line, measure in zip(lines, measures, strict=True))
        rows.append(Row((part_of(record, variant), *cells), _role(variant)))
    table = Table("ablations-measures", prose("Differences, with the part less without it"), columns, tuple(rows))
    return Section("ablations-by-measure", prose("Every measure"), (table,), folded=True)


def _by_chunk(record: RunRecord, variants: tuple[Entry, ...]) -> Section:
    measure = primary(record)
    columns = (Column(prose("Stack"), numeric=False), *(Column(chunk_name(record, chunk)) for chunk in record.chunks))
    rows = []
    for variant in variants:
        lines = [_line(record, variant, chunk, measure) for chunk in record.chunks]
        rows.append(Row((part_of(record, variant), *(_difference(record, line, measure) for line in lines)), _role(variant)))
    caption = prose("Differences in ", _measure(record), ", with the part less without it")
    return Section(
        "ablations-by-chunk",
        prose("Chunk by chunk"),
        (Table("ablations-chunks", caption, columns, tuple(rows)),),
        folded=True,
    )


def _difference(record: RunRecord, line: Entry | None, measure: str) -> Prose:
    return prose("") if line is None else value_with_interval(record, line, "difference", difference_style(measure))


def _role(variant: Entry) -> RowRole:
    return "muted" if variant.get("effect") == "none" else "plain"
