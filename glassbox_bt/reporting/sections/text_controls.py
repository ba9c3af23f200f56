"""With text, without it, on text of other names and on text read late: what each does to ranking and portfolio."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.evaluation.text_controls import AS_IT_IS, WORD_LIST
from glassbox_bt.reporting.figures import Forest, Span
from glassbox_bt.reporting.record import METRICS, POOLED, RESULTS, VARIANTS, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Column,
    Figure,
    Item,
    Listing,
    Prose,
    Row,
    RowGroup,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import (
    absent,
    difference_style,
    level,
    measure_style,
    p_values,
    primary,
    value_with_interval,
)
from glassbox_bt.reporting.sections.parts import SAME_BOOK, has_same_book, same_books_note
from glassbox_bt.reporting.sections.text_names import CONTROLS, chance, difference_with_interval

__all__ = ["controls_section", "controls_table", "findings"]

WITHOUT = "without_text"
# Texts by the start of their names in metrics and among the ablations, in the order of reading.
TEXTS = (
    (AS_IT_IS, "As it came"),
    (WITHOUT, "Without text"),
    ("text_moved", "Text dealt to random names of its day"),
    ("text_delayed", "Text read one session late"),
    (WORD_LIST, "A list of words in place of the branch"),  # ranks only: it has no portfolio
)
EMPTY: Prose = ()


def controls_section(record: RunRecord) -> Section:
    """In words, drawn and in a table; other horizons and single chunks below it."""
    blocks: list[Block] = []
    if not record.entries(CONTROLS) and not _variants(record):
        blocks.append(absent("comparison with text left out, moved or delayed"))
    else:
        blocks += [Listing(tuple(Item(one) for one in findings(record))), controls_table(record)]
        if any(one.get("rank_ic") is not None for one in record.entries(CONTROLS, chunk=POOLED)):
            blocks.append(_figure(record))
            blocks.append(_all_horizons(record))
    return Section("text-controls", prose("With text, without text, text moved, text delayed"), tuple(blocks))


def _outcome(record: RunRecord) -> str:
    """The outcome that the score was made for: the first that was recorded."""
    return str(record.entries(CONTROLS)[0].content["outcome"])


def _scored(record: RunRecord, text: str, chunk: int = POOLED, outcome: str | None = None) -> Entry | None:
    """The row of a text, the shallowest depth first."""
    rows = record.entries(CONTROLS, chunk=chunk)
    if not rows:
        return None
    wanted = _outcome(record) if outcome is None else outcome
    mine = [one for one in rows if one.get("outcome") == wanted and str(one.get("text")).startswith(text)]
    return min(mine, key=lambda one: str(one.get("text")), default=None)


def _variants(record: RunRecord) -> tuple[Entry, ...]:
    return record.entries_of(VARIANTS, set="text")


def _traded(record: RunRecord, text: str, measure: str) -> tuple[Entry | None, Entry | None]:
    """The ablation of a text and its pooled result, None where there is none or nothing changed."""
    mine = [one for one in _variants(record) if str(one.get("name")).startswith(text)]
    variant = min(mine, key=lambda one: str(one.get("name")), default=None)
    if variant is None or not record.holds(RESULTS):
        return variant, None
    return variant, record.line(RESULTS, variant=str(variant.get("name")), chunk=POOLED, measure=measure)


def findings(record: RunRecord) -> list[Prose]:
    """What the table says, one sentence for each row; that nothing is shown, where nothing is."""
    said = []
    own = _scored(record, AS_IT_IS)
    if own is not None:
        said.append(prose(_ranks(record, own), "."))
    for text, words in TEXTS[1:]:
        parts = [one for one in (_lost(record, text), _cost(record, text)) if one]
        if parts:
            said.append(prose(f"{words}: ", *(prose("; " if place else "", one) for place, one in enumerate(parts)), "."))
    return said or [prose("No comparison was recorded.")]


def _ranks(record: RunRecord, own: Entry) -> Prose:
    value = value_with_interval(record, own, "rank_ic", "number_3")
    about = prose(record.claim(own.source("horizon"), "integer"), " sessions ahead, rank IC ", value)
    words = {
        "above": prose("As it came, the score orders names better than chance: ", about),
        "below": prose("As it came, the score orders names the wrong way round: ", about),
        "around": prose("As it came, the score cannot be told from chance, a null result: ", about),
        "unknown": prose("As it came, too few days have names with text to rank for an interval: ", about),
    }
    return words[chance(own.get("low"), own.get("high"))]


def _lost(record: RunRecord, text: str) -> Prose:
    """What the score loses in ranking when its text is edited."""
    row = _scored(record, text)
    if row is None:
        return EMPTY
    value = difference_with_interval(record, row, "difference", "difference_3")
    words = {
        "above": "the score ranks worse, by ",
        "below": "the score ranks better than on the text as it came, which speaks against it, by ",
        "around": "no difference in ranking is shown, a null result: ",
        "unknown": "too few days to compare rankings: ",
    }
    return prose(words[chance(row.get("difference_low"), row.get("difference_high"))], value)


def _cost(record: RunRecord, text: str) -> Prose:
    """What the portfolio loses in its primary measure."""
    measure = primary(record)
    variant, line = _traded(record, text, measure)
    if variant is None:
        return EMPTY
    if has_same_book(variant):
        return prose("no order of the portfolio changed, so both books are the same and nothing was compared there")
    if line is None:
        return prose(
            "no decision of the portfolio changed" if variant.get("effect") == "none" else "the portfolio was not compared"
        )
    value = value_with_interval(record, line, "difference", difference_style(measure))
    name = record.claim(f"{METRICS}#/settings/primary", "measure")
    words = {
        "above": prose("the portfolio’s ", name, " falls, by "),
        "below": prose("the portfolio’s ", name, " is better so, by "),
        "around": prose("no difference in the portfolio’s ", name, " is shown, a null result: "),
        "unknown": prose("the portfolio’s ", name, " cannot be compared: "),
    }
    return prose(words[chance(line.get("low"), line.get("high"))], value)


def controls_table(record: RunRecord) -> Table:
    """One row for each text: ranking on the left, the portfolio on the right."""
    measure = primary(record)
    name = record.claim(f"{METRICS}#/settings/primary", "measure")
    columns = (
        Column(prose("Text"), numeric=False),
        Column(prose("Rank IC"), hint="mean over days of the rank correlation of the qualitative score with what came"),
        Column(prose("Days"), hint="test days of all chunks with names enough to rank; of the rank IC"),
        Column(prose("Lost rank IC"), hint="as it came less this text, on days that have both; positive = worse so"),
        Column(prose("p"), hint="of the loss; of the rank IC itself in the first row"),
        Column(prose(name), hint="of the portfolio, test days of all chunks"),
        Column(prose("Lost"), hint="the stack as it is less the stack so changed; positive = worse so"),
        Column(prose("p (adjusted)"), hint="two-sided, by paired blocks of days; in brackets by Holm within its set"),
    )
    there = [one for one in TEXTS if one[0] != WORD_LIST or _scored(record, WORD_LIST) is not None]
    rows = tuple(_row(record, text, words, measure) for text, words in there)
    caption = prose(
        "The qualitative score and the portfolio by what was read, test days of all chunks, with ", level(record), "s"
    )
    return Table("text-controls-table", caption, columns, rows, _notes(record))


def _row(record: RunRecord, text: str, words: str, measure: str) -> Row:
    scored = _scored(record, text)
    if scored is None:
        ranked: tuple[Prose, ...] = (prose("no score" if text == WITHOUT else "not recorded"), EMPTY, EMPTY, EMPTY)
    else:
        is_own = text == AS_IT_IS
        lost = EMPTY if is_own else difference_with_interval(record, scored, "difference", "difference_3")
        p_value = record.claim(scored.source("p_value" if is_own else "difference_p_value"), "p_value")
        n_days = prose(record.claim(scored.source("n_days"), "integer"))
        ranked = (value_with_interval(record, scored, "rank_ic", "number_3"), n_days, lost, prose(p_value))
    return Row((prose(words), *ranked, *_portfolio(record, text, measure)), "stack" if text == AS_IT_IS else "plain")


def _portfolio(record: RunRecord, text: str, measure: str) -> tuple[Prose, ...]:
    style = measure_style(measure)
    if text == AS_IT_IS:
        stack = next(iter(record.entries("pooled", strategy="glassbox")), None)
        value = prose("not recorded") if stack is None else prose(record.claim(stack.source(measure), style))
        return (value, EMPTY, EMPTY)
    if text == WORD_LIST:
        return (EMPTY, EMPTY, EMPTY)
    variant, line = _traded(record, text, measure)
    if variant is None:
        return (prose("not recorded"), EMPTY, EMPTY)
    if line is None:
        words = "no effect on inputs" if variant.get("effect") == "none" else "not recorded"
        return (prose(words), EMPTY, EMPTY)
    if has_same_book(variant):
        return (
            prose(record.claim(line.source("ablated"), style)),
            prose(SAME_BOOK),
            prose(record.claim(line.source("verdict"))),
        )
    return (
        prose(record.claim(line.source("ablated"), style)),
        value_with_interval(record, line, "difference", difference_style(measure)),
        p_values(record, line),
    )


def _notes(record: RunRecord) -> tuple[Prose, ...]:
    own = _scored(record, AS_IT_IS)
    notes = [prose("Without text there is no score, so no rank IC; the portfolio is then the other branch’s alone.")]
    if _scored(record, WORD_LIST) is not None:
        notes.append(
            prose("The list of words learned nothing, so it cannot know what a language model may have read since.")
        )
    if own is not None:
        notes.append(
            prose(
                "Rank ICs are against the return over the benchmark in the ", record.claim(own.source("horizon"), "integer"),
                " sessions from the next open; their intervals rest on blocks of ",
                record.claim(own.source("block"), "integer"), " days. Moving and delaying keep all fits and change only "
                "what is read on test days.",
            )
        )  # fmt: skip
    return (*notes, *same_books_note(record, _variants(record)))


def _figure(record: RunRecord) -> Figure:
    rows = [(words, row) for text, words in TEXTS if (row := _scored(record, text)) is not None]
    spans = tuple(_span(record, words, row) for words, row in rows)
    said = [prose(words, " ", value_with_interval(record, row, "rank_ic", "number_3")) for words, row in rows]
    picture = Forest(spans, "rank IC of the qualitative score", sides=("ranks wrongly", "ranks rightly"))
    words = prose(
        "Dots are rank ICs over the test days of all chunks, bars their intervals, ticks the single chunks. ",
        *_joined(said),
        ".",
    )
    title = prose("Rank IC of the qualitative score by what was read")
    return Figure("text-controls-forest", title, words, picture, (f"{METRICS}#/{CONTROLS}",))


def _joined(said: Sequence[Prose]) -> tuple[Prose, ...]:
    return tuple(prose("; " if place else "", one) for place, one in enumerate(said))


def _span(record: RunRecord, words: str, row: Entry) -> Span:
    of_chunks = [_scored(record, str(row.get("text")), chunk) for chunk in record.chunks]
    points = tuple(float(one.content["rank_ic"]) for one in of_chunks if one is not None and one.get("rank_ic") is not None)
    if row.get("rank_ic") is None:
        return Span(words, None, note="too few names with text")
    low, high = (None if row.get(end) is None else float(row.content[end]) for end in ("low", "high"))
    return Span(
        words, float(row.content["rank_ic"]), low, high, "stack" if row.get("text") == AS_IT_IS else "plain", points=points
    )


def _all_horizons(record: RunRecord) -> Table:
    """Rank ICs by outcome and chunk."""
    columns = (
        Column(prose("Text"), numeric=False),
        Column(prose("All chunks")),
        *(
            Column(prose("Chunk ", record.claim(f"{METRICS}#/{CONTROLS}/{_place(record, chunk)}/chunk", "integer")))
            for chunk in _chunks(record)
        ),
    )
    groups = []
    for outcome in dict.fromkeys(str(one.get("outcome")) for one in record.entries(CONTROLS)):
        rows = []
        for text, words in TEXTS:
            parts = [_scored(record, text, chunk, outcome) for chunk in (POOLED, *_chunks(record))]
            if any(one is not None for one in parts):
                cells = (EMPTY if one is None else value_with_interval(record, one, "rank_ic", "number_3") for one in parts)
                rows.append(Row((prose(words), *cells)))
        first = record.entries(CONTROLS, outcome=outcome)[0]
        about = "the return over the benchmark, " if "excess" in outcome else "the return, "
        head = prose(about, record.claim(first.source("horizon"), "integer"), " sessions")
        groups.append(RowGroup(tuple(rows), head))
    return Table(
        "text-controls-all",
        prose("Rank IC of the qualitative score by outcome and chunk, with ", level(record), "s"),
        columns,
        tuple(groups),
    )


def _chunks(record: RunRecord) -> list[int]:
    return [chunk for chunk in record.chunks if record.entries(CONTROLS, chunk=chunk)]


def _place(record: RunRecord, chunk: int) -> int:
    return int(record.entries(CONTROLS, chunk=chunk)[0].place.rsplit("/", 1)[1])
