"""How the numbers were tested: conventions, bootstrap, corrections, and Sharpe ratios against luck."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.record import METRICS, POOLED, STACK, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Column,
    Item,
    Listing,
    Prose,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import absent, measure_style, primary
from glassbox_bt.reporting.sections.phrases import quoted

__all__ = ["statistics"]

SETTINGS = f"{METRICS}#/settings"
PRINTED = (
    ("sessions_per_year", "integer"),
    ("risk_free", "percent"),
    ("level", "percent_0"),
    ("bootstrap", "text"),
    ("n_boot", "integer"),
    ("primary", "measure"),
    ("power", "percent_0"),
    ("n_trials", "integer"),
)


def statistics(record: RunRecord) -> Section:
    """The conventions as a list of facts; probabilistic and deflated Sharpe ratios of all, folded."""
    title = prose("How the numbers were tested")
    if "settings" not in record.metrics:
        return Section("statistics", title, (absent("intervals or tests"),))
    tests = sorted(record.entries("sharpe_tests", chunk=POOLED), key=lambda one: one.get("strategy") != STACK)
    facts = Listing((*_facts(record), *_luck(record, tests)), "facts")
    head = prose("Sharpe ratios of all strategies against luck")
    parts = (Section("luck", head, (_sharpe_tests(record, tests),), folded=True),) if tests else ()
    return Section("statistics", title, (facts,), parts)


def _facts(record: RunRecord) -> list[Item]:
    said = {name: quoted(record, f"{SETTINGS}/{name}", style) for name, style in PRINTED}
    effect = quoted(record, f"{SETTINGS}/smallest_effect", measure_style(primary(record)))
    return [
        Item(
            prose(
                said["sessions_per_year"], " sessions a year; risk-free rate ", said["risk_free"],
                "; returns are simple, after costs",
            ),
            prose("Annualisation"),
        ),
        Item(
            prose(said["level"], " by block bootstrap, ", said["n_boot"], " samples. ", said["bootstrap"]),
            prose("Intervals"),
        ),
        Item(
            prose(
                "verdicts are about the ", said["primary"], " over the test days of all chunks; a difference below ", effect,
                " would not matter (set in the plan, before the run)",
            ),
            prose("Primary measure"),
        ),
        Item(
            prose(
                "p-values are adjusted (Holm) within each group of claims: the rivals, each set of ablations, the signals, "
                "the confidences; “could have shown” is meant with a probability of ", said["power"],
            ),
            prose("Many claims"),
        ),
    ]  # fmt: skip


def _luck(record: RunRecord, tests: Sequence[Entry]) -> list[Item]:
    """The stack's Sharpe ratio against zero and against the best of all that was tried."""
    stack = next((one for one in tests if one.get("strategy") == STACK), None)
    if stack is None:
        return []
    words = prose(
        "the stack’s Sharpe ratio is ", record.claim(stack.source("sharpe"), "number"), "; that it is truly above zero "
        "has a probability of ", record.claim(stack.source("psr"), "percent"), " (probabilistic), above what the best of ",
        record.claim(stack.source("n_trials"), "integer"), " trials without skill would show ",
        record.claim(stack.source("dsr"), "percent"), " (deflated). ", *_trials(record),
    )  # fmt: skip
    return [Item(words, prose("Against luck"))]


def _trials(record: RunRecord) -> Prose:
    source = f"{SETTINGS}/trials"
    return prose("Counted as trials: ", record.claim(source)) if record.has(source) else ()


def _sharpe_tests(record: RunRecord, tests: Sequence[Entry]) -> Table:
    columns = (
        Column(prose("Strategy"), numeric=False),
        Column(prose("Sharpe ratio"), hint="annualised, test days of all chunks"),
        Column(prose("Probabilistic"), hint="probability that the true Sharpe ratio is above zero"),
        Column(prose("Deflated"), hint="probability that it is above the largest expected of as many trials without skill"),
        Column(prose("Trials"), hint="versions that were tried"),
        Column(prose("Sessions needed"), hint="length of a record that would show a ratio above zero; unknown if it is not"),
    )
    rows = tuple(
        Row(
            (
                prose(record.claim(one.source("strategy"), "strategy")),
                prose(record.claim(one.source("sharpe"), "number")),
                prose(record.claim(one.source("psr"), "percent")),
                prose(record.claim(one.source("dsr"), "percent")),
                prose(record.claim(one.source("n_trials"), "integer")),
                prose(record.claim(one.source("min_track_record"), "number_0")),
            ),
            "stack" if one.get("strategy") == STACK else "plain",
        )
        for one in tests
    )
    notes = (
        prose(
            "Probabilistic: how sure the sample is that the true ratio is above zero, given its length, skewness and "
            "kurtosis. Deflated: above what the best of all trials would show without skill. Both take days as independent."
        ),
    )
    return Table("sharpe-tests", prose("Sharpe ratios against luck, test days of all chunks"), columns, rows, notes)
