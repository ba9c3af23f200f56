from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from glassbox_bt.modules._attribution import Counterfactual, integrated_gradients


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1)).eval()


def test_a_linear_score_is_shared_out_exactly() -> None:
    weights = np.array([1.0, -2.0, 0.5])
    x = np.random.default_rng(0).normal(size=(70, 3))
    start = np.array([0.1, 0.2, 0.3])
    tensor = torch.from_numpy(weights.astype(np.float32))
    found = integrated_gradients(lambda rows: rows @ tensor, x, start, steps=3)
    np.testing.assert_allclose(found.shares, weights * (x - start), atol=1e-5)
    np.testing.assert_allclose(found.change, (x - start) @ weights, atol=1e-5)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-5)


def test_shares_add_up_to_the_change_of_a_network() -> None:
    body = network()

    def score(rows: Tensor) -> Tensor:
        out: Tensor = body(rows)[:, 0]
        return out

    x = np.random.default_rng(2).normal(size=(130, 5))
    found = integrated_gradients(score, x, np.zeros(5), steps=64)
    assert np.abs(found.gap).max() < 1e-3
    assert np.abs(found.change).mean() > 0.1
    some = integrated_gradients(score, x[::3], np.zeros(5), steps=64)
    np.testing.assert_array_equal(some.shares, found.shares[::3])  # whatever rows lie around


def test_an_input_without_a_say_gets_nothing() -> None:
    found = integrated_gradients(lambda rows: rows[:, 0] ** 3, np.array([[2.0, 5.0]]), np.zeros(2), steps=200)
    np.testing.assert_allclose(found.shares[0], [8.0, 0.0], atol=1e-3)


def test_a_counterfactual_is_valid_only_where_it_moves_the_expected_way() -> None:
    before, after = np.array([0.2, 0.2, 0.2, np.nan]), np.array([0.3, 0.1, 0.20005, np.nan])
    np.testing.assert_array_equal(Counterfactual("up", 1, before, after).as_expected(), [True, False, False, False])
    np.testing.assert_array_equal(Counterfactual("down", -1, before, after).as_expected(), [False, True, False, False])
