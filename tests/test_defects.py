"""The register of known defects (specification, section 28): where each one is planted and must be found.

A defect has a test that bears its number in its name, builds the fault, and asks the same question of the corrected twin.
The table names one such test for each; there may be more. What waits for machinery that is not built (tuning: D-VOL-03 and
04, D-STM-05, D-REG-08) is planted in what there is: the draw of rows, checkpoints by chunk, neighbours as a share of the
names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
RISK, MARKET = "modules/risk", "market"
TEXT = f"{MARKET}/test_text_faults.py"
QUALITATIVE = "modules/analysts/test_qualitative_faults.py"
ENCODER, ADAPTATION = "modules/encoders/test_text.py", "modules/encoders/test_text_adaptation.py"
SENTIMENT, NEWS = "modules/analysts/test_sentiment_faults.py", "modules/analysts/test_news_faults.py"

PLANTED: dict[str, tuple[str, str]] = {
    "D-VOL-01": (f"{RISK}/test_volatility_faults.py", "test_d_vol_01_a_constant_garch_is_found"),
    "D-VOL-02": (f"{RISK}/test_volatility_faults.py", "test_d_vol_02_an_untrained_head_is_no_probability"),
    "D-VOL-03": (f"{RISK}/test_volatility_faults.py", "test_d_vol_03_the_first_rows_of_a_sorted_file_are_no_sample"),
    "D-VOL-04": (f"{RISK}/test_volatility_faults.py", "test_d_vol_04_what_one_chunk_left_is_refused_by_another"),
    "D-VOL-05": (f"{RISK}/test_volatility_faults.py", "test_d_vol_05_targets_beyond_the_split_are_found"),
    "D-VAR-01": (f"{RISK}/test_var_faults.py", "test_d_var_01_a_severity_of_signed_numbers_is_found"),
    "D-VAR-02": (f"{RISK}/test_var_faults.py", "test_d_var_02_a_severity_among_later_days_is_found"),
    "D-VAR-03": (f"{RISK}/test_var_faults.py", "test_d_var_03_synthetic_bars_in_the_quantile_are_found"),
    "D-DRW-01": (f"{RISK}/test_drawdown_faults.py", "test_d_drw_01_the_last_month_of_a_split_is_answered"),
    "D-DRW-02": (f"{MARKET}/test_labels.py", "test_d_drw_02_no_price_flows_into_the_next_name_nor_back_in_time"),
    "D-DRW-03": (f"{RISK}/test_drawdown_faults.py", "test_d_drw_03_confidence_is_no_second_name_for_the_risk"),
    "D-STM-01": (f"{RISK}/test_contagion_faults.py", "test_d_stm_01_a_score_averaged_over_the_split_is_caught"),
    "D-STM-02": (f"{RISK}/test_contagion_faults.py", "test_d_stm_02_weights_of_the_batch_are_caught"),
    "D-STM-03": (f"{MARKET}/test_tail_labels.py", "test_d_stm_03_contagion_needs_a_neighbour_in_distress"),
    "D-STM-04": (f"{RISK}/test_contagion_faults.py", "test_d_stm_04_unknown_outcomes_taken_for_negatives_are_caught"),
    "D-STM-05": (f"{RISK}/test_contagion_faults.py", "test_d_stm_05_windows_of_the_earliest_days_are_caught"),
    "D-STM-06": (
        f"{RISK}/test_contagion_faults.py",
        "test_d_stm_06_positive_weights_are_caught_and_calibration_takes_them_back",
    ),
    "D-STM-07": (f"{RISK}/test_contagion_explain.py", "test_d_stm_07_the_explainer_masks_edges_of_several_rows"),
    "D-STM-08": (f"{RISK}/test_contagion_graph.py", "test_d_stm_08_a_missing_return_is_not_a_return_of_zero"),
    "D-REG-01": (f"{RISK}/test_regime_faults.py", "test_d_reg_01_graph_statistics_after_a_fixed_cut_are_caught"),
    "D-REG-02": (f"{RISK}/test_regime_faults.py", "test_d_reg_02_a_change_head_without_a_loss_is_caught"),
    "D-REG-03": (f"{MARKET}/test_regime_labels.py", "test_d_reg_03_sectors_under_another_name_are_refused"),
    "D-REG-04": (f"{MARKET}/test_regime_labels.py", "test_d_reg_04_an_issuer_map_under_another_name_is_refused"),
    "D-REG-05": (f"{RISK}/test_regime_faults.py", "test_d_reg_05_positions_of_a_filtered_table_are_caught"),
    "D-REG-06": (f"{RISK}/test_regime_faults.py", "test_d_reg_06_too_few_labelled_days_make_it_abstain"),
    "D-REG-07": (f"{RISK}/test_regime_faults.py", "test_d_reg_07_a_target_that_is_a_formula_of_the_inputs_is_caught"),
    "D-REG-08": (f"{RISK}/test_regime_faults.py", "test_d_reg_08_a_fixed_number_of_neighbours_is_caught"),
    "D-REG-09": (f"{RISK}/test_regime_faults.py", "test_d_reg_09_snapshots_that_start_with_the_split_are_caught"),
    "D-GRA-01": (f"{MARKET}/test_regime_labels.py", "test_d_gra_01_a_graph_dated_by_its_first_day_is_caught"),
    "D-GRA-02": (f"{RISK}/test_contagion_graph.py", "test_d_gra_02_what_is_known_of_a_pair_is_as_of_the_snapshot"),
    "D-GRA-03": (f"{MARKET}/test_graph.py", "test_d_gra_03_sectors_need_a_date_and_are_unknown_before_it"),
    "D-GRA-04": (f"{RISK}/test_contagion_graph.py", "test_d_gra_04_a_name_that_moves_the_other_way_is_a_neighbour"),
    "D-POS-01": (
        f"{RISK}/test_position_sizing_faults.py",
        "test_d_pos_01_a_missing_family_that_counts_as_middling_is_found",
    ),
    "D-POS-02": (
        f"{RISK}/test_position_sizing_faults.py",
        "test_d_pos_02_a_confidence_that_rises_with_the_trend_is_found",
    ),
    "D-POS-03": (f"{RISK}/test_position_sizing_faults.py", "test_d_pos_03_a_cap_that_does_not_bind_is_not_named"),
    "D-POS-04": (f"{RISK}/test_position_sizing_faults.py", "test_d_pos_04_a_multiplier_without_effect_is_found"),
    "D-POS-05": (
        f"{RISK}/test_position_sizing_faults.py",
        "test_d_pos_05_a_fixed_threshold_stands_beside_its_train_quantile",
    ),
    "D-POS-06": (
        f"{RISK}/test_position_sizing_faults.py",
        "test_d_pos_06_two_hundred_and_fifty_times_equity_is_found",
    ),
    "D-TXT-01": (TEXT, "test_d_txt_01_a_filing_of_half_past_five_is_not_known_on_its_filing_date"),
    "D-TXT-02": (TEXT, "test_d_txt_02_no_filing_is_drawn_by_a_quota_of_later_years"),
    "D-TXT-03": (TEXT, "test_d_txt_03_a_ticker_that_another_issuer_took_is_not_joined_to_it"),
    "D-FIN-01": (ENCODER, "test_d_fin_01_an_engine_that_does_not_say_what_it_may_know_is_found"),
    "D-FIN-02": (ENCODER, "test_d_fin_02_settings_that_change_with_the_chunk_are_found"),
    "D-FIN-03": (ENCODER, "test_d_fin_03_a_projection_that_dropped_the_last_batch_is_flagged"),
    "D-FIN-04": (ADAPTATION, "test_d_fin_04_a_model_that_did_not_leave_the_plateau_is_refused"),
    "D-SYN-01": (QUALITATIVE, "test_d_syn_01_a_target_that_is_a_formula_of_the_inputs_is_found"),
    "D-SYN-02": (QUALITATIVE, "test_d_syn_02_answers_that_know_their_own_day_are_refused"),
    "D-QUA-01": (QUALITATIVE, "test_d_qua_01_a_row_that_depends_on_the_other_rows_is_found"),
    "D-QUA-02": (QUALITATIVE, "test_d_qua_02_a_count_that_grows_with_length_is_found"),
    "D-QUA-04": (QUALITATIVE, "test_d_qua_04_a_sale_on_risk_alone_is_found"),
    "D-QUA-03": (TEXT, "test_d_qua_03_filings_of_a_weekend_are_not_lost_nor_those_of_the_evening_early"),
    "D-LAB-03": (TEXT, "test_d_lab_03_a_label_starts_at_a_price_that_the_reader_could_reach"),
    "D-LAB-01": (SENTIMENT, "test_d_lab_01_thresholds_from_outcomes_beyond_the_purge_are_found"),
    "D-LAB-02": (SENTIMENT, "test_d_lab_02_a_label_copied_to_every_chunk_is_found"),
    "D-LAB-04": (SENTIMENT, "test_d_lab_04_a_label_in_a_table_of_answers_is_refused"),
    "D-SENT-01": (SENTIMENT, "test_d_sent_01_a_calendar_year_among_the_inputs_is_found"),
    "D-SENT-02": (SENTIMENT, "test_d_sent_02_a_measure_that_holds_the_loss_weights_is_found"),
    "D-SENT-03": (SENTIMENT, "test_d_sent_03_a_magnitude_before_its_link_is_refused"),
    "D-SENT-04": (SENTIMENT, "test_d_sent_04_options_of_the_explanation_reach_it"),
    "D-SENT-05": (SENTIMENT, "test_d_sent_05_a_seed_that_counts_the_trials_is_found"),
    "D-NEWS-01": (NEWS, "test_d_news_01_a_document_without_an_outcome_is_answered"),
    "D-NEWS-02": (NEWS, "test_d_news_02_unimportance_is_not_told_as_uncertainty"),
    "D-NEWS-03": (NEWS, "test_d_news_03_a_measure_that_holds_the_loss_weights_is_found"),
    "D-NEWS-04": (NEWS, "test_d_news_04_an_importance_that_was_never_put_right_is_found"),
    "D-MAC-01": (f"{MARKET}/test_macro.py", "test_d_mac_01_a_rule_earlier_than_the_release_is_refused"),
    "D-MAC-02": (f"{MARKET}/test_macro.py", "test_d_mac_02_recession_dates_never_become_a_column"),
    "D-MAC-03": (f"{MARKET}/test_macro.py", "test_d_mac_03_features_see_no_future_and_a_back_fill_is_caught"),
    "D-MAC-04": (f"{MARKET}/test_macro.py", "test_d_mac_04_selection_knows_train_only"),
    "D-MAC-05": (
        f"{MARKET}/test_macro.py",
        "test_d_mac_05_a_date_before_the_first_row_that_gets_the_first_row_is_caught",
    ),
    "D-MAC-06": (f"{MARKET}/test_macro.py", "test_d_mac_06_a_rising_dollar_is_positive"),
    "D-LIQ-01": (f"{RISK}/test_liquidity.py", "test_d_liq_01_zero_is_zero_and_missing_is_missing"),
    "D-LIQ-02": (f"{RISK}/test_liquidity.py", "test_d_liq_02_decades_of_money_spread_the_absolute_scale"),
    "D-LIQ-03": (f"{RISK}/test_liquidity.py", "test_d_liq_03_every_member_is_answered_or_named_as_unknown"),
    "D-LIQ-04": (f"{RISK}/test_liquidity.py", "test_d_liq_04_slippage_is_a_fraction_of_price"),
}
# Of the register, by family.
SIZES = {"VOL": 5, "VAR": 3, "DRW": 3, "STM": 8, "REG": 9, "GRA": 4, "POS": 6, "MAC": 6, "LIQ": 4, "TXT": 3}
SIZES |= {"FIN": 4, "LAB": 4, "SENT": 5, "NEWS": 4, "SYN": 2, "QUA": 4}
ANALYTIC = tuple(f"D-LIQ-0{number}" for number in range(1, 5))  # by their truth alone, without a faulty twin
BY_PARAMETER = ("D-VOL-03",)  # fault and twin are the parameters of one test
IN_NAME = re.compile(r"d_([a-z]{3,4})_(\d{2})(?=_|$)")


@cache
def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    """The test functions of a file by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name.startswith("test_")}


