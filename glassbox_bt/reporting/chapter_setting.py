"""The first sections of the chapter: what came out in short, how it was found, and on what data."""

from __future__ import annotations

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import METRICS, POOLED, STACK, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Item,
    Listing,
    Paragraph,
    Piece,
    Prose,
    Ref,
    Section,
    Table,
    plain_text,
    prose,
)
from glassbox_bt.reporting.sections.estimates import interval, level
from glassbox_bt.reporting.sections.parts import part_of, variant_of
from glassbox_bt.reporting.sections.phrases import listed, named_values, quoted
from glassbox_bt.reporting.sections.setting import setting
from glassbox_bt.reporting.sections.verdict import verdict

__all__ = ["blocks_of", "counted", "data", "protocol", "summary", "table_of"]

SETTINGS = f"{METRICS}#/settings"
MARKET = "manifest.json#/market"
# Each verdict as a count prints it.
VERDICTS = {
    "supported": "supported",
    "refuted": "refuted",
    "underpowered": "underpowered",
    "not tested": "not tested",
    "no effect on inputs": "without effect on inputs",
}
KINDS = (
    ("rival", "that the stack does better than a rival"),
    ("ablation", "that a part of the stack is worth having"),
    ("signal", "that a signal orders the names as their later returns do"),
    ("calibration", "that a stated confidence foretells its event better than its base rate"),
)


def table_of(section: Section, key: str) -> tuple[Table, ...]:
    """The table of that key in a section of the page, if it has one."""
    found = [block for block in section.blocks if isinstance(block, Table) and block.key == key]
    return (*found, *(table for part in section.sections for table in table_of(part, key)))


def blocks_of(section: Section) -> tuple[Block, ...]:
    """What a section of the page shows, with what it folds away."""
    return (*section.blocks, *(block for part in section.sections for block in blocks_of(part)))


def summary(record: RunRecord) -> Section:
    """What the stack earned, and how many claims about it stand."""
    blocks: list[Block] = [Paragraph(_earned(record))]
    if record.entries("verdicts"):
        blocks.append(Paragraph(prose("What can be concluded from it, claim by claim, with p-values adjusted (Holm):")))
        blocks.append(Listing(tuple(_conclusions(record))))
        blocks.append(Paragraph(_supported(record)))
        blocks.extend(table_of(verdict(record), "verdicts-table"))
    else:
        words = "This run recorded no intervals and no tests. What follows describes these days and is evidence of nothing."
        blocks.append(Paragraph(prose(words)))
    return Section("summary", prose("In short"), tuple(blocks))


def _earned(record: RunRecord) -> Prose:
    pooled = next(iter(record.entries("pooled", strategy=STACK)), None)
    if pooled is None:
        return _ahead(record)
    sessions, chunks = (record.claim(pooled.source(name), "integer") for name in ("n_sessions", "n_chunks"))
    drawdown = record.claim(pooled.source("max_drawdown"), "percent")
    exposure = record.claim(pooled.source("exposure"), "percent")
    return prose(
        "Over the ", sessions, " test sessions of ", chunks, " chronological chunks, after costs, the stack returned ",
        _with_interval(record, pooled, "annual_return", "percent"), " a year at a Sharpe ratio of ",
        _with_interval(record, pooled, "sharpe", "number"), "; its deepest fall from a peak was ", drawdown,
        " and it was invested to ", exposure, " of equity on average (", Ref("table", "pooled", "table of pooled results"),
        ").",
    )  # fmt: skip


def _with_interval(record: RunRecord, pooled: Entry, measure: str, style: str) -> Prose:
    """``value (95 % interval low to high)``; only the value where the run has no interval."""
    value = record.claim(pooled.source(measure), style)
    rows = record.entries("intervals", strategy=STACK, chunk=POOLED, measure=measure)
    if not rows or rows[0].get("low") is None or rows[0].get("high") is None:
        return prose(value)
    return prose(value, " (", level(record), " ", interval(record, rows[0], style), ")")


def _ahead(record: RunRecord) -> Prose:
    """In how many chunks the stack was ahead: all that a run without pooled results can say."""
    ahead, n_chunks = derived("chunks_ahead", measure="sharpe"), derived("n_chunks")
    return prose(
        "After costs, the stack’s Sharpe ratio was above that of every rival in ", record.claim(ahead, "integer"), " of ",
        record.claim(n_chunks, "integer"), " test periods. This run recorded no results pooled over its chunks.",
    )  # fmt: skip


def _conclusions(record: RunRecord) -> list[Item]:
    return [
        Item(prose(words, ": ", counted(record, kind=kind), "."))
        for kind, words in KINDS
        if record.entries("verdicts", kind=kind)
    ]


def counted(record: RunRecord, **where: str) -> Prose:
    """``1 supported and 2 refuted, of 3``: verdicts that were not given are left out."""
    found = [(word, record.claim(derived("n_verdicts", verdict=word, **where), "integer")) for word in VERDICTS]
    parts = [prose(count, " ", VERDICTS[word]) for word, count in found if count.value or word == "supported"]
    return prose(listed(parts), ", of ", record.claim(derived("n_verdicts", **where), "integer"))


