"""The sections of a report, one file each, in the order of reading: each is a function from a record to a `Section`."""

from __future__ import annotations

from glassbox_bt.reporting.sections.ablations import ablations
from glassbox_bt.reporting.sections.audits import audits
from glassbox_bt.reporting.sections.comparisons import comparisons
from glassbox_bt.reporting.sections.decisions import decisions
from glassbox_bt.reporting.sections.learned import learned
from glassbox_bt.reporting.sections.performance import performance
from glassbox_bt.reporting.sections.positions import positions
from glassbox_bt.reporting.sections.provenance import provenance
from glassbox_bt.reporting.sections.qualitative import qualitative
from glassbox_bt.reporting.sections.quality import quality
from glassbox_bt.reporting.sections.risk_engine import risk_engine
from glassbox_bt.reporting.sections.setting import setting
from glassbox_bt.reporting.sections.signals import signals
from glassbox_bt.reporting.sections.statistics import statistics
from glassbox_bt.reporting.sections.trading import trading
from glassbox_bt.reporting.sections.validation import validation
from glassbox_bt.reporting.sections.verdict import verdict

__all__ = [
    "ALL",
    "ablations",
    "audits",
    "comparisons",
    "decisions",
    "learned",
    "performance",
    "positions",
    "provenance",
    "qualitative",
    "quality",
    "risk_engine",
    "setting",
    "signals",
    "statistics",
    "trading",
    "validation",
    "verdict",
]

ALL = (
    verdict,
    setting,
    performance,
    comparisons,
    ablations,
    audits,
    statistics,
    signals,
    trading,
    decisions,
    learned,
    risk_engine,
    qualitative,
    positions,
    validation,
    quality,
    provenance,
)
