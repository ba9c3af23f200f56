"""How much will a name move? A GARCH forecast and realised volatility, combined and corrected by what a network sees.

1. Logs of the volatility of the coming 10 and 30 sessions have an anchor: half the GARCH forecast (module `garch`), half a
   ridge on realised volatilities of a day, a week, a month and a quarter (HAR). Together they beat either.
2. A network on the embedding, the GARCH forecasts and the realised volatilities adds a residual that starts at zero. It
   speaks only where it beat the anchor on the last part of train.
3. Which third of train's volatility the coming 30 sessions will belong to is a trained head (D-VOL-02), and so is the
   confidence: the probability that the error over ten sessions is smaller than the median one.
4. The ledger of a forecast: how far GARCH, the recent past and the embedding each moved it from what it would be with that
   group at its train mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._attribution import Counterfactual, Gradients, normalised, per_row
from glassbox_bt.modules._reading import laid_out
from glassbox_bt.modules._trained import FullyTrained, check_penalties, check_sizes, split_rows
from glassbox_bt.modules._volatility_inputs import GROUPS, LABELS, READS, embeddings, inputs, outcomes, unknown
from glassbox_bt.modules._volatility_model import TrainRows, VolatilityModel, rated, third_of, train
from glassbox_bt.modules._volatility_network import VolatilitySizes
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState, answers_of, rounded
from glassbox_bt.types import Answers, AnyArray, BoolArray, Float32Array, FloatArray, Kind, Read, Reason, StrArray

__all__ = ["FittedVolatility", "Volatility"]

THIRDS = ("low", "medium", "high")
EFFECTS = (*GROUPS, "embedding")
EFFECT_WORDS = ("The GARCH forecast", "Recent realised volatility", "The shape of the last 30 sessions")
PUSHES = (  # what-ifs of spec §11: in words, group, factor
    ("the GARCH forecast a fifth lower", "garch", 0.8),
    ("the GARCH forecast a fifth higher", "garch", 1.2),
    ("recent realised volatility half as high again", "recent", 1.5),
)
LONGEST = 30  # sessions; the longer label


@dataclass(frozen=True, slots=True, kw_only=True)
class Volatility(FullyTrained):
    """Annualised volatility of the coming 10 and 30 sessions, its third of train, and how far it can be trusted.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network"}
        Anchors plus residual, anchors alone, or the network over train means alone (R32).
    hidden, layers, dropout
        Width, hidden layers and dropout of the network.
    ridge, logit : float
        L2 penalties of the HAR ridges and of the other anchors, per row.
    holdout_share : float
        Last part of train, purged by the longer label, on which training stops and residuals earn their place.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`.
    """

    variant: Literal["anchored", "anchor", "network"] = "anchored"
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.2
    ridge: float = 0.01
    logit: float = 0.01
    epochs: int = 50
    batch_size: int = 512
    patience: int = 15

    name: ClassVar[str] = "volatility"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "vol_10d",
        "vol_30d",
        "regime_id",
        "regime_label",
        *(f"regime_probs_{third}" for third in THIRDS),
        "confidence",
        "garch_vol",
        "recent_vol",
        "garch_vol_30d",
        "ewma_vol",
        "har_vol_10d",
        "har_vol_30d",
        "vol_10d_anchor",
        "vol_30d_anchor",
        *(f"log_effect_{group}" for group in EFFECTS),
        *(f"share_{group}" for group in EFFECTS),
    )
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = {"regime_label": THIRDS}

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network"):
            raise PlanError(f"`variant` must be anchored, anchor or network, got {self.variant!r}.")
        check_sizes(self, "hidden", "layers")
        check_penalties(self, "ridge", "logit")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        return READS

    @property
    def learns_from(self) -> tuple[str, ...]:
        return LABELS

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and, beside a network, its anchor alone."""
        rows = _train_rows(train_view, self)
        bare = self._anchors(rows, on_anchors=True)
        settings = replace(self, variant="anchor")
        anchor = Candidate("anchor", FittedVolatility(settings, bare), (), _quality(bare, rows))
        if self.variant == "anchor":
            return (anchor,)
        start = bare if self.variant == "anchored" else self._anchors(rows, on_anchors=False)
        model, training = train(start, rows, self.schedule, ctx)
        model = rated(model, rows, self.logit)
        figures = _quality(model, rows)
        beats = figures["holdout_qlike_10d"] < anchor.summary["holdout_qlike_10d"]  # type: ignore[operator]
        summary = {**training.summary, **figures, "network_beats_anchor_on_holdout": beats}
        return Candidate(self.variant, FittedVolatility(self, model), training.history, summary), anchor

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """Mean QLIKE of both horizons where the outcome is known; lower is better, NaN without an outcome."""
        return _mean_qlike(fitted, view)

    def restore(self, state: ModuleState) -> FittedVolatility:
        """Rebuild a fit; its answers are the same bit for bit."""
        variant = state.facts["variant"]
        width = state.arrays["embedding_scaler.mean"].shape[0]
        model = VolatilityModel.restore(state.arrays, self._sizes(width), on_anchors=variant != "network")
        return FittedVolatility(replace(self, variant=variant), model)  # type: ignore[arg-type]

    def _anchors(self, rows: TrainRows, *, on_anchors: bool) -> VolatilityModel:
        sizes = self._sizes(rows.embedding.shape[1])
        model = VolatilityModel.of_anchors(rows, sizes, (self.ridge, self.logit), on_anchors=on_anchors)
        return rated(model, rows, self.logit)

    def _sizes(self, width: int) -> VolatilitySizes:
        n_inputs = width + sum(columns.stop - columns.start for columns in GROUPS.values())
        return VolatilitySizes(n_inputs, self.hidden, self.layers, self.dropout)


@dataclass(frozen=True, slots=True, eq=False)
class FittedVolatility:
    """A learned volatility that answers."""

    settings: Volatility
    model: VolatilityModel
    name: ClassVar[str] = "volatility"

    def predict_many(self, span: Span) -> Answers:
        """Forecasts, their baselines and their ledger; each row from its own day.

        * ``vol_10d, vol_30d``: annualised fractions in [0.01, 5]; with ``_anchor`` the same without the network.
        * ``regime_probs_low, _medium, _high``: probabilities that the coming 30 sessions belong to that third of the fit's
          train years; ``regime_id`` and ``regime_label`` the most probable one.
        * ``confidence``: probability of a smaller error than the median one of train.
        * ``garch_vol, garch_vol_30d, har_vol_10d, har_vol_30d, ewma_vol, recent_vol``: what it is compared with.
        * ``log_effect_*``: log forecast over ten sessions less that with the group at its train mean; positive = the group
          raises the forecast. ``share_*``: sizes of these as shares of 1.
        """
        codes = unknown(span)
        known = codes == Reason.KNOWN
        x, embedding = inputs(span)[known], embeddings(span)[known]
        said = {name: rounded(one) for name, one in _told(self.model, x, embedding).items()}
        outputs = laid_out(said, known)
        outputs |= {name: rounded(span.today(f"garch.{name}")) for name in ("recent_vol", "ewma_vol")}
        outputs |= {"garch_vol": rounded(span.today("garch.vol_10d")), "garch_vol_30d": rounded(span.today("garch.vol_30d"))}
        return answers_of(self.name, span, {name: outputs[name] for name in Volatility.outputs}, codes)

    def gradients(self, span: Span, rows: BoolArray) -> Gradients:
        """Integrated gradients of the log forecast over ten sessions on the True cells of ``rows``, by input.

        The first six inputs are those of `inputs`, the rest are the embedding.
        """
        return self.model.gradients(inputs(span)[rows], embeddings(span)[rows])

    def counterfactuals(self, span: Span, rows: BoolArray) -> tuple[Counterfactual, ...]:
        """``vol_10d`` on the True cells of ``rows`` with GARCH or the recent past changed; the embedding stays."""
        x, embedding = inputs(span)[rows], embeddings(span)[rows]
        before = np.exp(self.model.heads(x, embedding).logs[:, 0])
        found = []
        for words, group, factor in PUSHES:
            moved = x.copy()
            moved[:, GROUPS[group]] += np.log(factor)
            after = np.exp(self.model.heads(moved, embedding).logs[:, 0])
            found.append(Counterfactual(words, 1 if factor > 1.0 else -1, before, after))
        return tuple(found)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The forecast, its third of train, and which group moved it most."""
        out = answers.outputs

        def write(day: int, asset: int) -> str:
            return _words({name: float(values[day, asset]) for name, values in out.items()})

        return per_row(answers, write)

    def state(self) -> ModuleState:
        return ModuleState(self.model.arrays(), {"variant": self.settings.variant})


def _told(model: VolatilityModel, x: FloatArray, embedding: Float32Array) -> dict[str, AnyArray]:
    heads, effects = model.heads(x, embedding), model.effects(x, embedding)
    shares = normalised(np.abs(effects), np.ones(effects.shape, dtype=bool))
    third = np.argmax(rounded(heads.regime), axis=1).astype(np.float64)
    out: dict[str, AnyArray] = {"regime_id": third, "regime_label": third, "confidence": heads.confidence}
    for number, horizon in enumerate(("10d", "30d")):
        out[f"vol_{horizon}"] = np.exp(heads.logs[:, number])
        out[f"vol_{horizon}_anchor"] = np.exp(heads.anchor[:, number])
        out[f"har_vol_{horizon}"] = np.exp(heads.har[:, number])
    out |= {f"regime_probs_{name}": heads.regime[:, k] for k, name in enumerate(THIRDS)}
    out |= {f"log_effect_{name}": effects[:, k] for k, name in enumerate(EFFECTS)}
    return out | {f"share_{name}": shares[:, k] for k, name in enumerate(EFFECTS)}


def _words(row: Mapping[str, float]) -> str:
    effects = [row[f"log_effect_{group}"] for group in EFFECTS]
    top = int(np.abs(effects).argmax())
    moved = "raises" if effects[top] > 0.0 else "lowers"
    third = THIRDS[int(row["regime_id"])]
    return (
        f"Volatility forecast {row['vol_10d']:.1%} a year over 10 sessions and {row['vol_30d']:.1%} over 30, "
        f"most likely in the {third} third of the train years (probability {row[f'regime_probs_{third}']:.0%}). "
        f"{EFFECT_WORDS[top]} counts most and {moved} it by {abs(np.expm1(effects[top])):.1%}. "
        f"Confidence {row['confidence']:.2f}."
    )


def _train_rows(view: TrainView, settings: Volatility) -> TrainRows:
    y = outcomes(view)
    known = (unknown(view) == Reason.KNOWN) & np.isfinite(y).any(axis=-1)
    fitting, held_out = split_rows(settings, view.days, known, LONGEST)
    day = view.days[np.nonzero(known)[0]]
    return TrainRows(day, inputs(view)[known], embeddings(view)[known], y[known], fitting, held_out)


def _quality(model: VolatilityModel, rows: TrainRows) -> dict[str, object]:
    """Hold-out figures of the model and of what it is compared with; none of them chooses anything."""
    held = rows.held_out
    x, y = rows.x[held], rows.y[held]
    heads = model.heads(x, rows.embedding[held])
    third = third_of(y[:, 1], model.thirds)
    known = np.isfinite(third)
    chosen = heads.regime[known, third[known].astype(np.int64)]
    figures: dict[str, object] = {
        "network_speaks_on": [name for name, k in (("vol_10d", 0), ("vol_30d", 1), ("regime", 2)) if model.speaks[k] > 0.0],
        "holdout_log_loss_regime": float(-np.mean(np.log(np.clip(chosen, 1e-12, 1.0)))) if len(chosen) else float("nan"),
        "holdout_log_loss_regime_base_rate": float(np.log(3.0)),
    }
    for number, horizon in enumerate(("10d", "30d")):
        forecasts = {"": heads.logs, "_anchor": heads.anchor, "_har": heads.har, "_garch": x[:, GROUPS["garch"]]}
        for name, logs in forecasts.items():
            figures[f"holdout_qlike_{horizon}{name}"] = _qlike(y[:, number], logs[:, number])
    return figures


def _qlike(outcome: FloatArray, forecast: FloatArray) -> float:
    """Mean QLIKE of logs of volatilities where the outcome is known; 0 is perfect."""
    twice = 2.0 * (outcome - forecast)[np.isfinite(outcome)]
    return float(np.mean(np.exp(twice) - twice - 1.0)) if len(twice) else float("nan")


def _mean_qlike(fitted: FittedModule, view: TrainView) -> float:
    """Of both horizons, over the rows of a part whose outcomes are known."""
    y, said = outcomes(view), fitted.predict_many(view)
    logs = np.log(np.stack([said.outputs["vol_10d"], said.outputs["vol_30d"]], axis=-1))
    known = np.isfinite(y) & said.known[..., None]
    return _qlike(y[known], logs[known])