def _supported(record: RunRecord) -> Prose:
    """Which claims are supported; that none is, where none is."""
    entries = record.entries("verdicts", verdict="supported")
    if not entries:
        return prose("No claim is supported. That is the result of this run, not a lack of one.")
    return prose("Supported are the claims about ", listed([_subject(record, one) for one in entries]), ".")


def _subject(record: RunRecord, entry: Entry) -> Prose:
    """What a claim is about, for example ``the rival Cash``."""
    kind = str(entry.get("kind"))
    if kind == "ablation" and (variant := variant_of(record, str(entry.get("subject")))) is not None:
        return prose("the stack “", part_of(record, variant), "”")
    words = {"rival": "the rival ", "signal": "the signal ", "calibration": "the confidence "}.get(kind, "")
    return prose(words, record.claim(entry.source("subject"), "strategy" if kind == "rival" else "member"))


def protocol(record: RunRecord) -> Section:
    """Chunks, clock, costs, and the statistics as the plan fixed them before the run."""
    page = setting(record)
    facts = next(block for block in page.blocks if isinstance(block, Listing))
    order = Paragraph(
        prose(
            "Each chunk is a world of its own: everything that learns is fitted on its train years, variants are chosen and "
            "training is stopped on its validation year, and only the test year after it is reported (",
            Ref("table", "chunks", "table of chunks"), "). Validation results are spent and enter no figure of this "
            "chapter. At each close a module sees what was public then, and answers that other modules gave from fits that "
            "end before that day. A rule barrier can only lower what the stack asks for. Rivals trade the same days and "
            "names at the same costs and fills.",
        )
    )  # fmt: skip
    return Section(
        "protocol",
        prose("Protocol"),
        (order, *table_of(page, "chunks"), _only(facts, ("Fills", "Costs", "Universe", "Benchmark")), *_statistics(record)),
    )


def _only(facts: Listing, names: tuple[str, ...], *, but: bool = False) -> Listing:
    """The facts of these names, or all others."""
    return Listing(tuple(item for item in facts.items if (item.head[0] in names) != but), "facts")


def _statistics(record: RunRecord) -> tuple[Block, ...]:
    if not record.has(SETTINGS):
        return (Paragraph(prose("This run recorded no settings of statistics: it was evaluated without intervals.")),)
    trials = quoted(record, f"{SETTINGS}/n_trials", "integer")
    year = quoted(record, f"{SETTINGS}/sessions_per_year", "integer")
    words = prose(
        "Measures are annualised at ", year, " sessions a year, with a risk-free rate of ",
        quoted(record, f"{SETTINGS}/risk_free", "percent"), ". Intervals have level ",
        quoted(record, f"{SETTINGS}/level", "percent_0"), " and come from ",
        quoted(record, f"{SETTINGS}/n_boot", "integer"), " resamples. ", *_sentence(quoted(record, f"{SETTINGS}/bootstrap")),
        " Verdicts are about the ",
        quoted(record, f"{SETTINGS}/primary", "measure"), "; the smallest difference of it that would matter was set to ",
        quoted(record, f"{SETTINGS}/smallest_effect", "number"), " before the run. The deflated Sharpe ratio counts ",
        trials, " configurations that were tried on these days.",
    )  # fmt: skip
    reads = quoted(record, "manifest.json#/test_label_reads", "integer")
    looked = prose("The outcomes of the test days were opened under this plan, in all: ", reads, ".")
    return (Paragraph(words), Paragraph(looked))


def _sentence(piece: Piece) -> Prose:
    """Words of the run with a full stop, if they have none."""
    return prose(piece, "" if plain_text((piece,)).endswith(".") else ".")


def data(record: RunRecord) -> Section:
    """The market and what it cannot show."""
    page = setting(record)
    facts = next(block for block in page.blocks if isinstance(block, Listing))
    about = _only(facts, ("Fills", "Costs", "Universe", "Benchmark"), but=True)
    quality = [
        Item(_filled(record), prose("Filled cells")),
        *named_values(record, "/market/booked_out", prose("Booked out, ")),
    ]
    blocks: list[Block] = [Listing((*about.items, *quality), "facts")]
    card = record.manifest["market"].get("card", [])
    if card:
        blocks.append(Paragraph(prose("The card of the data says of their limits:")))
        items = (Item(prose(record.claim(f"{MARKET}/card/{place}"))) for place in range(len(card)))
        blocks.append(Listing(tuple(items)))
    warnings = record.manifest.get("warnings", [])
    if warnings:
        blocks.append(Paragraph(prose("While it ran, the run warned:")))
        items = (Item(prose(record.claim(f"manifest.json#/warnings/{place}"))) for place in range(len(warnings)))
        blocks.append(Listing(tuple(items)))
    return Section("data", prose("Data"), tuple(blocks))


def _filled(record: RunRecord) -> Prose:
    return prose(
        quoted(record, f"{MARKET}/n_filled_cells", "integer"), " (", quoted(record, f"{MARKET}/filled_share", "percent_4"),
        " of all name-days), carried forward a few sessions at most; they are never traded and never a label",
    )  # fmt: skip
