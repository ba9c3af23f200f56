from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import Module, predict
from glassbox_bt.modules.risk.position_sizing import FAMILIES, INPUTS, PositionSizing
from glassbox_bt.types import Answers, Reason

CALM: dict[str, float] = {
    "volatility.vol_10d": 0.10,
    "volatility.vol_30d": 0.12,
    "volatility.regime_probs_high": 0.05,
    "drawdown.drawdown_risk_score": 0.10,
    "cvar.cvar_95": -0.008,
    "cvar.cvar_99": -0.012,
    "cvar.tail_ratio_95": 1.1,
    "cvar.tail_ratio_99": 1.1,
    "contagion.contagion_5d": 0.1,
    "contagion.contagion_20d": 0.1,
    "contagion.contagion_60d": 0.1,
    "liquidity.liquidity_score": 0.9,
    "liquidity.slippage_estimate_frac": 0.001,
    "liquidity.days_to_liquidate_1M": 0.1,
    "liquidity.tradable": 1.0,
    "regime.prob_calm": 1.0,
    "regime.prob_volatile": 0.0,
    "regime.prob_crisis": 0.0,
    "regime.prob_rotation": 0.0,
    "regime.macro_stress_score": 0.1,
    "regime.learned_graph_stress": 0.1,
    "regime.regime_label_id": 0.0,
    "technical.trend_score": 0.9,
    "technical.trend_reliability": 1.0,
}


def span_of(rows: list[dict[str, float]], silent: tuple[str, ...] = (), member: bool = True) -> Span:
    """One day, one name per row; silent modules hold NaN."""
    blocks: dict[str, Any] = {}
    for module, columns in INPUTS.items():
        for column in columns:
            name = f"{module}.{column}"
            values = [np.nan if module in silent else (CALM | row)[name] for row in rows]
            blocks[name] = np.array([values])
        blocks[f"{module}.known"] = np.full((1, len(rows)), float(module not in silent))
    return Span(
        days=np.array([7]),
        dates=np.array(["2020-01-02"], dtype="datetime64[D]"),
        as_of=np.array(["2020-01-02T21:00"], dtype="datetime64[ns]"),
        tickers=tuple(f"N{i}" for i in range(len(rows))),
        member=np.full((1, len(rows)), member),
        reads=dict.fromkeys(blocks, 1),
        blocks=blocks,
    )


def sized(
    changes: Mapping[str, float] | None = None, silent: tuple[str, ...] = (), module: PositionSizing | None = None
) -> dict[str, float]:
    answers = (module or PositionSizing()).predict_many(span_of([dict(changes or {})], silent))
    return {name: float(values[0, 0]) for name, values in answers.outputs.items()}


def test_it_is_a_module_and_gives_every_output() -> None:
    module = PositionSizing()
    assert isinstance(module, Module)
    assert set(sized()) == set(module.outputs)
    assert module.restore(module.state()) == module


def test_a_calm_name_gets_the_full_position() -> None:
    out = sized()
    assert out["recommended_capital_fraction"] == 0.10
    assert PositionSizing.vocabulary["size_bucket"][int(out["size_bucket"])] == "full"
    assert out["hard_cap_applied"] == 0.0


def test_scores_follow_the_formulas() -> None:
    out = sized({"volatility.vol_10d": 0.25, "volatility.vol_30d": 0.9, "cvar.cvar_95": -0.04, "cvar.tail_ratio_95": 1.5})
    assert out["volatility_risk_score"] == pytest.approx(0.30 * 0.5 + 0.45 + 0.25 * 0.05)
    assert out["var_cvar_risk_score"] == pytest.approx(0.4 * 0.5 + 0.4 * 0.1 + 0.2 * (0.5 + 0.1) / 2)
    assert out["contagion_risk_score"] == pytest.approx(0.1)
    assert out["liquidity_risk_score"] == pytest.approx(0.65 * 0.1 + 0.20 * 0.05 + 0.15 * 0.01)
    assert out["regime_risk_score"] == pytest.approx(0.5 * 0.1 + 0.3 * 0.1 + 0.2 * 0.1)
    weights = dict(zip(FAMILIES, PositionSizing().weights, strict=True))
    mean = sum(weights[f] * out[f"{f}_risk_score"] for f in FAMILIES)
    assert out["combined_risk_score"] == pytest.approx(mean)
    assert sum(weights.values()) == pytest.approx(1.0, abs=1e-9)


