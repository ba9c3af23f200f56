"""Acceptance: on pure noise the stack finds nothing, and a leak is found; gross of costs, at matched exposure."""

from __future__ import annotations

import os
import sys

import pytest

from tests.null.controls import outcomes, told


def test_five_noise_markets_hold_no_gain_and_five_leaky_ones_do() -> None:
    clean, leaky = (outcomes(range(5), leak, workers=1) for leak in (False, True))
    assert clean["rejects"].sum() <= 2  # more has a chance of 1 in 900
    assert leaky["rejects"].sum() >= 4


@pytest.mark.slow
def test_a_hundred_noise_markets(capsys: pytest.CaptureFixture[str]) -> None:
    workers = min(os.cpu_count() or 1, 2)
    clean, leaky = (outcomes(range(100), leak, workers) for leak in (False, True))
    with capsys.disabled():
        sys.stdout.write(f"\n{told(clean, leaky)}\n")
    assert clean["rejects"].sum() <= 10
    assert (clean["exposure"] > 0.0).sum() >= 30  # a stack that does not trade would pass for nothing
    assert leaky["rejects"].sum() >= 90
