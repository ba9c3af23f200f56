"""What does a document do to a name? Impact, importance and risks, one answer for a document about a name.

1. What is learned is what came of it (`_news_targets`): the return over the benchmark in ten sessions, and volatility and
   drawdown in thirty. Each document weighs 1, however many chunks it has; each is answered, whatever came of it (D-NEWS-01).
2. Anchors: ridge and logits on the mean of its chunks' vectors, the engine's own polarity and what else is known of it. A
   network that lets the chunks see one another and pools them by attention adds residuals that start at zero; a head that
   does not beat its anchor on the last part of train is silenced.
3. Shares and chances are put right on that part. Uncertainty is their entropy (D-NEWS-02).
4. Impact and risks are ranks among the frozen out-of-fold answers of train (R14), raw values beside.

A tweet or a headline is a document of one chunk: nothing to attend to, and large batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import RankScale, information_coefficient
from glassbox_bt.modules._news_calibration import entropy, reliability
from glassbox_bt.modules._news_documents import Grouped
from glassbox_bt.modules._news_explain import (
    ChunkGradients,
    WithoutTopChunk,
    chunk_gradients,
    picked,
    without_top_chunk,
    words_of,
)
from glassbox_bt.modules._news_model import EFFECTS, N_HEADS, Heads, Inputs, NewsModel, TrainDocuments, train
from glassbox_bt.modules._news_network import N_ATTENTION, NewsSizes
from glassbox_bt.modules._news_targets import HEADS, HORIZON, LABELS, RETURN, TRAILING, NewsTargets, Outcomes
from glassbox_bt.modules._text_inputs import (
    AGE,
    EMBEDDING,
    ENGINE,
    FORM,
    PLACE,
    WORDS,
    Forms,
    Split,
    explained_rows,
    stratified_sample,
    unknown,
)
from glassbox_bt.modules._trained import FullyTrained, check_not_negative, check_penalties
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState, rounded, text_answers_of
from glassbox_bt.types import Answers, AnyArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["FittedNews", "NewsAnalyst"]

Variant = Literal["anchored", "anchor", "network"]
CHANCES = ("predicted_news_importance", "predicted_risk_relevance", "predicted_volatility_spike", "predicted_drawdown_risk")
RANKED = ("predicted_news_event_impact", *CHANCES[1:])  # importance is a share of a move, which no rule meets
ATTENTION = ("attention_mean", "attention_max_head", *(f"attention_head_{k}" for k in range(1, N_ATTENTION + 1)))
SILENT_MODEL = "no model"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsAnalyst(FullyTrained):
    """Impact, importance, risk relevance, volatility spike and drawdown risk of each document about a name.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network"}
        Anchors plus residuals, or either alone (R32).
    most_chunks : int
        Chunks of a document that are read, evenly spaced.
    width, hidden, narrow, representation : int
        Of the network: tokens (a multiple of 4) and the three layers of its trunk (spec §9).
    dropout : float
        In [0, 1).
    ridge, logit : float
        L2 penalties of the anchors, per document.
    min_documents : int
        Documents with a known outcome that a fit needs; with fewer it abstains.
    holdout_share : float
        Last part of train, purged by the longest label, on which training stops, heads earn their place and shares are put
        right.
    explained, counterfactuals : int
        Documents of the samples that `FittedNews.gradients` and `.without_top_chunk` explain.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`; a row is a document.
    """

    variant: Variant = "anchored"
    most_chunks: int = 64
    width: int = 128
    hidden: int = 128
    narrow: int = 64
    representation: int = 128
    dropout: float = 0.15
    ridge: float = 1.0
    logit: float = 1.0
    min_documents: int = 200
    explained: int = 500
    counterfactuals: int = 500
    epochs: int = 40
    batch_size: int = 96
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    patience: int = 8

    name: ClassVar[str] = "news"
    kind: ClassVar[Kind] = "document"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "predicted_news_event_impact",
        *CHANCES,
        "predicted_news_uncertainty",
        "news_unimportance",
        *(f"{name}_raw" for name in RANKED),
        "predicted_news_impact_anchor_raw",
        *(f"news_effect_{name}" for name in EFFECTS),
        "news_chunk_count",
        "news_word_count",
        "network_speaks",
        *ATTENTION,
    )

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network"):
            raise PlanError(f"`variant` is `anchored`, `anchor` or `network`; got {self.variant!r}.")
        for setting in ("most_chunks", "width", "hidden", "narrow", "representation", "min_documents"):
            if getattr(self, setting) < 1:
                raise PlanError(f"`{setting}` must be at least 1, got {getattr(self, setting)}.")
        if self.width % N_ATTENTION or not 0.0 <= self.dropout < 1.0:
            raise PlanError(
                f"`width` must be a multiple of {N_ATTENTION} and `dropout` lie in [0, 1), got {self.width} and "
                f"{self.dropout}."
            )
        check_penalties(self, "ridge", "logit")
        check_not_negative(self, "explained", "counterfactuals")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        """The returns serve the targets alone: the volatility before a document."""
        text = (Read(name) for name in (EMBEDDING, *ENGINE, PLACE, WORDS, FORM, AGE))
        return (*text, Read(RETURN, TRAILING))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return LABELS

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and, beside a network, its anchor alone.

        Where too few documents have a known outcome, one candidate that abstains.
        """
        grouped = Grouped.of(train_view, unknown(train_view) == Reason.KNOWN, self.most_chunks)
        known, session = Outcomes.of(train_view, grouped), train_view.text.session[grouped.first]
        split = Split.of(np.isfinite(known.excess), session, self.holdout_share, HORIZON)
        why = split.too_few(np.arange(len(grouped)), self.min_documents, self.holdout_share)
        events = min((int(np.isfinite(one[split.fitting]).sum()) for one in (known.ratio, known.drawdown)), default=0)
        if not why and events < self.min_documents // 2:
            why = f"{events} documents with a known volatility and drawdown; it needs {self.min_documents // 2}"
        if why:
            return (Candidate(self.variant, FittedNews(self, None), (), {"silent": why}),)
        documents, bare = self._start(train_view, grouped, known, split)
        years = train_view.dates[np.searchsorted(train_view.days, session)].astype("datetime64[Y]").astype(np.int64) + 1970
        anchor = self._judged("anchor", bare.calibrated(documents), documents, years, ctx)
        if self.variant == "anchor":
            return (anchor,)
        model, training = train(bare if self.variant == "anchored" else bare.on_base_rates(), documents, self.schedule, ctx)
        learned = self._judged(self.variant, model.calibrated(documents), documents, years, ctx)
        summary = {**training.summary, **learned.summary, "holdout_ic_anchor": anchor.summary["holdout_ic"]}
        return replace(learned, history=training.history, summary=summary), anchor

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """One less the rank correlation of documents' raw impact with what came of them; NaN where fewer than 10 are known.

        No weight of the training loss is in it (D-NEWS-03).
        """
        assert isinstance(fitted, FittedNews)
        grouped = Grouped.of(view, (unknown(view) == Reason.KNOWN) & view.asked, self.most_chunks)
        excess = view.text_label(LABELS[0])[grouped.first]
        if fitted.model is None or np.isfinite(excess).sum() < 10:
            return float("nan")
        impact = fitted.model.heads(fitted.model.inputs(view, grouped)).impact
        return 1.0 - information_coefficient(impact, excess)

    def restore(self, state: ModuleState) -> FittedNews:
        """Rebuild a fit; its answers are the same bit for bit."""
        arrays, facts = state.arrays, state.facts
        variant: Any = facts["variant"]
        settings = replace(self, variant=variant)
        if facts["model"] == SILENT_MODEL:
            return FittedNews(settings, None)
        forms = Forms(tuple(facts["forms"]))  # type: ignore[arg-type]
        model = NewsModel.restore(arrays, forms, settings.sizes(), on_anchors=variant != "network")
        return FittedNews(settings, model, {name: RankScale.restore(arrays, name) for name in RANKED})

    def sizes(self) -> NewsSizes:
        """Of the network; widths of tokens and facts are set by the data."""
        widths = (self.width, self.hidden, self.narrow, self.representation)
        return NewsSizes(1, 1, *widths, self.dropout, self.variant != "network")

    def _start(self, view: TrainView, grouped: Grouped, known: Outcomes, split: Split) -> tuple[TrainDocuments, NewsModel]:
        session = view.text.session[grouped.first]
        targets = NewsTargets.fit(known, split.fitting, session)
        model = NewsModel.of_scales(view, grouped, split.fitting, targets, self.sizes())
        inputs = model.inputs(view, grouped)
        documents = TrainDocuments(inputs, targets.of(known), known.excess, session, split.fitting, split.held_out)
        return documents, model.with_anchors(documents, (self.ridge, self.logit))

    def _judged(
        self, variant: Variant, model: NewsModel, documents: TrainDocuments, years: IntArray, ctx: FitContext
    ) -> Candidate:
        """A candidate with its provisional rank scales and its hold-out figures; none of them chooses anything."""
        held = np.flatnonzero(documents.held_out)
        inputs = picked(documents.inputs, held)
        heads = model.heads(inputs)
        fitted = FittedNews(replace(self, variant=variant), model, _scales(_raw(heads)))
        target = documents.target[held]
        figures: dict[str, object] = {
            "n_documents": int(documents.fitting.sum()),
            "n_holdout_documents": len(held),
            "thresholds": asdict(model.targets),
            "holdout_ic": information_coefficient(heads.impact, documents.excess[held]),
            "heads_of_the_network": [name for name, speaks in zip(HEADS, model.speaks, strict=True) if speaks],
        }
        chances = model.chances_held_out(documents)
        for k, name in enumerate(HEADS[1:]):
            parts = reliability(chances[:, k], target[:, k + 1], years[held])
            figures[f"holdout_{name}_reliability"] = {year: asdict(one) for year, one in parts.items()}
        many = np.flatnonzero(inputs.grouped.count > 1)
        sample = stratified_sample(
            documents.session[held][many], heads.impact[many], self.counterfactuals, ctx.rng("without top chunk", variant)
        )
        rows = np.arange(int(inputs.grouped.rows.max(initial=-1)) + 1)
        without = without_top_chunk(model, picked(inputs, many[sample]), rows)
        figures |= {
            "n_without_top_chunk": len(without.rows),
            "share_towards_zero_without_top_chunk": without.share_towards_zero,
            "attention_is_unfaithful": without.is_unfaithful,
        }
        return Candidate(variant, fitted, (), figures)


@dataclass(frozen=True, slots=True, eq=False)
class FittedNews:
    """A news analyst that answers; without a model it abstains."""

    settings: NewsAnalyst
    model: NewsModel | None
    scales: Mapping[str, RankScale] = field(default_factory=dict)  # of the raw values of RANKED
    name: ClassVar[str] = "news"

    def predict_many(self, span: Span) -> Answers:
        """Answers to every document that the encoder read, the same on each of its chunks but for the attention.

        * ``predicted_news_event_impact`` in [-1, 1]: rank of the raw impact among train's, positive = bullish.
        * ``predicted_news_importance`` in [0, 1]: expected size of the excess return over 10 sessions, 1 = train's top 5 %.
        * ``predicted_risk_relevance``, ``_volatility_spike``, ``_drawdown_risk`` in [0, 1], 1 = worst: ranks among train's;
          ``*_raw`` the expected relevance and the chances themselves.
        * ``predicted_news_uncertainty`` in [0, 1]: mean entropy of those four, 1 = nothing is known;
          ``news_unimportance``: one less the larger of importance and relevance.
        * ``news_effect_*``: what wording, engine, other facts and network add to the raw impact before its tanh.
        * ``attention_*``: share of a chunk in its document, by head, their mean and largest; 0 for a chunk that is not read.
          ``network_speaks``: share of the heads whose residual is used; at 0 the attention is that of the mean, even.
        """
        codes = unknown(span)
        if self.model is None:
            codes = np.full(codes.shape, Reason.NO_FIT_YET, dtype=np.int8)
        grouped = Grouped.of(span, (codes == Reason.KNOWN) & span.asked, self.settings.most_chunks)
        outputs: dict[str, AnyArray] = {name: np.full(codes.shape, np.nan) for name in NewsAnalyst.outputs}
        if self.model is not None and len(grouped):
            for name, values in self._told(self.model, span, self.model.inputs(span, grouped)).items():
                outputs[name][grouped.rows] = values
        return text_answers_of(self.name, span, outputs, codes)

    def with_reference(self, oof: Answers) -> FittedNews:
        """The same fit, its rank scales frozen on the out-of-fold answers of train (R14), a document counted once.

        Where no fold could answer, the scales stay those of the hold-out, which the fit has not learned from either.
        """
        raw = np.stack([oof.outputs[f"{name}_raw"] for name in RANKED], axis=1)[oof.known]
        if self.model is None or not len(raw):
            return self
        # Chunks of one document bear the same answer on the same day; a distribution of chunks would be one of long texts.
        once = np.unique(np.column_stack([oof.days[oof.known], raw]), axis=0)[:, 1:]
        return replace(self, scales={name: RankScale.of(once[:, k]) for k, name in enumerate(RANKED)})

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Impact, importance, chances, what moved the impact most and the chunk's attention."""
        return explained_rows(answers, words_of({name: values[answers.known] for name, values in answers.outputs.items()}))

    def gradients(self, span: Span, answers: Answers, rng: np.random.Generator) -> ChunkGradients:
        """Gradient times input of the impact, by chunk, on a stratified sample of ``explained`` documents."""
        nothing = np.zeros(0)
        if self.model is None:
            return ChunkGradients(nothing.astype(np.int64), nothing, nothing)
        inputs = self._sample(self.model, span, answers, self.settings.explained, rng, fewest=1)
        return chunk_gradients(self.model, inputs, span.text.rows)

    def without_top_chunk(self, span: Span, answers: Answers, rng: np.random.Generator) -> WithoutTopChunk:
        """A stratified sample of ``counterfactuals`` documents of several chunks, without the one of most attention."""
        nothing = np.zeros(0)
        if self.model is None:
            return WithoutTopChunk(nothing.astype(np.int64), nothing, nothing)
        inputs = self._sample(self.model, span, answers, self.settings.counterfactuals, rng, fewest=2)
        return without_top_chunk(self.model, inputs, span.text.rows)

    def state(self) -> ModuleState:
        facts: dict[str, object] = {"variant": self.settings.variant, "model": SILENT_MODEL}
        if self.model is None:
            return ModuleState({}, facts)
        arrays = self.model.arrays()
        for name, scale in self.scales.items():
            arrays |= scale.arrays(name)
        return ModuleState(arrays, facts | {"model": "fitted", "forms": list(self.model.forms.names)})

    def _told(self, model: NewsModel, span: Span, inputs: Inputs) -> dict[str, AnyArray]:
        """Answers by chunk, in the order of ``grouped.rows``."""
        grouped, heads = inputs.grouped, model.heads(inputs)
        raw = _raw(heads)
        chances = rounded(heads.chances)
        by_document: dict[str, AnyArray] = {f"{name}_raw": values for name, values in raw.items()}
        by_document |= {name: rounded(self.scales[name].rank(values)) for name, values in raw.items()}
        by_document["predicted_news_event_impact"] = rounded(2.0 * self.scales[RANKED[0]].rank(raw[RANKED[0]]) - 1.0)
        by_document |= {
            "predicted_news_importance": chances[:, 0],
            "predicted_news_uncertainty": rounded(entropy(chances)),
            "news_unimportance": rounded(1.0 - np.maximum(chances[:, 0], chances[:, 1])),
            "predicted_news_impact_anchor_raw": rounded(heads.anchor_impact),
            "news_chunk_count": grouped.total.astype(np.float64),
            "news_word_count": grouped.summed(np.asarray(span.block(WORDS), dtype=np.float64)[grouped.rows]),
            "network_speaks": np.full(len(grouped), float(model.speaks.sum()) / N_HEADS),
        }
        by_document |= {f"news_effect_{name}": rounded(heads.effects[:, k]) for k, name in enumerate(EFFECTS)}
        said = {name: grouped.by_chunk(values) for name, values in by_document.items()}
        weights = np.zeros((len(grouped.rows), N_ATTENTION))
        weights[grouped.used] = heads.attention
        looked = (weights.mean(axis=1), weights.max(axis=1), *weights.T)
        return said | {name: rounded(one) for name, one in zip(ATTENTION, looked, strict=True)}

    def _sample(
        self, model: NewsModel, span: Span, answers: Answers, n: int, rng: np.random.Generator, *, fewest: int
    ) -> Inputs:
        """Documents of at least so many read chunks, from quarters of the sessions and deciles of the impact."""
        if answers.rows is None:
            raise TrainingError("The answers to be explained are not those of documents.")
        asked = np.isin(span.text.rows, answers.rows[answers.known])
        grouped = Grouped.of(span, asked, self.settings.most_chunks)
        impact = np.full(len(span.text), np.nan)
        impact[asked] = answers.outputs["predicted_news_event_impact_raw"][answers.known]
        able = np.flatnonzero(grouped.count >= fewest)
        first = grouped.first[able]
        drawn = stratified_sample(span.text.session[first], impact[first], n, rng)
        return picked(model.inputs(span, grouped), able[drawn])


def _raw(heads: Heads) -> dict[str, AnyArray]:
    """What is ranked, rounded."""
    values = (heads.impact, *heads.chances[:, 1:].T)
    return {name: rounded(one) for name, one in zip(RANKED, values, strict=True)}


def _scales(raw: Mapping[str, AnyArray]) -> dict[str, RankScale]:
    return {name: RankScale.of(values) for name, values in raw.items()}
