"""Can a position be entered and left at a tolerable cost? A rule on the money that trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import RuleModule, answers_of, reasons
from glassbox_bt.types import Answers, BoolArray, FloatArray, Kind, Read, Reason, StrArray

__all__ = ["Liquidity"]

_DV_WEIGHT, _VR_WEIGHT, _TO_WEIGHT = 0.4, 0.3, 0.3
_LOG_FLOOR, _LOG_DECADES = 4.0, 5.0  # 10 thousand a day scores 0, 1 million 0.4, 1 billion 1
_LIQUIDATED = 1e6  # money that `days_to_liquidate_1M` sells


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidity(RuleModule):
    """Score in [0, 1] (1 = liquid), cost estimate and whether the name may be traded.

    ``liquidity_score = 0.4 dv_score + 0.3 vr_score + 0.3 to_score``. Money per day is today's, but
    never more than its 21-session median. ``dv_score`` blends its percentile among the members of
    the day with an absolute scale of five decades (D-LIQ-02); ``vr_score`` and ``to_score`` are
    half the volume over its mean of 21 and of 252 sessions, clipped to [0, 1].
    ``slippage_estimate_frac`` is a fraction of price: half spread plus
    ``impact x daily volatility x (order / median money per day) ** impact_exponent``.
    ``days_to_liquidate_1M`` sells one million at ``participation`` of the median money per day.
    ``tradable`` (1 or 0) asks for the score, a bar with trading today and, if set, a raw price.

    A missing input is missing (D-LIQ-01): without volume, without a bar today, or where the median
    day trades nothing, so that no cost can be stated, the module does not know.

    Parameters
    ----------
    min_score : float, default=0.30
        Score from which a name is tradable.
    rank_weight : float, default=0.5
        Weight of the percentile within ``dv_score``; the rest is the absolute scale. A lone member
        has no percentile and gets the absolute scale alone.
    participation : float, default=0.10
        Share of the median money per day that may be sold, in (0, 1].
    order_size : float, default=100_000
        Money of the order whose slippage is estimated (a tenth of a million of capital).
    half_spread_bps, impact, impact_exponent : float, default=5, 0.1, 0.5
        Cost model: the portfolio's square-root law. ``impact=0`` is a fixed cost; 0.142 and 0.6
        are the temporary impact of Almgren et al. (2005), "Direct estimation of equity market
        impact".
    min_price : float or None, default=None
        Least raw close; set it only where the market's price basis is raw.
    """

    min_score: float = 0.30
    rank_weight: float = 0.5
    participation: float = 0.10
    order_size: float = 100_000.0
    half_spread_bps: float = 5.0
    impact: float = 0.1
    impact_exponent: float = 0.5
    min_price: float | None = None
    name: ClassVar[str] = "liquidity"
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = (
        "liquidity_score",
        "slippage_estimate_frac",
        "days_to_liquidate_1M",
        "tradable",
        "dv_score",
        "vr_score",
        "to_score",
        "dollar_volume_needed",
    )

    def __post_init__(self) -> None:
        for setting in ("min_score", "rank_weight"):
            value = getattr(self, setting)
            if not 0.0 <= value <= 1.0:
                raise ContractError(f"`{setting}` must lie in [0, 1], got {value}.")
        if not 0.0 < self.participation <= 1.0:
            raise ContractError(f"`participation` must lie in (0, 1], got {self.participation}.")
        for setting in ("order_size", "half_spread_bps", "impact", "impact_exponent"):
            value = getattr(self, setting)
            if not 0.0 <= value < np.inf:
                raise ContractError(f"`{setting}` must be finite and at least 0, got {value}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        always = ("dollar_volume", "adv_21d", "volume_ratio", "turnover_proxy", "vol_21d")
        price = () if self.min_price is None else ("raw_close",)
        return tuple(Read(column) for column in (*always, "tradable", *price))

    def predict_many(self, span: Span) -> Answers:
        today, median = span.today("dollar_volume"), span.today("adv_21d")
        ratio, turnover = span.today("volume_ratio"), span.today("turnover_proxy")
        vol = span.today("vol_21d")
        codes = reasons(
            (~span.member, Reason.NOT_A_MEMBER),
            (~np.isfinite(today), Reason.INPUT_MISSING),
            (~np.isfinite(median + ratio + turnover + vol), Reason.WARM_UP),
            (median <= 0.0, Reason.TOO_FEW_OBSERVATIONS),
        )
        usable = codes == Reason.KNOWN
        dv_score = self._dv_score(np.fmin(today, median), usable)
        vr_score, to_score = _half(ratio), _half(turnover)
        score = _DV_WEIGHT * dv_score + _VR_WEIGHT * vr_score + _TO_WEIGHT * to_score
        median = np.where(usable, median, np.nan)
        outputs = {
            "liquidity_score": score,
            "slippage_estimate_frac": self._slippage(median, vol),
            "days_to_liquidate_1M": _LIQUIDATED / (self.participation * median),
            "tradable": (self._may_trade(span) & (score >= self.min_score)).astype(np.float64),
            "dv_score": dv_score,
            "vr_score": vr_score,
            "to_score": to_score,
            "dollar_volume_needed": self._needed(np.fmin(today, median), score),
        }
        return answers_of(self.name, span, outputs, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """Contributions that add up to the score and, where it is short, the money that lacks."""
        may_trade = self._may_trade(span)
        out = np.empty(answers.known.shape, dtype=object)
        for cell in np.ndindex(out.shape):
            if answers.known[cell]:
                numbers = {name: float(answers.outputs[name][cell]) for name in self.outputs}
                out[cell] = self._told(numbers, bool(may_trade[cell]))
            else:
                out[cell] = _UNKNOWN[Reason(int(answers.reason[cell]))]
        return out

    def _dv_score(self, money: FloatArray, usable: BoolArray) -> FloatArray:
        percentile = _percentile(np.where(usable, money, np.nan))
        with np.errstate(divide="ignore"):  # nothing traded: log 0 = -inf, which scores 0
            absolute = np.clip((np.log10(money) - _LOG_FLOOR) / _LOG_DECADES, 0.0, 1.0)
        weight = np.where(np.isfinite(percentile), self.rank_weight, 0.0)
        blend: FloatArray = weight * np.nan_to_num(percentile) + (1.0 - weight) * absolute
        return blend

    def _needed(self, money: FloatArray, score: FloatArray) -> FloatArray:
        """Money traded per day at which the score would reach its floor, the rank unchanged.

        Twice the most that the score can see where no amount would do, 0 where only the rank counts.
        """
        if self.rank_weight == 1.0:
            return np.zeros(score.shape)
        most = _LOG_FLOOR + _LOG_DECADES
        lacking = (self.min_score - score) / _DV_WEIGHT
        needed = np.log10(np.maximum(money, 10**_LOG_FLOOR)) + lacking * _LOG_DECADES / (1.0 - self.rank_weight)
        amount: FloatArray = np.where(needed > most, 2.0 * 10**most, 10 ** np.minimum(needed, most))
        return amount

    def _slippage(self, median: FloatArray, vol: FloatArray) -> FloatArray:
        daily_vol = vol / np.sqrt(252.0)
        impact = self.impact * daily_vol * (self.order_size / median) ** self.impact_exponent
        cost: FloatArray = self.half_spread_bps / 1e4 + impact
        return cost

    def _may_trade(self, span: Span) -> BoolArray:
        """A bar with trading today, at a raw price that is high enough."""
        traded: BoolArray = (span.today("tradable") > 0) & (span.today("dollar_volume") > 0)
        if self.min_price is None:
            return traded
        return traded & (span.today("raw_close") >= self.min_price)

    def _told(self, numbers: dict[str, float], may_trade: bool) -> str:
        score = numbers["liquidity_score"]
        parts = (
            f"money traded {_DV_WEIGHT * numbers['dv_score']:.3f}, volume against one month "
            f"{_VR_WEIGHT * numbers['vr_score']:.3f}, against one year "
            f"{_TO_WEIGHT * numbers['to_score']:.3f}"
        )
        days = numbers["days_to_liquidate_1M"]
        return (
            f"Liquidity score {score:.3f} is the sum of {parts}; "
            f"{self._verdict(numbers, may_trade)} "
            f"Selling one million takes {days:.2f} sessions{', a warning' if days > 5 else ''}; "
            f"estimated slippage {numbers['slippage_estimate_frac']:.3%}."
        )

    def _verdict(self, numbers: dict[str, float], may_trade: bool) -> str:
        if numbers["tradable"] > 0:
            return "tradable."
        if not may_trade:
            return "not tradable: no trading today or the price is too low."
        if self.rank_weight == 1.0:
            return "not tradable: its rank by money traded is too low."
        if numbers["dollar_volume_needed"] > 10 ** (_LOG_FLOOR + _LOG_DECADES):
            return "not tradable: at its rank no amount of money traded would suffice."
        return f"not tradable: at its rank it would need {numbers['dollar_volume_needed']:,.0f} traded per day."


def _half(ratio: FloatArray) -> FloatArray:
    """0 at no volume, 1 from twice the mean on; missing stays missing."""
    return np.clip(ratio / 2.0, 0.0, 1.0)


def _percentile(money: FloatArray) -> FloatArray:
    """Share of the day's other names that trade less, ties counted half; NaN for a lone name."""
    out = np.full(money.shape, np.nan)
    for day, row in enumerate(money):
        usable = np.isfinite(row)
        ordered = np.sort(row[usable])
        if ordered.size > 1:
            less = np.searchsorted(ordered, row[usable], side="left")
            upto = np.searchsorted(ordered, row[usable], side="right")
            out[day, usable] = (less + upto - 1) / (2.0 * (ordered.size - 1))
    return out


_UNKNOWN = {
    Reason.NOT_A_MEMBER: "Liquidity unknown: the name is not in the universe today.",
    Reason.INPUT_MISSING: "Liquidity unknown: no volume was observed for this name today.",
    Reason.WARM_UP: "Liquidity unknown: the volume history of this name is not complete yet.",
    Reason.TOO_FEW_OBSERVATIONS: ("Liquidity unknown: nothing traded on the median day, so no cost can be stated."),
}
