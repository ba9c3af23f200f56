"""A sentence classifier learned on labelled sentences: a linear head, and the encoder below it trained end to end.

1. `logit_head`: multinomial logit on the vectors of a frozen encoder. How strongly it is held back is chosen by
   cross-validation inside the sentences given, whole groups at a time.
2. `fine_tune`: the same encoder with that head on top, all weights trained together with a small rate (Devlin et al. 2019,
   appendix A.3). The head starts as the logit of step 1, so the network before training *is* the frozen encoder with its
   head (R32; "linear probing, then fine-tuning": Kumar et al. 2022) and may win on the hold-out against any training.
3. Batches are drawn at random and cut into blocks of similar length, which are padded to their own longest sentence.
4. Answers come from zero-padded blocks whose length hangs on each sentence alone (`LENGTHS`): a sentence gets the same
   bytes whatever is answered beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glassbox_bt.errors import InputError, PlanError, TrainingError
from glassbox_bt.modules._text_engine import TextEngine
from glassbox_bt.modules._text_transformer import TransformerReader, loaded_model
from glassbox_bt.modules._training import Batch, Schedule, network_from, predict_rows, train_network
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Encoder", "FineTuned", "FineTuning", "Head", "Labelled", "fine_tune", "logit_head", "pooled_vectors"]

LENGTHS = (32, 64, 128, 256, 512)  # tokens to which answered blocks are padded
BLOCK_ROWS = 8  # sentences of similar length in a block of a training batch
STRENGTHS = tuple(10.0**power for power in range(-4, 3))  # inverse of the logit's penalty
INNER_FOLDS = 4
DEAD = 1e-3  # share of the largest deviation of a column, below which another carries nothing


@dataclass(frozen=True, slots=True)
class Head:
    """Log-odds of classes, linear in a vector.

    Parameters
    ----------
    weight : FloatArray
        (n_classes, width).
    bias : FloatArray
        (n_classes,).
    strength : float
        Inverse of the penalty that cross-validation chose; larger is freer.
    """

    weight: FloatArray
    bias: FloatArray
    strength: float

    def probabilities(self, vectors: AnyArray) -> FloatArray:
        """(n, width) -> (n, n_classes), rows adding up to 1."""
        return _softmax(vectors.astype(np.float64) @ self.weight.T + self.bias)


@dataclass(frozen=True, slots=True)
class Encoder:
    """A transformer as loaded: what `fine_tune` starts from.

    Parameters
    ----------
    model : nn.Module
        Gives ``last_hidden_state`` for ``input_ids`` and ``attention_mask``; never changed here.
    tokenizer : Any
        Of the same model, as `transformers` loads it.
    pooled : Callable
        From the last hidden states (n, length, width) and the mask (n, length) to vectors (n, width).
    """

    model: nn.Module
    tokenizer: Any
    pooled: Callable[[Tensor, Tensor], Tensor]

    @classmethod
    def of(cls, engine: TextEngine) -> Encoder:
        """The model behind an engine, read afresh; `InputError` where the engine has none."""
        reader = engine.reader
        if not isinstance(reader, TransformerReader) or reader.weights is not None:
            raise InputError(f"The engine `{engine.name}` has no weights to train. Choose a transformers model.")
        _ = reader.base_digest  # refuses wrong files before anything is made of them
        tokenizer, model = loaded_model(reader.name, reader.folder, "encoder")
        return cls(model.eval(), tokenizer, reader.pooled)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Sentences to learn from, (n,) each.

    Parameters
    ----------
    texts : Sequence[str]
        As they are read.
    labels : IntArray
        Class numbers from 0.
    groups : IntArray
        Near-duplicates share a number; a group is never split.
    held : BoolArray
        Those that decide when to stop and are not learned from.
    """

    texts: Sequence[str]
    labels: IntArray
    groups: IntArray
    held: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How an encoder is trained on labelled sentences; the fields but the last are those of `Schedule`.

    Rate, batch and epochs are the ends of the ranges that Devlin et al. (2019) recommend (2e-5 to 5e-5, 16 or 32, 2 to 4) at
    which a small encoder moves far in little time: one core trains a million word pieces of MiniLM in half an hour.

    Parameters
    ----------
    max_tokens : int
        Longer sentences are cut, and counted in ``summary["n_cut"]``; one of `LENGTHS`.
    """

    epochs: int = 2
    batch_size: int = 16
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    clip: float = 1.0
    patience: int = 2
    warmup_share: float = 0.1
    rows_share: float = 1.0
    max_tokens: int = 128

    def __post_init__(self) -> None:
        Schedule.of(self)
        if self.max_tokens not in LENGTHS:
            raise PlanError(f"`max_tokens` must be one of {LENGTHS}, got {self.max_tokens}.")


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A trained classifier; ``history`` and ``summary`` as `_training.Training` has them."""

    network: nn.Module
    tokenizer: Any
    max_tokens: int
    history: tuple[Mapping[str, float], ...]
    summary: Mapping[str, object] = field(default_factory=dict)

    def probabilities(self, texts: Sequence[str]) -> FloatArray:
        """(n_texts, n_classes), rows adding up to 1; no row depends on the others."""
        return _softmax(_answered(self.network, _Tokens.of(self.tokenizer, texts, self.max_tokens)))


