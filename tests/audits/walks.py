"""A small market, two small modules and one strategy: a walk that takes a second, and in which every part can be faulty."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd

from glassbox_bt.audits.subject import Build, Subject, Walk
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.raw import RawMarket, fingerprint
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.universe import UniverseRule
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, Module, ModuleState, answers_of, reasons, rounded
from glassbox_bt.plan import Chunk
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.types import Answers, FloatArray, Kind, Read, Reason, StrArray
from glassbox_bt.walkforward.chunks import chunk_days
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.rivals import RivalSpan, Strategy

__all__ = ["LABEL", "RULE", "Learner", "Reader", "Trend", "built", "market", "orders_of", "subject", "with_columns"]

LABEL = "forward_log_return_5d"
RULE = UniverseRule(min_observed=40, window=60)
CHUNK = Chunk(train=("2017-05-01", "2018-05-31"), validation=("2018-06-01", "2018-08-31"), test=("2018-09-01", "2018-11-30"))


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A rule: the mean of one market column over a few sessions; with ``of_split`` the average over all days asked for."""

    called: str = "reader"
    column: str = "vol_21d"
    sessions: int = 5
    of_split: bool = False
    name: ClassVar[str]
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = ("mean",)
    self_supervised: ClassVar[bool] = False
    learns_from: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.called)  # the protocol's class variable, but one value per reader

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read(self.column, self.sessions),)

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        return (Candidate("rule", self),)

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:  # noqa: ARG002
        return candidates[0]

    def predict_many(self, span: Span) -> Answers:
        values = span.windows(self.column)
        if values.ndim == 2:
            values = np.broadcast_to(values[:, :, None], (*values.shape, span.n_assets))
        mean = np.asarray(values, dtype=np.float64).mean(axis=1)
        if self.of_split:
            mean = np.broadcast_to(mean.mean(axis=0), mean.shape)
        codes = reasons((~span.member, Reason.NOT_A_MEMBER), (~np.isfinite(mean), Reason.INPUT_MISSING))
        return answers_of(self.name, span, {"mean": rounded(mean)}, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        return np.full(answers.known.shape, "the mean of a few sessions", dtype=object)

    def state(self) -> ModuleState:
        return ModuleState()

    def restore(self, state: ModuleState) -> FittedModule:  # noqa: ARG002
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Learned: the mean outcome of train, plus what the reader says."""

    learned: float = float("nan")
    name: ClassVar[str] = "learner"
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = ("forecast",)
    self_supervised: ClassVar[bool] = False
    learns_from: ClassVar[tuple[str, ...]] = (LABEL,)

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read("reader.mean"), Read("log_return_1d", 3))

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        return (Candidate("only", replace(self, learned=float(np.nanmean(train.label(LABEL))))),)

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:  # noqa: ARG002
        return candidates[0]

    def predict_many(self, span: Span) -> Answers:
        forecast = self.learned + span.today("reader.mean")
        codes = reasons((~span.member, Reason.NOT_A_MEMBER), (~np.isfinite(forecast), Reason.UPSTREAM_UNKNOWN))
        return answers_of(self.name, span, {"forecast": rounded(forecast)}, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        return np.full(answers.known.shape, "the usual outcome", dtype=object)

    def state(self) -> ModuleState:
        return ModuleState({"learned": np.array([self.learned])})

    def restore(self, state: ModuleState) -> FittedModule:
        return replace(self, learned=float(state.arrays["learned"][0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Holds what rose more than a threshold; with ``tuned`` the threshold is the best one of the days it is shown."""

    tuned: bool = False
    name: ClassVar[str] = "trend"
    reads: ClassVar[tuple[Read, ...]] = (Read("log_return_1d", 5),)

    def targets(self, span: RivalSpan) -> FloatArray:
        returns = np.nan_to_num(span.panel("log_return_1d"))
        rise = np.stack([returns[i : i + 5].sum(axis=0) for i in range(span.n_sessions)])
        threshold = 0.0
        if self.tuned:
            paid = [float((returns[5:] * (rise > level)[:-1]).sum()) for level in np.linspace(-0.02, 0.02, 9)]
            threshold = float(np.linspace(-0.02, 0.02, 9)[int(np.argmax(paid))])
        chosen = span.member & (rise > threshold)
        weights: FloatArray = chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1)
        return weights


@cache
def market() -> RawMarket:
    """Six names over two years; one halted on a day of each part, a headline an hour and a half after every close."""
    raw = SyntheticMarket(
        seed=3, n_names=6, first="2017-01-03", last="2018-12-31", halts=0, delistings=0, splits=1, text=False
    ).raw()
    days = pd.Series(sorted(set(raw.prices["date"])))
    halted = raw.prices["date"].isin(days[(days.dt.day >= 29) | (days.dt.day <= 2)]) & (raw.prices["ticker"] == "S001")
    moments = (days + pd.Timedelta(hours=22, minutes=30)).dt.tz_localize("UTC")
    texts = [f"news number {i}" for i in range(len(days))]
    news = pd.DataFrame({"published_at": moments, "ticker": "S002", "text": texts})
    return replace(raw, prices=raw.prices[~halted].reset_index(drop=True), news=news, truth=None)


BUILT: dict[str, MarketStore] = {}  # by fingerprint: the tests cut the same market at the same days


def built(raw: RawMarket) -> MarketStore:
    """The honest store of a market of this size."""
    key = fingerprint(raw)
    if key not in BUILT:
        BUILT[key] = build_store(raw, RULE)
    return BUILT[key]


def with_columns(store: MarketStore, **columns: Any) -> MarketStore:
    return dataclasses.replace(store, columns={**store.columns, **columns})


def subject(
    folder: Path,
    *,
    build: Build = built,
    stack: Sequence[object] = (Reader(), Learner()),
    strategies: tuple[Strategy, ...] = (cast(Strategy, Trend()),),
    fitter: type[ChunkFitter] = ChunkFitter,
    orders: pd.DataFrame | None = None,
) -> Subject:
    """A walked chunk."""
    store = build(market())
    modules = {module.name: module for module in cast(Sequence[Module], stack)}
    walked = fitter(store, modules, chunk_days(store, CHUNK, 1), ArtefactStore(folder / "artefacts"), seed=5)
    records = walked.run(lambda _what, _share: None)
    walk = Walk(walked, {record.module: record.fits for record in records})
    return Subject(market(), build, (walk,), strategies, seed=5, orders=orders)


def orders_of(store: MarketStore, *, same_bar: bool = False, price: float = 1.0) -> pd.DataFrame:
    """A buy of every name each week of the test years, at ``price`` times the open."""
    decided = chunk_days(store, CHUNK, 1).test[:-1:5]
    filled = decided + (0 if same_bar else 1)
    rows, assets = (grid.ravel() for grid in np.meshgrid(np.arange(len(decided)), [0, 3, 4], indexing="ij"))
    return pd.DataFrame(
        {
            **{"chunk": 1, "split": "test", "strategy": "glassbox", "side": "buy", "code": "filled"},
            "decided_on": store.dates[decided][rows],
            "filled_on": store.dates[filled][rows],
            "ticker": np.array(store.tickers, dtype=object)[assets],
            "filled_shares": 10.0,
            "price": price * store.columns["open"][filled[rows], assets],
        }
    )
