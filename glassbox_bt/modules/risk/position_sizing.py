"""How large may a position be? Six risk scores, a bucket and hard caps; no learned parameter.

1. Each risk family that is known gives a score in [0, 1], 1 = worst (`_volatility`, `_tail`,
   `_liquidity`, ...).
2. The scores of known families are averaged with renormalised weights: ``combined_risk_score``
   (`_combined`).
3. A bucket turns that into a share of the largest position, technical confidence scales it
   (`_desired`).
4. Hard caps per family bound the result; the ones that bind are named (`_caps`).

Missing is not low risk and not 0.5 (spec 0.8): every score ``<x>_risk_score`` stands beside
``<x>_risk_available``. Where that flag is 0 the score is written as 0.0 and means nothing; readers
multiply by the flag. What a missing family does to a position is decided by the rule barrier
(RB-15), not here. With no family known, or with neither liquidity nor tail risk known, the module
abstains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span
from glassbox_bt.modules._sizing_words import Lever, levers, reduction_reasons, summaries
from glassbox_bt.modules.base import RuleModule, answers_of, reasons
from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, Kind, Read, Reason, StrArray

__all__ = ["BUCKETS", "FAMILIES", "PositionSizing"]

FAMILIES = ("volatility", "drawdown", "var_cvar", "contagion", "liquidity", "regime")  # spec 0.1
BUCKETS = ("zero", "quarter", "half", "three_quarters", "full")
BUCKET_SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])  # of the largest position, in that order
EXPOSURES = ("conservative", "moderate", "aggressive")
HORIZONS = ("short", "long")
REGIMES = ("calm", "volatile", "crisis", "rotation", "unknown")
LARGEST = MappingProxyType({"conservative": 0.05, "moderate": 0.10, "aggressive": 0.15})
REGIME_RISK = np.array([0.10, 0.65, 1.00, 0.45])  # calm, volatile, crisis, rotation
SOURCES = tuple(
    "+".join(name for bit, name in enumerate(FAMILIES) if mask >> bit & 1) or "none" for mask in range(1 << len(FAMILIES))
)  # code = bit mask of the caps tied at the minimum

REGIME_HEAD = "regime_probs_high"  # of volatility

INPUTS = MappingProxyType(
    {
        "volatility": ("vol_10d", "vol_30d", REGIME_HEAD),
        "drawdown": ("drawdown_risk_score",),
        "cvar": ("cvar_95", "cvar_99", "tail_ratio_95", "tail_ratio_99"),
        "contagion": ("contagion_5d", "contagion_20d", "contagion_60d"),
        "liquidity": (
            "liquidity_score",
            "slippage_estimate_frac",
            "days_to_liquidate_1M",
            "tradable",
        ),
        "regime": (
            "prob_calm",
            "prob_volatile",
            "prob_crisis",
            "prob_rotation",
            "macro_stress_score",
            "learned_graph_stress",
            "regime_label_id",
        ),
        "technical": ("trend_score", "trend_reliability"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSizing(RuleModule):
    """Largest fraction of equity that the risk of a name allows (PS rules of spec §18).

    Parameters
    ----------
    exposure_mode : {"conservative", "moderate", "aggressive"}, default="moderate"
        Largest single position: 0.05, 0.10 or 0.15 of equity.
    horizon_mode : {"short", "long"}, default="short"
        The long horizon holds less in a crisis.
    weights : tuple[float, ...]
        Of the six families in fixed order; renormalised over the families that are known.
    buckets : tuple[float, float, float, float]
        Upper bounds (exclusive) of combined risk for the full, three-quarters, half and quarter
        position; above the last: none.
    risk_caps : tuple[tuple[float, float], ...]
        ``(score, cap)``: from this volatility, drawdown, tail or contagion score on (inclusive), at
        most this fraction of equity.
    liquidity_caps : tuple[tuple[float, float], ...]
        ``(score, cap)``: below this liquidity score (exclusive), at most this fraction.
    regime_caps : tuple[float, float, float, float]
        Volatile, rotation, crisis at the short horizon, crisis at the long horizon.
    regime_head : bool, default=True
        Whether the stack's volatility says how probable its highest third is. Without it (a GARCH rule alone) the two
        forecasts carry 0.40 and 0.60 of the score: 0.30 and 0.45, renormalised.

    Notes
    -----
    Departures from the source of these rules, all towards less exposure: technical confidence is
    conviction times reliability and not direction (D-POS-02); its multiplier runs from 0.75 to
    1.00, because above 1 it had no effect in the full bucket (D-POS-04).
    """

    exposure_mode: Literal["conservative", "moderate", "aggressive"] = "moderate"
    horizon_mode: Literal["short", "long"] = "short"
    weights: tuple[float, float, float, float, float, float] = (0.20, 0.15, 0.15, 0.25, 0.15, 0.10)
    buckets: tuple[float, float, float, float] = (0.30, 0.50, 0.70, 0.85)
    risk_caps: tuple[tuple[float, float], ...] = ((0.75, 0.05), (0.85, 0.02))
    liquidity_caps: tuple[tuple[float, float], ...] = ((0.35, 0.05), (0.20, 0.02))
    regime_caps: tuple[float, float, float, float] = (0.06, 0.05, 0.05, 0.03)
    technical_floor: float = 0.75  # multiplier at no technical confidence, or where it is unknown
    technical_slope: float = 0.35
    regime_head: bool = True

    name: ClassVar[str] = "position_sizing"
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = (
        "exposure_mode",
        "horizon_mode",
        *(f"{family}_risk_score" for family in FAMILIES),
        *(f"{family}_risk_available" for family in FAMILIES),
        "technical_available",
        "technical_confidence",
        "technical_multiplier",
        "combined_risk_score",
        "size_bucket",
        "risk_bucket_fraction",
        "max_single_stock_exposure",
        "pre_cap_position_fraction_of_max",
        "pre_cap_capital_fraction",
        "position_fraction_of_max",
        "recommended_capital_fraction",
        "recommended_capital_pct",
        "risk_budget_used",
        *(f"{family}_hard_cap" for family in FAMILIES),
        "binding_hard_cap",
        "binding_cap_source",
        "hard_cap_applied",
        "regime_label",
    )
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {
            "exposure_mode": EXPOSURES,
            "horizon_mode": HORIZONS,
            "size_bucket": BUCKETS,
            "regime_label": REGIMES,
            "binding_cap_source": SOURCES,
        }
    )

    def __post_init__(self) -> None:
        if self.exposure_mode not in EXPOSURES or self.horizon_mode not in HORIZONS:
            raise PlanError(
                f"`exposure_mode` is one of {', '.join(EXPOSURES)} and `horizon_mode` one of {', '.join(HORIZONS)}; "
                f"got {self.exposure_mode!r} and {self.horizon_mode!r}."
            )
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise PlanError(f"`weights` must not be negative nor all zero, got {self.weights}.")
        if list(self.buckets) != sorted(set(self.buckets)):
            raise PlanError(f"`buckets` must ascend, got {self.buckets}.")
        if not (0 <= self.technical_floor <= 1 and self.technical_slope >= 0):
            raise PlanError(
                "`technical_floor` must lie in [0, 1] and `technical_slope` must not be negative, "
                f"got {self.technical_floor} and {self.technical_slope}."
            )
        fractions = [cap for _, cap in (*self.risk_caps, *self.liquidity_caps)]
        if not all(0 <= cap <= 1 for cap in (*fractions, *self.regime_caps)):
            raise PlanError("Every cap is a fraction of equity in [0, 1].")

    @property
    def reads(self) -> tuple[Read, ...]:
        return tuple(
            Read(f"{module}.{output}") for module, columns in self._inputs.items() for output in (*columns, "known")
        )

    @property
    def _inputs(self) -> Mapping[str, tuple[str, ...]]:
        return INPUTS if self.regime_head else {**INPUTS, "volatility": ("vol_10d", "vol_30d")}

    @property
    def largest(self) -> float:
        """Largest single position, fraction of equity."""
        return LARGEST[self.exposure_mode]

    def predict_many(self, span: Span) -> Answers:
        """Sizes of every day; a row uses that day's values only."""
        known, values = _read(span, self._inputs)
        return self._answers(span, known, values)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Size, leading risk and binding cap of each row in words."""
        return summaries(answers, np.asarray(self.weights))

    def reduction_reasons(self, answers: Answers) -> StrArray:
        """Column ``size_reduction_reasons``: codes of what made a size smaller, joined by ``|``."""
        return reduction_reasons(answers, np.asarray(self.weights))

    def levers(self, answers: Answers, row: tuple[int, int]) -> tuple[Lever, ...]:
        """How far each risk score would have to fall for the next larger bucket."""
        return levers(answers, row, self.weights, self.buckets)

    def _answers(self, span: Span, known: Mapping[str, BoolArray], values: Mapping[str, FloatArray]) -> Answers:
        available = _available(known)
        scores = _scores(available, values)
        combined, weighed = self._combined(available, scores)
        out: dict[str, AnyArray] = {
            "exposure_mode": np.full(combined.shape, float(EXPOSURES.index(self.exposure_mode))),
            "horizon_mode": np.full(combined.shape, float(HORIZONS.index(self.horizon_mode))),
        }
        out |= {f"{family}_risk_score": scores[family] for family in FAMILIES}
        out |= {f"{family}_risk_available": available[family].astype(float) for family in FAMILIES}
        out |= self._desired(combined, known["technical"], values)
        caps = self._caps(available, scores, values)
        out |= {f"{family}_hard_cap": caps[family] for family in FAMILIES}
        unknown = float(REGIMES.index("unknown"))
        out["regime_label"] = np.where(available["regime"], values["regime.regime_label_id"], unknown)
        out |= _bounded(out["pre_cap_capital_fraction"], caps, self.largest)
        blind = ~available["liquidity"] & ~available["var_cvar"]
        reason = reasons((~span.member, Reason.NOT_A_MEMBER), (blind | ~weighed, Reason.UPSTREAM_UNKNOWN))
        return answers_of(self.name, span, {name: out[name] for name in self.outputs}, reason)

    def _combined(
        self, available: Mapping[str, BoolArray], scores: Mapping[str, FloatArray]
    ) -> tuple[FloatArray, BoolArray]:
        """Weighted mean over the known families (NaN without one), and where there is one."""
        shape = scores[FAMILIES[0]].shape
        total, weight = np.zeros(shape), np.zeros(shape)
        for family, share in zip(FAMILIES, self.weights, strict=True):
            total += share * scores[family]
            weight += share * available[family]
        weighed = weight > 0
        mean = np.divide(total, weight, out=np.full(shape, np.nan), where=weighed)
        return np.minimum(mean, 1.0), weighed  # rounding may leave the mean an ulp above 1

    def _desired(self, combined: FloatArray, technical: BoolArray, values: Mapping[str, FloatArray]) -> dict[str, AnyArray]:
        """Bucket, multiplier and the size they ask for, before any cap."""
        level = len(self.buckets) - np.searchsorted(self.buckets, combined, side="right")
        share = BUCKET_SHARES[level]
        conviction = np.abs(2.0 * values["technical.trend_score"] - 1.0)
        confidence = np.where(technical, _unit(conviction * values["technical.trend_reliability"]), 0.0)
        multiplier = np.minimum(self.technical_floor + self.technical_slope * confidence, 1.0)
        return {
            "technical_available": technical.astype(float),
            "technical_confidence": confidence,
            "technical_multiplier": multiplier,
            "combined_risk_score": combined,
            "size_bucket": level.astype(float),
            "risk_bucket_fraction": share,
            "max_single_stock_exposure": np.full(combined.shape, self.largest),
            "pre_cap_position_fraction_of_max": share * multiplier,
            "pre_cap_capital_fraction": share * multiplier * self.largest,
        }

    def _caps(
        self,
        available: Mapping[str, BoolArray],
        scores: Mapping[str, FloatArray],
        values: Mapping[str, FloatArray],
    ) -> dict[str, FloatArray]:
        """Hard cap of each family, fraction of equity, never above the largest position."""
        caps = {name: np.full(score.shape, self.largest) for name, score in scores.items()}
        for family in ("volatility", "drawdown", "var_cvar", "contagion"):
            for threshold, cap in self.risk_caps:
                _lower(caps[family], available[family] & (scores[family] >= threshold), cap)
        liquid = available["liquidity"]
        for threshold, cap in self.liquidity_caps:
            _lower(caps["liquidity"], liquid & (values["liquidity.liquidity_score"] < threshold), cap)
        _lower(caps["liquidity"], liquid & (values["liquidity.tradable"] < 0.5), 0.0)
        volatile, rotation, short, long = self.regime_caps
        label = np.where(available["regime"], values["regime.regime_label_id"], -1.0)
        crisis = short if self.horizon_mode == "short" else long
        for code, cap in ((1, volatile), (2, crisis), (3, rotation)):
            _lower(caps["regime"], label == code, cap)
        return caps


def _read(span: Span, inputs: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, BoolArray], dict[str, FloatArray]]:
    """Known flag of each module (its inputs complete) and all inputs, (n_days, n_assets) each."""
    known: dict[str, BoolArray] = {}
    values: dict[str, FloatArray] = {}
    for module, columns in inputs.items():
        complete = _per_asset(span, f"{module}.known") == 1.0
        for output in columns:
            value = _per_asset(span, f"{module}.{output}")
            complete = complete & np.isfinite(value)
            values[f"{module}.{output}"] = value
        known[module] = complete
    return known, values


def _per_asset(span: Span, column: str) -> FloatArray:
    """Today's values, (n_days, n_assets); a market-wide answer is the same for every name."""
    today = np.asarray(span.today(column), dtype=np.float64)
    return np.broadcast_to(today[:, None], span.member.shape) if today.ndim == 1 else today


