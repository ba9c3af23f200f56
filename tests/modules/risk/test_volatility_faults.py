"""The faults of spec §28, D-VOL-01 to 05, planted and found; what is built here is the corrected twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.store import Label, MarketStore
from glassbox_bt.modules._training import ArrayRows, Batch, RowSource, Schedule, train_network
from glassbox_bt.modules._volatility_garch import estimate, follow
from glassbox_bt.modules.base import FitContext
from glassbox_bt.modules.risk.volatility import THIRDS, FittedVolatility, Volatility
from glassbox_bt.types import AnyArray, FloatArray, IntArray
from tests.modules.risk.risk_market import (
    TRAIN,
    as_label,
    context,
    given_below,
    market,
    relabelled,
    span_of,
    train_view_of,
)

Forecast = Callable[[FloatArray, int], float]  # percent returns and a horizon -> percent variance a session
MODULE = Volatility(hidden=8, epochs=2, batch_size=128)


def garch_series(n: int, alpha: float, beta: float, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    variance, out = 2.0, np.empty(n)
    for day in range(n):
        out[day] = np.sqrt(variance) * rng.standard_normal()
        variance = 2.0 * (1.0 - alpha - beta) + alpha * out[day] ** 2 + beta * variance
    return out


def constant_garch(returns: FloatArray, horizon: int) -> float:
    """The source's: fixed coefficients, one shock on the sample variance, the variance of the last day ahead."""
    variance = returns.var()
    ahead = 0.02 * variance + 0.08 * (returns[-1] - returns.mean()) ** 2 + 0.90 * variance
    for _ in range(horizon - 1):
        ahead = 0.02 * variance + 0.98 * ahead
    return float(ahead)


def estimated_garch(returns: FloatArray, horizon: int) -> float:
    model = estimate(returns, "garch")
    assert model is not None
    said = follow(returns, model, "garch", 0.94, np.array([horizon]))[0, -1]
    return float((100.0 * said) ** 2 / 252.0)


def forgets_the_past(forecast: Forecast) -> bool:
    """Whether the order of older returns is of no account: the sample variance is all that is left of them."""
    returns = garch_series(800, 0.12, 0.85, seed=3)
    shuffled = np.append(np.random.default_rng(0).permutation(returns[:-1]), returns[-1])
    return bool(forecast(returns, 10) == pytest.approx(forecast(shuffled, 10), rel=1e-6))


def is_never_estimated(forecast: Forecast) -> bool:
    """Whether a series that forgets a shock within days gets the same decay as one that remembers it for months."""
    decay = []
    for alpha, beta in ((0.25, 0.20), (0.06, 0.93)):
        calm = garch_series(1000, alpha, beta, seed=5)
        shocked = np.append(calm, 12.0)
        near, far = (forecast(shocked, horizon) / calm.var() for horizon in (1, 30))
        decay.append((far - 1.0) / (near - 1.0))
    return bool(decay[0] == pytest.approx(decay[1], rel=0.05))


def reports_the_last_day(forecast: Forecast) -> bool:
    """Whether the number for a horizon is a day's variance, so that it does not lie between that of day 1 and the mean of
    shorter horizons once the variance falls."""
    shocked = np.append(garch_series(1000, 0.12, 0.80, seed=7), 12.0)
    means = [forecast(shocked, horizon) for horizon in range(1, 31)]
    days = np.diff(np.arange(1, 31) * means, prepend=0.0)  # variance of each day, if these are means
    ratios = (days[1:] - days[-1]) / (days[:-1] - days[-1] + 1e-12)
    return not np.allclose(ratios[:20], ratios[0], rtol=1e-2)  # a variance decays at one rate


@pytest.mark.parametrize("fault", [forgets_the_past, is_never_estimated, reports_the_last_day])
def test_d_vol_01_a_constant_garch_is_found(fault: Callable[[Forecast], bool]) -> None:
    assert fault(constant_garch)
    assert not fault(estimated_garch)


def is_untrained(probability: FloatArray, event: FloatArray) -> bool:
    """Whether a head does no better on its own train rows than their base rate does (log loss)."""
    p = np.clip(probability, 1e-6, 1.0 - 1e-6)
    said = -np.mean(np.where(event > 0.5, np.log(p), np.log(1.0 - p)))
    base = event.mean()
    return bool(said >= -(base * np.log(base) + (1.0 - base) * np.log(1.0 - base)))


def test_d_vol_02_an_untrained_head_is_no_probability() -> None:
    store = market()
    below = given_below(store, MODULE.reads)
    garch = np.log(np.nan_to_num(below["garch.vol_30d"].values, nan=0.3))
    wild = np.exp(garch + 0.2 * np.random.default_rng(0).standard_normal(garch.shape))
    world = relabelled(store, {"forward_vol_10d": wild, "forward_vol_30d": np.clip(wild, 0.01, 5.0)})
    fit = MODULE.fit(train_view_of(world, MODULE, below), context(MODULE))[0].fitted
    assert isinstance(fit, FittedVolatility)
    said = fit.predict_many(span_of(world, MODULE, below, TRAIN))
    y = np.log(world.labels["forward_vol_30d"].values[TRAIN])
    rows = said.known & np.isfinite(y)
    event = (y[rows] >= fit.model.thirds[1]).astype(np.float64)
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 3), nn.Softmax(dim=-1))
    embedding = torch.from_numpy(below["temporal_encoder.embedding"].values[TRAIN][rows])
    untrained = head(embedding)[:, 2].detach().numpy()
    assert is_untrained(untrained, event)
    assert not is_untrained(said.outputs[f"regime_probs_{THIRDS[2]}"][rows], event)


