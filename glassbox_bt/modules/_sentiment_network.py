"""The network of the sentiment analyst, its loss, and the fixed measure by which training stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.modules._anchor import information_coefficient
from glassbox_bt.modules._training import Batch
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["CLASSES", "N_COLUMNS", "SentimentNetwork", "SentimentSizes", "WholeRows", "by_document", "loss", "objective"]

CLASSES = 3  # negative, neutral, positive
N_COLUMNS = 1 + CLASSES + 1  # residuals of the polarity, the classes' logits and the magnitude's
LOSS_WEIGHTS = (1.0, 0.5, 0.25)  # polarity, class, magnitude: fixed, never searched (D-SENT-02)
TIE = 1e-3  # rank correlations within this are ties, which macro-F1 breaks


@dataclass(frozen=True, slots=True)
class SentimentSizes:
    """Number of inputs, widths, dropout, and whether the residuals start at zero."""

    n_inputs: int
    hidden: int
    representation: int
    dropout: float
    starts_at_zero: bool


class SentimentNetwork(nn.Module):
    """Two blocks (linear, layer norm, tanh, dropout) and a linear read-out: (n_rows, k) -> residuals (n_rows, 5)."""

    def __init__(self, sizes: SentimentSizes) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        width = sizes.n_inputs
        for wide in (sizes.hidden, sizes.representation):
            steps += [nn.Linear(width, wide), nn.LayerNorm(wide), nn.Tanh(), nn.Dropout(sizes.dropout)]
            width = wide
        self.body = nn.Sequential(*steps)
        self.head = nn.Linear(width, N_COLUMNS)
        if sizes.starts_at_zero:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


@dataclass(frozen=True, slots=True)
class WholeRows:
    """A hold-out that is always handed over whole, because a rank correlation has no mean over batches."""

    arrays: Mapping[str, AnyArray]

    def __len__(self) -> int:
        return 1

    def take(
        self,
        rows: IntArray,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Mapping[str, AnyArray]:
        """All of it."""
        return self.arrays


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean loss of a batch, each row weighted; on a `WholeRows` hold-out the fixed `objective` instead.

    ``1.0`` squared error of the polarity, ``0.5`` cross-entropy of the class, ``0.25`` that of the magnitude (spec §8).
    """
    z = batch["offset"] + network(batch["x"])
    score, logits, magnitude = torch.tanh(z[:, 0]), z[:, 1 : 1 + CLASSES], z[:, -1]
    if "document" in batch:
        names = ("document", "weight", "excess", "class")
        document, share, excess, wanted = (batch[name].cpu().numpy() for name in names)
        said = (score.double().cpu().numpy(), logits.argmax(dim=1).cpu().numpy())
        return torch.tensor(objective(said, (excess, wanted), document, share), dtype=torch.float64)
    parts = (
        (score - batch["target"]) ** 2,
        functional.cross_entropy(logits, batch["class"], reduction="none"),
        functional.binary_cross_entropy_with_logits(magnitude, batch["magnitude"], reduction="none"),
    )
    weight = batch["weight"]
    total = sum((factor * part for factor, part in zip(LOSS_WEIGHTS, parts, strict=True)), torch.zeros_like(weight))
    return (weight * total).sum() / weight.sum()


def objective(
    said: tuple[FloatArray, AnyArray], outcome: tuple[FloatArray, AnyArray], document: IntArray, weight: FloatArray
) -> float:
    """What stops training and chooses variants; lower is better, and no weight of the loss is in it (D-SENT-02).

    One less the rank correlation of documents' scores with what the name earned over the benchmark, to three digits; then,
    as a tie-break, a thousandth of one less the macro-F1 of the classes.

    Parameters
    ----------
    said : tuple
        Score and class index by chunk, (n_rows,) each.
    outcome : tuple
        Excess log return and the index of its class, (n_rows,) each; the same for all chunks of a document.
    document, weight : IntArray, FloatArray
        Document of each chunk, and its share of the document.
    """
    first, score = by_document(said[0], document, weight)
    correlation = information_coefficient(score, outcome[0][first])
    macro = f1_score(outcome[1], said[1], labels=range(CLASSES), average="macro", sample_weight=weight, zero_division=0.0)
    return float((1.0 - round(correlation / TIE) * TIE) + TIE * (1.0 - macro))


def by_document(values: FloatArray, document: IntArray, weight: FloatArray) -> tuple[IntArray, FloatArray]:
    """First row of each document, and the weighted mean of its chunks' values, (n_documents,) each."""
    _, first, place = np.unique(document, return_index=True, return_inverse=True)
    total = np.bincount(place, weights=weight)
    return first.astype(np.int64), np.asarray(np.bincount(place, weights=weight * values) / total, dtype=np.float64)
