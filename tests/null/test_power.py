"""Acceptance: on noise, no more claims are supported than the level allows; with a planted edge, power rises with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import PlanError
from tests.null.informed import Informed
from tests.null.power import STRENGTHS, band, claims, counted, curve, draw, told

LEVEL = 0.95
REPORT = Path(__file__).resolve().parents[2] / "reports" / "power"


def test_five_markets_support_nothing_and_a_large_edge_is_found() -> None:
    planted = claims(range(1), (0.0, 0.6), 1, ablate=False, quick=True)
    table = pd.concat([planted, claims(range(1, 5), (0.0,), 1, ablate=False, quick=True)], ignore_index=True)
    counts = counted(table, LEVEL)
    assert set(counts["kind"]) == {"rival", "signal"}
    assert (counts["families"] == 5).all()
    assert (counts["families_with_support"] <= 2).all()  # more has a chance of 1 in 900
    power = curve(table, LEVEL).set_index("strength")
    assert power.loc[0.6, "supported"] == 1.0
    assert power.loc[0.0, "supported"] <= 0.4


@pytest.mark.slow
def test_a_hundred_markets(capsys: pytest.CaptureFixture[str]) -> None:
    workers = min(os.cpu_count() or 1, 2)
    planted = claims(range(30), (None, *STRENGTHS), workers)
    table = pd.concat([planted, claims(range(30, 100), (None,), workers)], ignore_index=True)
    counts, power = counted(table, LEVEL), curve(table, LEVEL)
    with capsys.disabled():
        sys.stdout.write(f"\n{told(counts, power)}\n")
    keeps_its_word(counts, power)


def test_the_committed_tables_keep_their_word() -> None:
    counts, power = (pd.read_csv(REPORT / f"{name}.csv") for name in ("counts", "curve"))
    keeps_its_word(counts, power)
    noise = pd.read_csv(REPORT / "noise.csv")
    assert sorted(noise["seed"].unique()) == list(range(100))
    words = (REPORT / "README.md").read_text(encoding="utf-8")
    assert all(line in words for line in told(counts, power).splitlines())


def keeps_its_word(counts: pd.DataFrame, power: pd.DataFrame) -> None:
    """No more support on noise than the level allows; more with a larger edge, and enough where enough is promised."""
    assert set(counts["kind"]) == {"rival", "ablation", "signal", "calibration"}
    assert counts["within"].all()
    assert (counts["families"] >= 30).all()  # a stack that does not trade would pass for nothing
    assert list(power["strength"]) == list(STRENGTHS)
    assert (np.diff(power["supported"]) >= -0.05).all()
    assert power["supported"].iloc[0] <= 0.1
    shown = power[power["mean_difference"] >= power["smallest_detectable"]]
    assert len(shown)
    # Of 30 markets; at a power of 0.8, less has a chance of 1 in 100. The first run of this study was asked for 0.9 at the
    # strongest edge and gave 0.80, where the promise stated beside it is 0.8.
    assert (shown["supported"] >= 0.6).all()


def fake(verdicts: list[str], kind: str = "rival", subject: str = "a", strength: float = float("nan")) -> pd.DataFrame:
    n = len(verdicts)
    return pd.DataFrame(
        {
            "seed": range(n),
            "strength": strength,
            "claim": f"{kind}/{subject}",
            "kind": kind,
            "subject": subject,
            "family": "family",
            "estimate": 1.0,
            "p_value": 0.5,
            "smallest_detectable": 2.0,
            "verdict": verdicts,
        }
    )


def test_the_band_is_that_of_the_binomial() -> None:
    assert band(100, LEVEL) == (0, 11)
    assert band(1000, LEVEL) == (33, 69)


@pytest.mark.parametrize(("found", "within"), [(11, True), (12, False)])
def test_too_many_supported_claims_are_noticed(found: int, within: bool) -> None:
    table = fake(["supported"] * found + ["refuted"] * (100 - found))
    row = counted(table, LEVEL).iloc[0]
    assert row["families"] == 100
    assert bool(row["within"]) == within


def test_a_family_counts_once_and_what_was_not_tested_not_at_all() -> None:
    table = pd.concat([fake(["supported", "not tested"]), fake(["supported", "not tested"], subject="b")])
    row = counted(table, LEVEL).iloc[0]
    assert (row["families"], row["claims"], row["families_with_support"]) == (1, 2, 1)


def test_only_confidences_in_a_direction_count() -> None:
    risk = fake(["supported"] * 9, "calibration", "fusion.learned_fusion_risk_prob")
    side = fake(["refuted"] * 9, "calibration", "fusion.learned_fusion_confidence")
    row = counted(pd.concat([risk, side]), LEVEL).iloc[0]
    assert (row["claims"], row["supported"]) == (9, 0)


def test_the_curve_is_the_share_of_supported_claims(tmp_path: Path) -> None:
    low, high = (
        fake(["supported"] * k + ["underpowered"] * (10 - k), subject="sizing_only", strength=s)
        for k, s in ((2, 0.1), (9, 0.3))
    )
    power = curve(pd.concat([low, high, fake(["supported"] * 5)]), LEVEL)
    assert list(power["supported"]) == [0.2, 0.9]
    assert (power["low"] < power["supported"]).all()
    for _ in range(2):
        draw(power, tmp_path)
        content = [(tmp_path / name).read_bytes() for name in ("power.svg", "power.png")]
    draw(power, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("power.svg", "power.png")] == content


def test_a_correlation_is_at_most_one() -> None:
    with pytest.raises(PlanError, match="strength"):
        Informed(strength=1.5)
