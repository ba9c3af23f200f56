"""Each learned risk forecast against its rivals: a verdict per rival, chunk by chunk, and what validation chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.figures import Forest, Span
from glassbox_bt.reporting.record import METRICS, POOLED, TEST, Entry, RunRecord
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
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import (
    SIGNS,
    absent,
    how_to_read,
    interval,
    level,
    p_values,
    span,
    value_with_interval,
    verdict_cell,
)
from glassbox_bt.reporting.sections.phrases import chunk_name, listed
from glassbox_bt.reporting.sections.risk_names import ANCHORS, CONTESTS, MODULES, RANKING, SELECTION, counted_verdicts

__all__ = ["contest_blocks", "contest_parts", "contests_note", "contests_table"]

LOST = "validation_winner_lost"
NOT_RECORDED = "not recorded"


def contest_blocks(record: RunRecord, module: str) -> list[Block]:
    """In words, drawn and in a table: the pooled contests of a module, and what validation chose."""
    entries = record.entries(CONTESTS, module=module, chunk=POOLED)
    if not entries:
        return [absent(f"comparison of {MODULES[module].lower()} with its rivals")]
    return [
        Paragraph(_summary(record, module, entries)),
        _figures(record, module, entries),
        contests_table(record, module),
        *_chosen(record, module),
    ]


def contest_parts(record: RunRecord, module: str) -> tuple[Section, ...]:
    """The same by chunk, and the losses on validation and test; both folded."""
    parts = []
    if record.entries(CONTESTS, module=module):
        title = prose(f"{MODULES[module]} against its rivals, chunk by chunk")
        parts.append(Section(f"risk-{module}-chunks", title, (_by_chunk(record, module),), folded=True))
    if record.entries(SELECTION, module=module):
        title = prose(f"{MODULES[module]}: losses on validation, spent on selection, and on test")
        parts.append(Section(f"risk-{module}-selection", title, (_selection(record, module),), folded=True))
    return tuple(parts)


def _summary(record: RunRecord, module: str, entries: Sequence[Entry]) -> Prose:
    rivals = {str(one.get("rival")): one for one in reversed(entries)}
    names = [record.claim(rivals[name].source("rival")) for name in dict.fromkeys(str(one.get("rival")) for one in entries)]
    return prose(
        f"{MODULES[module]} is held against ", listed(names), " on the same test rows. Its anchor, the module without its "
        f"network, is {ANCHORS[module]}. Claims that the forecast is better than a rival, over all test days: ",
        counted_verdicts(record, module=module), ".",
    )  # fmt: skip


def _about(record: RunRecord, entry: Entry) -> Prose:
    """``QLIKE, 10 sessions``."""
    return prose(
        record.claim(entry.source("measure"), "measure"), ", ", record.claim(entry.source("horizon"), "integer"), " sessions"
    )


def _style(entry: Entry) -> str:
    """Of a gain: a share of the rival's loss, or a difference in average precision."""
    return "difference_3" if entry.get("measure") == RANKING else "difference_percent"


def _size(entry: Entry) -> str:
    return "number_3" if entry.get("measure") == RANKING else "percent"


def _figures(record: RunRecord, module: str, entries: Sequence[Entry]) -> Figures:
    """One forest per measure."""
    measures = dict.fromkeys(str(one.get("measure")) for one in entries)
    drawn = tuple(_figure(record, module, [one for one in entries if one.get("measure") == name]) for name in measures)
    title = prose(f"{MODULES[module]} against its rivals, test days of all chunks, with ", level(record), "s")
    return Figures(f"risk-{module}-forest", title, drawn)


def _figure(record: RunRecord, module: str, entries: Sequence[Entry]) -> Figure:
    band, is_ranking = entries[0].get("smallest_effect"), entries[0].get("measure") == RANKING
    name = record.claim(entries[0].source("measure"), "measure")
    forest = Forest(
        tuple(_span(record, one) for one in entries),
        "difference" if is_ranking else "share of the rival's loss that is saved",
        "plain" if is_ranking else "percent",
        band=None if band is None else float(band),
        sides=("rival better", "forecast better"),
    )
    said = [
        prose(
            _about(record, one), " against ", record.claim(one.source("rival")), " ",
            value_with_interval(record, one, "estimate", _style(one)), ", ", record.claim(one.source("verdict")),
        )
        for one in entries
    ]  # fmt: skip
    key = f"risk-{module}-{name.value}".lower().replace("_", "-").replace(" ", "-")
    return Figure(key, prose(name), how_to_read(said), forest, (f"{METRICS}#/{CONTESTS}",))


