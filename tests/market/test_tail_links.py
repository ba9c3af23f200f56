from __future__ import annotations

import numpy as np
import pytest

from glassbox_bt.market.tail_links import TailLinks, tail_cases, tail_links
from glassbox_bt.types import FloatArray

N_ROWS, N_NAMES = 1008, 6


def losses(rate: float = 0.02, seed: int = 0) -> FloatArray:
    """Depths of unrelated tail losses."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((N_ROWS, N_NAMES)) < rate, 1.0 + rng.random((N_ROWS, N_NAMES)), 0.0)


def links(depth: FloatArray) -> TailLinks:
    return tail_links(tail_cases(depth), np.arange(depth.shape[1]))


def with_link(depth: FloatArray, source: int, target: int, delay: int) -> FloatArray:
    out = depth.copy()
    fell = np.flatnonzero(depth[:-delay, source] > 0.0)
    out[fell + delay, target] = 2.0
    return out


def off_diagonal(values: FloatArray) -> FloatArray:
    return values[~np.eye(len(values), dtype=bool)]


@pytest.mark.parametrize("delay", [1, 3, 5])
def test_a_planted_link_is_the_strongest_and_directed(delay: int) -> None:
    found = links(with_link(losses(), 0, 1, delay))
    assert found.leads[1, 0] == off_diagonal(found.leads).max() > 0.9
    assert found.leads[0, 1] < 0.5
    np.testing.assert_array_equal(found.follows, found.leads.T)


def test_a_link_beyond_five_sessions_is_none() -> None:
    assert links(with_link(losses(), 0, 1, 6)).leads[1, 0] < 0.5


def test_names_that_fall_together_do_not_lead_each_other() -> None:
    depth = losses()
    depth[:, 1] = depth[:, 0]
    found = links(depth)
    assert found.together[0, 1] > 1.0
    assert abs(found.leads[0, 1]) < 0.5


def test_when_everybody_falls_nobody_is_seen_to_lead() -> None:
    """Crashes of all names on two days running look like links of everyone to everyone, unless their weight is shared."""
    depth = losses(0.005)
    for start in range(50, 1000, 95):
        depth[start : start + 2] = 2.0
    assert off_diagonal(links(depth).leads).max() < 1.2
    alone = with_link(losses(0.005), 0, 1, 1)
    alone[1:, 1] = np.maximum(alone[1:, 1], 0.0)
    assert links(alone).leads[1, 0] > off_diagonal(links(losses(0.005)).leads).max()


def test_no_case_is_no_link() -> None:
    depth = losses()
    depth[:, 0] = 0.0
    found = links(depth)
    np.testing.assert_array_equal(found.leads[1:, 0], 0.0)
    unknown = losses()
    unknown[:, 0] = np.nan
    for values in (links(unknown).leads, links(unknown).together):
        np.testing.assert_array_equal(values[1:, 0], 0.0)
        assert np.isfinite(values).all()


def test_two_coincidences_make_no_link() -> None:
    depth = np.zeros((N_ROWS, 2))
    depth[[100, 500], 0] = 1.5
    depth[[102, 503], 1] = 1.5
    assert links(depth).leads[1, 0] < links(with_link(losses()[:, :2], 0, 1, 2)).leads[1, 0] + 2.5
    many = np.zeros((N_ROWS, 2))
    many[50:1000:50, 0] = 1.5
    many[52:1000:50, 1] = 1.5
    assert links(depth).leads[1, 0] < 0.7 * links(many).leads[1, 0] + 1.0


def test_the_last_five_sessions_are_no_cases_yet() -> None:
    """A loss whose following sessions have not passed is not counted as one that nobody followed."""
    depth = losses()
    recent = depth.copy()
    recent[-3, 0] = 3.0
    recent[:, 1:] = depth[:, 1:]
    before, after = links(depth), links(recent)
    np.testing.assert_array_equal(before.leads[1:, 0], after.leads[1:, 0])


def test_the_numbers_do_not_depend_on_who_is_asked_with_whom() -> None:
    cases = tail_cases(losses())
    whole, some = tail_links(cases, np.arange(N_NAMES)), tail_links(cases, np.array([2, 4]))
    for name in ("leads", "follows", "together"):
        np.testing.assert_array_equal(getattr(whole, name)[[2, 4]], getattr(some, name))
