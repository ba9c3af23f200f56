"""The trade approver: one day's requests meet the limits of the whole portfolio. No model; it only lowers weights.

1. Exits. A name that left the universe is sold; one that is held but cannot be traded keeps its weight (`_settle`).
2. Stops. A halt, an earnings blackout or a loss limit turns a purchase into "keep what is in hand" (`_stop_purchases`).
3. Size of the order. A purchase takes at most a share of the usual volume; a sale is left to the fill (`_participation`).
4. Totals, each pass lowering weights only, so that none undoes an earlier one: number of names, clusters, sectors, gross,
   cash, purchases of the day (`_totals`). What is in hand comes first; purchases share the room that is left. Where the room
   is short, a purchase is scaled by min(1, c × signal-to-risk) with one c for all, so stronger cases keep more (`_share`).
   Only where holdings alone exceed a limit are they trimmed, pro rata.

Every total holds exactly in float64, summed with `math.fsum`. Approving an approved portfolio again changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from glassbox_bt.decision.limits import KILL_SWITCHES, ApprovalCode, Limits, PortfolioState
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Action, AnyArray, BoolArray, FloatArray, IntArray, StrArray

__all__ = [
    "STATUS",
    "Approval",
    "ApprovalCode",
    "Limits",
    "PortfolioState",
    "Requests",
    "approval_reasons",
    "approve",
    "signal_to_risk",
]

STATUS = ("0", "1", "partial")  # column `approved`: refused, as requested, in part


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What the barrier asks for on one day, arrays (n_assets,); weights are fractions of equity.

    Parameters
    ----------
    requested, held : FloatArray
        ``target_weight`` of the barrier and today's weight; finite, not negative.
    action : AnyArray
        ``final_recommendation``, `Action` codes.
    priority : FloatArray
        Signal-to-risk (`signal_to_risk`); positive wherever more is requested than held.
    tradable, left_universe, exit_blocked : BoolArray
        The market trades the name today; it is no longer a member; the barrier found it held and frozen.
    dollar_volume : FloatArray
        21-session median, in money per session; NaN where not known.
    sector : IntArray or None
        Sector of each name, -1 where not known; None where the market has no sectors.
    correlation : FloatArray or None
        Pairwise correlations known at the decision, (n_assets, n_assets), NaN where not known; None skips the cluster limit.
    earnings_near : BoolArray or None
        One session before to one after an announced date; None where the market has no such calendar.
    """

    requested: FloatArray
    held: FloatArray
    action: AnyArray
    priority: FloatArray
    tradable: BoolArray
    left_universe: BoolArray
    exit_blocked: BoolArray
    dollar_volume: FloatArray
    sector: IntArray | None = None
    correlation: FloatArray | None = None
    earnings_near: BoolArray | None = None

    def __post_init__(self) -> None:
        n_assets = self.requested.shape
        for name in ("held", "action", "priority", "tradable", "left_universe", "exit_blocked", "dollar_volume"):
            if getattr(self, name).shape != n_assets:
                raise ContractError(f"Request `{name}` has shape {getattr(self, name).shape}, expected {n_assets}.")
        for name in ("requested", "held"):
            values = getattr(self, name)
            if not bool(np.all(np.isfinite(values) & (values >= 0.0))):
                raise ContractError(f"`{name}` weights must be finite and not negative: the portfolio is long-only.")
        buying = self.requested > self.held
        if not bool(np.all(self.priority[buying] > 0.0)):
            raise ContractError("`priority` must be positive wherever more is requested than held. Use `signal_to_risk`.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What may be ordered, arrays (n_assets,).

    ``order_fraction`` is approved minus current weight; ``scaling_factor`` approved over requested weight (1 where nothing
    was requested); ``codes`` are `ApprovalCode` bits; ``status`` indexes `STATUS`; ``skipped`` says in words which limits
    could not be checked on this day.
    """

    approved_action: AnyArray
    approved_fraction: FloatArray
    requested_fraction: FloatArray
    current_fraction: FloatArray
    order_fraction: FloatArray
    scaling_factor: FloatArray
    status: AnyArray
    codes: IntArray
    skipped: tuple[str, ...]


def approve(requests: Requests, state: PortfolioState, limits: Limits) -> Approval:
    """Let through what the limits allow; never more than requested, every difference with a code.

    Parameters
    ----------
    requests : Requests
        Of one day.
    state : PortfolioState
        At the close of that day: equity, loss limits, benchmark's return.
    limits : Limits
        Settings.
    """
    codes = np.zeros(requests.requested.shape, dtype=np.int64)
    requested = np.where(requests.left_universe, 0.0, requests.requested)
    leaving = requests.left_universe & ((requests.held > 0.0) | (requests.requested > 0.0))
    codes[leaving] |= ApprovalCode.LEFT_UNIVERSE
    locked = requests.exit_blocked & ~requests.left_universe & (requests.held > 0.0)
    codes[locked] |= ApprovalCode.EXIT_BLOCKED
    weights = requested.copy()
    _stop_purchases(weights, codes, requests, state, limits)
    _participation(weights, codes, requests, state, limits)
    _totals(weights, codes, requests, locked, limits)
    scale = np.divide(weights, requested, out=np.ones_like(weights), where=requested > 0.0)
    return Approval(
        approved_action=_action(requests, weights),
        approved_fraction=weights,
        requested_fraction=requested,
        current_fraction=requests.held,
        order_fraction=weights - requests.held,
        scaling_factor=scale,
        status=np.where(weights == requested, 1, np.where(weights == requests.held, 0, 2)).astype(np.int8),
        codes=codes,
        skipped=_skipped(requests, state),
    )


def approval_reasons(approval: Approval) -> StrArray:
    """Codes of every name joined by ``|``; empty where the request passed untouched."""
    texts = ["|".join(code.text for code in ApprovalCode if int(bits) & code) for bits in approval.codes]
    return np.array(texts, dtype=object)


def signal_to_risk(signal: FloatArray, risk: FloatArray) -> FloatArray:
    """Fused signal over fused risk, each at least 0.01 so that the ratio is positive and finite; NaN stays NaN."""
    ratio: FloatArray = np.maximum(signal, 0.01) / np.maximum(risk, 0.01)
    return ratio


def _stop_purchases(weights: FloatArray, codes: IntArray, requests: Requests, state: PortfolioState, limits: Limits) -> None:
    halted = ~requests.tradable | (state.benchmark_return <= -limits.market_halt)
    stops = [(halted, ApprovalCode.MARKET_HALT)]
    if requests.earnings_near is not None:
        stops.append((requests.earnings_near, ApprovalCode.EARNINGS_BLACKOUT))
    everywhere = np.ones(weights.shape, dtype=bool)
    stops += [(everywhere, switch) for switch in KILL_SWITCHES if switch in state.blocked]
    buying = weights > requests.held
    for where, code in stops:
        codes[buying & where] |= code
        weights[buying & where] = requests.held[buying & where]


def _participation(weights: FloatArray, codes: IntArray, requests: Requests, state: PortfolioState, limits: Limits) -> None:
    """Purchases up to a share of the usual volume; where the volume is not known there is no such limit."""
    room = limits.participation * requests.dollar_volume / state.equity
    large = weights - requests.held > room
    codes[large] |= ApprovalCode.LIQUIDITY_PARTICIPATION
    weights[large] = requests.held[large] + room[large]
    over = weights - requests.held > room
    while over.any():  # the sum above may have rounded up
        weights[over] = np.nextafter(weights[over], 0.0)
        over = weights - requests.held > room


def _totals(weights: FloatArray, codes: IntArray, requests: Requests, locked: BoolArray, limits: Limits) -> None:
    held = requests.held
    dropped = _too_many(weights, requests, locked, limits.names)
    codes[dropped] |= ApprovalCode.NAME_COUNT_CAP
    weights[dropped] = 0.0
    groups = [(names, limits.cluster, ApprovalCode.CLUSTER_CAP) for names in _clusters(weights, requests, limits)]
    if requests.sector is not None:
        sectors = np.unique(requests.sector[requests.sector >= 0])
        groups += [(requests.sector == s, limits.sector, ApprovalCode.SECTOR_CAP) for s in sectors]
    everything = np.ones(weights.shape, dtype=bool)
    groups.append((everything, limits.gross, ApprovalCode.PORTFOLIO_GROSS_CAP))
    groups.append((everything, limits.invested, ApprovalCode.CASH_BUFFER))
    for names, limit, code in groups:
        fitted = _fitted(weights[names], held[names], requests.priority[names], locked[names], limit)
        codes[names] |= np.where(fitted < weights[names], code, 0)
        weights[names] = fitted
    fitted = _within_turnover(weights, held, requests.priority, limits.turnover)
    codes[fitted < weights] |= ApprovalCode.TURNOVER_CAP
    weights[:] = fitted


def _too_many(weights: FloatArray, requests: Requests, locked: BoolArray, n_names: int) -> BoolArray:
    """Positions beyond the allowed number: names in hand stay first, then the stronger cases."""
    taken = np.flatnonzero(weights > 0.0)
    priority = np.nan_to_num(requests.priority[taken], nan=0.0)
    rank = np.lexsort((taken, -priority, ~(requests.held[taken] > 0.0), ~locked[taken]))
    dropped = np.zeros(weights.shape, dtype=bool)
    dropped[taken[rank[n_names:]]] = True
    return dropped & ~locked


def _clusters(weights: FloatArray, requests: Requests, limits: Limits) -> list[BoolArray]:
    """Groups of two names and more that are linked by high correlations, among those with a weight."""
    if requests.correlation is None:
        return []
    active = np.flatnonzero(weights > 0.0)
    linked = requests.correlation[np.ix_(active, active)] > limits.cluster_correlation  # NaN links nothing
    _, label = connected_components(csr_array(linked), directed=False)
    groups = []
    for cluster in np.flatnonzero(np.bincount(label, minlength=1) > 1):
        names = np.zeros(weights.shape, dtype=bool)
        names[active[label == cluster]] = True
        groups.append(names)
    return groups


def _fitted(weights: FloatArray, held: FloatArray, priority: FloatArray, locked: BoolArray, limit: float) -> FloatArray:
    """Weights lowered until their exact sum is within the limit; locked ones stay, whatever they sum to."""
    if math.fsum(weights) <= limit:
        return weights
    kept = np.minimum(weights, held)
    room = limit - math.fsum(kept)
    if room >= 0.0:
        fitted = kept + _share(weights - kept, priority, room)
    else:
        frozen = math.fsum(kept[locked])
        loose = math.fsum(kept[~locked])
        trim = max(limit - frozen, 0.0) / loose if loose > 0.0 else 0.0
        fitted = np.where(locked, kept, kept * min(trim, 1.0))
    fitted = np.minimum(fitted, weights)
    movable = ~locked & (fitted > 0.0)
    while math.fsum(fitted) > limit and movable.any():
        fitted[movable] = np.nextafter(fitted[movable], 0.0)
        movable &= fitted > 0.0
    return fitted


def _within_turnover(weights: FloatArray, held: FloatArray, priority: FloatArray, limit: float) -> FloatArray:
    """Weights whose exact sum of purchases is within the limit."""
    bought = np.maximum(weights - held, 0.0)
    if math.fsum(bought) <= limit:
        return weights
    buying = bought > 0.0
    fitted = np.where(buying, np.minimum(held + _share(bought, priority, limit), weights), weights)
    while math.fsum(np.maximum(fitted - held, 0.0)) > limit:
        fitted[buying] = np.maximum(np.nextafter(fitted[buying], 0.0), held[buying])
    return fitted


def _share(bought: FloatArray, priority: FloatArray, room: float) -> FloatArray:
    """Purchases scaled by min(1, c × priority) with the c that makes them sum to ``room``."""
    shared = np.zeros_like(bought)
    names = np.flatnonzero(bought > 0.0)
    if len(names) == 0 or room <= 0.0:
        return shared
    names = names[np.argsort(-priority[names], kind="stable")]  # those that stay whole come first
    asked, strength = bought[names], priority[names]
    whole = np.concatenate([[0.0], np.cumsum(asked)[:-1]])  # asked by all names before this one
    weighed = np.cumsum((asked * strength)[::-1])[::-1]  # asked × priority from this one on
    factor = (room - whole) / weighed  # c, were the names before this one whole
    scales = factor * strength < 1.0
    first = int(np.argmax(scales)) if scales.any() else len(names)
    shared[names[:first]] = asked[:first]
    if first < len(names):
        shared[names[first:]] = asked[first:] * np.maximum(factor[first] * strength[first:], 0.0)
    return shared


def _action(requests: Requests, weights: FloatArray) -> AnyArray:
    """What is left of the decision: a purchase that was refused is HOLD, a name that left is SELL."""
    bought = (requests.action == Action.BUY) & (weights > requests.held)
    kept = np.where(bought, Action.BUY, np.minimum(requests.action, Action.HOLD))
    return np.where(requests.left_universe, Action.SELL, kept).astype(np.int8)


def _skipped(requests: Requests, state: PortfolioState) -> tuple[str, ...]:
    unchecked = (
        (requests.sector is None, "Sector limit skipped: this market has no sectors."),
        (requests.correlation is None, "Cluster limit skipped: no correlations are known."),
        (requests.earnings_near is None, "Earnings blackout skipped: this market has no calendar of announcements."),
        (math.isnan(state.benchmark_return), "Market halt skipped: the benchmark has no return today."),
        (
            bool(np.isnan(requests.dollar_volume).all()),
            "Participation limit skipped: this market has no volume.",
        ),
    )
    return tuple(words for missing, words in unchecked if missing)
