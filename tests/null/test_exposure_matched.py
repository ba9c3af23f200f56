from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation.null import exposure_matched, matched_excess, one_sided_test


def test_a_scaled_copy_of_the_reference_has_no_excess() -> None:
    rng = np.random.default_rng(1)
    reference, full = 0.01 * rng.standard_normal(300), np.full(300, 0.98)
    share = rng.uniform(0.0, 0.5, 300)
    returns = np.append(0.0, share[:-1] / full[:-1] * reference[1:])
    assert exposure_matched(returns, share, reference, full) == pytest.approx(np.zeros(299), abs=1e-15)


def test_the_test_has_its_size_under_changing_variance() -> None:
    rng = np.random.default_rng(2)
    spread = np.exp(0.5 * np.sin(np.arange(120) / 9.0))
    rejected = sum(one_sided_test(spread * rng.standard_normal(120)).rejects for _ in range(2000))
    assert 60 <= rejected <= 145  # 5 % of 2000, four deviations to either side


def test_what_never_moved_does_not_reject() -> None:
    result = one_sided_test(np.zeros(50))
    assert np.isnan(result.p_value)
    assert not result.rejects


def test_a_gain_beyond_the_exposure_rejects() -> None:
    excess = 0.001 + 0.001 * np.random.default_rng(3).standard_normal(100)
    result = one_sided_test(excess)
    assert result.rejects
    assert result.mean == pytest.approx(excess.mean())


def test_chunks_are_matched_apart_and_validation_is_left_out() -> None:
    days = pd.date_range("2020-01-01", periods=3)
    rows = [
        {"chunk": chunk, "split": split, "strategy": name, "date": day, "return": gain, "exposure": held}
        for chunk in (1, 2)
        for split in ("val", "test")
        for name, held in (("glassbox", 0.5), ("monthly_1n", 1.0))
        for day, gain in zip(days, (9.0, 0.02, 0.04), strict=True)
    ]
    assert matched_excess(pd.DataFrame(rows)) == pytest.approx([0.01, 0.02, 0.01, 0.02])


@pytest.mark.parametrize("fault", ["length", "idle reference", "too short", "not finite", "unknown"])
def test_faults_are_named(fault: str) -> None:
    one, zero = np.ones(5), np.zeros(5)
    with pytest.raises(ContractError):
        match fault:
            case "length":
                exposure_matched(one, one, one[:4], one)
            case "idle reference":
                exposure_matched(one, one, one, zero)
            case "too short":
                one_sided_test(one[:1])
            case "not finite":
                one_sided_test(np.array([0.0, np.nan]))
            case _:
                empty = {
                    "chunk": [1],
                    "split": ["test"],
                    "strategy": ["cash"],
                    "date": [0],
                    "return": [0.0],
                    "exposure": [0.0],
                }
                matched_excess(pd.DataFrame(empty))
