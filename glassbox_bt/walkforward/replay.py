"""The daily loop: answers pass the barrier and the approver, who are told what is held, and become orders.

On each session of a split, at its close:

1. The account is marked; the loss limits remember the day.                        decision/limits.py
2. The barrier turns fusion's answer into a permitted size per name.                decision/barrier.py
3. The approver fits the sizes into the limits of the portfolio.                    decision/approver.py
4. The account fixes the orders; they are filled at the next session.               portfolio/simulate.py

Three policies share the loop (`policies`): the stack (learned fusion), ``formula_only`` (the upstream formulas) and
``sizing_only`` (no signal: everything that position sizing allows). Validation and test each start in cash. `decide_split`
is the loop alone; tables of texts and the second proof of the books are added for the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.decision.approver import Approval, Requests, approve, signal_to_risk
from glassbox_bt.decision.barrier import BarrierInputs, BarrierResult, evaluate, inputs_from
from glassbox_bt.decision.limits import PortfolioState
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan
from glassbox_bt.portfolio.book import Bars, Book
from glassbox_bt.portfolio.simulate import Account
from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, IntArray, Reason
from glassbox_bt.walkforward.bars import bars_of
from glassbox_bt.walkforward.decisions import approved_table, decisions_table
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.policies import POLICIES as BY_PLAN
from glassbox_bt.walkforward.policies import RIVALS
from glassbox_bt.walkforward.record import REPLAYED, Replay, booked

__all__ = ["POLICIES", "Decided", "Scene", "decide_split", "on_day", "replay_chunk", "scene_of", "stack_scene"]

CORRELATION_SESSIONS = 63  # of the clusters; at least two thirds must be observed
POLICIES = RIVALS


@dataclass(frozen=True, slots=True)
class Scene:
    """One split as the loop sees it; arrays (n_sessions, n_assets) unless said otherwise."""

    days: IntArray
    assets: IntArray
    tickers: tuple[str, ...]
    bars: Bars
    member: BoolArray
    inputs: BarrierInputs  # of all days, with nothing held
    returns: FloatArray  # log returns with CORRELATION_SESSIONS - 1 rows before the first day
    benchmark_return: FloatArray  # (n_sessions,), simple
    month_start: BoolArray  # (n_sessions,)
    dollar_volume: FloatArray
    sector: IntArray | None  # (n_assets,), -1 unknown


@dataclass(frozen=True, slots=True)
class Decided:
    """What the loop made of one split: the book, and per session the barrier's and the approver's results."""

    book: Book
    results: tuple[BarrierResult, ...]
    approvals: tuple[Approval, ...]


def replay_chunk(plan: Plan, fitter: ChunkFitter) -> Iterator[Replay]:
    """The stack and its two signal-free rivals, on validation and on test."""
    for split in REPLAYED:
        scene, answers = _seen(plan, fitter, split)
        for name, policy in POLICIES.items():
            own = name == "glassbox" and plan.policy != "learned"
            chosen = BY_PLAN[plan.policy] if own else policy
            yield _replay(plan, fitter, split, name, replace(scene, inputs=chosen(scene.inputs, answers)))


def stack_scene(plan: Plan, fitter: ChunkFitter, split: str) -> Scene:
    """One split as the stack sees it: the answers that the plan's lag leaves, under the plan's policy."""
    scene, answers = _seen(plan, fitter, split)
    return replace(scene, inputs=BY_PLAN[plan.policy](scene.inputs, answers))


def _seen(plan: Plan, fitter: ChunkFitter, split: str) -> tuple[Scene, dict[str, Answers]]:
    days = fitter.days.splits[split]
    answers = {name: _delayed(given.on(days), plan.lag) for name, given in fitter.answers.items()}
    return scene_of(fitter.store, days, fitter.assets, answers), answers


def _delayed(answers: Answers, lag: int) -> Answers:
    """What was said ``lag`` sessions earlier within the same split; the first days have nothing to act on."""
    if lag == 0:
        return answers
    kept = len(answers.days) - min(lag, len(answers.days))

    def later(values: AnyArray, first: Any) -> AnyArray:
        moved = np.full_like(values, first)
        moved[len(values) - kept :] = values[:kept]
        return moved

    outputs = {name: later(values, np.nan) for name, values in answers.outputs.items()}
    return replace(answers, outputs=outputs, known=later(answers.known, False), reason=later(answers.reason, Reason.WARM_UP))


def scene_of(store: MarketStore, days: IntArray, assets: IntArray, answers: Mapping[str, Answers]) -> Scene:
    """Everything the loop needs of one split."""
    at = np.ix_(days, assets)
    bars = bars_of(store, days, assets)
    before = np.arange(int(days[0]) - CORRELATION_SESSIONS + 1, int(days[-1]) + 1).clip(min=0)
    return Scene(
        days=days,
        assets=assets,
        tickers=tuple(store.tickers[i] for i in assets),
        bars=bars,
        member=store.member[at],
        inputs=inputs_from(answers, np.zeros(bars.open.shape), bars.tradable.astype(np.float64)),
        returns=np.asarray(store.columns["log_return_1d"][np.ix_(before, assets)]),
        benchmark_return=np.expm1(np.asarray(store.columns["benchmark_log_return_1d"][days])),
        month_start=np.asarray(store.columns["month_start"][days]) > 0.0,
        dollar_volume=np.asarray(store.columns["adv_21d"][at]),
        sector=_sectors(store, assets),
    )


def decide_split(plan: Plan, scene: Scene) -> Decided:
    """Run the loop over one split, from cash to the last mark."""
    account = Account(scene.bars, plan.costs)
    trades = _RoundTrips(len(scene.assets))
    state = PortfolioState.start(plan.costs.capital)
    results: list[BarrierResult] = []
    approvals: list[Approval] = []
    last = len(scene.days) - 1
    for i in range(last + 1):
        state = state.after(
            account.equity(),
            plan.limits,
            month_start=bool(scene.month_start[i]),
            benchmark_return=float(scene.benchmark_return[i]),
            closed_trades=trades.closed(account),
        )
        held = account.held_weights()
        result = evaluate(on_day(scene.inputs, i, held), plan.rules)
        approval = approve(_requests(scene, i, result, held), state, plan.limits)
        results.append(result)
        approvals.append(approval)
        if i < last:
            unchanged = approval.approved_fraction == held
            account.decide(np.where(unchanged, np.nan, approval.approved_fraction))
            account.advance()
    return Decided(account.book(), tuple(results), tuple(approvals))


def _replay(plan: Plan, fitter: ChunkFitter, split: str, name: str, scene: Scene) -> Replay:
    decided = decide_split(plan, scene)
    tables: dict[str, pd.DataFrame] = {}
    if name == "glassbox":
        told = _Delayed(fitter, scene.days, plan.lag) if plan.lag else fitter
        tables["decisions"] = decisions_table(told, split, scene, decided.results)
        tables["approved"] = approved_table(
            fitter.store,
            scene,
            decided.results,
            decided.approvals,
            tables["decisions"],
            assumed=tuple(plan.assumptions),
        )
    replay = Replay(
        strategy=name,
        split=split,
        days=scene.days,
        tickers=scene.tickers,
        bars=scene.bars,
        book=decided.book,
        tables=tables,
    )
    return booked(replay, fitter.store)


@dataclass(frozen=True, slots=True)
class _Delayed:
    """The modules' tables as late as the decisions that rest on them."""

    fitter: ChunkFitter
    days: IntArray
    lag: int

    @property
    def store(self) -> MarketStore:
        return self.fitter.store

    @property
    def silent(self) -> tuple[str, ...]:
        return self.fitter.silent

    def table(self, module: str, split: str) -> pd.DataFrame:
        """The module's table with each row dated ``lag`` sessions later; what lies after the split is dropped."""
        dates = pd.DatetimeIndex(self.store.dates[self.days])
        later = pd.Series(dates[self.lag :], index=dates[: len(dates) - self.lag])
        table = self.fitter.table(module, split)
        return table.assign(date=table["date"].map(later)).dropna(subset=["date"])