@dataclass
class Watched:
    """Notes which rows an epoch takes; ``first`` serves the first so many whatever is asked (the fault)."""

    source: ArrayRows
    first: int | None = None
    taken: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:
        picked = rows if self.first is None else rows % self.first
        self.taken += picked.tolist()
        return self.source.take(picked, rng)


def leaves_out_names(rows: list[int], name: IntArray) -> bool:
    """Whether some name has under half of its share among the drawn rows."""
    drawn = np.bincount(name[np.array(rows)], minlength=name.max() + 1) / len(rows)
    return bool((drawn < 0.5 * np.bincount(name) / len(name)).any())


@pytest.mark.parametrize("first", [None, 300])
def test_d_vol_03_the_first_rows_of_a_sorted_file_are_no_sample(first: int | None) -> None:
    name = np.repeat(np.arange(10), 100)  # sorted by name, as files are
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    rows = Watched(ArrayRows({"x": x}), first)

    def loss(network: nn.Module, batch: Batch) -> torch.Tensor:
        out: torch.Tensor = network(batch["x"]).square().mean()
        return out

    source: RowSource = rows
    schedule = Schedule(epochs=1, batch_size=50, rows_share=0.3)
    train_network(lambda: nn.Linear(3, 1), loss, source, None, schedule, FitContext(1, "volatility", 1, 0))
    assert len(rows.taken) >= 300
    assert leaves_out_names(rows.taken[-300:], name) == (first is not None)


def test_d_vol_04_what_one_chunk_left_is_refused_by_another(tmp_path: Path) -> None:
    store = market()
    below = given_below(store, MODULE.reads)
    view = train_view_of(store, MODULE, below)
    MODULE.fit(view, context(MODULE, checkpoints=tmp_path / "shared"))
    with pytest.raises(TrainingError, match="another fit"):
        MODULE.fit(view, context(MODULE, chunk=2, checkpoints=tmp_path / "shared"))
    MODULE.fit(view, context(MODULE, chunk=2, checkpoints=tmp_path / "own"))


def reaches_past_the_cut(store: MarketStore, name: str, horizon: int) -> bool:
    """Whether a train view holds an outcome of its last sessions, which nobody can know at its end."""
    view = store.train_view(TRAIN, (), (name,), np.arange(store.n_assets))
    return bool(np.isfinite(view.label(name)[-horizon:]).any())


def changes_with_its_future(build: Callable[[MarketStore], Label], n_kept: int) -> bool:
    """Whether an outcome said to be known by session ``n_kept`` is another one once later prices are there."""
    store = market()
    columns = {name: np.array(values) for name, values in store.columns.items()}
    columns["close"][n_kept:] = columns["close"][n_kept - 1]
    before, after = build(store), build(replace(store, columns=columns))
    known = before.known_at <= store.decided_at[n_kept - 1]
    return not np.array_equal(before.values[known], after.values[known], equal_nan=True)


def honest(store: MarketStore) -> Label:
    from glassbox_bt.market.labels import build_labels

    return build_labels(store.columns, store.decided_at, has_opens=True)["forward_vol_10d"]


def shortened_and_filled(store: MarketStore) -> Label:
    """The source's: what is left of a window at the end counts as the window, no window at all as 0.30."""
    returns = np.diff(np.log(store.columns["close"]), axis=0, append=np.nan)
    values = np.full(returns.shape, 0.30)
    for day in range(len(returns)):
        window = returns[day : day + 10]
        seen = np.isfinite(window).sum(axis=0) > 1
        values[day, seen] = np.nanstd(window[:, seen], axis=0) * np.sqrt(252.0)
    return Label(np.clip(values, 0.01, 5.0), store.decided_at)


def test_d_vol_05_targets_beyond_the_split_are_found() -> None:
    store = market()
    faulty = replace(store, labels={**store.labels, "forward_vol_10d": shortened_and_filled(store)})
    assert reaches_past_the_cut(faulty, "forward_vol_10d", 10)
    assert not reaches_past_the_cut(store, "forward_vol_10d", 10)
    assert changes_with_its_future(shortened_and_filled, 300)
    assert not changes_with_its_future(honest, 300)
    assert not np.isfinite(store.labels["forward_vol_10d"].values[-10:]).any()  # and nothing is made up at the end


def test_d_vol_05_outcomes_known_after_the_cut_do_not_reach_the_fit() -> None:
    store = market()
    below = given_below(store, MODULE.reads)
    labels = {
        name: as_label(label, np.where((label.known_at > store.decided_at[TRAIN[-1]])[:, None], 4.0, label.values))
        for name, label in store.labels.items()
    }
    fits = [
        MODULE.fit(train_view_of(one, MODULE, below), context(MODULE))[0].fitted.state()
        for one in (store, replace(store, labels=labels))
    ]
    for name, values in fits[0].arrays.items():
        np.testing.assert_array_equal(fits[1].arrays[name], values, err_msg=name)