def pooled_vectors(encoder: Encoder, texts: Sequence[str], max_tokens: int) -> AnyArray:
    """Vectors of the encoder as it is, (n_texts, width) float32: what the head that `fine_tune` starts from is fitted on."""
    network = _Pooled(encoder).eval()
    return _answered(network, _Tokens.of(encoder.tokenizer, texts, max_tokens))


def logit_head(vectors: AnyArray, labels: IntArray, groups: IntArray, ctx: FitContext, *, by_deviation: bool = True) -> Head:
    """The logit with the strength that foretells left-out groups best (log loss), fitted on all rows.

    Parameters
    ----------
    vectors : AnyArray
        (n, width), dense or sparse.
    labels, groups : IntArray
        Class numbers from 0, each class present; groups are never split. (n,).
    by_deviation : bool
        Whether one penalty holds for columns in units of their deviation (vectors of encoders, whose columns are of one
        kind) or as they are (sparse weights).

    Raises
    ------
    TrainingError
        Fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

    if len(np.unique(labels)) < 2:
        raise TrainingError(f"`{ctx.module}` needs sentences of two classes or more, all {len(labels)} have one.")
    middle, unit = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
    if by_deviation:
        middle, unit = vectors.mean(axis=0, dtype=np.float64), _units(vectors)
    inner = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=ctx.stream("strength") % 2**31)
    logit = LogisticRegression(max_iter=5000)
    search = GridSearchCV(logit, {"C": list(STRENGTHS)}, scoring="neg_log_loss", cv=inner, error_score="raise")
    best = search.fit((vectors - middle) * unit if by_deviation else vectors, labels, groups=groups).best_estimator_
    weight = np.asarray(best.coef_) * unit
    bias = np.asarray(best.intercept_) - weight @ middle
    if len(weight) == 1:  # two classes: scikit-learn keeps the second one's log-odds alone
        weight, bias = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    return Head(weight, bias, float(search.best_params_["C"]))


def _units(vectors: AnyArray) -> FloatArray:
    """One over the deviation of each column, (width,); 0 for a column that hardly varies beside the others.

    Encoders have dead columns of the size of rounding errors. Blown up to a deviation of 1 such a column would carry a
    weight so large that its gradient leaves none for the rest of the network.
    """
    spread = vectors.std(axis=0, dtype=np.float64)
    alive = spread > DEAD * spread.max()
    return np.where(alive, 1.0 / np.where(alive, spread, 1.0), 0.0)


def fine_tune(encoder: Encoder, sentences: Labelled, settings: FineTuning, ctx: FitContext) -> FineTuned:
    """Train encoder and head on the sentences that are not held out; those decide after which epoch to stop.

    Raises
    ------
    TrainingError
        No sentences on one of the sides, a single class, or a loss that is not finite.
    """
    tokens = _Tokens.of(encoder.tokenizer, sentences.texts, settings.max_tokens, sentences.labels)
    learned = ~sentences.held
    vectors = _answered(_Pooled(encoder).eval(), tokens.rows(learned))
    head = logit_head(vectors, sentences.labels[learned], sentences.groups[learned], ctx)
    trained = train_network(
        lambda: _Classifier(encoder, head),
        _loss,
        tokens.rows(learned),
        tokens.rows(sentences.held),
        Schedule.of(settings),
        ctx,
    )
    network = network_from(_Classifier(encoder, head), trained.best)
    summary = {**trained.summary, "strength": head.strength, "n_cut": tokens.n_cut}
    return FineTuned(network, encoder.tokenizer, settings.max_tokens, trained.history, summary)


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Token numbers of sentences, zero-padded; a `RowSource`.

    ``width`` is the length that `take` pads to; None is the longest sentence taken.
    """

    ids: IntArray  # (n, longest)
    length: IntArray  # (n,)
    labels: IntArray  # (n,)
    n_cut: int = 0
    width: int | None = None

    @classmethod
    def of(cls, tokenizer: Any, texts: Sequence[str], max_tokens: int, labels: IntArray | None = None) -> _Tokens:
        """Sentences cut to ``max_tokens``, the cut ones counted."""
        whole = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        cut = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
        length = np.array([len(one) for one in cut], dtype=np.int64)
        ids = np.zeros((len(cut), int(length.max())), dtype=np.int64)
        for row, one in enumerate(cut):
            ids[row, : len(one)] = one
        n_cut = sum(len(one) > max_tokens for one in whole)
        return cls(ids, length, np.zeros(len(cut), dtype=np.int64) if labels is None else labels, n_cut)

    def rows(self, chosen: BoolArray) -> _Tokens:
        """Some of the sentences."""
        return _Tokens(self.ids[chosen], self.length[chosen], self.labels[chosen])

    def __len__(self) -> int:
        return len(self.length)

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:  # noqa: ARG002
        """``ids`` (len(rows), longest), ``length`` and ``label`` (len(rows),)."""
        width = int(self.length[rows].max(initial=1)) if self.width is None else self.width
        ids = np.zeros((len(rows), width), dtype=np.int64)
        shared = min(width, self.ids.shape[1])
        ids[:, :shared] = self.ids[rows, :shared]
        return {"ids": ids, "length": self.length[rows], "label": self.labels[rows]}


