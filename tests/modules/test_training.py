from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.modules._training import (
    ArrayRows,
    Batch,
    Schedule,
    Training,
    WindowRows,
    holdout_split,
    network_from,
    part_of,
    predict_in_blocks,
    predict_rows,
    train_network,
    weights_of,
)
from glassbox_bt.modules.base import FitContext

CONTEXT = FitContext(seed=7, module="toy", chunk=1, fold=0)
SCHEDULE = Schedule(epochs=6, batch_size=32, learning_rate=1e-2, patience=6, rows_share=0.5)


class PowerCutError(Exception):
    """Stands for a power cut."""


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))


def squared_error(network: nn.Module, batch: Batch) -> Tensor:
    error: Tensor = network(batch["x"])[:, 0] - batch["y"]
    return (error**2).mean()


def rows(seed: int, n_rows: int = 300) -> ArrayRows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, 3)).astype(np.float32)
    return ArrayRows({"x": x, "y": x[:, 0] - 0.5 * np.abs(x[:, 1])})


def trained(ctx: FitContext = CONTEXT, schedule: Schedule = SCHEDULE) -> Training:
    return train_network(build, squared_error, rows(0), rows(1), schedule, ctx)


def bytes_of(training: Training) -> list[bytes]:
    return [one.tobytes() for kept in (training.best, training.final) for one in kept.values()]


def test_training_learns_and_keeps_its_best_epoch() -> None:
    training = trained(schedule=replace(SCHEDULE, epochs=25, patience=25))
    losses = [row["holdout_loss"] for row in training.history]
    assert min(losses) < 0.7 * losses[0]
    assert training.best_epoch == int(np.argmin(losses))
    kept = network_from(build(), training.best)
    held = rows(1)
    batch = {name: torch.from_numpy(one) for name, one in held.arrays.items()}
    assert float(squared_error(kept, batch).detach()) == pytest.approx(min(losses), rel=1e-5)


def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before() -> None:
    first = trained()
    torch.manual_seed(123)
    torch.rand(17)
    assert bytes_of(trained()) == bytes_of(first)
    assert trained().history == first.history
    assert bytes_of(trained(replace(CONTEXT, fold=1))) != bytes_of(first)


def test_training_leaves_the_callers_generator_and_flags_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained()
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("kill_in_epoch", [1, 2, 5])
def test_a_killed_fit_resumes_to_the_same_bytes(tmp_path: Path, kill_in_epoch: int) -> None:
    n_steps = 0

    def fatal(network: nn.Module, batch: Batch) -> Tensor:
        nonlocal n_steps
        n_steps += network.training
        if n_steps > 5 * (kill_in_epoch - 1) + 3:  # in the middle of the epoch
            raise PowerCutError
        return squared_error(network, batch)

    ctx = replace(CONTEXT, checkpoints=tmp_path)
    with pytest.raises(PowerCutError):
        train_network(build, fatal, rows(0), rows(1), SCHEDULE, ctx)
    assert (tmp_path / "latest.safetensors").exists() == (kill_in_epoch > 1)
    resumed, whole = trained(ctx), trained()
    assert bytes_of(resumed) == bytes_of(whole)
    assert resumed.history[1:] == whole.history[1:]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_finished_fit_is_read_back_without_a_step(tmp_path: Path) -> None:
    ctx = replace(CONTEXT, checkpoints=tmp_path)
    first = trained(ctx)

    def never(_network: nn.Module, _batch: Batch) -> Tensor:
        raise PowerCutError

    again = train_network(build, never, rows(0), rows(1), SCHEDULE, ctx)
    assert bytes_of(again) == bytes_of(first)


@pytest.mark.parametrize(
    "other",
    [
        lambda ctx: trained(replace(ctx, chunk=2)),
        lambda ctx: trained(ctx, replace(SCHEDULE, learning_rate=1e-3)),
        lambda ctx: train_network(build, squared_error, rows(9), rows(1), SCHEDULE, ctx),
    ],
    ids=["chunk", "settings", "data"],
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path, other: Callable[[FitContext], Training]) -> None:
    ctx = replace(CONTEXT, checkpoints=tmp_path)
    trained(ctx)
    with pytest.raises(TrainingError, match="another fit"):
        other(ctx)


def test_parts_of_a_fit_have_their_own_streams_and_folders(tmp_path: Path) -> None:
    ctx = replace(CONTEXT, checkpoints=tmp_path)
    one, two = part_of(ctx, "anchored"), part_of(ctx, "network")
    assert one.checkpoints != two.checkpoints
    assert one.stream("init") != two.stream("init")
    trained(one)
    trained(two)
    assert (tmp_path / "anchored" / "best.safetensors").exists()


def test_a_residual_that_cannot_help_falls_back_to_epoch_zero() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 1)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(x)
            return out

    source = rows(2)
    exact = ArrayRows({"x": source.arrays["x"], "y": np.zeros(300, dtype=np.float32)})
    training = train_network(Residual, squared_error, rows(0), exact, SCHEDULE, CONTEXT)
    assert training.best_epoch == 0
    assert not training.best["head.weight"].any()


