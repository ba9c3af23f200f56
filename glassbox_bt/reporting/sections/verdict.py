"""In short: what came out, in words computed from the numbers, and what must be known before reading them."""

from __future__ import annotations

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.derived import best_rival, derived, is_known
from glassbox_bt.reporting.record import STACK, RunRecord
from glassbox_bt.reporting.report import Claim, Item, Listing, Paragraph, Prose, Section, prose
from glassbox_bt.reporting.sections.phrases import (
    BUY_AND_HOLD,
    chunk_name,
    listed,
    named_values,
    period,
    quoted,
    strategy_name,
)

__all__ = ["labels", "verdict"]


def verdict(record: RunRecord) -> Section:
    """The verdict, the conditions it stands under, and one sentence per chunk."""
    return Section(
        "verdict",
        prose("In short"),
        (
            Paragraph(prose(_overall(record), " ", *_learned(record)), "lead"),
            Paragraph(
                prose(
                    "No interval is printed yet: with one test period per chunk, differences between strategies are "
                    "descriptions, not evidence. Whether any of them could be chance is not answered here."
                ),
                "note",
            ),
            Listing(tuple(_conditions(record)), "notices"),
            Listing(tuple(Item(_in_chunk(record, chunk), _head(record, chunk)) for chunk in record.chunks)),
        ),
    )


def _overall(record: RunRecord) -> Prose:
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


def _head(record: RunRecord, chunk: int) -> Prose:
    return prose(chunk_name(record, chunk), ", test ", period(record, chunk), ": ")


def _in_chunk(record: RunRecord, chunk: int) -> Prose:
    stack = record.row(STACK, chunk)
    if stack is None:
        raise RunFolderError(
            f"{record.run / 'metrics.json'} has no test row of `{STACK}` in chunk {chunk}. Run the plan again."
        )
    sentence = prose(
        "the stack returned ",
        record.claim(stack.source("annual_return"), "percent"),
        " a year with a Sharpe ratio of ",
        record.claim(stack.source("sharpe"), "number"),
        "; its deepest drawdown was ",
        record.claim(stack.source("max_drawdown"), "percent"),
        " and its mean exposure ",
        record.claim(stack.source("exposure"), "percent"),
    )
    best = best_rival(record, chunk, "sharpe")
    if best is None or not is_known(stack, "sharpe"):
        return prose(sentence, ". Its Sharpe ratio cannot be ranked here.")
    return prose(
        sentence,
        ". It ranks ",
        record.claim(derived("rank", chunk=chunk, measure="sharpe"), "integer"),
        " of ",
        record.claim(derived("n_ranked", chunk=chunk, measure="sharpe"), "integer"),
        " by Sharpe ratio; the highest among rivals is ",
        strategy_name(best),
        " with ",
        record.claim(best.source("sharpe"), "number"),
        ".",
    )


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
