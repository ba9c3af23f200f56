"""The chapter on the risk engine: whether forecasts beat their rivals, tails hold, and what regime and network show."""

from __future__ import annotations

from dataclasses import replace

from glassbox_bt.reporting.record import POOLED, RunRecord
from glassbox_bt.reporting.report import Block, Paragraph, Prose, Ref, Section, Table, prose
from glassbox_bt.reporting.sections.phrases import listed
from glassbox_bt.reporting.sections.risk_engine import LEARNED, answers_table, risk_summary
from glassbox_bt.reporting.sections.risk_engine import risk_engine as page_of
from glassbox_bt.reporting.sections.risk_names import CONTESTS, MODULES, absence

__all__ = ["risk_engine"]

ON_THE_PAGE = ("risk-regime-days", "risk-contagion-days", "risk-thresholds-table")  # tables that print does without


def risk_engine(record: RunRecord) -> Section:
    """The page's section without what it folds away and without thresholds and the rows behind two pictures."""
    page = page_of(record)
    blocks: list[Block] = [Paragraph(prose(risk_summary(record), *_where(record))), answers_table(record)]
    parts = tuple(_part(part) for part in page.sections if not part.folded and part.key != "risk-thresholds")
    return Section("risk", page.title, tuple(blocks), parts)


def _where(record: RunRecord) -> Prose:
    """Where the tables of rivals stand."""
    tested = [name for name in LEARNED if record.entries(CONTESTS, module=name, chunk=POOLED)]
    shown = [name for name in tested if absence(record, name) is None]
    if not shown:
        return ()
    refs = [Ref("table", f"risk-{name}-contests", MODULES[name].lower()) for name in shown]
    return prose(" The rivals of each module stand in tables of their own: ", listed(refs), ".")


def _part(part: Section) -> Section:
    kept = tuple(block for block in part.blocks if not isinstance(block, Table) or block.key not in ON_THE_PAGE)
    return replace(part, blocks=kept)