def _available(known: Mapping[str, BoolArray]) -> dict[str, BoolArray]:
    return {family: known["cvar" if family == "var_cvar" else family] for family in FAMILIES}


def _scores(available: Mapping[str, BoolArray], values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Risk scores in [0, 1]; 0.0 where the family is not available."""
    raw = {
        "volatility": _volatility(values),
        "drawdown": values["drawdown.drawdown_risk_score"],
        "var_cvar": _tail(values),
        "contagion": (
            0.20 * values["contagion.contagion_5d"]
            + 0.40 * values["contagion.contagion_20d"]
            + 0.40 * values["contagion.contagion_60d"]
        ),
        "liquidity": _liquidity(values),
        "regime": _regime(values),
    }
    return {family: np.where(available[family], _unit(raw[family]), 0.0) for family in FAMILIES}


def _volatility(values: Mapping[str, FloatArray]) -> FloatArray:
    short, long = (
        _unit(values["volatility.vol_10d"] / 0.50),
        _unit(values["volatility.vol_30d"] / 0.60),
    )
    if f"volatility.{REGIME_HEAD}" not in values:
        return (0.30 * short + 0.45 * long) / 0.75
    return 0.30 * short + 0.45 * long + 0.25 * _unit(values[f"volatility.{REGIME_HEAD}"])


def _tail(values: Mapping[str, FloatArray]) -> FloatArray:
    """Loss magnitudes: an expected shortfall that is a gain is no risk."""
    excess = 0.5 * (_unit(values["cvar.tail_ratio_95"] - 1.0) + _unit(values["cvar.tail_ratio_99"] - 1.0))
    score: FloatArray = (
        0.40 * _unit(-values["cvar.cvar_95"] / 0.08) + 0.40 * _unit(-values["cvar.cvar_99"] / 0.12) + 0.20 * excess
    )
    return score


def _liquidity(values: Mapping[str, FloatArray]) -> FloatArray:
    score = (
        0.65 * (1.0 - values["liquidity.liquidity_score"])
        + 0.20 * _unit(values["liquidity.slippage_estimate_frac"] / 0.02)
        + 0.15 * _unit(values["liquidity.days_to_liquidate_1M"] / 10.0)
    )
    return np.where(values["liquidity.tradable"] < 0.5, 1.0, score)


def _regime(values: Mapping[str, FloatArray]) -> FloatArray:
    names = ("calm", "volatile", "crisis", "rotation")
    expected = sum(
        (risk * values[f"regime.prob_{name}"] for risk, name in zip(REGIME_RISK, names, strict=True)),
        start=np.zeros(values["regime.prob_calm"].shape),
    )
    stress = 0.5 * (values["regime.macro_stress_score"] + values["regime.learned_graph_stress"])
    label = np.nan_to_num(values["regime.regime_label_id"], nan=0.0).astype(np.int64)
    return 0.50 * expected + 0.30 * stress + 0.20 * REGIME_RISK[label]


def _bounded(desired: FloatArray, caps: Mapping[str, FloatArray], largest: float) -> dict[str, AnyArray]:
    """The tightest cap, who sets it, and the size under it."""
    binding = np.minimum.reduce([caps[family] for family in FAMILIES])
    applied = binding < desired - 1e-9
    tied = sum(
        ((caps[family] == binding).astype(np.int64) << bit for bit, family in enumerate(FAMILIES)),
        start=np.zeros(desired.shape, dtype=np.int64),
    )
    size = np.minimum(desired, binding)
    return {
        "position_fraction_of_max": size / largest,
        "recommended_capital_fraction": size,
        "recommended_capital_pct": 100.0 * size,
        "risk_budget_used": size / largest,
        "binding_hard_cap": binding,
        "binding_cap_source": np.where(applied, tied, 0).astype(float),
        "hard_cap_applied": applied.astype(float),
    }


def _unit(values: FloatArray) -> FloatArray:
    return np.clip(values, 0.0, 1.0)


def _lower(caps: FloatArray, where: BoolArray, cap: float) -> None:
    """Lower caps in place to ``cap`` where the condition holds."""
    np.minimum(caps, cap, out=caps, where=where)
