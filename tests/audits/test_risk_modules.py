"""The tables, texts and explanations of the learned risk modules: each way to break them is found, and only that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.attention_weights import INFLUENCES
from glassbox_bt.audits.base import AuditSettings
from glassbox_bt.audits.probes import NOT_BY_ROWS, probes
from glassbox_bt.audits.ranges import range_of
from glassbox_bt.audits.schemas import MODULES, TOGETHER
from glassbox_bt.decision.rules import Rules
from glassbox_bt.modules.risk.contagion import StemGnnContagion
from glassbox_bt.modules.risk.drawdown import Drawdown
from glassbox_bt.modules.risk.regime import MtgnnRegime
from glassbox_bt.modules.risk.volatility import Volatility
from glassbox_bt.modules.risk.volatility_garch import Garch
from tests.audits.planted import Planted, found

NEW = ("garch", "volatility", "drawdown", "contagion", "regime")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def table(module: str) -> str:
    return f"modules/{module}/chunk1_test"


@pytest.mark.parametrize(
    "module", [Garch(), Volatility(), Drawdown(), StemGnnContagion(), MtgnnRegime()], ids=lambda m: m.name
)
def test_every_output_is_in_the_schema_and_has_a_range(module: Any) -> None:
    words = {*getattr(module, "vocabulary", {}), *getattr(module, "name_outputs", ())}
    assert set(module.outputs) <= set(MODULES[module.name].names)
    assert [name for name in module.outputs if name not in words and range_of(name) is None] == []


@pytest.mark.parametrize("audit", ["schema", "finite", "bounds", "attention", "readability"])
def test_a_clean_run_with_the_whole_risk_engine_has_no_finding(risky: Path, ask: Any, audit: str) -> None:
    result = ask(audit, risky)
    assert result.findings == ()
    assert result.facts.get("undeclared", []) == []


# Columns


def test_what_one_variant_has_comes_whole_or_not_at_all(planted_risk: Planted, ask: Any) -> None:
    run = planted_risk.change(table("contagion"), lambda t: t.drop(columns="influence_3"))
    assert found(ask("schema", run, "contagion")) == {("columns of a variant", "contagion", "influence_3")}
    planted_risk.change(table("contagion"), lambda t: t.drop(columns=set(TOGETHER["contagion"][0]) & set(t.columns)))
    assert ask("schema", run, "contagion").findings == ()  # the anchor alone looks at no neighbour


@pytest.mark.parametrize(
    ("module", "change", "column"),
    [
        ("garch", lambda t: t.drop(columns="persistence"), "persistence"),
        ("volatility", lambda t: t.assign(regime_label=1.0), "regime_label"),
        ("drawdown", lambda t: t.assign(close=1.0), "close"),
        ("contagion", lambda t: t.drop(columns="own_history_20d"), "own_history_20d"),
        ("regime", lambda t: t.rename(columns={"regime_confidence": "confidence"}), "confidence"),
    ],
)
def test_a_column_that_is_not_as_promised_is_named(
    planted_risk: Planted, ask: Any, module: str, change: Change, column: str
) -> None:
    assert ("columns", module, column) in found(ask("schema", planted_risk.change(table(module), change), module))


def test_a_drawdown_without_a_network_has_no_attention(planted_risk: Planted, ask: Any) -> None:
    run = planted_risk.change(table("drawdown"), lambda t: t.drop(columns="attention"))
    for audit in ("schema", "finite", "attention"):
        assert [one for one in ask(audit, run, "drawdown", "temporal_encoder").findings if one.module == "drawdown"] == []


def test_a_word_in_a_row_that_does_not_know_is_named(planted_risk: Planted, ask: Any) -> None:
    words = ["regime_label", "nowcast_regime"]

    def abstaining(content: pd.DataFrame) -> pd.DataFrame:
        numbers = [name for name in content.columns if pd.api.types.is_float_dtype(content[name])]
        content.loc[11, numbers] = np.nan
        reason = content["reason"].where(content.index != 11, "upstream_unknown")
        return content.assign(known=content["known"] & (content.index != 11), reason=reason)

    run = planted_risk.change(table("regime"), abstaining)
    told = {one for one in found(ask("finite", run, "regime")) if one[1] == "regime"}
    assert told == {("silent where not known", "regime", word) for word in words}
    planted_risk.change(table("regime"), lambda t: t.assign(**{one: t[one].where(t["known"]) for one in words}))
    assert not [one for one in found(ask("finite", run, "regime")) if one[1] == "regime"]


# Bounds


@pytest.mark.parametrize(
    ("module", "column", "value"),
    [
        ("volatility", "share_recent", 1.01),
        ("volatility", "regime_id", 3.0),
        ("drawdown", "drawdown_q90_30d", 0.81),
        ("drawdown", "recovery_days_10d", 10.5),
        ("drawdown", "drawdown_risk_30d_bucket", -0.1),
        ("contagion", "contagion_20d_raw", 1.2),
        ("contagion", "influence_4", -0.01),
        ("regime", "prob_crisis_vix_rule", 1.5),
        ("regime", "transition_probability_raw", -0.2),
    ],
)
def test_a_number_outside_its_range_is_named(
    planted_risk: Planted, ask: Any, module: str, column: str, value: float
) -> None:
    run = planted_risk.set(table(module), column, value, rows=lambda t: t["known"])
    assert ("range", module, column) in found(ask("bounds", run, module))


@pytest.mark.parametrize(
    ("module", "values", "check"),
    [
        ("regime", {"prob_calm_persistence": 0.9, "prob_crisis_persistence": 0.9}, "regime probabilities_persistence"),
        ("volatility", {"share_garch": 0.9, "share_recent": 0.9}, "shares of the volatility forecast"),
        ("contagion", {"influence_1": 0.8, "influence_2": 0.7}, "influences"),
        ("drawdown", {"expected_drawdown_10d": 0.5, "expected_drawdown_30d": 0.4}, "order"),
        ("drawdown", {"drawdown_q50_30d": 0.5, "drawdown_q90_30d": 0.4}, "order"),
        (
            "regime",
            {"prob_calm": 0.4, "prob_volatile": 0.6, "prob_crisis": 0.0, "prob_rotation": 0.0},
            "label is the likeliest",
        ),
        ("volatility", {"regime_label": "none"}, "label is the likeliest"),
    ],
)
def test_what_does_not_belong_together_is_named(
    planted_risk: Planted, ask: Any, module: str, values: dict[str, Any], check: str
) -> None:
    def plant(content: pd.DataFrame) -> pd.DataFrame:
        rows = content["known"] & (content["regime_label"] == "calm") if "prob_calm" in values else content["known"]
        rows = rows if rows.any() else content["known"] & (content["regime_label"] != "volatile")
        assert rows.any()
        for column, value in values.items():
            content[column] = content[column].where(~rows, value)
        return content

    run = planted_risk.change(table(module), plant)
    assert (check, module) in {(one.check, one.module) for one in ask("bounds", run, module).findings}


def test_equally_likely_labels_may_both_be_named(planted_risk: Planted, ask: Any) -> None:
    def tied(content: pd.DataFrame) -> pd.DataFrame:
        equal = {f"prob_{name}": 0.25 for name in ("calm", "volatile", "crisis", "rotation")}
        known = content["known"]
        return content.assign(**{name: content[name].where(~known, value) for name, value in equal.items()})

    checks = {one.check for one in ask("bounds", planted_risk.change(table("regime"), tied), "regime").findings}
    assert "label is the likeliest" not in checks


# Attention and its concentration


def test_attention_of_drawdown_that_does_not_add_up_is_named(planted_risk: Planted, ask: Any) -> None:
    def heavy(content: pd.DataFrame) -> pd.DataFrame:
        louder: Any = [np.asarray(one, dtype=np.float64) * 1.01 for one in content["attention"]]
        return content.assign(attention=louder)

    run = planted_risk.change(table("drawdown"), heavy)
    assert ("sum", "drawdown", "attention") in found(ask("attention", run, "drawdown", "temporal_encoder"))


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ([0.97, *[0.001] * 9], "one slot has nearly all"),
        ([0.09] * 10, "the same everywhere"),
        ([0.4, 0.2, 0.1, *[0.02] * 7], ""),
    ],
    ids=["collapsed", "uninformative", "clean"],
)
def test_influences_on_one_neighbour_or_on_all_alike_are_noted(
    planted_risk: Planted, ask: Any, shares: list[float], says: str
) -> None:
    def plant(content: pd.DataFrame) -> pd.DataFrame:
        known = content["known"]
        return content.assign(
            **{name: content[name].where(~known, share) for name, share in zip(INFLUENCES, shares, strict=True)}
        )

    result = ask("entropy", planted_risk.change(table("contagion"), plant), "contagion")
    noted = [one for one in result.findings if (one.column, one.split) == ("influence", "test")]
    assert [says in one.detail for one in noted] == ([True] if says else [])
    assert "influence entropy, mean" in {one.metric for one in result.metrics}


def test_a_top_effect_that_changes_while_nothing_moves_is_told(planted_risk: Planted, ask: Any) -> None:
    def stable(run: Path) -> float:
        told = ask("top_driver", run, "volatility", "garch", "temporal_encoder").metrics
        return next(
            float(one.value or 0.0)
            for one in told
            if (one.module, one.metric, one.split) == ("volatility", "TDS, all pairs (effect)", "test")
        )

    before = stable(planted_risk.run)

    def flipping(content: pd.DataFrame) -> pd.DataFrame:
        day = content["date"].rank(method="dense").astype(int) % 2 == 0
        return content.assign(
            log_effect_garch=np.where(day, 0.5, 0.0), log_effect_recent=np.where(day, 0.0, 0.5), log_effect_embedding=0.1
        )

    after = stable(planted_risk.change(table("volatility"), flipping))
    assert after < 0.05 < before


# Texts


def rewritten(change: Callable[[str], str]) -> Change:
    def plant(content: pd.DataFrame) -> pd.DataFrame:
        after = content["xai_summary"].map(change)
        assert (after != content["xai_summary"]).any(), "the fault changed nothing"
        return content.assign(xai_summary=after)

    return plant


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("garch", "Persistence 0", "Persistence 1"),
        ("volatility", "(probability ", "(probability 9"),
        ("volatility", "counts most and raises", "counts most and lowers"),
        ("volatility", "Confidence 0", "Confidence 2"),
        ("drawdown", "risk of 8%", "risk of 9%"),
        ("drawdown", "softens it", "deepens it"),
        ("drawdown", "Recovery ", "Recovery 8"),
        ("contagion", "Chance of an extreme loss ", "Chance of an extreme loss 7"),
        ("contagion", "within 20,", "within 21,"),
        ("contagion", "own history alone says ", "own history alone says 9"),
        ("contagion", "this week hold ", "this week hold 9"),
        ("regime", "calm ", "calm 7"),
        ("regime", "has chance ", "has chance 9"),
        ("regime", "graph stress 0", "graph stress 3"),
    ],
)
def test_a_wrong_number_in_a_summary_is_named(planted_risk: Planted, ask: Any, module: str, old: str, new: str) -> None:
    run = planted_risk.change(table(module), rewritten(lambda text: text.replace(old, new)))
    assert ("numbers agree with the row", module, "xai_summary") in found(ask("readability", run, module))


def test_a_neighbour_that_the_row_does_not_name_is_found(planted_risk: Planted, ask: Any) -> None:
    run = planted_risk.change(table("contagion"), rewritten(lambda text: text.replace("by weight: S0", "by weight: T0")))
    assert ("numbers agree with the row", "contagion", "xai_summary") in found(ask("readability", run, "contagion"))


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("volatility", "in the low third", "in the high third"),
        ("volatility", "The GARCH forecast counts", "The shape of the last 30 sessions counts"),
        ("drawdown", "recent realised volatility", "the GARCH forecast"),
        ("regime", "Today counts as calm", "Today counts as crisis"),
    ],
)
def test_a_word_that_contradicts_its_row_is_named(planted_risk: Planted, ask: Any, module: str, old: str, new: str) -> None:
    run = planted_risk.change(table(module), rewritten(lambda text: text.replace(old, new)))
    assert ("words agree with the row", module, "xai_summary") in found(ask("readability", run, module))


# Stability


def test_modules_of_whole_cross_sections_say_why_they_are_not_asked(risky: Path, ask: Any) -> None:
    result = ask("stability", risky, settings=AuditSettings(n_rows=60, n_draws=3))
    assert [one for one in result.findings if one.hard] == []
    whys = {one.module: one.detail for one in result.checks if one.passed is None and one.module in NOT_BY_ROWS}
    assert whys == {name: NOT_BY_ROWS[name] for name in ("contagion", "regime")}
    asked = {one.module for one in result.asked if one.check == "answers as recorded"}
    assert {"volatility", "drawdown"} <= asked
    assert not asked & set(NOT_BY_ROWS)
    told = {(one.module, one.metric): one.value for one in result.metrics}
    assert told["drawdown", "explanation cosine"] is not None


def test_the_likeliest_third_has_a_margin() -> None:
    probe = probes(Rules())["volatility"]
    assert probe.margin is not None
    rows = {
        f"regime_probs_{third}": np.array(one)
        for third, one in (("low", [0.5, 0.1]), ("medium", [0.3, 0.45]), ("high", [0.2, 0.45]))
    }
    np.testing.assert_allclose(probe.margin(rows), [0.2, 0.0])
