"""Paired differences, Holm by hand, SPA and MCS on planted families, and the refusal of other days."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import ContractError, PlanError
from glassbox_bt.evaluation.books import Books, read_books
from glassbox_bt.evaluation.comparisons import (
    ABLATION_COLUMNS,
    ablation_claims,
    ablation_differences,
    ablation_table,
    family_rows,
    rival_claims,
    rival_differences,
    rival_rows,
)
from glassbox_bt.evaluation.families import family_tests, holm, losses_of
from glassbox_bt.evaluation.intervals import estimates, paired
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.types import FloatArray
from tests.evaluation.samples import QUICK, books_of, days_of, noise, parts_of, variant, write_ablations
from tests.flow.tiny import tiny_table


def planted(rng: np.random.Generator, edges: dict[str, float], n: int = 500) -> dict[str, FloatArray]:
    """Returns with a common factor; ``edges`` are annual Sharpe ratios, "glassbox" among them."""
    factor = rng.standard_normal(n)
    return {
        name: 0.01 * (edge / math.sqrt(252.0) + math.sqrt(0.8) * factor + math.sqrt(0.2) * rng.standard_normal(n))
        for name, edge in edges.items()
    }


@pytest.fixture(scope="module")
def books() -> Books:
    rng = np.random.default_rng(1)
    stack = (noise(rng, mean=2e-3), noise(rng, mean=2e-3))
    strategies = {
        "glassbox": parts_of(*stack),
        "sizing_only": parts_of(*(one - 2e-3 + 0.002 * rng.standard_normal(250) for one in stack)),
        "monthly_1n": parts_of(noise(rng), noise(rng)),
        "cash": parts_of(np.zeros(250), np.zeros(250)),
    }
    ablated = {
        "without_a": parts_of(*(one - 1e-3 for one in stack)),
        "without_b": parts_of(*stack),
        "without_c": parts_of(*(one + 1e-3 for one in stack)),
    }
    variants = (
        variant("without_a"),
        variant("without_b"),
        variant("without_c", set="rules", edit="rule"),
        variant("without_d", effect="none"),
    )
    return books_of(strategies, ablated, variants)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_agrees_with_another_program() -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(12)
    for size in range(1, 20):
        p_values = rng.random(size) ** 3
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_leaves_what_is_not_known_out() -> None:
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])
    assert adjusted[2] == pytest.approx(0.04)


def test_differences_are_those_of_the_intervals(books: Books) -> None:
    found = {(one.name, one.chunk, one.measure): one for one in rival_differences(books)}
    assert set(found) == {(n, c, m) for n in books.rivals for c in (0, 1, 2) for m in ("sharpe", "annual_return")}
    ours, theirs = books.parts("glassbox", 2), books.parts("sizing_only", 2)
    one = found["sizing_only", 2, "annual_return"]
    assert one.difference == pytest.approx(estimates(ours)["annual_return"] - estimates(theirs)["annual_return"])
    assert one.low == paired(ours, theirs, "annual_return", QUICK, "7/glassbox/sizing_only").low
    assert one.n_sessions == 250
    assert found["sizing_only", 0, "sharpe"].n_sessions == 500


def test_only_the_pooled_primary_measure_is_a_claim(books: Books) -> None:
    rows = rival_rows(rival_differences(books))
    for row in rows:
        is_claim = row["chunk"] == 0 and row["measure"] == "sharpe" and row["name"] != "cash"
        assert math.isfinite(row["p_holm"]) == is_claim
        assert (row["verdict"] != "not tested") == is_claim
    assert {row["family"] for row in rows} == {"rivals"}


def test_holm_counts_the_family_and_the_smallest_effect_pays_for_it(books: Books) -> None:
    found = {one.name: one for one in rival_differences(books) if one.chunk == 0 and one.measure == "sharpe"}
    assert [found[name].p_holm for name in ("sizing_only", "monthly_1n")] == pytest.approx(
        holm([found[name].p_value for name in ("sizing_only", "monthly_1n")])
    )
    alone = paired(books.parts("glassbox", 0), books.parts("sizing_only", 0), "sharpe", QUICK, "7/glassbox/sizing_only")
    assert found["sizing_only"].smallest_detectable > 1.05 * alone.smallest_detectable


def test_a_family_of_many_claims_has_the_samples_that_its_correction_needs() -> None:
    rng = np.random.default_rng(21)
    stack, few = noise(rng, mean=4e-3), StatisticsPlan(n_boot=100)
    ablated = {f"without_{number}": parts_of(stack - 4e-3 + 1e-3 * rng.standard_normal(250)) for number in range(12)}
    variants = tuple(variant(name) for name in ablated)
    books = replace(books_of({"glassbox": parts_of(stack)}, ablated, variants), settings=few)
    claims = ablation_claims(ablation_differences(books), books)
    assert {row["verdict"] for row in claims} == {"supported"}
    assert all(math.isfinite(row["smallest_detectable"]) for row in claims)


def test_a_plan_with_too_few_samples_for_its_level_is_refused() -> None:
    with pytest.raises(PlanError, match="Set `n_boot` to 2100 or more"):
        StatisticsPlan(level=0.999, n_boot=1000)


def test_a_planted_edge_over_the_twin_without_it_is_supported(books: Books) -> None:
    claims = {row["subject"]: row for row in rival_claims(rival_differences(books), books)}
    assert claims["sizing_only"]["verdict"] == "supported"
    assert claims["sizing_only"]["estimate"] > 2.0
    assert claims["cash"]["verdict"] == "not tested"
    assert claims["sizing_only"]["smallest_effect"] == QUICK.smallest_effect


def test_ablations_are_corrected_within_set_and_depth(books: Books) -> None:
    differences = ablation_differences(books)
    claims = {row["subject"]: row for row in ablation_claims(differences, books)}
    assert list(claims) == ["without_a", "without_b", "without_c", "without_d"]
    assert claims["without_a"]["verdict"] == "supported"
    assert claims["without_b"]["verdict"] == "not tested"  # the very same trades compare nothing
    assert claims["without_c"]["verdict"] == "refuted"  # better without the part
    assert claims["without_d"]["verdict"] == "no effect on inputs"
    assert claims["without_a"]["p_holm"] == pytest.approx(min(1.0, 2.0 * claims["without_a"]["p_value"]))
    assert claims["without_c"]["p_holm"] == claims["without_c"]["p_value"]  # alone in its family


def test_an_ablation_with_the_same_book_is_not_tested_and_takes_nothing_from_the_others(books: Books) -> None:
    """Where decisions changed but no order did, there is no interval and no p-value, in no chunk and of no measure."""
    differences = ablation_differences(books)
    same = [one for one in differences if one.name == "without_b"]
    assert len(same) == 2 * 3
    for one in same:
        assert (one.difference, one.verdict) == (0.0, "not tested")
        assert np.isnan([one.low, one.high, one.p_value, one.p_holm, one.smallest_detectable]).all()
    (claimed,) = [one for one in ablation_claims(differences, books) if one["subject"] == "without_b"]
    assert math.isnan(claimed["high"]) and math.isnan(claimed["p_holm"])
    one_cent = books.parts("without_b", 2)[0].assign(costs=lambda days: days["costs"] + 0.01)
    other = replace(books, ablated={**books.ablated, "without_b": {**books.ablated["without_b"], 2: one_cent}})
    tested = {(one.name, one.chunk): one for one in ablation_differences(other) if one.measure == "sharpe"}
    assert tested["without_b", 0].verdict == "refuted"
    assert math.isnan(tested["without_b", 1].high) and math.isfinite(tested["without_b", 2].high)
    before = next(one for one in differences if (one.name, one.chunk, one.measure) == ("without_a", 0, "sharpe"))
    assert tested["without_a", 0] == before  # counted by Holm either way


def test_table_of_ablations(books: Books) -> None:
    table = ablation_table(ablation_differences(books), books)
    assert tuple(table.columns) == ABLATION_COLUMNS
    assert len(table) == 4 * 3 * 6
    changed = table[table["variant"] == "without_a"].set_index(["chunk", "measure"])
    for (chunk, measure), row in changed.iterrows():
        assert row["base"] == books.measures["glassbox", chunk][measure]
        assert row["difference"] == pytest.approx(row["base"] - row["ablated"], abs=1e-12)
    assert changed.loc[(0, "sharpe"), "difference"] > 0.0  # with the part the measure is larger
    described = table[table["measure"].isin(["volatility", "max_drawdown", "turnover", "exposure"])]
    assert described[["low", "high", "p_value"]].isna().all(axis=None)
    tested = table[(table["chunk"] == 0) & (table["measure"] == "sharpe")].set_index("variant")["verdict"]
    assert set(table["verdict"]) == {*tested, "not tested"}
    nothing = table[table["variant"] == "without_d"]
    assert set(nothing["verdict"]) == {"no effect on inputs"}
    assert (nothing["difference"] == 0.0).all()
    assert table["p_holm"].notna().sum() == 2


def test_losses_do_not_reward_exposure() -> None:
    returns = noise(np.random.default_rng(2), mean=1e-3)
    losses = losses_of({"full": returns, "half": 0.5 * returns + 1e-9 * np.sin(np.arange(250)), "cash": np.zeros(250)})
    assert losses.left_out == ("cash",)
    assert losses.table["full"].mean() == pytest.approx(losses.table["half"].mean(), rel=1e-4)


def test_twins_share_their_fate() -> None:
    returns = planted(np.random.default_rng(3), {"glassbox": 0.0, "good": 4.0, "bad": -4.0})
    returns["twin"] = returns["bad"].copy()
    losses = losses_of(returns)
    assert losses.twins == {"twin": "bad"}
    mcs = family_tests("rivals", "glassbox", returns, QUICK, 7)[1]
    assert {"bad", "twin"} <= set(mcs["excluded"])
    assert mcs["n"] == 4


@pytest.mark.parametrize("better", [True, False])
def test_superior_ability_of_a_planted_rival(better: bool) -> None:
    edges = {"glassbox": 0.0, **{f"rival_{i}": -1.0 for i in range(6)}, "planted": 3.0 if better else -1.0}
    spa, mcs = family_tests("rivals", "glassbox", planted(np.random.default_rng(4), edges, 750), QUICK, 7)
    assert spa["p_lower"] <= spa["p_consistent"] <= spa["p_upper"]
    assert (spa["p_consistent"] < 0.05) == better
    assert spa["n"] == 7
    assert ("glassbox" in mcs["included"]) != better
    if better:
        assert mcs["included"] == ["planted"]
    assert set(mcs["included"]) | set(mcs["excluded"]) == set(edges)


def test_superior_ability_has_its_size() -> None:
    rng = np.random.default_rng(5)
    few = StatisticsPlan(n_boot=100)
    rejected = 0
    for _ in range(60):
        returns = planted(rng, {"glassbox": 0.0, "a": 0.0, "b": 0.0, "c": 0.0}, 250)
        rejected += family_tests("rivals", "glassbox", returns, few, 7)[0]["p_consistent"] < 0.05
    assert rejected <= 9  # 5 % of 60 is 3; more than 9 has a chance of 1 in 1,000


def test_families_are_drawn_from_their_own_stream() -> None:
    returns = planted(np.random.default_rng(6), {"glassbox": 0.5, "a": 0.3, "b": 0.0})
    once, again = (family_tests("rivals", "glassbox", returns, QUICK, 7) for _ in range(2))
    assert once == again
    assert family_tests("rivals", "glassbox", returns, QUICK, 8)[0]["p_upper"] != once[0]["p_upper"]


def test_a_family_of_nobody_is_not_tested() -> None:
    returns = {"glassbox": noise(np.random.default_rng(7)), "cash": np.zeros(250)}
    assert family_tests("rivals", "glassbox", returns, QUICK, 7) == []
    assert family_tests("rivals", "glassbox", {"glassbox": np.zeros(250), "a": returns["glassbox"]}, QUICK, 7) == []


def test_every_family_is_tested_pooled(books: Books) -> None:
    rows = family_rows(books)
    tested = {(row["family"], row["test"]) for row in rows}
    families = {"rivals", "ablations/modules/inference", "ablations/rules/inference"}
    assert tested == {(family, test) for family in families for test in ("spa", "mcs")}
    assert all(row["chunk"] == 0 for row in rows)
    assert [row["left_out"] for row in rows if row["family"] == "rivals"] == [["cash"], ["cash"]]


def recorded(run: Path, strategies: dict[str, FloatArray]) -> None:
    """The files that `read_books` reads."""
    rows = [
        pd.DataFrame({"chunk": 1, "split": "test", "strategy": name}, index=range(len(returns))).join(days_of(returns))
        for name, returns in strategies.items()
    ]
    (run / "portfolio").mkdir(parents=True)
    pd.concat(rows, ignore_index=True).to_parquet(run / "portfolio" / "equity.parquet", index=False)


MANIFEST = {"plan": tiny_table(statistics={"n_boot": 150, "primary": "annual_return"})}


def test_settings_come_from_the_manifest(tmp_path: Path) -> None:
    recorded(tmp_path, {"glassbox": noise(np.random.default_rng(8))})
    books = read_books(tmp_path, MANIFEST)
    assert books.settings == StatisticsPlan(n_boot=150, primary="annual_return")
    assert read_books(tmp_path, {"plan": tiny_table()}).settings == StatisticsPlan()  # older manifests say nothing


@pytest.mark.parametrize("fault", ["shifted", "shorter", "another chunk"])
def test_other_days_than_the_stack_are_refused(tmp_path: Path, fault: str) -> None:
    rng = np.random.default_rng(9)
    recorded(tmp_path, {"glassbox": noise(rng)})
    days = days_of(noise(rng, 249 if fault == "shorter" else 250), "2020-01-02" if fault == "shifted" else "2020-01-01")
    write_ablations(tmp_path, [variant("without_a")], {"without_a": {2 if fault == "another chunk" else 1: days}})
    with pytest.raises(ContractError, match=r"without_a.*(different test days|in chunks)"):
        read_books(tmp_path, MANIFEST)


@pytest.mark.parametrize("fault", ["rival of other days", "no stack", "variant without equity", "equity of nobody", "twice"])
def test_what_does_not_fit_together_is_refused(tmp_path: Path, fault: str) -> None:
    rng = np.random.default_rng(10)
    match fault:
        case "rival of other days":
            recorded(tmp_path, {"glassbox": noise(rng), "cash": np.zeros(249)})
        case "no stack":
            recorded(tmp_path, {"cash": np.zeros(250)})
        case _:
            recorded(tmp_path, {"glassbox": noise(rng)})
            listed = {"variant without equity": ["a", "b"], "equity of nobody": [], "twice": ["a", "a"]}[fault]
            write_ablations(tmp_path, [variant(name) for name in listed], {"a": {1: days_of(noise(rng))}})
    with pytest.raises(ContractError):
        read_books(tmp_path, MANIFEST)


def test_validation_rows_are_not_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    recorded(tmp_path, {"glassbox": noise(rng), "cash": np.zeros(250)})
    path = tmp_path / "portfolio" / "equity.parquet"
    before = read_books(tmp_path, MANIFEST)
    test = pd.read_parquet(path)
    validation = test.assign(split="val")
    validation["return"] = 9.0
    pd.concat([validation, test], ignore_index=True).to_parquet(path, index=False)
    after = read_books(tmp_path, MANIFEST)
    assert repr(after.measures) == repr(before.measures)  # NaN equals NaN
    for name in before.strategies:
        pd.testing.assert_frame_equal(after.strategies[name][1], before.strategies[name][1])