class _Pooled(nn.Module):
    """The vectors of a copy of an encoder."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = deepcopy(encoder.model)
        self.pooled = encoder.pooled

    def forward(self, batch: Batch) -> Tensor:
        """Vectors, (n, width)."""
        ids = batch["ids"]
        mask = (torch.arange(ids.shape[1], device=ids.device) < batch["length"][:, None]).to(torch.int64)
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.pooled(hidden, mask)


class _Classifier(nn.Module):
    """A linear head on `_Pooled`; starts as the head it is given."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.vectors = _Pooled(encoder)
        self.head = nn.Linear(head.weight.shape[1], head.weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weight))
            self.head.bias.copy_(torch.from_numpy(head.bias))

    def forward(self, batch: Batch) -> Tensor:
        """Log-odds of the classes, (n, n_classes)."""
        odds: Tensor = self.head(self.vectors(batch))
        return odds


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of a batch, computed in blocks of similar length."""
    order = torch.argsort(batch["length"], stable=True)
    total = torch.zeros((), device=order.device)
    for rows in torch.split(order, BLOCK_ROWS):
        longest = int(batch["length"][rows].max())
        block = {"ids": batch["ids"][rows, :longest], "length": batch["length"][rows]}
        total = total + nn.functional.cross_entropy(network(block), batch["label"][rows], reduction="sum")
    return total / len(order)


def _answered(network: nn.Module, tokens: _Tokens) -> AnyArray:
    """What the network says about each sentence, (n, k), in blocks of 64 padded to a length that is the sentence's own."""
    fits = np.searchsorted(LENGTHS, tokens.length)
    parts, places = [], []
    for number in np.unique(fits):
        rows = np.flatnonzero(fits == number)
        part = _Tokens(tokens.ids[rows], tokens.length[rows], tokens.labels[rows], width=LENGTHS[number])
        parts.append(predict_rows(network, part)[0])
        places.append(rows)
    said = np.concatenate(parts)
    ordered = np.empty_like(said)
    ordered[np.concatenate(places)] = said
    return ordered


def _softmax(odds: AnyArray) -> FloatArray:
    raised = np.exp(odds.astype(np.float64) - odds.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)
