"""A language model read on the train text of one chunk: masked words are guessed from the words around them (spec 7).

1. Distinct train texts before the last part of train teach, those of the last part decide when to stop; a text that stands
   in both teaches only.
2. A share of the word pieces is hidden: eight tenths become the mask, one tenth another piece, one tenth stays.
3. The loss on the hold-out must end below where it started, and below that of guessing by frequency alone: that is as far as
   a fresh head gets without reading (a classifier such as FinBERT brings no head for this; D-FIN-04). Otherwise the fit is
   refused.

The settings are the source's, the same for every chunk; nothing is tuned (D-FIN-02).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from glassbox_bt.errors import InputError, TrainingError
from glassbox_bt.modules._text_engine import TextEngine, adapted_engine
from glassbox_bt.modules._text_transformer import TransformerReader, loaded_model
from glassbox_bt.modules._training import Batch, Schedule, Training, part_of, train_network
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, IntArray

__all__ = ["Adapted", "MaskedRows", "adapted", "below_plateau"]

IGNORED = -100  # label of a piece that was not hidden


@dataclass(frozen=True, slots=True)
class Adapted:
    """The engine with the weights it learned, and how that went."""

    engine: TextEngine
    weights: Mapping[str, AnyArray]
    history: Sequence[Mapping[str, float]]
    summary: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """Texts as word pieces, some of which are hidden anew in each batch."""

    pieces: Sequence[Sequence[int]]
    special: tuple[int, ...]  # pieces that are never hidden
    mask: int
    pad: int
    n_vocabulary: int
    share: float

    def __len__(self) -> int:
        return len(self.pieces)

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:
        """``input_ids``, ``attention_mask`` and ``labels``, each (len(rows), longest)."""
        some = [self.pieces[row] for row in rows.tolist()]
        tokens = np.full((len(some), max(len(one) for one in some)), self.pad, dtype=np.int64)
        there = np.zeros(tokens.shape, dtype=np.int64)
        for row, one in enumerate(some):
            tokens[row, : len(one)], there[row, : len(one)] = one, 1
        free = (there == 1) & ~np.isin(tokens, self.special)
        hidden = free & (rng.random(tokens.shape) < self.share)
        if not hidden.any():  # a batch without any hidden piece has no loss
            hidden.flat[int(free.argmax())] = bool(free.any())
        labels = np.where(hidden, tokens, IGNORED)
        draw = rng.random(tokens.shape)
        others = rng.integers(0, self.n_vocabulary, tokens.shape)
        tokens = np.where(hidden & (draw < 0.8), self.mask, np.where(hidden & (draw >= 0.9), others, tokens))
        return {"input_ids": tokens, "attention_mask": there, "labels": labels}


def adapted(
    engine: TextEngine, texts: Sequence[str], held_out: Sequence[str], share: float, schedule: Schedule, ctx: FitContext
) -> Adapted:
    """Train the engine's encoder on ``texts``; ``held_out`` are later ones, none of them among ``texts``.

    Raises
    ------
    TrainingError
        Where the hold-out loss does not end below the plateau, or a checkpoint belongs to another fit.
    """
    reader = engine.reader
    if not isinstance(reader, TransformerReader):
        raise InputError(f"`{engine.name}` has no weights to adapt. Set adapt = false, or choose a transformers model.")
    rows, held = (_rows(reader, some, share) for some in (texts, held_out))
    training = train_network(
        lambda: _masked_model(reader), _loss, rows, held, schedule, part_of(ctx, f"adaptation {reader.base_digest[:16]}")
    )
    summary = {**_summary(training), "mlm_loss_by_frequency": _loss_by_frequency(rows, held)}
    below_plateau(summary)
    prefix = _masked_model(reader).base_model_prefix + "."
    weights = {name.removeprefix(prefix): one for name, one in training.best.items() if name.startswith(prefix)}
    return Adapted(adapted_engine(engine, weights), weights, training.history, summary)


def below_plateau(summary: Mapping[str, object]) -> None:
    """`TrainingError` unless the loss ended below its start and below guessing by frequency (D-FIN-04)."""
    start, by_frequency, end = (
        float(str(summary[name])) for name in ("mlm_loss_initial", "mlm_loss_by_frequency", "mlm_loss")
    )
    if not end < min(start, by_frequency):
        raise TrainingError(
            f"The adapted text model is no better than it was: its loss on later text ended at {end:.3f}, it started at "
            f"{start:.3f}, and guessing by frequency alone gives {by_frequency:.3f}. Set adapt = false, or give it more "
            "text."
        )


def _rows(reader: TransformerReader, texts: Sequence[str], share: float) -> MaskedRows:
    tokeniser, _ = reader.loaded
    if tokeniser.mask_token_id is None:
        raise InputError(f"`{reader.name}` has no mask token, so it cannot learn by masking. Set adapt = false.")
    pieces, _cut = reader.pieces(texts)
    special = tuple(sorted({int(one) for one in tokeniser.all_special_ids}))
    kept = [one for one in pieces if set(one) - set(special)]
    pad = int(tokeniser.pad_token_id or 0)
    return MaskedRows(kept, special, int(tokeniser.mask_token_id), pad, len(tokeniser), share)


def _masked_model(reader: TransformerReader) -> Any:
    return loaded_model(reader.name, reader.folder, "masked")[1]


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    loss: Tensor = network(**batch).loss
    return loss


def _summary(training: Training) -> dict[str, object]:
    return {
        "mlm_loss_initial": training.summary["holdout_loss_untrained"],
        "mlm_loss": training.summary["holdout_loss"],
        "mlm_best_epoch": training.best_epoch,
        "mlm_n_texts": training.summary["n_rows"],
        "mlm_n_holdout_texts": training.summary["n_holdout_rows"],
        "mlm_n_steps": training.summary["n_steps"],
    }


def _loss_by_frequency(rows: MaskedRows, held: MaskedRows) -> float:
    """Mean loss, in nats, of guessing the pieces of later text by how often they stand in the earlier (add-one)."""
    counts, asked = (np.bincount(_free(one), minlength=rows.n_vocabulary).astype(np.float64) for one in (rows, held))
    chance = (counts + 1.0) / (counts.sum() + len(counts))
    return float(-(asked * np.log(chance)).sum() / asked.sum())


def _free(rows: MaskedRows) -> IntArray:
    every = np.concatenate([np.asarray(one, dtype=np.int64) for one in rows.pieces])
    return np.asarray(every[~np.isin(every, rows.special)], dtype=np.int64)
