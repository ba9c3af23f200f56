"""Verdicts: one row per claim, and what must be known before reading them."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import VARIANTS, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Column,
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
    difference_style,
    interval,
    level,
    measure_style,
    value_with_interval,
    verdict_cell,
    verdict_rule,
)
from glassbox_bt.reporting.sections.parts import part_of, same_books_note, variant_of
from glassbox_bt.reporting.sections.phrases import (
    BUY_AND_HOLD,
    listed,
    named_values,
    quoted,
)

__all__ = ["labels", "verdict"]

OWN_SIZING = "sizing_only"
VERDICTS = ("supported", "refuted", "underpowered", "not tested", "no effect on inputs")
POOLED_TEST = ": pooled over the test days of all chunks"


def verdict(record: RunRecord) -> Section:
    """The answer in words, a table of verdicts, and the conditions they stand under."""
    blocks: list[Block] = [Paragraph(prose(_answer(record), " ", *_learned(record)), "lead")]
    parts: tuple[Section, ...] = ()
    if record.entries("verdicts"):
        blocks.append(_table(record, "verdicts-table", _groups(record), verdict_rule(record)))
        parts = _on_parts(record)
    else:
        words = prose(
            "This run recorded no intervals and no tests: differences between strategies are descriptions, not evidence."
        )
        blocks.append(Paragraph(words, "note"))
    blocks.append(Listing(tuple(_conditions(record)), "notices"))
    return Section("verdict", prose("Verdicts"), tuple(blocks), parts)


def _answer(record: RunRecord) -> Prose:
    rivals = record.entries("verdicts", kind="rival")
    if not rivals:
        return _ahead(record)
    measure = record.claim(rivals[0].source("measure"), "measure")
    return prose(
        *_over_own_sizing(record), "That the stack has a higher ", measure, " than a rival, after costs, on the same days: ",
        _counts(record, kind="rival"), ".",
    )  # fmt: skip


def _over_own_sizing(record: RunRecord) -> Prose:
    """What the learned signal adds to the stack's own sizing, if the run asked."""
    found = record.entries("verdicts", kind="rival", subject=OWN_SIZING)
    if not found:
        return ()
    one = found[0]
    measure = str(one.get("measure"))
    return prose(
        "Over its own sizing rules without the learned signal, the stack’s ", record.claim(one.source("measure"), "measure"),
        " differs by ", value_with_interval(record, one, "estimate", difference_style(measure)), ": ",
        record.claim(one.source("verdict")), "; a true difference of ",
        record.claim(one.source("smallest_detectable"), measure_style(measure)), " would have shown. ",
    )  # fmt: skip


def _ahead(record: RunRecord) -> Prose:
    """In how many test periods the stack was ahead, for a run without tests."""
    n_chunks = record.claim(derived("n_chunks"), "integer")
    ahead_of_all = record.claim(derived("chunks_ahead", measure="sharpe"), "integer")
    clauses: list[Prose] = []
    if BUY_AND_HOLD in record.strategies:
        ahead = record.claim(derived("chunks_ahead", measure="sharpe", rival=BUY_AND_HOLD), "integer")
        clauses.append(
            prose("above that of holding every name in equal weight in ", ahead, " of ", n_chunks, " test periods")
        )
    clauses.append(prose("above that of every rival in ", ahead_of_all, " of ", n_chunks, ""))
    return prose(
        "After costs, the stack’s Sharpe ratio was ",
        listed(clauses),
        ", on the same days and with the same costs and fills (",
        record.claim(derived("n_rivals"), "integer"),
        " rivals; one that bears no risk has no Sharpe ratio).",
    )


def _counts(record: RunRecord, **where: str) -> Prose:
    """``of 8 claims, supported: 1, refuted: 2 and underpowered: 5``."""
    found = [(word, record.claim(derived("n_verdicts", verdict=word, **where), "integer")) for word in VERDICTS]
    shown = [(word, count) for word, count in found if count.value or word == "supported"]
    total = record.claim(derived("n_verdicts", **where), "integer")
    return prose("of ", total, " claims, ", listed([prose(word, ": ", count) for word, count in shown]))


def _learned(record: RunRecord) -> Prose:
    if not record.metrics.get("learned"):
        return prose("No comparison of learned parts with their anchors was recorded.")
    return prose(
        "The learned part of a module beat its simple anchor in ",
        record.claim(derived("n_learned_better"), "integer"),
        " of ",
        record.claim(derived("n_learned"), "integer"),
        " comparisons.",
    )


def _groups(record: RunRecord) -> tuple[RowGroup, ...]:
    """Rivals, the stack's own sizing first; then signals and confidences. Ablations have a table of their own."""
    rivals = record.entries("verdicts", kind="rival")
    own = [one for one in rivals if one.get("subject") == OWN_SIZING]
    others = [one for one in rivals if one.get("subject") != OWN_SIZING]
    groups = []
    for entries, words in (
        (own, "than its own sizing rules without the learned signal"),
        (others, "than the rival"),
    ):
        if entries:
            measure = record.claim(entries[0].source("measure"), "measure")
            head = prose("The stack has a higher ", measure, " ", words)
            groups.append(RowGroup(tuple(_row(record, one, prose(_subject(record, one))) for one in entries), head))
    for kind, words in (
        ("signal", "The signal orders the names as their later returns do"),
        ("calibration", "The confidence foretells its event better than the base rate"),
    ):
        found = record.entries("verdicts", kind=kind)
        if found:
            rows = tuple(_row(record, one, prose(record.claim(one.source("subject"), "member"))) for one in found)
            measure = record.claim(found[0].source("measure"), "measure")
            groups.append(RowGroup(rows, prose(words, " (", measure, ")")))
    return tuple(groups)


