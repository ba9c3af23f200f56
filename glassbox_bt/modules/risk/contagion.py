"""Will a name suffer an extreme loss, given who is in distress around it? A graph network on a logit of its own history.

1. An extreme loss is a return under the bar of the name's own past (`market.tail_labels`), over 5, 20 and 60 sessions.
2. The anchor is a logit per horizon on the name's own history and the market's volatility: what a sceptic would use.
3. A spectral graph network adds a residual to the log-odds. Its weights between names are made anew for every day from the
   day's windows, the rolling correlation and the record of who followed whom into tail losses, so each name and day has an
   answer of its own (D-STM-01, D-STM-02). The residual starts at zero and stops learning when the last part of train no
   longer gains (R32).
4. Both are put right on outcomes they did not learn from; the raw probabilities stay beside (D-STM-06).
5. On the same part of train the neighbours are shuffled. If that does not hurt, the summaries say so.

Changed from the source's StemGNN: recurrent over time and shared by all names, where the source runs over the names in their
order (R16); directed weights, where it symmetrises; gated units of ``multi`` channels, where it has four times as many and
61 million parameters, more than there are returns to learn from; the log loss without class weights; AdamW.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.tail_labels import CONTAGION_LABELS, HORIZONS, TAIL_LABELS
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._contagion_anchor import OwnHistory, events_of
from glassbox_bt.modules._contagion_calibration import CalibrationKind, log_odds
from glassbox_bt.modules._contagion_fitted import NAME_OUTPUTS, OUTPUTS, FittedContagion, Variant
from glassbox_bt.modules._contagion_graph import Shape
from glassbox_bt.modules._contagion_holdout import Holdout, judged
from glassbox_bt.modules._contagion_inputs import Look, Panel
from glassbox_bt.modules._contagion_network import ContagionNetwork, ContagionSizes, tail_loss
from glassbox_bt.modules._contagion_rows import DayRows, Graphs
from glassbox_bt.modules._trained import FullyTrained, check_parts
from glassbox_bt.modules._training import Training, holdout_split, network_from, train_network
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, Kind, Read

__all__ = ["FittedContagion", "StemGnnContagion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StemGnnContagion(FullyTrained):
    """Probability of an extreme loss within 5, 20 and 60 sessions, from a name's past and from those around it.

    Parameters
    ----------
    window : int
        Sessions of returns that the network sees; two thirds of them must be observed.
    memory : int
        Sessions over which the graph counts who followed whom into tail losses.
    min_names : int
        Usable names that a day needs; fewer make no graph, and the module abstains (R7).
    neighbour_share, fewest_neighbours : float, int
        Neighbours of a name: a share of the names, but at least so many.
    dense_up_to : int
        Names up to which pairs lie in an N × N table; above, names have lists of neighbours.
    hidden : int
        Width of the recurrent network and of queries and keys.
    terms : int
        Chebyshev terms, T0 to T3 by default.
    multi, blocks : int
        Channels of the gated units, and blocks of them.
    dropout, slope : float
        Dropout in [0, 1); slope of the leaky units.
    penalty : float
        Of the anchor's logits, per row.
    calibration : {"platt", "isotonic", "none"}
        How probabilities are put right on the hold-out.
    shuffles : int
        Orders of the neighbours that the real one is compared with on the hold-out.
    explained : int
        Rows that `FittedContagion.explained_rows` gives to GNNExplainer; 0, the default, is none: it is opt-in (D-STM-07).
    holdout_share : float
        Last part of train, purged by the longest label, that stops training, calibrates and tests.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`; a row is a day with all its names.
    variant : {"anchored", "anchor", "network"}
        Anchor plus residual, or either alone (R32).
    """

    window: int = 30
    memory: int = 1008
    min_names: int = 15
    neighbour_share: float = 0.02
    fewest_neighbours: int = 20
    dense_up_to: int = 128
    hidden: int = 32
    terms: int = 4
    multi: int = 13
    blocks: int = 2
    dropout: float = 0.75
    slope: float = 0.2
    penalty: float = 0.003
    calibration: CalibrationKind = "platt"
    shuffles: int = 19
    explained: int = 0
    epochs: int = 100
    batch_size: int = 8
    patience: int = 20
    variant: Variant = "anchored"

    name: ClassVar[str] = "contagion"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = OUTPUTS
    name_outputs: ClassVar[tuple[str, ...]] = NAME_OUTPUTS

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network") or self.calibration not in ("platt", "isotonic", "none"):
            raise PlanError(
                "`variant` is `anchored`, `anchor` or `network` and `calibration` `platt`, `isotonic` or `none`; got "
                f"{self.variant!r} and {self.calibration!r}."
            )
        least = {"hidden": 1, "terms": 2, "multi": 1, "blocks": 1, "shuffles": 9, "explained": 0}
        for setting, value in least.items():
            if getattr(self, setting) < value:
                raise PlanError(f"`{setting}` must be at least {value}, got {getattr(self, setting)}.")
        if not (0.0 <= self.dropout < 1.0 and 0.0 < self.holdout_share < 1.0 and self.penalty > 0.0):
            raise PlanError(
                "`dropout` must lie in [0, 1), `holdout_share` in (0, 1) and `penalty` be positive, got "
                f"{self.dropout}, {self.holdout_share} and {self.penalty}."
            )
        _ = self.schedule, self.look, self.shape

    @property
    def look(self) -> Look:
        """How far and at what it looks."""
        return Look(window=self.window, memory=self.memory, min_names=self.min_names)

    @property
    def shape(self) -> Shape:
        """How many neighbours a name has."""
        return Shape(share=self.neighbour_share, fewest=self.fewest_neighbours, dense_up_to=self.dense_up_to)

    @property
    def reads(self) -> tuple[Read, ...]:
        return self.look.reads

    @property
    def learns_from(self) -> tuple[str, ...]:
        """The losses are learned; those after a neighbour's are only counted on the hold-out (D-STM-03)."""
        return (*TAIL_LABELS, *CONTAGION_LABELS)

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and, beside a network, its anchor alone.

        Where too few names are left at the end of train, one candidate that abstains everywhere.
        """
        panel = Panel.of(train, self.look)
        learning, held = holdout_split(train.days, self.holdout_share, horizon=max(HORIZONS) + 1)
        if not panel.usable[held].any():
            why = f"no day at the end of train has {self.min_names} names with enough returns"
            return (
                Candidate(self.variant, FittedContagion(self.look, self.shape, self.variant, None), (), {"silent": why}),
            )
        events = events_of(train)[:, panel.order]
        rows = panel.usable & np.isfinite(events).any(axis=-1)
        fit_rows, held_rows = rows & learning[:, None], rows & held[:, None]
        check_parts(self.name, fit_rows, held_rows)
        own = OwnHistory.fit(panel.own, events, fit_rows, self.penalty)
        bare = FittedContagion(self.look, self.shape, "anchor", own, explained=self.explained)
        if self.variant == "anchor":
            return (judged(bare, self._holdout(train, panel, None, held_rows), None, self.shuffles, ctx.rng("shuffles")),)
        graphs = Graphs.of(panel, self.shape)
        training = self._train(replace(bare, variant=self.variant), (panel, graphs), (fit_rows, held_rows), events, ctx)
        whole = replace(bare, variant=self.variant, network=self._filled(training.best))
        holdout = self._holdout(train, panel, graphs, held_rows)
        return tuple(
            judged(one, holdout, how, self.shuffles, ctx.rng("shuffles")) for one, how in ((whole, training), (bare, None))
        )

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """Mean log loss of the horizons before calibration, where the outcome is known; NaN without an outcome."""
        answers, events = fitted.predict_many(view), events_of(view)
        means = []
        for number, horizon in enumerate(HORIZONS):
            chance, event = answers.outputs[f"contagion_{horizon}d_raw"], events[..., number]
            known = np.isfinite(chance) & np.isfinite(event)
            odds = log_odds(chance[known])
            if known.any():
                means.append(np.mean(np.logaddexp(0.0, odds) - event[known] * odds))
        return float(np.mean(means)) if means else float("nan")

    def restore(self, state: ModuleState) -> FittedContagion:
        """Rebuild a fit; its answers are bit-equal."""
        weights = {k.removeprefix("weight/"): v for k, v in state.arrays.items() if k.startswith("weight/")}
        network = self._filled(weights) if weights else None
        fitted = FittedContagion.restore((self.look, self.shape), network, state.arrays, state.facts)
        return replace(fitted, explained=self.explained)

    def network(self) -> ContagionNetwork:
        """The untrained network."""
        return ContagionNetwork(
            ContagionSizes(
                window=self.window,
                hidden=self.hidden,
                terms=self.terms,
                multi=self.multi,
                blocks=self.blocks,
                dropout=self.dropout,
                slope=self.slope,
                horizons=len(HORIZONS),
                starts_at_zero=self.variant == "anchored",
            )
        )

    def _filled(self, weights: Mapping[str, AnyArray]) -> ContagionNetwork:
        network = network_from(self.network(), weights)
        assert isinstance(network, ContagionNetwork)
        return network

    def _train(
        self,
        start: FittedContagion,
        days: tuple[Panel, Graphs],
        parts: tuple[BoolArray, BoolArray],
        events: FloatArray,
        ctx: FitContext,
    ) -> Training:
        panel, graphs = days
        base = start.base(panel)
        sources = []
        for rows in parts:
            picked = np.flatnonzero(rows.any(axis=1))
            extras = {"anchor": base, "event": np.where(rows[..., None], events, np.nan)}
            sources.append(DayRows.of(panel, graphs, picked, extras))
        return train_network(self.network, tail_loss, sources[0], sources[1], self.schedule, ctx)

    def _holdout(self, train: TrainView, panel: Panel, graphs: Graphs | None, rows: BoolArray) -> Holdout:
        picked = np.flatnonzero(rows.any(axis=1))
        return Holdout(
            panel=panel.picked(picked),
            graphs=Graphs((), np.zeros(0, dtype=np.int64)) if graphs is None else graphs.picked(picked),
            rows=rows[picked],
            events=events_of(train)[:, panel.order][picked],
            passed_on=events_of(train, CONTAGION_LABELS)[:, panel.order][picked],
            tickers=train.tickers,
            kind=self.calibration,
        )