def _span(record: RunRecord, entry: Entry) -> Span:
    points = tuple(
        float(one.get("estimate")) for one in _chunks(record, entry) if one is not None and one.get("estimate") is not None
    )
    made = span(str(entry.get("rival")), entry, "estimate", points=points)
    return replace(made, group=f"{entry.get('horizon')} sessions")


def _chunks(record: RunRecord, entry: Entry) -> list[Entry | None]:
    """The same contest chunk by chunk."""
    keys = {key: entry.get(key) for key in ("module", "measure", "horizon", "rival")}
    by_chunk = {one.get("chunk"): one for one in record.entries(CONTESTS, **keys)}
    return [by_chunk.get(chunk) for chunk in record.chunks]


def contests_table(record: RunRecord, module: str) -> Table:
    """One row per rival, in groups by measure and horizon, over all test days."""
    entries = record.entries(CONTESTS, module=module, chunk=POOLED)
    columns = (
        Column(prose("Rival"), numeric=False),
        Column(prose("Verdict"), numeric=False, hint="on the claim that the forecast is better"),
        Column(prose("Forecast"), hint="mean loss over days; average precision: more is better"),
        Column(prose("Rival’s")),
        Column(prose("Gain"), hint="share of the rival's loss that is saved, or the difference; positive = better"),
        Column(level(record), hint="of the gain, by blocks of days"),
        Column(prose("p (adjusted)"), hint="blocks of days, two-sided; in brackets by Holm within the measure"),
        Column(prose("p (Diebold-Mariano)"), hint="two-sided, not adjusted"),
        Column(prose("Could have shown"), hint="smallest true gain that this sample would have found"),
    )
    groups = tuple(RowGroup(tuple(_row(record, one) for one in rows), _about(record, rows[0])) for rows in _grouped(entries))
    caption = prose(f"{MODULES[module]} against its rivals, test days of all chunks")
    return Table(f"risk-{module}-contests", caption, columns, groups, contests_note(record, entries))


