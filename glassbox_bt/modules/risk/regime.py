"""Which state is the market heading for? A graph network on a logit of the market's state, once a day for all names.

1. A rule names today's regime from market, macro and graph measures (`market.regime_labels`), with percentiles of train. It
   is the nowcast, and carries on over the borders of splits (D-REG-09).
2. What is learned and scored is the regime over the *next* 20 sessions: today's would only be the rule learned again
   (D-REG-07). A second head learns whether the rule names another regime within them (D-REG-02).
3. The anchor is persistence, a Markov step of 20 sessions, corrected by a multinomial logit of the market's state.
4. A network that learns a graph among the names of the day adds residuals that start at zero, stop learning when the last
   part of train no longer gains, and are used only where they beat the anchor there (R32).
5. Chances are put right on outcomes they did not learn from; raw ones and those of the rivals stay beside.

6. What was written about the names and the market in the last month is heard by the network where it covers enough of them.

Fewer than 15 names a day or 250 labelled train days: the module abstains and says why (D-REG-06, R7). Changed from the
source's MTGNN: days where it has snapshots; the forward target; neighbours as a share of the names (D-REG-08); properties of
the weights before the cut (D-REG-01); log loss without class weights, which would pull chances away from what comes. The
answer of a day stands in the row of every member, because tables and sizing are by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.regime_labels import (
    AHEAD,
    REGIME_LABELS,
    REGIMES,
    RegimeRule,
    changed_within,
)
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._regime_fitted import OUTPUTS, FittedRegime, first_of
from glassbox_bt.modules._regime_holdout import Parts, judged, validation_loss
from glassbox_bt.modules._regime_inputs import STATE_WORDS, Look, Panel, Variant
from glassbox_bt.modules._regime_model import RegimeModel
from glassbox_bt.modules._regime_network import RegimeNetwork, RegimeSizes, regime_loss
from glassbox_bt.modules._regime_rows import DAYS, DayGraphs, RegimeRows
from glassbox_bt.modules._regime_text import ANCHOR_NOTE, ENOUGH
from glassbox_bt.modules._trained import FullyTrained, check_parts, check_penalties
from glassbox_bt.modules._training import Training, holdout_split, network_from, train_network
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, Kind, Read, Reason

__all__ = ["FittedRegime", "MtgnnRegime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MtgnnRegime(FullyTrained):
    """Chances of calm, volatile, crisis and rotation over the next 20 sessions, and of a change within them.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network"}
        Anchor plus residual, or either alone (R32). The anchor alone reads no embeddings; its graph is the measured one.
    min_names, most_names : int
        Names that a day's graph needs, and takes at most.
    min_points : int
        Labelled train days that a fit needs (D-REG-06).
    node, graph, classifier : int
        Widths of a name's state, of queries and keys, and of the hidden layer.
    neighbour_share, fewest_neighbours : float, int
        Neighbours of a name: a share of the names (66 of 2,500), but at least so many.
    dropout : float
        In [0, 1).
    penalty : float
        Of the anchor's logits, per row.
    text : bool
        Whether the network hears what was written in the last month, where that covers over 30 % of its names (D-REG-04).
    holdout_share : float
        Last part of train, purged by the horizon, that stops training, calibrates, and lets residuals earn their place.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`; a row is a day with all its names.
    """

    variant: Variant = "anchored"
    min_names: int = 15
    most_names: int = 512
    min_points: int = 250
    node: int = 128
    graph: int = 64
    classifier: int = 64
    neighbour_share: float = 0.0264
    fewest_neighbours: int = 5
    dropout: float = 0.2
    penalty: float = 0.03
    text: bool = True
    epochs: int = 80
    batch_size: int = 32
    patience: int = 15

    name: ClassVar[str] = "regime"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = OUTPUTS
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = {"regime_label": REGIMES, "nowcast_regime": REGIMES}

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network"):
            raise PlanError(f"`variant` is `anchored`, `anchor` or `network`, got {self.variant!r}.")
        for setting in ("min_points", "node", "graph", "classifier", "fewest_neighbours"):
            if getattr(self, setting) < 1:
                raise PlanError(f"`{setting}` must be at least 1, got {getattr(self, setting)}.")
        if not (0.0 < self.neighbour_share <= 1.0 and 0.0 <= self.dropout < 1.0):
            raise PlanError(
                "`neighbour_share` must lie in (0, 1] and `dropout` in [0, 1), got "
                f"{self.neighbour_share} and {self.dropout}."
            )
        check_penalties(self, "penalty")
        _ = self.schedule, self.look

    @property
    def look(self) -> Look:
        """How much it needs to see."""
        embeds = self.variant != "anchor"
        return Look(min_names=self.min_names, most_names=self.most_names, embeds=embeds, text=self.text and embeds)

    @property
    def reads(self) -> tuple[Read, ...]:
        return self.look.reads

    @property
    def learns_from(self) -> tuple[str, ...]:
        return REGIME_LABELS

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and, beside a network, its anchor alone; one that abstains where train is too thin."""
        panel = Panel.of(train, self.look)
        if not panel.answerable.any():
            return (self._silent(Reason.INPUT_MISSING, f"no train day has {self.min_names} names and a measured market"),)
        rule = RegimeRule.fit(panel.measures[panel.answerable])
        wanted, changed = _outcomes(train, panel, rule)
        labelled = panel.answerable & np.isfinite(wanted)
        if labelled.sum() < self.min_points:
            why = f"{int(labelled.sum())} labelled train days, {self.min_points} are needed"
            return (self._silent(Reason.TOO_FEW_OBSERVATIONS, why),)
        learning, held = holdout_split(train.days, self.holdout_share, AHEAD)
        if not panel.answerable[held].any():
            why = f"no day at the end of train has {self.min_names} names and a measured market"
            return (self._silent(Reason.INPUT_MISSING, why),)
        parts = Parts(panel, wanted, changed, labelled & learning, labelled & held)
        check_parts(self.name, parts.fitting, parts.held_out, "days")
        model = RegimeModel.fit(panel, rule, (wanted, changed), parts.fitting, self.penalty)
        bare = FittedRegime(self.look, "anchor", model)
        if self.variant == "anchor":
            return (judged(bare, parts, None),)
        hearing, parts = self._hearing(bare, parts)
        panel = parts.panel
        scaler = Standardiser.fit(panel.embedding[parts.fitting][panel.node[parts.fitting]])
        start = replace(hearing, variant=self.variant, node_scaler=scaler)
        training = self._train(start, parts, ctx)
        whole = replace(start, network=self._filled(training.best, start))
        alone = replace(bare, text=hearing.text if hearing.text_scaler is None else ANCHOR_NOTE)
        return judged(whole, parts, training), judged(alone, parts, None)

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """Mean log loss of the regime over the next 20 sessions; lower is better."""
        return validation_loss(fitted, view)

    def restore(self, state: ModuleState) -> FittedRegime:
        """Rebuild a fit; its answers are the same bit for bit."""
        weights = {k.removeprefix("weight/"): v for k, v in state.arrays.items() if k.startswith("weight/")}
        bare = FittedRegime.restore(self.look, None, state.arrays, state.facts)
        if not weights:
            return bare
        bare = replace(bare, node_scaler=Standardiser.restore(state.arrays, "node_scaler"))
        return replace(bare, network=self._filled(weights, bare))

    def network(self, width: int, text: int = 0) -> RegimeNetwork:
        """The untrained network for embeddings of a width, and for as many inputs of the market's text."""
        return RegimeNetwork(
            RegimeSizes(
                width=width,
                state=2 * len(STATE_WORDS) + len(REGIMES) + text,
                node=self.node,
                graph=self.graph,
                classifier=self.classifier,
                dropout=self.dropout,
                share=self.neighbour_share,
                fewest=self.fewest_neighbours,
                starts_at_zero=self.variant == "anchored",
            )
        )

    def _silent(self, reason: Reason, why: str) -> Candidate:
        return Candidate(self.variant, FittedRegime(self.look, self.variant, None, reason), (), {"silent": why})

    def _hearing(self, bare: FittedRegime, parts: Parts) -> tuple[FittedRegime, Parts]:
        """Where text covers enough names of the days that are learned from, it is heard."""
        panel = parts.panel
        if not panel.text.market.shape[1]:
            return bare, parts
        share = panel.text.coverage(panel.node & parts.fitting[:, None])
        told = f"text covers {share:.0%} of the names on the days that were learned from, and over {ENOUGH:.0%} are needed."
        if share <= ENOUGH:
            return replace(bare, text=f"The text block is left out: {told}"), parts
        scaler = Standardiser.fit(panel.text.market[parts.fitting])
        hearing = replace(bare, text_scaler=scaler, text=f"The text block is heard: {told}")
        return hearing, replace(parts, panel=panel.with_text)

    def _filled(self, weights: Mapping[str, AnyArray], fitted: FittedRegime) -> RegimeNetwork:
        network = network_from(self.network(*_widths(fitted)), weights)
        assert isinstance(network, RegimeNetwork)
        return network

    def _train(self, start: FittedRegime, parts: Parts, ctx: FitContext) -> Training:
        panel, scaler, model = parts.panel, start.node_scaler, start.model
        assert scaler is not None and model is not None
        today = model.today(panel)
        logs, odds = start.base(today)
        extras = {"anchor": logs, "anchor_change": odds, "regime": parts.wanted, "changed": parts.changed}
        seen = start.seen(panel)
        graphs, n_names = DayGraphs.of(panel), -(-int(panel.node.sum(axis=1).max()) // DAYS) * DAYS
        sources = [
            RegimeRows(panel, graphs, np.flatnonzero(rows), scaler, seen, n_names, extras)
            for rows in (parts.fitting, parts.held_out)
        ]
        return train_network(lambda: self.network(*_widths(start)), regime_loss, sources[0], sources[1], self.schedule, ctx)


def _widths(fitted: FittedRegime) -> tuple[int, int]:
    """Inputs of a name, and of the market's text as (value, known) pairs."""
    assert fitted.node_scaler is not None
    text = 0 if fitted.text_scaler is None else 2 * int(fitted.text_scaler.mean.shape[0])
    return int(fitted.node_scaler.mean.shape[0]), text


def _outcomes(train: TrainView, panel: Panel, rule: RegimeRule) -> tuple[FloatArray, FloatArray]:
    """Regime over the next 20 sessions, and whether today's changes within them; NaN where not known at the cut.

    The second rests on the rule's names for later train days, so the first one's clock purges it as well.
    """
    wanted = rule.codes(np.stack([first_of(train.label(name)) for name in REGIME_LABELS], axis=-1), strict=True)
    changed = changed_within(rule.codes(panel.measures), panel.days)
    known: BoolArray = np.isfinite(wanted)
    return wanted, np.where(known, changed, np.nan)