def _on_parts(record: RunRecord) -> tuple[Section, ...]:
    """Verdicts on ablations, by set, folded: what each part adds has its own section further down."""
    entries = record.entries("verdicts", kind="ablation")
    if not entries:
        return ()
    groups = []
    for name in dict.fromkeys(str(one.get("family")) for one in entries):
        rows = [one for one in entries if one.get("family") == name]
        measure = record.claim(rows[0].source("measure"), "measure")
        head = prose(record.claim(rows[0].source("family"), "words"), ": the ", measure, " is lower")
        groups.append(RowGroup(tuple(_row(record, one, _part(record, one)) for one in rows), head))
    title = prose("Verdicts on the parts of the stack; ", _counts(record, kind="ablation"))
    notes = same_books_note(record, record.entries_of(VARIANTS))
    return (Section("verdicts-parts", title, (_table(record, "verdicts-parts-table", groups, notes),), folded=True),)


def _table(record: RunRecord, key: str, groups: Sequence[RowGroup], notes: tuple[Prose, ...] = ()) -> Table:
    columns = (
        Column(prose("Claim"), numeric=False),
        Column(prose("Verdict"), numeric=False),
        Column(prose("Estimate"), hint="positive is in favour of the claim"),
        Column(level(record), hint="of the estimate, by block bootstrap"),
        Column(prose("p, adjusted"), hint="Holm, over the claims of its group"),
        Column(prose("Could have shown"), hint="smallest true effect that this sample would have found"),
        Column(prose("Would matter"), hint="smallest effect that would matter, set before the run"),
    )
    caption = prose("One row per claim", POOLED_TEST)
    return Table(key, caption, columns, tuple(groups), notes)


def _row(record: RunRecord, entry: Entry, head: Prose) -> Row:
    measure = str(entry.get("measure"))
    style, size = difference_style(measure), measure_style(measure)
    return Row(
        (
            head,
            verdict_cell(record, entry),
            prose(record.claim(entry.source("estimate"), style)),
            interval(record, entry, size),
            prose(record.claim(entry.source("p_holm"), "p_value")),
            prose(record.claim(entry.source("smallest_detectable"), size)),
            prose(record.claim(entry.source("smallest_effect"), size)),
        )
    )


def _part(record: RunRecord, entry: Entry) -> Prose:
    variant = variant_of(record, str(entry.get("subject")))
    return prose(record.claim(entry.source("subject"), "words")) if variant is None else part_of(record, variant)


def _subject(record: RunRecord, entry: Entry) -> Claim:
    return record.claim(entry.source("subject"), "strategy")


def labels(record: RunRecord) -> tuple[Prose, ...]:
    """Labels of the first screen: what every number below stands under."""
    shown: list[Prose] = []
    if record.resolve(derived("n_degenerate")):
        shown.append(prose("Degenerate"))
    if record.manifest.get("reduced"):
        shown.append(prose("Reduced sizes"))
    if not record.manifest["market"].get("has_opens", True):
        shown.append(prose("Fills at the next close"))
    shown += [prose("Assumed ", name, ": ", stated) for name, stated in _assumptions(record)]
    n_silent = derived("count", of="/silent_modules")
    if record.manifest.get("silent_modules"):
        shown.append(prose(record.claim(n_silent, "integer"), " modules silent"))
    reads = quoted(record, "manifest.json#/test_label_reads", "integer")
    return (*shown, prose("Reads of the test labels: ", reads))


def _conditions(record: RunRecord) -> list[Item]:
    conditions: list[Item] = []
    if record.resolve(derived("n_degenerate")):
        share = record.claim(derived("n_degenerate"), "integer")
        words = prose("test periods in which the stack almost never says BUY: ", share, ". Its results there say little.")
        conditions.append(Item(words, prose("Degenerate: ")))
    if record.manifest.get("reduced"):
        words = prose("networks are smaller than specified, so that the job runs on a small machine.")
        conditions.append(Item(words, prose("Reduced sizes: ")))
    if not record.manifest["market"].get("has_opens", True):
        words = prose("this market has no opening prices; orders decided at a close fill at the next close.")
        conditions.append(Item(words, prose("Next-close fills: ")))
    for name, stated in _assumptions(record):
        words = prose("there are no data on ", name, "; the plan states ", stated, " in their place.")
        conditions.append(Item(words, prose("Assumption: ")))
    conditions += _silent(record)
    reads = quoted(record, "manifest.json#/test_label_reads", "integer")
    words = prose(reads, " under this plan. Every further look at test results makes them less of a test.")
    conditions.append(Item(words, prose("Reads of the test labels: ")))
    return conditions


def _assumptions(record: RunRecord) -> list[tuple[Claim, Prose]]:
    """Name of each assumed family, and the constants that stand in its place."""
    found = []
    for place, family in enumerate(sorted(record.manifest.get("assumptions", {}))):
        name = record.claim(derived("key", of="/assumptions", place=place), "words")
        values = [prose(one.head, " ", one.body) for one in named_values(record, f"/assumptions/{family}")]
        found.append((name, listed(values)))
    return found


def _silent(record: RunRecord) -> list[Item]:
    names = record.manifest.get("silent_modules", [])
    if not names:
        return []
    claims = [record.claim(f"manifest.json#/silent_modules/{place}", "words") for place in range(len(names))]
    return [
        Item(
            prose(listed(claims), " do not answer in this run; the rules for missing answers apply."),
            prose("Silent modules: "),
        )
    ]
