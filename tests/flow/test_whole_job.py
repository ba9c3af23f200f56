"""One tiny run of the whole job: its files, its tables, its rules and its books, read as a reviewer would read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.backtest import read_market
from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.decision.barrier import BarrierInputs, evaluate, reasons
from glassbox_bt.decision.rules import Rules
from glassbox_bt.decision.trace import ledger
from glassbox_bt.market.ingest import build_store
from glassbox_bt.plan import Plan, plan_from, read_plan
from glassbox_bt.reporting.layouts import APPROVED, DECISIONS
from glassbox_bt.types import Action
from tests.flow.tiny import tiny_table

EPS = 1e-9
EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*/plan.toml"))
STRATEGIES = ("Cash", "BuyAndHold", "MonthlyEqualWeight", "Momentum", "InverseVolatility")
MODULES = (
    *("temporal_encoder", "technical", "volatility", "var", "cvar", "liquidity", "position_sizing", "quantitative"),
    "fusion",
)
LEARNED = ("temporal_encoder", "technical", "quantitative", "fusion")
PREDICTIONS = {
    "technical": ("trend_score", "momentum_score", "move_intensity", "timing_confidence"),
    "volatility": ("vol_10d", "vol_30d", "garch_vol", "recent_vol"),
    "var": ("var_95", "var_99", "window_size"),
    "cvar": ("cvar_95", "cvar_99", "tail_ratio_95", "tail_ratio_99", "tail_count_95", "tail_count_99"),
    "liquidity": (
        *("liquidity_score", "slippage_estimate_pct", "slippage_estimate_frac", "days_to_liquidate_1M", "tradable"),
        *("dv_score", "vr_score", "to_score"),
    ),
    "position_sizing": ("recommended_capital_fraction", "binding_cap_source", "size_reduction_reasons"),
}


def job(plan: Plan, out: Path, **settings: Any) -> Path:
    """Run ``plan`` into ``out``, in this process, without tear-sheets and audits unless asked for."""
    how = {"workers": 1, "tearsheets": False, "audits": False, **settings}
    main_job(plan, JobSettings(out=out, **how), lambda _what, _share: None)
    return out


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_from(tiny_table(strategies=[f"strategies:{name}" for name in STRATEGIES]))


@pytest.fixture(scope="module")
def run(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return job(plan, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def decisions(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "decisions.parquet")


def test_every_promised_file_is_there(run: Path) -> None:
    promised = [
        *("manifest.json", "decisions.parquet", "metrics.json", "report/index.html", "evaluation/outcomes.parquet"),
        *(f"portfolio/{name}.parquet" for name in ("equity", "weights", "orders", "approved", "trades", "drawdowns")),
        *(f"modules/{name}/chunk1_{split}.parquet" for name in MODULES for split in ("train", "val", "test")),
        *(f"models/{name}/chunk1/frozen.json" for name in MODULES),
        *(f"models/{name}/chunk1/training_{what}" for name in LEARNED for what in ("history.csv", "summary.json")),
    ]
    assert [name for name in promised if not (run / name).is_file()] == []
    assert json.loads((run / "manifest.json").read_text())["status"] == "complete"


def test_decisions_have_the_columns_of_the_specification_in_its_order(decisions: pd.DataFrame) -> None:
    assert list(decisions.columns[:4]) == ["chunk", "split", "date", "ticker"]
    own = [name for name in decisions.columns if name not in ("chunk", "split", "date", "ticker")]
    wanted = [name for name in DECISIONS.columns if name in own]
    assert set(DECISIONS.columns) <= set(decisions.columns)
    assert decisions["regime_confidence"].isna().all()  # the regime module is silent
    assert [name for name in own if name in wanted] == in_spec_order(wanted)
    assert not [
        name
        for name in own
        if name.startswith(("target_", "true_", "future_", "forward_", "label_")) and name != "target_weight"
    ]


def in_spec_order(names: list[str]) -> list[str]:
    """As listed in spec 25.1; `top_attention_risk_driver` follows the pooled score there."""
    return [name for name in DECISIONS.columns if name in names]


def test_approved_orders_have_the_columns_of_the_specification(run: Path) -> None:
    approved = pd.read_parquet(run / "portfolio" / "approved.parquet")
    assert set(APPROVED.columns) <= set(approved.columns)
    assert set(approved["approved"]) <= {"0", "1", "partial"}
    assert not approved.duplicated(["chunk", "split", "date", "ticker"]).any()


@pytest.mark.parametrize("module", PREDICTIONS)
def test_module_tables_have_their_columns(run: Path, module: str) -> None:
    for split in ("train", "val", "test"):
        table = pd.read_parquet(run / "modules" / module / f"chunk1_{split}.parquet")
        there = [name for name in table.columns if name in PREDICTIONS[module]]
        assert set(there) == set(PREDICTIONS[module])
        assert table["xai_summary"].str.split().str.len().between(8, 60).all()


def test_there_is_one_row_per_member_and_day(plan: Plan, run: Path, decisions: pd.DataFrame) -> None:
    market = read_market(plan)
    store = build_store(market.raw, plan.market.universe, delist_return=plan.market.delist_return)
    parts = {"train": plan.chunks[0].train, "val": plan.chunks[0].validation, "test": plan.chunks[0].test}
    for split, dates in parts.items():
        days = store.sessions_between(*dates)
        day, asset = np.nonzero(store.member[days])
        members = set(zip(store.dates[days][day].tolist(), np.array(store.tickers)[asset].tolist(), strict=True))
        tables = {name: pd.read_parquet(run / "modules" / name / f"chunk1_{split}.parquet") for name in MODULES}
        if split != "train":
            tables["decisions"] = decisions[decisions["split"] == split]
        for name, table in tables.items():
            rows = list(zip(table["date"].dt.date.tolist(), table["ticker"].tolist(), strict=True))
            assert len(rows) == len(set(rows)), name
            if split == "train" and name in ("technical", "volatility", "quantitative", "fusion"):
                assert set(rows) < members  # the first blocks have no fit that ends before them
            else:
                assert set(rows) == members, name


def test_probabilities_and_percentages_add_up(decisions: pd.DataFrame) -> None:
    known = decisions[decisions["learned_buy_prob"].notna()]
    total = known[["learned_sell_prob", "learned_hold_prob", "learned_buy_prob"]].sum(axis=1)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    weights = known[["learned_quantitative_weight", "learned_qualitative_weight"]].sum(axis=1)
    np.testing.assert_allclose(weights, 1.0, atol=1e-5)
    np.testing.assert_allclose(known["final_position_pct"], 100.0 * known["final_position_fraction"], atol=1e-9)


def test_a_silent_text_branch_is_neutral(decisions: pd.DataFrame) -> None:
    assert (decisions["event_count"] == 0).all()
    assert (decisions["qualitative_risk_score"] == 0.5).all()
    known = decisions[decisions["learned_qualitative_weight"].notna()]
    assert (known["learned_qualitative_weight"] == 0.0).all()


def replayed(decisions: pd.DataFrame, rules: Rules) -> Any:
    """The barrier, run again on what the table recorded (audit A4 d)."""
    numbers = {name: decisions[name].to_numpy(dtype=np.float64) for name in NUMBERS}
    action = decisions["learned_recommendation"].map({one.name: float(one) for one in Action})
    known = decisions["learned_fusion_signal"].notna().to_numpy()
    sized = decisions["recommended_capital_fraction"].notna().to_numpy()
    nothing, never = np.full(len(decisions), np.nan), np.zeros(len(decisions), dtype=bool)
    return evaluate(
        BarrierInputs(
            **numbers,
            learned_recommendation=action.to_numpy(dtype=np.float64),
            max_single_stock_exposure=np.where(sized, 0.10, np.nan),
            drawdown_risk_score=nothing,
            contagion_risk_score=nothing,
            prob_crisis=nothing,
            regime_is_crisis=nothing,
            fusion_known=known,
            quantitative_known=decisions["quantitative_risk_score"].notna().to_numpy(),
            position_sizing_known=sized,
            liquidity_known=decisions["liquidity_score"].notna().to_numpy(),
            tail_known=~decisions["rule_barrier_reasons"].str.contains("data_missing_block").to_numpy() | known,
            volatility_known=~never,
            drawdown_known=never,
            contagion_known=never,
            regime_known=never,
        ),
        rules,
    )


NUMBERS = (
    *("learned_fusion_signal", "learned_fusion_risk_score", "learned_fusion_confidence", "learned_position_multiplier"),
    *("recommended_capital_fraction", "quantitative_risk_score", "liquidity_score", "tradable", "held_weight"),
)


def test_the_barrier_replays_from_the_recorded_rows(plan: Plan, decisions: pd.DataFrame) -> None:
    rows = decisions[decisions["learned_fusion_signal"].notna()].reset_index(drop=True)
    again = replayed(rows, plan.rules)
    names = np.array([one.name for one in Action])
    np.testing.assert_array_equal(names[again.final_recommendation.astype(int)], rows["final_recommendation"])
    np.testing.assert_allclose(again.final_position_fraction, rows["final_position_fraction"], atol=EPS)
    np.testing.assert_array_equal(reasons(again), rows["rule_barrier_reasons"])


def test_every_reduction_and_every_changed_action_has_a_rule(plan: Plan, decisions: pd.DataFrame) -> None:
    rows = decisions[decisions["learned_fusion_signal"].notna()].reset_index(drop=True)
    again = replayed(rows, plan.rules)
    for i in range(0, len(rows), 7):
        row, entries = rows.iloc[i], ledger(again, i)
        said = set(row["rule_barrier_reasons"].split("|"))
        assert {entry.code for entry in entries if entry.fired} <= said
        moved = any(entry.action_after != entry.action_before for entry in entries)
        assert moved == bool(row["rule_changed_action"]) == (row["learned_recommendation"] != row["final_recommendation"])
        if row["final_position_fraction"] < row["recommended_capital_fraction"] - EPS:
            lowered = any(entry.cap_after < entry.cap_before or entry.size_after < entry.size_before for entry in entries)
            assert lowered or row["learned_position_multiplier"] < 1.0
        assert ("no_rule_override" in said) == (not any(entry.fired for entry in entries))


def test_rules_only_remove_risk(decisions: pd.DataFrame) -> None:
    bought = decisions["final_recommendation"] == "BUY"
    assert (decisions.loc[bought, "learned_recommendation"] == "BUY").all()
    softened = (decisions["learned_recommendation"] == "SELL") & (decisions["final_recommendation"] == "HOLD")
    codes = decisions.loc[softened, "rule_barrier_reasons"]
    assert codes.str.contains("low_liquidity_block|not_tradable").all()
    assert (decisions["final_position_fraction"] <= decisions["user_rule_cap_fraction"] + EPS).all()
    sized = decisions["recommended_capital_fraction"].notna()
    upper = decisions.loc[sized, "recommended_capital_fraction"]
    assert (decisions.loc[sized, "final_position_fraction"] <= upper + EPS).all()


def test_stories_are_short_and_free_of_column_names(run: Path, decisions: pd.DataFrame) -> None:
    approved = pd.read_parquet(run / "portfolio" / "approved.parquet")
    for texts in (decisions["fusion_xai_summary"], approved["rule_barrier_trace"]):
        assert texts.str.split().str.len().between(8, 60).all()
        assert not texts.str.contains(r"_|\bnan\b|None").any()
    assert (decisions["fusion_learned_summary"] != decisions["fusion_xai_summary"]).all()


def test_the_approver_only_lowers_and_says_why(run: Path, decisions: pd.DataFrame) -> None:
    approved = pd.read_parquet(run / "portfolio" / "approved.parquet")
    key = ["chunk", "split", "date", "ticker"]
    both = approved.merge(decisions[[*key, "target_weight"]], on=key, how="inner", validate="1:1")
    assert len(both) == len(decisions)
    assert (both["approved_fraction"] <= both["target_weight"]).all()
    changed = approved["approved_fraction"] != approved["requested_fraction"]
    assert (approved.loc[changed, "approval_reasons"] != "").all()
    totals = approved.groupby(["chunk", "split", "date"])["approved_fraction"].sum()
    assert totals.max() <= 1.0 + EPS


def test_equity_is_cash_plus_holdings_rebuilt_from_orders_and_prices(plan: Plan, run: Path) -> None:
    store = build_store(read_market(plan).raw, plan.market.universe, delist_return=plan.market.delist_return)
    mark = pd.DataFrame(np.asarray(store.columns["mark"]), index=pd.DatetimeIndex(store.dates), columns=list(store.tickers))
    orders = pd.read_parquet(run / "portfolio" / "orders.parquet")
    equity = pd.read_parquet(run / "portfolio" / "equity.parquet")
    checked = 0
    for (split, strategy), days in equity.groupby(["split", "strategy"]):
        if strategy == "benchmark":  # trades the index, which is not among the names
            continue
        own = orders[(orders["split"] == split) & (orders["strategy"] == strategy)]
        shares = dict.fromkeys(store.tickers, 0.0)
        cash = plan.costs.capital
        for day in days.itertuples():
            for fill in own[own["filled_on"] == day.date].itertuples():
                signed = fill.filled_shares if fill.side == "buy" else -fill.filled_shares
                shares[fill.ticker] += signed
                cash -= (signed * fill.price if signed else 0.0) + fill.commission + fill.spread + fill.impact
            held = sum(n * mark.at[day.date, name] for name, n in shares.items() if abs(n) > 1e-9)
            assert cash + held == pytest.approx(day.equity, rel=1e-9)
            checked += 1
    assert checked > 1000


def test_a_fresh_run_elsewhere_has_the_same_bytes(plan: Plan, run: Path, tmp_path: Path) -> None:
    again = job(plan, tmp_path / "again", fresh=True)
    for path in tables_of(run):
        name = path.relative_to(run)
        assert digest(again / name) == digest(path), name
    assert digest(again / "metrics.json") == digest(run / "metrics.json")


def tables_of(run: Path) -> Iterator[Path]:
    yield run / "decisions.parquet"
    yield from sorted((run / "portfolio").glob("*.parquet"))
    yield from sorted((run / "modules").glob("*/*.parquet"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"rules": {"disabled": ["RB-09"]}},
        {"silent": ["text_encoder", "sentiment", "news", "qualitative", "drawdown", "contagion", "regime", "volatility"]},
        {"silent": ["text_encoder", "sentiment", "news", "qualitative", "drawdown", "contagion", "regime", "liquidity"]},
    ],
    ids=["without a rule", "without volatility", "without liquidity"],
)
def test_a_stack_without_a_part_still_runs(change: dict[str, Any], tmp_path: Path) -> None:
    decisions = pd.read_parquet(job(plan_from(tiny_table(**change)), tmp_path / "run") / "decisions.parquet")
    assert len(decisions) > 0
    if "liquidity" in change.get("silent", ()):  # a critical family: nothing is bought (R15)
        assert not (decisions["final_recommendation"] == "BUY").any()
        assert decisions["rule_barrier_reasons"].str.contains("data_missing_block").all()
    if "rules" in change:
        assert not decisions["rule_barrier_reasons"].str.contains("weak_buy_downgrade").any()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_every_shipped_plan_reads(path: Path) -> None:
    assert read_plan(path).name == path.parent.name


def test_every_shipped_strategy_traded(run: Path) -> None:
    equity = pd.read_parquet(run / "portfolio" / "equity.parquet")
    exposure = equity[equity["split"] == "test"].groupby("strategy")["exposure"].mean()
    assert set(exposure.index) == {
        *("glassbox", "formula_only", "sizing_only", "cash", "buy_and_hold", "monthly_1n", "momentum_12_1"),
        *("inverse_volatility", "benchmark"),
    }
    assert exposure["cash"] == 0.0
    assert (exposure.drop(["cash", "glassbox"]) > 0.0).all()
