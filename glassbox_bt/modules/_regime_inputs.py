"""What the regime module reads, laid out by day: the market's state, and the names that make its graph.

The state is daily. The graph rests on the latest snapshot, dated by the end of its window (D-GRA-01) and counted from the
first session of the market, so that a new split goes on with the last snapshot of the old one (D-REG-09). Names stand in
the order of their tickers; embeddings are read by day and name, never by a position that a filter moved (D-REG-05). What was
written about names stands beside (`_regime_text`); whether the network hears it depends on its coverage in train (D-REG-04).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import PlanError
from glassbox_bt.market.graph import GraphRule, correlations
from glassbox_bt.market.regime_labels import MEASURES
from glassbox_bt.market.view import Span
from glassbox_bt.modules._regime_text import TEXT_READ, TextBlock
from glassbox_bt.modules.base import reasons
from glassbox_bt.modules.names import name_codes
from glassbox_bt.types import BoolArray, Float32Array, FloatArray, IntArray, Read, Reason

__all__ = ["FREEDOM", "MACRO", "PLAIN", "STATE_WORDS", "Look", "Panel", "Variant"]

Variant = Literal["anchored", "anchor", "network"]
RETURNS, MARKET, EMBEDDING = "log_return_1d", "benchmark_log_return_1d", "temporal_encoder.embedding"
YEAR = 252
BESIDE = ("market_vol_5d", "market_vol_252d")
PLAIN = 11  # inputs of the anchor, the first of `STATE_WORDS`
MACRO = (  # spec 17's ten, and the fear index
    "macro.vix_level",
    "macro.vix_z_60d",
    "macro.credit_spread",
    "macro.yield_spread_10y3m",
    "macro.yield_spread_10y2y",
    "macro.credit_spread_baa_aaa",
    "macro.regime_yield_inverted",
    "macro.level_DFF",
    "macro.level_DGS10",
    "macro.level_DGS2",
    "macro.level_DGS3MO",
    "macro.level_BAA10Y",
    "macro.level_AAA10Y",
)
STATE_WORDS = (
    "market volatility",
    "market volatility against the year",
    "market volatility of five sessions",
    "market drawdown",
    "market return over a month",
    "density of the correlation graph",
    "mean correlation",
    "the fear index",
    "the fear index against its quarter",
    "the credit spread",
    "the slope of the yield curve",
    "the slope of the curve from two years",
    "the spread of Baa over Aaa",
    "an inverted curve",
    "the funds rate",
    "the ten-year yield",
    "the two-year yield",
    "the three-month yield",
    "the Baa spread",
    "the Aaa spread",
)
N_MARKET = 7  # of them without macro
FREEDOM = np.array([1.0 if place in (0, 2, 3, 7) else 0.1**0.5 for place in range(PLAIN)])
"""Scale of the anchor's inputs: volatility, its last week, drawdown and the fear index as they are, the others under a
penalty ten times as high. With equal ones the logit lost a quarter of its gain over persistence on synthetic markets, and
more than it could afford where there is nothing to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How much the module needs to see.

    Parameters
    ----------
    min_names : int
        Names a day needs in its graph; with fewer it is not answered (R7).
    most_names : int
        Names at most in a graph; above, those with the smallest ticker codes, which no market event moves.
    embeds : bool
        Whether names need an embedding: all variants but the anchor.
    text : bool
        Whether text is read.
    """

    min_names: int
    most_names: int
    embeds: bool
    text: bool = False

    def __post_init__(self) -> None:
        if self.min_names < 2 or self.most_names < self.min_names:
            raise PlanError(
                f"`min_names` must be at least 2 and `most_names` no smaller, got {self.min_names} and {self.most_names}."
            )

    @property
    def rule(self) -> GraphRule:
        """The snapshots that the graph is taken from."""
        return GraphRule()

    @property
    def reads(self) -> tuple[Read, ...]:
        """A snapshot is up to a stride old; the rest is today's, but for the year that the switching model filters."""
        days = (Read(name) for name in dict.fromkeys((*MEASURES, *BESIDE, *MACRO)))
        graph = (Read(RETURNS, self.rule.window + self.rule.stride), Read(MARKET, YEAR))
        return (*days, *graph, *((Read(EMBEDDING),) if self.embeds else ()), *((TEXT_READ,) if self.text else ()))


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The days of a span.

    Parameters
    ----------
    order : IntArray
        Position in the span of each name here, (n_assets,).
    days, at : IntArray
        Session of each day and its row in ``returns``, (n_days,).
    measures : FloatArray
        By `MEASURES`, (n_days, 8).
    state : FloatArray
        By `STATE_WORDS`, (n_days, 20), NaN where missing.
    vix : FloatArray
        Fear index, (n_days,).
    market : FloatArray
        Benchmark log returns of the year up to each day, (n_days, 252).
    returns : FloatArray
        Log returns by row and name.
    embedding : Float32Array
        (n_days, n_assets, width), NaN where unknown; width 0 without an encoder.
    text : TextBlock
        What was written in the month up to each day.
    node : BoolArray
        Names in the graph of each day, (n_days, n_assets).
    codes : NDArray[np.int8]
        Why a name and day has no answer, in the order of the span, (n_days, n_assets).
    """

    look: Look
    order: IntArray
    days: IntArray
    at: IntArray
    measures: FloatArray
    state: FloatArray
    vix: FloatArray
    market: FloatArray
    returns: FloatArray
    embedding: Float32Array
    text: TextBlock
    node: BoolArray
    codes: NDArray[np.int8]

    @classmethod
    def of(cls, span: Span, look: Look) -> Panel:
        """Everything that a span holds."""
        order = np.argsort(np.array(span.tickers, dtype=object), kind="stable").astype(np.int64)
        returns = np.ascontiguousarray(span.block(RETURNS)[:, order], dtype=np.float64)
        at, member = span.at(RETURNS), span.member[:, order]
        embedding = _embedding(span, look, order)
        measures = np.stack([span.today(name) for name in MEASURES], axis=-1).astype(np.float64)
        seen = np.cumsum(np.vstack([np.zeros((1, len(order)), dtype=bool), np.isfinite(returns)]), axis=0)
        recent = seen[at + 1] - seen[at + 1 - look.rule.window]
        active = member & (recent >= look.rule.min_observed)
        embedded = np.isfinite(embedding).all(axis=-1) if look.embeds else np.ones(member.shape, dtype=bool)
        node = _capped(active & embedded, span.tickers, order, look.most_names)
        codes = _codes(span, measures, (member, recent), (active, node), look)
        restored = np.empty_like(codes)
        restored[:, order] = codes
        return cls(
            look=look,
            order=order,
            days=span.days,
            at=at,
            measures=measures,
            state=_state(span, measures),
            vix=np.asarray(span.today("macro.vix_level"), dtype=np.float64),
            market=np.asarray(span.windows(MARKET, YEAR), dtype=np.float64),
            returns=returns,
            embedding=embedding,
            text=TextBlock.of(span, order) if look.text else TextBlock.nothing(len(span), len(order)),
            node=node,
            codes=restored,
        )

    def __len__(self) -> int:
        return int(self.days.shape[0])

    def picked(self, days: IntArray) -> Panel:
        """The same names on some of the days."""
        by_day = ("days", "at", "measures", "state", "vix", "market", "embedding", "node", "codes")
        text = TextBlock(self.text.names[days], self.text.market[days])
        return replace(self, text=text, **{name: getattr(self, name)[days] for name in by_day})

    def without_text(self, width: int) -> Panel:
        """The same days as if a text module answered and nothing had been written."""
        names = np.full((*self.node.shape, width), np.nan, dtype=np.float32)
        market = np.full((len(self), width), np.nan)
        names[..., -1], market[:, -1] = 0.0, 0.0
        return replace(self, text=TextBlock(names, market))

    @property
    def with_text(self) -> Panel:
        """The same days, with what was written about each name behind its embedding; a name without text stays a node."""
        return replace(self, embedding=np.concatenate([self.embedding, self.text.names], axis=-1))

    @property
    def answerable(self) -> BoolArray:
        """Days with a state, a graph and enough names, (n_days,)."""
        codes: BoolArray = (self.codes == Reason.KNOWN).any(axis=1)
        return codes

    def snapshots(self, days: IntArray) -> Iterator[tuple[IntArray, Float32Array]]:
        """Runs of the given days (positions) that share a snapshot, and its correlations (n_assets, n_assets).

        0 where a pair was seen too rarely, and for a name with itself. A pair's number depends on the pair alone.
        """
        rule = self.look.rule
        latest = self.days[days] - (self.days[days] - (rule.window - 1)) % rule.stride
        for day in np.unique(latest):
            run = days[latest == day]
            nodes = np.flatnonzero(self.node[run].any(axis=0))
            last = int(self.at[run[0]]) - (int(self.days[run[0]]) - int(day))
            window = np.ascontiguousarray(self.returns[last - rule.window + 1 : last + 1, nodes].T)
            found, _ = correlations(window, window, rule.min_observed)
            np.fill_diagonal(found, 0.0)
            table = np.zeros((len(self.order), len(self.order)), dtype=np.float32)
            table[np.ix_(nodes, nodes)] = np.nan_to_num(found)
            yield run, table


def _embedding(span: Span, look: Look, order: IntArray) -> Float32Array:
    if not look.embeds:
        return np.zeros((len(span), len(order), 0), dtype=np.float32)
    values = np.asarray(span.today(EMBEDDING), dtype=np.float32)
    return (values if values.ndim == 3 else values[..., None])[:, order]  # a silent encoder has one column of NaN


def _capped(node: BoolArray, tickers: tuple[str, ...], order: IntArray, most: int) -> BoolArray:
    if node.shape[1] <= most:
        return node
    rank = np.argsort(name_codes(tickers)[order], kind="stable")
    kept = np.empty_like(node)
    kept[:, rank] = node[:, rank] & (np.cumsum(node[:, rank], axis=1) <= most)
    return kept


def _codes(
    span: Span,
    measures: FloatArray,
    seen: tuple[BoolArray, IntArray],
    names: tuple[BoolArray, BoolArray],
    look: Look,
) -> NDArray[np.int8]:
    """One answer for all; only a name of which nothing at all was seen within the graph's window is left without it."""
    (member, recent), (active, node) = seen, names
    shape = member.shape

    def all_day(days: BoolArray) -> BoolArray:
        return np.broadcast_to(days[:, None], shape)

    few, embedded_few = (np.asarray(one.sum(axis=1) < look.min_names) for one in (active, node))
    young = all_day(np.asarray(span.days < look.rule.window - 1))
    measured: BoolArray = np.asarray(np.isfinite(measures[:, [0, 2, 5, 6]]).all(axis=1))  # volatility, drawdown and graph
    return reasons(
        (~member, Reason.NOT_A_MEMBER),
        (young, Reason.WARM_UP),
        (recent == 0, Reason.TOO_FEW_OBSERVATIONS),
        (all_day(few) | all_day(~measured), Reason.INPUT_MISSING),
        (all_day(embedded_few), Reason.UPSTREAM_UNKNOWN),
    )


def _state(span: Span, measures: FloatArray) -> FloatArray:
    """In the order of `STATE_WORDS`."""
    week, year = (np.asarray(span.today(name), dtype=np.float64) for name in BESIDE)
    macro = [np.asarray(span.today(name), dtype=np.float64) for name in MACRO]
    with np.errstate(divide="ignore", invalid="ignore"):  # a market that does not move has no log of its volatility
        month = np.log(measures[:, 0])
        columns = [month, month - np.log(year), np.log(week) - month, measures[:, 2], measures[:, 1]]
        columns += [measures[:, 5], measures[:, 6], np.log(macro[0]), *macro[1:]]
    state = np.stack(columns, axis=-1)
    return np.where(np.isfinite(state), state, np.nan)