def test_without_a_regime_head_the_forecasts_carry_the_score() -> None:
    module = PositionSizing(regime_head=False)
    out = sized({"volatility.vol_10d": 0.25, "volatility.vol_30d": 0.9, "volatility.regime_probs_high": np.nan}, (), module)
    assert out["volatility_risk_score"] == pytest.approx((0.30 * 0.5 + 0.45) / 0.75)
    assert "volatility.regime_probs_high" not in {read.column for read in module.reads}


@pytest.mark.parametrize("family", ["volatility", "drawdown", "contagion", "liquidity", "regime"])
def test_d_pos_01_a_missing_family_is_renormalised_not_guessed(family: str) -> None:
    full, out = sized(), sized(silent=(family,))
    weights = dict(zip(FAMILIES, PositionSizing().weights, strict=True))
    rest = [f for f in FAMILIES if f != family]
    expected = sum(weights[f] * full[f"{f}_risk_score"] for f in rest) / sum(weights[f] for f in rest)
    assert out["combined_risk_score"] == pytest.approx(expected)
    assert (out[f"{family}_risk_available"], out[f"{family}_risk_score"]) == (0.0, 0.0)
    assert out[f"{family}_hard_cap"] == 0.10


def test_without_liquidity_and_tail_it_abstains() -> None:
    answers = PositionSizing().predict_many(span_of([{}], ("liquidity", "cvar")))
    assert answers.reason[0, 0] == Reason.UPSTREAM_UNKNOWN
    assert np.isnan(answers.outputs["recommended_capital_fraction"][0, 0])
    outside = PositionSizing().predict_many(span_of([{}], member=False))
    assert outside.reason[0, 0] == Reason.NOT_A_MEMBER


def test_an_input_missing_from_a_known_module_makes_its_family_unavailable() -> None:
    out = sized({"liquidity.slippage_estimate_frac": np.nan})
    assert out["liquidity_risk_available"] == 0.0


def test_d_pos_02_confidence_is_conviction_not_direction() -> None:
    up, down = sized({"technical.trend_score": 0.9}), sized({"technical.trend_score": 0.1})
    assert up["technical_confidence"] == pytest.approx(down["technical_confidence"]) == pytest.approx(0.8)
    assert sized({"technical.trend_reliability": 0.25})["technical_confidence"] == pytest.approx(0.2)
    assert sized({"technical.trend_score": 0.5})["technical_multiplier"] == 0.75
    assert sized(silent=("technical",))["technical_multiplier"] == 0.75


def test_d_pos_03_no_cap_is_named_unless_it_binds_and_ties_are_all_named() -> None:
    sources = PositionSizing.vocabulary["binding_cap_source"]
    assert sources[int(sized()["binding_cap_source"])] == "none"
    wild = {"drawdown.drawdown_risk_score": 0.8, "regime.regime_label_id": 2.0}
    out = sized(wild)
    assert sources[int(out["binding_cap_source"])] == "drawdown+regime"
    assert (out["recommended_capital_fraction"], out["hard_cap_applied"]) == (0.05, 1.0)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(deadline=None)
def test_d_pos_04_the_multiplier_never_exceeds_one(trend: float, reliability: float) -> None:
    out = sized({"technical.trend_score": trend, "technical.trend_reliability": reliability})
    assert 0.75 <= out["technical_multiplier"] <= 1.0


@pytest.mark.parametrize(
    ("changes", "cap"),
    [
        ({"drawdown.drawdown_risk_score": 0.75}, 0.05),
        ({"drawdown.drawdown_risk_score": np.nextafter(0.75, 0)}, 0.10),
        ({"drawdown.drawdown_risk_score": 0.85}, 0.02),
        ({"liquidity.liquidity_score": 0.35}, 0.10),
        ({"liquidity.liquidity_score": np.nextafter(0.35, 0)}, 0.05),
        ({"liquidity.liquidity_score": np.nextafter(0.20, 0)}, 0.02),
        ({"liquidity.tradable": 0.0}, 0.0),
        ({"regime.regime_label_id": 1.0}, 0.06),
        ({"regime.regime_label_id": 3.0}, 0.05),
    ],
)
def test_hard_caps_at_their_thresholds(changes: dict[str, float], cap: float) -> None:
    out = sized(changes)
    assert out["binding_hard_cap"] == cap
    assert out["recommended_capital_fraction"] <= cap