def on_day(inputs: BarrierInputs, i: int, held: FloatArray) -> BarrierInputs:
    """Row ``i`` of the inputs, with what is held on that day."""
    rows: dict[str, Any] = {field.name: getattr(inputs, field.name)[i] for field in fields(inputs)}
    return BarrierInputs(**{**rows, "held_weight": held})


def _requests(scene: Scene, i: int, result: BarrierResult, held: FloatArray) -> Requests:
    member, tradable = scene.member[i], scene.bars.tradable[i]
    target = np.where(member, result.target_weight, 0.0)
    return Requests(
        requested=target,
        held=held,
        action=result.final_recommendation,
        priority=signal_to_risk(result.inputs.learned_fusion_signal, result.inputs.learned_fusion_risk_score),
        tradable=tradable,
        left_universe=~member,
        exit_blocked=result.exit_blocked,
        dollar_volume=scene.dollar_volume[i],
        sector=scene.sector,
        correlation=_correlation(scene.returns[i : i + CORRELATION_SESSIONS]),
    )


def _correlation(returns: FloatArray) -> FloatArray | None:
    """Pairwise correlations of the window's returns; NaN for names with too many gaps, None if no pair is known."""
    observed = np.isfinite(returns)
    known = (observed.sum(axis=0) * 3 >= 2 * CORRELATION_SESSIONS) & (
        np.nanstd(np.where(observed, returns, 0.0), axis=0) > 0.0
    )
    if known.sum() < 2:
        return None
    full = np.full((returns.shape[1], returns.shape[1]), np.nan)
    names = np.flatnonzero(known)
    full[np.ix_(names, names)] = pd.DataFrame(returns[:, names]).corr(min_periods=CORRELATION_SESSIONS * 2 // 3).to_numpy()
    return full


def _sectors(store: MarketStore, assets: IntArray) -> IntArray | None:
    if "sectors" not in store.records:
        return None
    table = store.records["sectors"].drop_duplicates("ticker").set_index("ticker")["sector"]
    names = table.reindex([store.tickers[i] for i in assets])
    codes: IntArray = pd.factorize(names)[0].astype(np.int64)
    return codes


class _RoundTrips:
    """Profit of each position from its first purchase to the sale of its last share, in money, costs included."""

    def __init__(self, n_assets: int) -> None:
        self._paid = np.zeros(n_assets)
        self._units = np.zeros(n_assets)
        self._seen = 0

    def closed(self, account: Account) -> list[float]:
        """Profits of the round trips that ended since the last call, in the order of their fills."""
        fills = account.fills()
        profits: list[float] = []
        for row in range(self._seen, len(fills)):
            if not fills.filled_shares[row] > 0.0:
                continue
            asset, signed = int(fills.asset[row]), float(fills.side[row] * fills.filled_shares[row])
            costs = float(fills.commission[row] + fills.spread[row] + fills.impact[row])
            self._units[asset] += signed
            self._paid[asset] += signed * float(fills.price[row]) + costs
            if self._units[asset] <= 0.0:
                profits.append(-float(self._paid[asset]))
                self._paid[asset] = self._units[asset] = 0.0
        self._seen = len(fills)
        return profits
