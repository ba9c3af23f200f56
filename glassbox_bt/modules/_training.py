"""How every network here is trained: one loop, one kind of checkpoint, one fixed block size.

1. Rows come from a `RowSource`; the ones of an epoch, their order and their noise are drawn from
   streams named after the epoch (`FitContext.rng`), never from a running generator. A resumed fit
   therefore needs no generator state.
2. AdamW is stepped per batch along a warm-up and a cosine whose length is the number of steps there
   really are.
3. After each epoch the hold-out is scored with noise that never changes. Epoch 0 is the network
   before training, so a residual that starts at zero can lose the race to its own anchor. The best
   epoch is what is kept.
4. `latest.safetensors` holds everything a resumed fit needs, in one file that is renamed into
   place.
5. Answers are computed in zero-padded blocks of 64 rows on one thread, which makes them
   bit-identical for every batch (R13).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.modules._blocks import (
    BLOCK,
    ArrayRows,
    Batch,
    RowSource,
    WindowRows,
    deterministic,
    network_from,
    predict_in_blocks,
    predict_rows,
    tensors_of,
    to_batch,
    weights_of,
)
from glassbox_bt.modules.base import FitContext
from glassbox_bt.runs.artefacts import digest_array, digest_json, write_whole
from glassbox_bt.types import AnyArray, BoolArray, IntArray

__all__ = [
    "BLOCK",
    "ArrayRows",
    "Batch",
    "RowSource",
    "Schedule",
    "Training",
    "WindowRows",
    "holdout_split",
    "network_from",
    "part_of",
    "predict_in_blocks",
    "predict_rows",
    "train_network",
    "weights_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a network learns.

    Parameters
    ----------
    epochs : int
        Most passes; each draws ``rows_share`` of the rows anew.
    batch_size : int
        Rows per optimiser step.
    learning_rate, weight_decay : float
        Of AdamW; the rate is the peak after warm-up.
    clip : float
        Largest norm of the gradient.
    patience : int
        Epochs without a better hold-out loss before training stops.
    warmup_share : float
        Share of all steps with a rising rate, in [0, 1); a cosine to zero follows.
    rows_share : float
        Share of the rows that an epoch draws at random, in (0, 1].
    """

    epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    clip: float = 1.0
    patience: int = 3
    warmup_share: float = 0.1
    rows_share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise PlanError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if not (self.learning_rate > 0.0 and self.clip > 0.0 and self.weight_decay >= 0.0):
            raise PlanError(
                "`learning_rate` and `clip` must be positive and `weight_decay` not negative, got "
                f"{self.learning_rate}, {self.clip} and {self.weight_decay}."
            )
        if not (0.0 <= self.warmup_share < 1.0 and 0.0 < self.rows_share <= 1.0):
            raise PlanError(
                "`warmup_share` must lie in [0, 1) and `rows_share` in (0, 1], got "
                f"{self.warmup_share} and {self.rows_share}."
            )

    @classmethod
    def of(cls, settings: Any) -> Schedule:
        """The schedule in a module's settings, whose fields have the names above."""
        return cls(**{one.name: getattr(settings, one.name) for one in fields(cls)})

    def rate(self, step: int, n_steps: int) -> float:
        """Learning rate of optimiser step ``step`` (0 first) out of ``n_steps``."""
        warmup = round(self.warmup_share * n_steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / (warmup + 1)
        share = (step - warmup) / max(n_steps - warmup, 1)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))


@dataclass(frozen=True, slots=True)
class Training:
    """What a training run left behind.

    ``best`` are the weights of the epoch with the lowest hold-out loss (the last epoch without a
    hold-out), which is what a fitted module uses; ``final`` those of the last epoch. ``history``
    has one row per epoch, epoch 0 before any step.
    """

    best: Mapping[str, AnyArray]
    final: Mapping[str, AnyArray]
    history: tuple[Mapping[str, float], ...]
    best_epoch: int
    stopped_epoch: int
    summary: Mapping[str, object]


@dataclass(slots=True)
class _Run:
    """The moving parts of one training run; all of it is in a checkpoint."""

    network: nn.Module
    optimiser: torch.optim.AdamW
    best: dict[str, Tensor]
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def holdout_split(days: IntArray, share: float, horizon: int) -> tuple[BoolArray, BoolArray]:
    """Days to fit on and the hold-out at the end, purged (R32).

    Parameters
    ----------
    days : IntArray
        Ascending session numbers of the train view.
    share : float
        Share of the days that is held out, in (0, 1).
    horizon : int
        Sessions until the label of a day is known; the last ``horizon + 1`` sessions before the
        hold-out are dropped, so that no fitting label reaches into it.

    Returns
    -------
    tuple of BoolArray
        Masks over ``days``: fit, hold-out.
    """
    if not 0.0 < share < 1.0:
        raise PlanError(f"The share of train days held out must lie in (0, 1), got {share}.")
    first = int(days[len(days) - max(1, round(share * len(days)))])
    return days < first - horizon - 1, days >= first


