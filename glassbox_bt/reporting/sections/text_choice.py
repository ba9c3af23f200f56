"""Which variant of each reader of text answered test, whether it beats what it was built on, and what weight it got."""

from __future__ import annotations

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import POOLED, Entry, RunRecord
from glassbox_bt.reporting.report import Block, Column, Paragraph, Prose, Row, RowGroup, Section, Table, prose
from glassbox_bt.reporting.sections.estimates import absent, level, value_with_interval
from glassbox_bt.reporting.sections.phrases import chunk_name, listed
from glassbox_bt.reporting.sections.risk_names import fit_source, variant_in_use
from glassbox_bt.reporting.sections.text_names import CONTESTS, MODULES, chance

__all__ = ["choice_section", "contests_table", "weights_section", "weights_table"]

WEIGHTS = "text_coverage/weights"
BY_FORMULA = "the formula answered"
AVAILABLE = ((0, "Without text"), (1, "With text"))


def choice_section(record: RunRecord) -> Section:
    """Contests on test, and what validation chose by its losses."""
    blocks: list[Block] = (
        [contests_table(record)] if record.entries(CONTESTS) else [absent("comparison of learned readers of text")]
    )
    chosen = _chosen(record)
    if chosen.rows:
        blocks.append(chosen)
    return Section("text-choice", prose("Learned readers against their anchors and the closed formula"), tuple(blocks))


def contests_table(record: RunRecord) -> Table:
    """Gain in rank IC over each rival, pooled and by chunk."""
    chunks = [chunk for chunk in record.chunks if record.entries(CONTESTS, chunk=chunk)]
    hint = "rank IC of the answer less that of its rival, on the same days; positive = the learned one ranks better"
    columns = (
        Column(prose("Module"), numeric=False),
        Column(prose("Against"), numeric=False),
        Column(prose("Rank IC"), hint="of the answer, test days of all chunks"),
        Column(prose("Rival’s")),
        Column(prose("Gain"), hint=hint),
        *(Column(chunk_name(record, chunk), hint=hint) for chunk in chunks),
        Column(prose("Says"), numeric=False),
    )
    rows = []
    for one in record.entries(CONTESTS, chunk=POOLED):
        by_chunk = [
            next(iter(record.entries(CONTESTS, chunk=chunk, module=one.content["module"], rival=one.content["rival"])), None)
            for chunk in chunks
        ]
        rows.append(
            Row(
                (
                    prose(record.claim(one.source("module"), "words")),
                    prose(record.claim(one.source("rival"))),
                    prose(record.claim(one.source("answer_ic"), "number_3")),
                    prose(record.claim(one.source("rival_ic"), "number_3")),
                    _gain(record, one),
                    *(prose("") if part is None else _bare_gain(record, part) for part in by_chunk),
                    prose(_says(one)),
                )
            )
        )
    note = prose(
        "Rank correlation by day, across names, with the return over the benchmark in ten sessions; answers to documents "
        "are averaged over the documents of a name and session. A learned reader that stayed at its anchor is that anchor."
    )
    ruled = [chunk for chunk in chunks if any(one.get("formula") for one in record.entries(CONTESTS, chunk=chunk))]
    notes = [note]
    if ruled:
        names = listed([chunk_name(record, chunk) for chunk in ruled])
        words = " the closed formula answered in the place of the learned analyst: there is no anchor to hold it against."
        notes.append(prose("In ", names, words))
    caption = prose("Readers of text against what they were built on, test days, with ", level(record), "s")
    return Table("text-contests", caption, columns, tuple(rows), tuple(notes))


def _gain(record: RunRecord, one: Entry) -> Prose:
    if one.get("formula") is True:
        return prose(BY_FORMULA)
    if one.get("same") is True:
        return prose("the same")
    return value_with_interval(record, one, "difference", "difference_3")


def _bare_gain(record: RunRecord, one: Entry) -> Prose:
    if one.get("formula") is True:
        return prose(BY_FORMULA)
    return prose("the same") if one.get("same") is True else prose(record.claim(one.source("difference"), "difference_3"))