def numbered(name: str) -> Iterator[str]:
    """The defects that a test bears in its name."""
    for family, number in IN_NAME.findall(name):
        yield f"D-{family.upper()}-{number}"


def both_ways(test: ast.FunctionDef) -> bool:
    """Whether a test says of one thing that it holds and of another that it does not, or that the fault is refused."""
    asserts = [one.test for one in ast.walk(test) if isinstance(one, ast.Assert)]
    denies = [one for one in asserts if isinstance(one, ast.UnaryOp) and isinstance(one.op, ast.Not)]
    refuses = any(isinstance(one, ast.Attribute) and one.attr == "raises" for one in ast.walk(test))
    return refuses or 0 < len(denies) < len(asserts)


def test_the_table_is_the_whole_register() -> None:
    wanted = {f"D-{family}-{number:02d}" for family, n in SIZES.items() for number in range(1, n + 1)}
    assert set(PLANTED) == wanted


@pytest.mark.parametrize("defect", PLANTED)
def test_each_defect_is_planted(defect: str) -> None:
    place, name = PLANTED[defect]
    found = functions_of(TESTS / place)
    assert name in found, f"{place} has no such test"
    assert defect in numbered(name)
    if defect not in (*ANALYTIC, *BY_PARAMETER):
        assert both_ways(found[name]), "the corrected twin is not asked"


def test_no_test_bears_a_number_that_the_register_does_not_have() -> None:
    strange = {
        f"{path.name}: {name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for name in functions_of(path)
        for defect in numbered(name)
        if defect.split("-")[1] in SIZES and defect not in PLANTED
    }
    assert strange == set()


def test_no_test_of_a_defect_is_skipped() -> None:
    for place, name in PLANTED.values():
        marks = {ast.unparse(one) for one in functions_of(TESTS / place)[name].decorator_list}
        assert not [mark for mark in marks if "skip" in mark or "xfail" in mark or "slow" in mark], name


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("assert is_wrong(faulty)\n    assert not is_wrong(honest)", True),
        ("with pytest.raises(ValueError):\n        build(faulty)", True),
        ("assert honest() == 1.0", False),
        ("assert not is_wrong(honest)", False),
    ],
)
def test_a_test_without_its_twin_is_told(body: str, answer: bool) -> None:
    (test,) = ast.parse(f"def test_d_vol_01():\n    {body}\n").body
    assert isinstance(test, ast.FunctionDef)
    assert both_ways(test) is answer
