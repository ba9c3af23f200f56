from __future__ import annotations

import numpy as np

from glassbox_bt.modules._outcomes import has_earned_its_place


def test_one_lucky_stretch_earns_no_place() -> None:
    days = np.arange(100)
    anchor = np.ones(100)
    lucky = np.where(days < 20, 0.0, 1.05)  # far better in one block of five, a little worse in four
    assert lucky.mean() < anchor.mean()
    assert not has_earned_its_place(days, lucky, anchor)


def test_a_steady_gain_earns_its_place() -> None:
    days = np.arange(100)
    noise = 0.01 * np.random.default_rng(0).standard_normal(100)
    assert has_earned_its_place(days, 0.9 + noise, np.ones(100))
    assert not has_earned_its_place(days, 1.1 + noise, np.ones(100))


def test_a_single_block_can_tell_nothing() -> None:
    assert not has_earned_its_place(np.arange(300, 320), np.zeros(20), np.ones(20))
