"""Estimates with their intervals, p-values and verdicts, as several sections print them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.figures import Mark, Span
from glassbox_bt.reporting.record import METRICS, Entry, RunRecord
from glassbox_bt.reporting.report import Claim, Paragraph, Prose, prose
from glassbox_bt.reporting.sections.phrases import listed

__all__ = [
    "SIGNS",
    "absent",
    "bound",
    "difference_style",
    "how_to_read",
    "interval",
    "level",
    "measure_style",
    "p_values",
    "primary",
    "span",
    "tested_how",
    "value_with_interval",
    "verdict_cell",
    "verdict_rule",
]

SETTINGS = f"{METRICS}#/settings"
# Which style prints a value of the measure, and which a difference of two.
STYLES: Mapping[str, tuple[str, str]] = {
    "sharpe": ("number", "difference"),
    "sortino": ("number", "difference"),
    "calmar": ("number", "difference"),
    "turnover": ("number", "difference"),
    "annual_return": ("percent", "difference_percent"),
    "volatility": ("percent", "difference_percent"),
    "max_drawdown": ("percent", "difference_percent"),
    "exposure": ("percent", "difference_percent"),
    "hit_rate": ("percent", "difference_percent"),
    "cost_share": ("percent_2", "percent_2"),
    "cvar_95": ("percent_2", "percent_2"),
}
BARE: Mapping[str, str] = {
    "percent": "bare_percent",
    "percent_2": "bare_percent_2",
    "difference_percent": "bare_percent",
}
NO_BOUND = 1e6  # the ends are ratios, shares and turnovers: a million is what a studentised interval gives that diverged
PERCENT = "\N{NARROW NO-BREAK SPACE}%"
# The marks of the drawings, so that a verdict is found in a table at a glance.
SIGNS: Mapping[str, str] = {
    "supported": "\N{BLACK CIRCLE}\N{NO-BREAK SPACE}",
    "refuted": "\N{BLACK DIAMOND}\N{NO-BREAK SPACE}",
    "underpowered": "\N{WHITE CIRCLE}\N{NO-BREAK SPACE}",
}
MARKS: Mapping[str, Mark] = {"supported": "supported", "refuted": "refuted", "underpowered": "underpowered"}


def measure_style(measure: str) -> str:
    """The style of a value of ``measure``; three digits where nothing else is known."""
    return STYLES.get(measure, ("number_3", "difference_3"))[0]


def difference_style(measure: str) -> str:
    """The style of a difference of two values of ``measure``, with its sign."""
    return STYLES.get(measure, ("number_3", "difference_3"))[1]


def primary(record: RunRecord) -> str:
    """The measure that the verdicts on strategies and ablations are about."""
    return str(record.metrics.get("settings", {}).get("primary", "sharpe"))


def level(record: RunRecord) -> Prose:
    """``95 % interval``."""
    return prose(record.claim(f"{SETTINGS}/level", "percent_0"), " interval")


def interval(record: RunRecord, entry: Entry, style: str, ends: tuple[str, str] = ("low", "high")) -> Prose:
    """``[low, high]``, or a dash where the run has none; the unit stands behind the bracket."""
    if any(_unknown(entry.get(end)) for end in ends):
        return prose(Claim(None, entry.source(ends[0]), style))
    bare = BARE.get(style, style)
    low, high = (bound(record, entry, end, bare) for end in ends)
    return prose("[", low, ", ", high, "]", PERCENT if bare != style else "")


def value_with_interval(record: RunRecord, entry: Entry, name: str, style: str, found: Entry | None = None) -> Prose:
    """``value [low, high]``; only the value where the run has no interval, which stands in ``found`` if not in ``entry``."""
    value = record.claim(entry.source(name), style)
    ends = entry if found is None else found
    if _unknown(ends.get("low")) or _unknown(ends.get("high")):
        return prose(value)
    bare = BARE.get(style, style).replace("difference", "number")
    low, high = (bound(record, ends, end, bare) for end in ("low", "high"))
    return prose(value, " [", low, ", ", high, "]")


def bound(record: RunRecord, entry: Entry, name: str, style: str) -> Prose:
    """An end of an interval; in words where it lies so far out that the sample sets no bound on that side."""
    if abs(float(entry.content[name])) > NO_BOUND:
        return prose("no bound")
    return prose(record.claim(entry.source(name), style))


def p_values(record: RunRecord, entry: Entry) -> Prose:
    """``p (adjusted)``; a dash where nothing was tested."""
    raw = record.claim(entry.source("p_value"), "p_value")
    return prose(raw, " (", record.claim(entry.source("p_holm"), "p_value"), ")") if raw.known else prose(raw)


def tested_how(record: RunRecord) -> Prose:
    """How intervals and p-values of paired differences were made; a note under a table."""
    return prose(
        "Annualised at ", record.claim(f"{SETTINGS}/sessions_per_year", "integer"), " sessions, risk-free rate ",
        record.claim(f"{SETTINGS}/risk_free", "percent_0"), ". Intervals and two-sided p-values by paired block bootstrap (",
        record.claim(f"{SETTINGS}/n_boot", "integer"), " samples, the same days for both sides); p adjusted by Holm.",
    )  # fmt: skip


def verdict_cell(record: RunRecord, entry: Entry) -> Prose:
    """The verdict behind the mark that the drawings give it."""
    return prose(SIGNS.get(str(entry.get("verdict")), ""), record.claim(entry.source("verdict")))


def verdict_rule(record: RunRecord) -> tuple[Prose, ...]:
    """What the words supported, refuted and underpowered mean, with the plan's numbers; notes under a table."""
    alpha = record.claim(derived("error_rate"), "plain")
    power = record.claim(f"{SETTINGS}/power", "percent_0")
    return (
        prose(
            SIGNS["supported"], "supported: the p-value, adjusted over all claims of its group (Holm), is under ", alpha,
            " and the difference has the claimed sign. ", SIGNS["refuted"],
            "refuted: the whole interval lies below the smallest effect that would matter. ", SIGNS["underpowered"],
            "underpowered: neither; this sample cannot tell.",
        ),
        prose(
            "“Could have shown” is the smallest true effect that a sample of this size and noise would have found with a "
            "probability of ", power, ".",
        ),
    )  # fmt: skip


def span(label: str, entry: Entry, estimate: str, *, points: tuple[float, ...] = (), stack: bool = False) -> Span:
    """The row of a forest plot; an estimate that the run does not know is said to be so."""
    value = entry.get(estimate)
    if _unknown(value):
        return Span(label, None, note="not defined")
    low, high = (None if _unknown(entry.get(end)) else float(entry.get(end)) for end in ("low", "high"))
    mark: Mark = "stack" if stack else MARKS.get(str(entry.get("verdict")), "plain")
    return Span(label, float(value), low, high, mark, points=points)


def how_to_read(said: Sequence[Prose]) -> Prose:
    """The text alternative of a forest plot of differences: how it is drawn, then each row in words."""
    return prose(
        "Dots are differences over the test days of all chunks, bars their intervals, ticks the single chunks; the grey "
        "band holds differences that would not matter. ",
        listed(said),
        ".",
    )


def absent(what: str) -> Paragraph:
    """One sentence in place of a section whose document the run does not have."""
    return Paragraph(prose(f"This run recorded no {what}."), "note")


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
