"""Contagion on two test days that a rule picks: who influences whom, and how likely an extreme loss is said to be."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.derived_risk import CONTAGION, MOST_NAMES, answers_file, contagion_days, names_of_day
from glassbox_bt.reporting.figures import Edge, Network, Node
from glassbox_bt.reporting.record import RunRecord, table_source
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Column,
    Figure,
    Figures,
    Paragraph,
    Prose,
    Row,
    RowGroup,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.phrases import chunk_name, listed
from glassbox_bt.reporting.sections.risk_names import fit_source, not_there

__all__ = ["network_blocks", "network_figures"]

MODULE = "contagion"
OWN, STRESS = "own_history_20d", "neighbour_stress"
WHICH = (("stressed", "Stressed"), ("calm", "Calm"))  # keys of the rule, and words
INFLUENCERS = 3  # arrows to each name
PRINTED = 5  # names of a day in the table
NOBODY = "none"  # in place of an influencer that is not there
STRUCTURE = "structure_p"


@dataclass(frozen=True, slots=True)
class Picked:
    """A day that the rule picked, with the rows of its names."""

    which: str
    words: str
    chunk: int
    day: str
    rows: pd.DataFrame

    def source(self, ticker: str, column: str) -> str:
        """Source of one answer."""
        return table_source(answers_file(MODULE, self.chunk), f"only({column})", date=self.day, ticker=ticker)


def network_blocks(record: RunRecord) -> list[Block]:
    """The two drawings, whether neighbours mattered in train, and the names at most risk."""
    if contagion_days(record).empty:
        words = (
            "There is no network to draw: on no test day did the answers of contagion name influencers. Without its network "
            "the module answers from a name’s own history alone."
        )
        return [not_there(prose(words))]
    picked = _picked(record)
    return [Paragraph(_rule(record)), *_structure(record), *network_figures(record), _table(record, picked)]


def network_figures(record: RunRecord) -> list[Block]:
    """The network of the most stressed and of the calmest day; none where no network answered."""
    if contagion_days(record).empty:
        return []
    picked = _picked(record)
    edges = {one.which: _edges(one.rows) for one in picked}
    largest = max(float(one.rows[CONTAGION].max()) for one in picked)
    heaviest = max((edge.weight for found in edges.values() for edge in found), default=1.0)
    drawn = tuple(_figure(record, one, edges[one.which], (largest, heaviest)) for one in picked)
    title = prose("Who influences whom, and the chance of an extreme loss, on the most stressed and the calmest test day")
    return [Figures("risk-contagion-network", title, drawn)]


def _picked(record: RunRecord) -> tuple[Picked, ...]:
    found = []
    for which, words in WHICH:
        chunk = record.resolve(derived("contagion_day", which=which, what="chunk"))
        day = record.resolve(derived("contagion_day", which=which, what="date"))
        assert isinstance(chunk, int) and isinstance(day, str)
        found.append(Picked(which, words, chunk, day, names_of_day(record, chunk, day)))
    return tuple(found)


def _rule(record: RunRecord) -> Prose:
    n_days = record.claim(derived("n_contagion_days"), "integer")
    return prose(
        "Two days are picked by a rule, not by eye: of the ", n_days, " test days on which a network answered, those with "
        "the highest and the lowest mean chance of an extreme loss within twenty sessions. An arrow leads from a name to "
        "one that it influences, thicker the larger its share of that name’s weights; the three strongest influences of "
        "each name are drawn. Discs are larger and darker the larger the chance, on one scale for both days. Influence is "
        "the network’s weight, not a cause.",
    )  # fmt: skip


def _structure(record: RunRecord) -> list[Block]:
    """What shuffling the neighbours did on the part of train that no fit learned from."""
    said = []
    for chunk in record.chunks:
        source = fit_source(MODULE, chunk, "frozen.safetensors", STRUCTURE)
        if record.has(source) and record.resolve(source) is not None:
            said.append(prose(record.claim(source, "p_value"), " in ", chunk_name(record, chunk)))
    if not said:
        return []
    words = prose(
        "Whether the network uses its neighbours at all was tested on the last part of train, by shuffling them: p ",
        listed(said), ". Where p is large, the arrows are what the network computes with, and no sign of contagion.",
    )  # fmt: skip
    return [Paragraph(words)]


def _edges(rows: pd.DataFrame) -> tuple[Edge, ...]:
    """The strongest influences of each name that come from names of the drawing."""
    place = {str(ticker): number for number, ticker in enumerate(rows["ticker"])}
    edges = []
    for target, row in enumerate(rows.to_dict("records")):
        for rank in range(1, INFLUENCERS + 1):
            source, weight = row.get(f"top_influencer_{rank}"), float(row.get(f"influence_{rank}", 0.0))
            if source in place and place[source] != target and weight > 0.0:
                edges.append(Edge(place[source], target, weight))
    return tuple(edges)


def _figure(record: RunRecord, one: Picked, edges: tuple[Edge, ...], scale: tuple[float, float]) -> Figure:
    nodes = tuple(
        Node(str(ticker), float(chance)) for ticker, chance in zip(one.rows["ticker"], one.rows[CONTAGION], strict=True)
    )
    title = prose(f"{one.words}: ", _day(record, one))
    source = answers_file(MODULE, one.chunk)
    return Figure(f"risk-network-{one.which}", title, _in_words(record, one), Network(nodes, edges, *scale), (source,))


def _day(record: RunRecord, one: Picked) -> Claim:
    return record.claim(derived("contagion_day", which=one.which, what="date"), "date")


def _mean(record: RunRecord, one: Picked) -> Claim:
    return record.claim(table_source(answers_file(MODULE, one.chunk), f"mean({CONTAGION})", date=one.day), "percent")


def _top(one: Picked) -> list[str]:
    """Names at most risk."""
    rows = one.rows.sort_values([CONTAGION, "ticker"], ascending=[False, True], kind="stable")
    return [str(ticker) for ticker in rows["ticker"].head(PRINTED)]


def _in_words(record: RunRecord, one: Picked) -> Prose:
    said = [
        prose(
            record.claim(one.source(name, "ticker")), " ", record.claim(one.source(name, CONTAGION), "percent"),
            " (", _influences(record, one, name), ")",
        )
        for name in _top(one)
    ]  # fmt: skip
    whole = "" if len(one.rows) < MOST_NAMES else " Only the names with the largest chances are drawn."
    return prose(
        "On ", _day(record, one), " the mean chance of an extreme loss within twenty sessions was ", _mean(record, one),
        ". Names at most risk, with the strongest influences on them: ", listed(said), ".", whole,
    )  # fmt: skip


def _influences(record: RunRecord, one: Picked, name: str) -> Prose:
    """``MSFT 12 %, XOM 9 %``."""
    row = one.rows[one.rows["ticker"] == name].iloc[0]
    said = []
    for rank in range(1, INFLUENCERS + 1):
        who = row.get(f"top_influencer_{rank}")
        if isinstance(who, str) and who != NOBODY:
            weight = record.claim(one.source(name, f"influence_{rank}"), "percent_0")
            said.append(prose(record.claim(one.source(name, f"top_influencer_{rank}")), " ", weight))
    return listed(said) if said else prose("no influence")


def _table(record: RunRecord, picked: tuple[Picked, ...]) -> Table:
    columns = (
        Column(prose("Name"), numeric=False),
        Column(prose("Chance"), hint="of an extreme loss within twenty sessions, calibrated"),
        Column(prose("Own history’s"), hint="what the name's own past alone says"),
        Column(prose("Weights on distress"), hint="share of its weights on names with an extreme loss in the last week"),
        Column(prose("Strongest influences"), numeric=False, hint="names, and their share of its weights"),
    )
    groups = []
    for one in picked:
        head = prose(
            f"{one.words}: ", _day(record, one), ", ", chunk_name(record, one.chunk), ", mean chance ", _mean(record, one)
        )
        groups.append(RowGroup(tuple(_row(record, one, name) for name in _top(one)), head))
    return Table("risk-contagion-days", prose("Names at most risk on the two days"), columns, tuple(groups))


def _row(record: RunRecord, one: Picked, name: str) -> Row:
    cells = (
        prose(record.claim(one.source(name, column), "percent") if column in one.rows.columns else "not recorded")
        for column in (CONTAGION, OWN, STRESS)
    )
    return Row((prose(record.claim(one.source(name, "ticker"))), *cells, _influences(record, one, name)))