def test_a_loss_that_is_not_finite_stops_the_fit() -> None:
    def broken(network: nn.Module, batch: Batch) -> Tensor:
        return squared_error(network, batch) * (float("nan") if network.training else 1.0)

    with pytest.raises(TrainingError, match=r"became nan in epoch 1.*learning rate"):
        train_network(build, broken, rows(0), rows(1), SCHEDULE, CONTEXT)


def test_no_rows_is_an_error_not_an_empty_model() -> None:
    with pytest.raises(TrainingError, match="no rows to learn from"):
        train_network(build, squared_error, rows(0, 0), None, SCHEDULE, CONTEXT)
    with pytest.raises(TrainingError, match="no rows to stop on"):
        train_network(build, squared_error, rows(0), rows(1, 0), SCHEDULE, CONTEXT)


def test_the_rate_is_stepped_per_batch_and_leaves_the_warm_up_defect_d_enc_02() -> None:
    training = trained()
    n_steps = 5 * 6  # ceil(150 drawn rows / 32) batches in each of 6 epochs
    assert training.summary["n_steps"] == n_steps
    rates = [SCHEDULE.rate(step, n_steps) for step in range(n_steps)]
    assert max(rates) == SCHEDULE.learning_rate == rates[3]
    assert rates[:4] == sorted(rates[:4])
    assert rates[-1] < 0.02 * SCHEDULE.learning_rate
    assert training.history[-1]["learning_rate"] == rates[-1]


def test_holdout_noise_is_the_same_in_every_epoch_defect_d_enc_06() -> None:
    seen: list[tuple[bool, float]] = []

    class Noisy(ArrayRows):
        def take(self, rows: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
            noise = rng.normal(size=len(rows)).astype(np.float32)
            return {name: one[rows] for name, one in self.arrays.items()} | {"noise": noise}

    def noting(network: nn.Module, batch: Batch) -> Tensor:
        seen.append((network.training, float(batch["noise"].sum())))
        return squared_error(network, batch)

    train_network(build, noting, Noisy(rows(0).arrays), Noisy(rows(1).arrays), SCHEDULE, CONTEXT)
    held_out = [noise for training, noise in seen if not training]
    learning = [noise for training, noise in seen if training]
    assert len(held_out) == 7 * 10
    assert len(set(held_out)) == 10
    assert len(set(learning)) == len(learning)


def test_early_stopping_waits_for_its_patience() -> None:
    impatient = trained(schedule=replace(SCHEDULE, epochs=60, patience=2, learning_rate=0.05))
    assert impatient.stopped_epoch < 60
    assert impatient.stopped_epoch - impatient.best_epoch == 2


@pytest.mark.parametrize("n_rows", [1, 2, 63, 64, 65, 200])
def test_blocks_answer_alike_for_any_batch(n_rows: int) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 2)).eval()
    inputs = np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32)
    whole = predict_in_blocks(network, inputs)[0]
    picked = np.random.default_rng(n_rows).permutation(200)[:n_rows]
    np.testing.assert_array_equal(predict_in_blocks(network, inputs[picked])[0], whole[picked])


def test_blocks_of_no_rows_keep_the_shape() -> None:
    answered = predict_in_blocks(nn.Linear(3, 2), np.zeros((0, 3), dtype=np.float32))
    assert answered[0].shape == (0, 2)


def test_windows_are_gathered_oldest_first() -> None:
    block = np.arange(2 * 10 * 1, dtype=np.float32).reshape(2, 10, 1)
    source = WindowRows(block, np.array([0, 1]), np.array([4, 9]), 3, {"y": np.array([7.0, 8.0])})
    taken = source.take(np.array([1, 0]), np.random.default_rng(0))
    np.testing.assert_array_equal(taken["window"][..., 0], [[17, 18, 19], [2, 3, 4]])
    np.testing.assert_array_equal(taken["y"], [8.0, 7.0])
    (sums,) = predict_rows(lambda batch: batch["window"].sum(dim=1)[:, 0], source)
    np.testing.assert_array_equal(sums, [9.0, 54.0])


def test_weights_survive_the_round_trip() -> None:
    network = build()
    again = network_from(build(), weights_of(network))
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not again.training


def test_the_holdout_is_the_end_and_no_fitting_label_reaches_it() -> None:
    days = np.arange(1000, 1200)
    fit, held = holdout_split(days, 0.15, horizon=20)
    assert held.sum() == 30
    assert held[-30:].all()
    assert days[fit].max() + 20 + 1 < days[held].min()
    assert not (fit & held).any()


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"learning_rate": 0.0}, {"rows_share": 0.0}, {"warmup_share": 1.0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        Schedule(**wrong)  # type: ignore[arg-type]