def test_the_long_horizon_holds_less_in_a_crisis() -> None:
    crisis = {"regime.regime_label_id": 2.0}
    assert sized(crisis)["regime_hard_cap"] == 0.05
    assert sized(crisis, module=PositionSizing(horizon_mode="long"))["regime_hard_cap"] == 0.03


@pytest.mark.parametrize(("combined", "share"), [(0.2999, 1.0), (0.30, 0.75), (0.5, 0.5), (0.7, 0.25), (0.85, 0.0)])
def test_buckets_exclude_their_upper_bound(combined: float, share: float) -> None:
    only_drawdown = PositionSizing(weights=(0.0, 1.0, 0.0, 0.0, 0.0, 0.0))
    out = sized({"drawdown.drawdown_risk_score": combined}, module=only_drawdown)
    assert out["combined_risk_score"] == combined
    assert out["risk_bucket_fraction"] == share


RAISES = {  # input -> direction in which risk grows, and its legal range
    "volatility.vol_10d": (0.01, 1.0),
    "volatility.vol_30d": (0.01, 1.2),
    "drawdown.drawdown_risk_score": (0.0, 1.0),
    "cvar.cvar_95": (0.0, -0.2),
    "cvar.cvar_99": (0.0, -0.3),
    "cvar.tail_ratio_95": (1.0, 3.0),
    "cvar.tail_ratio_99": (1.0, 3.0),
    "contagion.contagion_5d": (0.0, 1.0),
    "contagion.contagion_20d": (0.0, 1.0),
    "contagion.contagion_60d": (0.0, 1.0),
    "liquidity.liquidity_score": (1.0, 0.0),
    "liquidity.slippage_estimate_frac": (0.0, 0.1),
    "liquidity.days_to_liquidate_1M": (0.0, 50.0),
    "liquidity.tradable": (1.0, 0.0),
    "regime.macro_stress_score": (0.0, 1.0),
    "regime.learned_graph_stress": (0.0, 1.0),
}
STATES = st.fixed_dictionaries(
    {
        name: st.sampled_from([0.0, 1.0]) if name.endswith("tradable") else st.floats(min(ends), max(ends))
        for name, ends in RAISES.items()
    }
    | {"regime.regime_label_id": st.sampled_from([0.0, 1.0, 2.0, 3.0]), "technical.trend_score": st.floats(0.0, 1.0)}
)


@given(STATES, st.sampled_from(sorted(set(INPUTS) - {"technical", "cvar"})), st.booleans())
@settings(max_examples=150, deadline=None)
def test_raising_any_risk_never_raises_the_size(state: dict[str, float], family: str, silence: bool) -> None:
    rows, names = [state], []
    for name, ends in RAISES.items():
        for share in (0.25, 1.0):
            worse = state[name] + share * (ends[1] - state[name])
            rows.append(state | {name: round(worse) if name.endswith("tradable") else worse})
            names.append(name)
    answers = PositionSizing().predict_many(span_of(rows, (family,) if silence else ()))
    size = answers.outputs["recommended_capital_fraction"][0]
    assert (size[1:] <= size[0]).all(), names


@given(STATES)
@settings(max_examples=100, deadline=None)
def test_the_size_is_within_every_bound_and_in_range(state: dict[str, float]) -> None:
    out = sized(state)
    caps = [out[f"{family}_hard_cap"] for family in FAMILIES]
    size = out["recommended_capital_fraction"]
    assert 0.0 <= size <= min(*caps, out["pre_cap_capital_fraction"], out["max_single_stock_exposure"])
    assert out["binding_hard_cap"] == min(caps)
    assert out["recommended_capital_pct"] == 100.0 * size
    assert all(0.0 <= out[f"{f}_risk_score"] <= 1.0 for f in FAMILIES)
    assert 0.0 <= out["combined_risk_score"] <= 1.0