def part_of(ctx: FitContext, part: str) -> FitContext:
    """The context of one of several networks in a fit: own random streams, own checkpoints."""
    folder = None if ctx.checkpoints is None else ctx.checkpoints / part
    return replace(ctx, module=f"{ctx.module}/{part}", checkpoints=folder)


def train_network(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Batch], Tensor],
    rows: RowSource,
    holdout: RowSource | None,
    schedule: Schedule,
    ctx: FitContext,
) -> Training:
    """Train a network; the same settings, rows and seed give the same bytes, resumed or not.

    Parameters
    ----------
    build : Callable[[], nn.Module]
        Makes the untrained network; called once, after the generator was seeded.
    loss : Callable[[nn.Module, Batch], Tensor]
        Mean loss of a batch, a scalar; the network is in training or evaluation mode as it should
        be.
    rows, holdout : RowSource
        What is learned from, and what decides when to stop. Without a hold-out all epochs are run
        and the last is kept.
    ctx : FitContext
        Streams, device and checkpoint folder; see `part_of` where a fit trains several networks.

    Raises
    ------
    TrainingError
        No rows, a loss that is not finite, or a checkpoint of another fit.
    """
    if len(rows) == 0 or (holdout is not None and len(holdout) == 0):
        raise TrainingError(
            f"`{ctx.module}` has no rows to {'stop on' if len(rows) else 'learn from'} in chunk "
            f"{ctx.chunk}, fold {ctx.fold}. Give it a longer train part or shorter windows."
        )
    with deterministic(ctx.device):
        torch.manual_seed(ctx.stream("init"))
        network = build().to(ctx.device)
        optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
        run = _Run(network, optimiser, best=tensors_of(network))
        owner = _fingerprint(run, rows, schedule, ctx)
        if not _resume(run, owner, ctx):
            _record(run, math.nan, _score(run.network, loss, holdout, schedule, ctx), 0.0)
        while run.epoch < schedule.epochs and run.epoch - run.best_epoch < schedule.patience:
            run.epoch += 1
            trained = _train_epoch(run, loss, rows, schedule, ctx)
            held_out = _score(run.network, loss, holdout, schedule, ctx)
            rate = schedule.rate(run.step - 1, _n_steps(rows, schedule) * schedule.epochs)
            _record(run, trained, held_out, rate)
            _save(run, owner, ctx)
            ctx.progress(run.epoch / schedule.epochs)
        return _finished(run, rows, holdout)


def _n_steps(rows: RowSource, schedule: Schedule) -> int:
    return math.ceil(_n_drawn(rows, schedule) / schedule.batch_size)


def _n_drawn(rows: RowSource, schedule: Schedule) -> int:
    return max(1, round(schedule.rows_share * len(rows)))


def _train_epoch(
    run: _Run,
    loss: Callable[[nn.Module, Batch], Tensor],
    rows: RowSource,
    schedule: Schedule,
    ctx: FitContext,
) -> float:
    """One pass; the mean loss of its rows."""
    torch.manual_seed(ctx.stream("epoch", run.epoch))  # dropout
    rng = ctx.rng("rows", run.epoch)
    drawn = rng.permutation(len(rows))[: _n_drawn(rows, schedule)]
    n_steps = _n_steps(rows, schedule) * schedule.epochs
    run.network.train()
    total = 0.0
    for start in range(0, len(drawn), schedule.batch_size):
        picked = drawn[start : start + schedule.batch_size]
        for group in run.optimiser.param_groups:
            group["lr"] = schedule.rate(run.step, n_steps)
        run.optimiser.zero_grad(set_to_none=True)
        value = loss(run.network, to_batch(rows.take(picked, rng), ctx.device))
        total += _finite(float(value.detach()), run.epoch, ctx) * len(picked)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(run.network.parameters(), schedule.clip)
        run.optimiser.step()
        run.step += 1
    return total / len(drawn)


def _score(
    network: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    holdout: RowSource | None,
    schedule: Schedule,
    ctx: FitContext,
) -> float:
    """Hold-out loss under noise that is the same in every epoch; NaN without a hold-out."""
    if holdout is None:
        return math.nan
    network.eval()
    rng, total = ctx.rng("holdout"), 0.0
    with torch.inference_mode():
        for start in range(0, len(holdout), schedule.batch_size):
            picked = np.arange(start, min(start + schedule.batch_size, len(holdout)))
            value = float(loss(network, to_batch(holdout.take(picked, rng), ctx.device)))
            total += _finite(value, 0, ctx) * len(picked)
    return total / len(holdout)


