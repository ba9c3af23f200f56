"""Whether the learned part of each module beats its simple anchor (ridge, logit, base rate, simple volatility)."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.record import METRICS, TEST, RunRecord
from glassbox_bt.reporting.report import Block, Column, Paragraph, Prose, Row, RowRole, Section, Table, prose

__all__ = ["learned"]

COLUMNS = (
    Column(prose("Module"), numeric=False),
    Column(prose("Chunk")),
    Column(prose("Measure"), numeric=False),
    Column(prose("Learned"), hint="anchor and network together"),
    Column(prose("Anchor"), hint="the simple model alone"),
    Column(prose("Rows"), hint="rows with a known outcome"),
    Column(prose("Learned is better"), numeric=False),
)


def learned(record: RunRecord) -> Section:
    """Comparisons on test rows, then those on validation rows, which were spent on selection."""
    rows = list(enumerate(record.metrics.get("learned", [])))
    test = [place for place, row in rows if row.get("split", TEST) == TEST]
    spent = [place for place, row in rows if row.get("split", TEST) != TEST]
    blocks: list[Block] = []
    if not rows:
        blocks.append(Paragraph(prose("The run recorded no comparison of a learned part with its anchor."), "note"))
    if test:
        caption = prose("Learned part and anchor on the same test rows; no interval is printed yet")
        blocks.append(_table(record, "learned-test", caption, test, "plain"))
    if spent:
        caption = prose("The same on validation rows, spent on selection")
        blocks.append(_table(record, "learned-validation", caption, spent, "muted"))
    return Section("learned", prose("Learned part against its anchor"), tuple(blocks))


def _better(record: RunRecord, place: int) -> Prose:
    """Yes or no; a learned part that stayed at its anchor is said to be equal."""
    row = record.metrics["learned"][place]
    is_equal = row["learned"] is not None and row["learned"] == row["anchor"]
    return prose(record.claim(f"{METRICS}#/learned/{place}/better", "yes_no"), ", equal" if is_equal else "")


def _table(record: RunRecord, key: str, caption: Prose, places: Sequence[int], role: RowRole) -> Table:
    rows = []
    for place in places:
        source = f"{METRICS}#/learned/{place}"
        cells = (
            prose(record.claim(f"{source}/{name}", style))
            for name, style in (
                ("module", "words"),
                ("chunk", "integer"),
                ("measure", "words"),
                ("learned", "number_4"),
                ("anchor", "number_4"),
                ("n_rows", "integer"),
            )
        )
        rows.append(Row((*cells, _better(record, place)), role))
    return Table(key, caption, COLUMNS, tuple(rows))