def test_a_market_wide_regime_applies_to_every_name() -> None:
    span = span_of([{}, {}])
    blocks = dict(span.blocks)
    for column in (*INPUTS["regime"], "known"):
        blocks[f"regime.{column}"] = span.blocks[f"regime.{column}"][:, 0]
    wide = Span(**{name: getattr(span, name) for name in Span.__slots__ if name != "blocks"}, blocks=blocks)
    one, two = PositionSizing().predict_many(wide), PositionSizing().predict_many(span)
    assert all(np.array_equal(one.outputs[name], two.outputs[name]) for name in PositionSizing.outputs)


def test_every_cap_source_has_its_own_code() -> None:
    sources = PositionSizing.vocabulary["binding_cap_source"]
    assert len(set(sources)) == 2 ** len(FAMILIES)
    for one, two in itertools.combinations(FAMILIES, 2):
        assert f"{one}+{two}" in sources


def texts_of(rows: list[dict[str, float]], silent: tuple[str, ...] = ()) -> tuple[Answers, list[str], list[str]]:
    module, span = PositionSizing(), span_of(rows, silent)
    answers = module.predict_many(span)
    return answers, list(module.explain(span, answers)[0]), list(module.reduction_reasons(answers)[0])


def test_the_summary_names_size_risk_and_cap() -> None:
    _, (text,), (codes,) = texts_of([{"contagion.contagion_20d": 1.0, "contagion.contagion_60d": 1.0}], ("drawdown",))
    assert text == (
        "Risk allows 5.0 percent of equity: combined risk score 0.32 gives a three quarters position. "
        "The leading risk is contagion at 0.82. The contagion cap of 5.0 percent binds. Not known: drawdown."
    )
    assert (
        codes
        == "leading_risk_contagion|leading_risk_volatility|leading_risk_var_cvar|hard_cap_contagion|high_contagion_risk"
    )


@given(STATES, st.sampled_from([(), ("drawdown", "contagion", "regime"), ("liquidity",), ("technical",)]))
@settings(max_examples=100, deadline=None)
def test_every_summary_is_short_plain_and_free_of_column_names(state: dict[str, float], silent: tuple[str, ...]) -> None:
    _, (text,), _ = texts_of([state], silent)
    assert 8 <= len(text.split()) <= 60
    assert text.isascii()
    assert "_" not in text
    assert "nan" not in text


@given(STATES)
@settings(max_examples=100, deadline=None)
def test_a_lever_pulled_below_its_bound_lifts_the_bucket_and_no_sooner(state: dict[str, float]) -> None:
    module, name = PositionSizing(), "drawdown.drawdown_risk_score"
    answers = module.predict_many(span_of([state]))
    bucket = answers.outputs["size_bucket"][0, 0]
    for lever in module.levers(answers, (0, 0)):
        if lever.family != "drawdown" or not lever.below > 1e-6:
            continue
        assert sized(state | {name: lever.below - 1e-6})["size_bucket"] == bucket + 1
        assert sized(state | {name: lever.below + 1e-6})["size_bucket"] == bucket


def test_a_full_bucket_and_an_unknown_row_have_no_lever() -> None:
    module = PositionSizing()
    for silent in ((), ("liquidity", "cvar")):
        assert module.levers(module.predict_many(span_of([{}], silent)), (0, 0)) == ()


def test_unknown_rows_say_why() -> None:
    _, (text,), (codes,) = texts_of([{}], ("liquidity", "cvar"))
    assert "neither liquidity nor tail risk is known" in text
    assert codes is None
    assert texts_of([{}])[2] == [""]


def test_one_day_is_the_many_day_path() -> None:
    from glassbox_bt.market.view import MarketView

    span = span_of([{}, {"volatility.vol_30d": 0.5}])
    many = PositionSizing().predict_many(span)
    one = predict(PositionSizing(), MarketView(span))
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, many.outputs[name][0])


@pytest.mark.parametrize(
    "settings",
    [
        {"exposure_mode": "bold"},
        {"weights": (0.0,) * 6},
        {"weights": (-0.1, 0.2, 0.2, 0.2, 0.2, 0.3)},
        {"buckets": (0.5, 0.3, 0.7, 0.8)},
        {"technical_floor": 1.2},
        {"risk_caps": ((0.75, 1.5),)},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        PositionSizing(**settings)