def _finite(value: float, epoch: int, ctx: FitContext) -> float:
    if not math.isfinite(value):
        raise TrainingError(
            f"The loss of `{ctx.module}` became {value} in epoch {epoch} (chunk {ctx.chunk}, "
            f"fold {ctx.fold}). Lower its learning rate."
        )
    return value


def _record(run: _Run, trained: float, held_out: float, rate: float) -> None:
    """Append to the history; keep the weights if this epoch is the best so far."""
    so_far = run.history[run.best_epoch]["holdout_loss"] if run.history else math.inf
    run.history.append(
        {
            "epoch": float(run.epoch),
            "train_loss": trained,
            "holdout_loss": held_out,
            "learning_rate": rate,
        }
    )
    if math.isnan(held_out) or held_out < so_far:
        run.best, run.best_epoch = tensors_of(run.network), run.epoch


def _finished(run: _Run, rows: RowSource, holdout: RowSource | None) -> Training:
    best, first = run.history[run.best_epoch], run.history[0]
    summary: dict[str, object] = {
        "n_rows": len(rows),
        "n_holdout_rows": 0 if holdout is None else len(holdout),
        "n_parameters": sum(one.numel() for one in run.network.parameters()),
        "best_epoch": run.best_epoch,
        "stopped_epoch": run.epoch,
        "n_steps": run.step,
        "holdout_loss_untrained": first["holdout_loss"],
        "holdout_loss": best["holdout_loss"],
    }
    final = {name: one.cpu().numpy() for name, one in tensors_of(run.network).items()}
    kept = {name: run.best[name].cpu().numpy() for name in final}
    return Training(kept, final, tuple(run.history), run.best_epoch, run.epoch, summary)


def _fingerprint(run: _Run, rows: RowSource, schedule: Schedule, ctx: FitContext) -> str:
    """Whose checkpoint it is: settings, streams, shapes, number of rows, content of the first."""
    sample = rows.take(np.arange(min(len(rows), BLOCK)), ctx.rng("fingerprint"))
    return digest_json(
        {
            "schedule": asdict(schedule),
            "stream": ctx.stream("fingerprint"),
            "shapes": {name: list(one.shape) for name, one in run.best.items()},
            "n_rows": len(rows),
            "rows": {name: digest_array(one) for name, one in sample.items()},
        }
    )


def _save(run: _Run, owner: str, ctx: FitContext) -> None:
    """`latest`: all that a resumed fit needs; `best`: the weights a fitted module would use."""
    if ctx.checkpoints is None:
        return
    tensors = {f"model/{name}": one for name, one in tensors_of(run.network).items()}
    tensors |= {f"best/{name}": one for name, one in run.best.items()}
    for number, moments in run.optimiser.state_dict()["state"].items():
        tensors |= {f"adam/{number}/{name}": one.clone() for name, one in moments.items()}
    facts = {"owner": owner, "epoch": run.epoch, "step": run.step, "best_epoch": run.best_epoch}
    note = {"run": json.dumps(facts | {"history": run.history})}
    write_whole(ctx.checkpoints / "latest.safetensors", lambda path: save_file(tensors, path, note))
    if run.best_epoch == run.epoch:
        best = {name: one.clone() for name, one in run.best.items()}
        write_whole(ctx.checkpoints / "best.safetensors", lambda path: save_file(best, path, note))


def _resume(run: _Run, owner: str, ctx: FitContext) -> bool:
    """Take up the checkpoint of this very fit; False where there is none."""
    path = None if ctx.checkpoints is None else ctx.checkpoints / "latest.safetensors"
    if path is None or not path.exists():
        return False
    facts, tensors = _read(path, ctx.device)
    if facts["owner"] != owner:
        raise TrainingError(
            f"{path} is a checkpoint of another fit than `{ctx.module}`, chunk {ctx.chunk}, "
            f"fold {ctx.fold}. Remove the folder or start afresh with --fresh."
        )
    run.network.load_state_dict(_with_prefix(tensors, "model/"))
    run.best = _with_prefix(tensors, "best/")
    moments: dict[int, dict[str, Tensor]] = {}
    for name, one in _with_prefix(tensors, "adam/").items():
        number, moment = name.split("/")
        moments.setdefault(int(number), {})[moment] = one
    run.optimiser.load_state_dict(run.optimiser.state_dict() | {"state": moments})
    run.epoch, run.step, run.best_epoch = facts["epoch"], facts["step"], facts["best_epoch"]
    run.history = facts["history"]
    return True


def _read(path: Path, device: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, framework="pt", device=device) as file:
        return json.loads(file.metadata()["run"]), {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
        }


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: one for name, one in tensors.items() if name.startswith(prefix)}