def _grouped(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Rows of one measure and horizon together, in the order of recording."""
    groups: dict[tuple[object, object], list[Entry]] = {}
    for one in entries:
        groups.setdefault((one.get("measure"), one.get("horizon")), []).append(one)
    return list(groups.values())


def _row(record: RunRecord, entry: Entry) -> Row:
    return Row(
        (
            prose(record.claim(entry.source("rival"))),
            verdict_cell(record, entry),
            prose(record.claim(entry.source("answer_score"), "number_4")),
            prose(record.claim(entry.source("rival_score"), "number_4")),
            prose(record.claim(entry.source("estimate"), _style(entry))),
            interval(record, entry, _size(entry)),
            p_values(record, entry),
            prose(record.claim(entry.source("dm_p"), "p_value")),
            prose(record.claim(entry.source("smallest_detectable"), _size(entry))),
        )
    )


def contests_note(record: RunRecord, entries: Sequence[Entry]) -> tuple[Prose, ...]:
    """How it was tested, and why some was not."""
    alpha = record.claim(derived("error_rate"), "plain")
    first: dict[str, Entry] = {}
    for one in entries:
        if one.get("withheld"):
            first.setdefault(str(one.get("withheld")), one)
    how = prose(
        "Verdicts rest on blocks of days: ", SIGNS["supported"], "supported where p, adjusted by Holm over the rivals and "
        "horizons of a measure, is under ", alpha, " and the gain above zero; ", SIGNS["refuted"], "refuted where the whole "
        "interval lies below the smallest gain that would matter; ", SIGNS["underpowered"], "underpowered otherwise.",
    )  # fmt: skip
    return (how, *(prose("Not tested: ", record.claim(one.source("withheld")), ".") for one in first.values()))


def _by_chunk(record: RunRecord, module: str) -> Table:
    entries = record.entries(CONTESTS, module=module, chunk=POOLED)
    hint = "gain with its interval, and p before any correction; the mark is the verdict of the chunk"
    columns = (
        Column(prose("Rival"), numeric=False),
        *(Column(chunk_name(record, chunk), hint=hint) for chunk in record.chunks),
    )
    groups = []
    for rows in _grouped(entries):
        made = [
            Row((prose(record.claim(one.source("rival"))), *(_in_chunk(record, part) for part in _chunks(record, one))))
            for one in rows
        ]
        groups.append(RowGroup(tuple(made), _about(record, rows[0])))
    caption = prose(f"{MODULES[module]}: gain over each rival on the test days of each chunk")
    return Table(f"risk-{module}-chunks-table", caption, columns, tuple(groups))


def _in_chunk(record: RunRecord, entry: Entry | None) -> Prose:
    if entry is None:
        return prose(NOT_RECORDED)
    sign = SIGNS.get(str(entry.get("verdict")), "")
    gain = value_with_interval(record, entry, "estimate", _style(entry))
    if entry.get("p_value") is None:
        return prose(sign, gain)
    return prose(sign, gain, ", p ", record.claim(entry.source("p_value"), "p_value"))


def _chosen(record: RunRecord, module: str) -> list[Block]:
    """Which variant answered test, and whether what was better on validation was worse on test."""
    rows = record.entries(SELECTION, module=module, split=TEST)
    if not rows:
        return []
    by_chunk = {chunk: [one for one in rows if one.get("chunk") == chunk] for chunk in record.chunks}
    items = [Item(_choice(record, mine), prose(chunk_name(record, chunk), ": ")) for chunk, mine in by_chunk.items() if mine]
    rule = "manifest.json#/plan/selection/variant"
    how = prose(" (the plan’s rule: ", record.claim(rule, "words"), ")") if record.has(rule) else prose("")
    head = Paragraph(prose("Which variant answers test was settled without test", how, ". Validation and test compared:"))
    return [head, Listing(tuple(items))]


def _choice(record: RunRecord, rows: Sequence[Entry]) -> Prose:
    variant = rows[0].get("variant")
    used = prose("in use: ", record.claim(rows[0].source("variant"), "words"), "; ") if variant is not None else prose("")
    lost = [one for one in rows if one.get(LOST) is True]
    kept = [one for one in rows if one.get(LOST) is False]
    if not lost and not kept:
        return prose(used, "no winner to compare, as answer and anchor are the same on one of the two.")
    if not lost:
        return prose(used, "what was better on validation was better on test too.")
    said = [prose(_about(record, one), " (smaller on test: ", record.claim(one.source("winner")), ")") for one in lost]
    rest = "" if not kept else " In all else that has a winner, the same was better on both."
    return prose(used, "the winner on validation lost on test in ", listed(said), ".", rest)


def _selection(record: RunRecord, module: str) -> Table:
    columns = (
        Column(prose("Measure"), numeric=False),
        Column(prose("On"), numeric=False),
        Column(prose("Variant"), numeric=False, hint="in use on these days"),
        Column(prose("Loss"), hint="of the variant with a network, in use or not; smaller is better"),
        Column(prose("Anchor’s loss")),
        Column(prose("Smaller"), numeric=False),
        Column(prose("Winner of validation lost"), numeric=False),
    )
    groups = []
    for chunk in record.chunks:
        rows = record.entries(SELECTION, module=module, chunk=chunk)
        if rows:
            groups.append(RowGroup(tuple(_selection_row(record, one) for one in rows), chunk_name(record, chunk)))
    caption = prose(f"{MODULES[module]}: mean losses on validation and test days")
    notes = (
        prose("Rows of validation are grey: they were spent on selection, and no verdict uses them."),
        prose(
            "Rows named selection hold the losses that the choice was made by, of all variants on validation; elsewhere "
            "validation days were answered by the variant that train chose."
        ),
    )
    return Table(f"risk-{module}-selection-table", caption, columns, tuple(groups), notes)


def _selection_row(record: RunRecord, entry: Entry) -> Row:
    lost = entry.get(LOST)
    about = _about(record, entry) if entry.get("horizon") else prose(record.claim(entry.source("measure"), "measure"))
    return Row(
        (
            about,
            prose("test" if entry.get("split") == TEST else "validation"),
            prose(record.claim(entry.source("variant"), "words")),
            prose(record.claim(entry.source("loss"), "number_4")),
            prose(record.claim(entry.source("anchor_loss"), "number_4")),
            prose(record.claim(entry.source("winner"), "words")),
            prose("") if lost is None else prose(record.claim(entry.source(LOST), "yes_no")),
        ),
        "plain" if entry.get("split") == TEST else "muted",
    )