def _says(one: Entry) -> str:
    if one.get("formula") is True:
        return BY_FORMULA
    if one.get("same") is True:
        return "the same answers"
    words = {"above": "better", "below": "worse", "around": "no difference shown", "unknown": "too few days"}
    return words[chance(one.get("low"), one.get("high"))]


def _chosen(record: RunRecord) -> Table:
    """The variant that answered test, and the losses on validation that it was chosen by, in grey."""
    columns = (
        Column(prose("Chunk"), numeric=False),
        Column(prose("In use"), numeric=False, hint="the variant that answered test"),
        Column(prose("Losses on validation"), numeric=False, hint="smaller is better; spent on this choice"),
    )
    groups = []
    for module, words in MODULES.items():
        rows = [row for chunk in record.chunks if (row := _chosen_row(record, module, chunk)) is not None]
        if rows:
            groups.append(RowGroup(tuple(rows), prose(words)))
    note = prose("Losses of validation chose the variant and judge nothing; where there are none, train chose.")
    return Table("text-variants", prose("Which variant answered test"), columns, tuple(groups), (note,))


def _chosen_row(record: RunRecord, module: str, chunk: int) -> Row | None:
    used = variant_in_use(record, module, chunk)
    if used is None:
        return None
    place = fit_source(module, chunk, "selection.json", "/losses")
    file = place.partition("#")[0]
    losses = record.document(file).get("losses", {}) if record.holds(file) else {}
    said = [prose(f"{name} ", record.claim(f"{place}/{name}", "number_4")) for name in sorted(losses)]
    return Row((chunk_name(record, chunk), prose(used), listed(said) if said else prose("none recorded")))


def weights_section(record: RunRecord) -> Section:
    """Learned weight of the branch with and without text."""
    title = prose("Weight of the branch by text availability")
    if not any(one.get("n_rows") for one in record.entries(WEIGHTS)):
        return Section("text-weights", title, (absent("weights of its branches"),))
    return Section("text-weights", title, (Paragraph(_weight_words(record)), weights_table(record)))


def _weight_words(record: RunRecord) -> Prose:
    bare, told = (record.entries(WEIGHTS, chunk=POOLED, text_available=flag)[0] for flag, _ in AVAILABLE)
    said = []
    for one, words in ((bare, "without text"), (told, "with text")):
        if one.get("n_rows"):
            said.append(prose(f"{words} ", record.claim(one.source("mean"), "number_3")))
    largest = prose(
        " In rows without text the largest weight of all is ", record.claim(bare.source("max"), "number_3"), "."
    ) if bare.get("n_rows") else prose("")  # fmt: skip
    return prose("Mean weight that fusion learned to give the branch on test: ", listed(said), ".", largest)


def weights_table(record: RunRecord) -> Table:
    """One row for each chunk and availability."""
    columns = (
        Column(prose("Rows"), numeric=False),
        Column(prose("Name-days")),
        Column(prose("Mean weight"), hint="of the qualitative branch, in [zero, one]; the two branches add up to one"),
        Column(prose("Median")),
        Column(prose("Highest hundredth"), hint="the weight that one row in a hundred exceeds"),
        Column(prose("Largest")),
    )
    groups = []
    for chunk in (POOLED, *record.chunks):
        rows = []
        for flag, words in AVAILABLE:
            for one in record.entries(WEIGHTS, chunk=chunk, text_available=flag):
                numbers = (prose(record.claim(one.source(name), "number_3")) for name in ("mean", "p50", "p99", "max"))
                rows.append(Row((prose(words), prose(record.claim(one.source("n_rows"), "integer")), *numbers)))
        if rows:
            groups.append(RowGroup(tuple(rows), prose("All chunks") if chunk == POOLED else chunk_name(record, chunk)))
    lacking = record.claim(derived("text_without_weight"), "integer")
    note = prose("Name-days of test on which fusion gave no answer, and so no weight, are left out: ", lacking, ".")
    notes = (note,) if lacking.value else ()
    caption = prose("Learned weight of the qualitative branch on test")
    return Table("text-weights-table", caption, columns, tuple(groups), notes)
