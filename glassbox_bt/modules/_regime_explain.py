"""Explanations of the regime module beyond its table, on seeded stratified samples of days (D-XAI-01).

* `edges`: the strongest learned edges of a day. `difference`: what changed in them since the previous snapshot.
* `gradients`: integrated gradients of the log chance of the most likely regime by the market's inputs, from the train mean.
* `what_ifs`: macro neutralised, text neutralised where it is heard, names shuffled, and the market half as volatile again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.regime_labels import CREDIT, INVERTED, REGIMES, VOL
from glassbox_bt.modules._attribution import Counterfactual, integrated_gradients
from glassbox_bt.modules._blocks import predict_rows, to_batch
from glassbox_bt.modules._contagion_explain import stratified_rows
from glassbox_bt.modules._regime_inputs import FREEDOM, N_MARKET, PLAIN, STATE_WORDS, Panel
from glassbox_bt.modules._regime_model import MOST_DEVIATIONS, RegimeModel, Today
from glassbox_bt.modules._regime_network import answered, measured_weights
from glassbox_bt.modules._regime_rows import DAYS, DayGraphs, RegimeRows, Said
from glassbox_bt.types import Answers, BoolArray, FloatArray, IntArray, StrArray

if TYPE_CHECKING:
    from glassbox_bt.modules._regime_fitted import FittedRegime

__all__ = ["DayEdges", "GraphDifference", "RegimeExplainer", "StateGradients", "words_of"]

HIGHER = 1.5  # times today's volatility
CALM = REGIMES.index("calm")


@dataclass(frozen=True, slots=True, eq=False)
class DayEdges:
    """The strongest edges of a day, largest first: with what weight ``target`` hears ``source``."""

    day: int
    source: StrArray
    target: StrArray
    weight: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class GraphDifference:
    """Weights of ``day`` less those of the last day on the snapshot before, over the names that are in both.

    ``edges.weight`` holds the largest changes, by size, with their signs; ``mean_change`` the mean absolute change of all.
    """

    day: int
    before: int
    mean_change: float
    edges: DayEdges


@dataclass(frozen=True, slots=True, eq=False)
class StateGradients:
    """What each market input (`STATE_WORDS`) adds to the log chance of the most likely regime; ``gap`` is the error."""

    day: int
    regime: str
    shares: FloatArray
    change: float
    gap: float


@dataclass(frozen=True, slots=True, eq=False)
class RegimeExplainer:
    """A fit and the days it is asked about; names in the order of their tickers."""

    fitted: FittedRegime
    model: RegimeModel
    panel: Panel
    tickers: StrArray
    score: FloatArray  # chance of anything but calm, (n_days,)
    known: BoolArray

    @classmethod
    def of(cls, fitted: FittedRegime, panel: Panel, tickers: tuple[str, ...], answers: Answers) -> RegimeExplainer:
        """Around the answers to the panel's days."""
        if fitted.model is None:
            raise TrainingError("This regime fit had too little to learn from: there is nothing to explain.")
        known: BoolArray = np.asarray(answers.known.any(axis=1))
        calm = answers.outputs["prob_calm"][np.arange(len(known)), answers.known.argmax(axis=1)]
        return cls(fitted, fitted.model, panel, np.array(tickers, dtype=object), 1.0 - calm, known)

    def sample(self, n_days: int, rng: np.random.Generator) -> IntArray:
        """Positions of days drawn evenly from quarters of the span and tenths of the chance of trouble."""
        return stratified_rows(self.score[:, None], self.known[:, None], n_days, rng)[0]

    def edges(self, day: int, most: int = 50) -> DayEdges:
        """The strongest learned edges of a day (position); measured ones where there is no network."""
        nodes, weights = self._weights(day)
        return self._listed(day, nodes, weights, most)

    def difference(self, day: int, most: int = 10) -> GraphDifference | None:
        """What changed since the previous snapshot; None where the span does not reach back to it."""
        rule = self.panel.look.rule
        snapshot = (self.panel.days - (rule.window - 1)) // rule.stride
        earlier = np.flatnonzero((snapshot == snapshot[day] - 1) & self.known)
        if not len(earlier):
            return None
        before = int(earlier[-1])
        (now, weights), (then, old) = self._weights(day), self._weights(before)
        both = np.intersect1d(now, then)
        places = [np.ix_(np.searchsorted(one, both), np.searchsorted(one, both)) for one in (now, then)]
        moved = weights[places[0]] - old[places[1]]
        n_pairs = max(len(both) * (len(both) - 1), 1)
        listed = self._listed(day, both, moved, most)
        return GraphDifference(
            int(self.panel.days[day]), int(self.panel.days[before]), float(np.abs(moved).sum() / n_pairs), listed
        )

    def gradients(self, days: IntArray) -> list[StateGradients]:
        """Of some days (positions), one by one."""
        today = self.model.today(self.panel)
        inputs = np.clip(self.model.scaler.scaled(self.panel.state), -MOST_DEVIATIONS, MOST_DEVIATIONS)
        found = []
        for day in days:
            rows = self._rows(np.array([day]))
            batch = to_batch(rows.take(np.array([0]), np.random.default_rng(0)), "cpu")
            logs = self.fitted.raw(*self._asked(np.array([day])))[0][0]
            regime = int(np.argmax(logs))
            score = self._score(batch, today.start[day], regime)
            ones = integrated_gradients(score, inputs[[day]], np.zeros((1, inputs.shape[1])), block=1)
            label = REGIMES[regime]
            found.append(
                StateGradients(int(self.panel.days[day]), label, ones.shares[0], float(ones.change[0]), float(ones.gap[0]))
            )
        return found

    def what_ifs(self, days: IntArray, rng: np.random.Generator) -> list[Counterfactual]:
        """The chance of anything but calm on some days (positions) as it was and as it would have been.

        Only the more volatile market has a direction that the market's logic asks for; for the others ``expected`` is +1 by
        convention and the size of the change is what is looked at.
        """
        panel = self.panel.picked(days)
        before = self._trouble(panel)
        changed = {
            "macro series at their train means": _without_macro(panel, self.model),
            **({} if self.fitted.text_scaler is None else {"nothing written": _without_words(panel)}),
            "names shuffled": _shuffled(panel, rng),
            "the market half as volatile again": _louder(panel),
        }
        return [Counterfactual(name, 1, before, self._trouble(one)) for name, one in changed.items()]

    def _trouble(self, panel: Panel) -> FloatArray:
        raw, _ = self.fitted.raw(self.model.today(panel), self.fitted.said(panel))
        return np.asarray(1.0 - self.fitted.maps[0].apply(raw)[:, CALM], dtype=np.float64)

    def _asked(self, days: IntArray) -> tuple[Today, Said]:
        panel = self.panel.picked(days)
        return self.model.today(panel), self.fitted.said(panel)

    def _rows(self, days: IntArray) -> RegimeRows:
        panel = self.panel.picked(days)
        n_names = -(-int(panel.node.sum(axis=1).max()) // DAYS) * DAYS
        state = self.fitted.seen(panel)
        return RegimeRows(panel, DayGraphs.of(panel), np.arange(len(days)), self.fitted.node_scaler, state, n_names, {})

    def _weights(self, day: int) -> tuple[IntArray, FloatArray]:
        """Names of a day and the weights among them."""
        network = self.fitted.network
        ask = measured_weights if network is None else (lambda batch: answered(network, batch)[3])
        (found,) = predict_rows(ask, self._rows(np.array([day])), block=DAYS)
        nodes = np.flatnonzero(self.panel.node[day])
        return nodes, np.asarray(found[0, : len(nodes), : len(nodes)], dtype=np.float64)

    def _listed(self, day: int, nodes: IntArray, weights: FloatArray, most: int) -> DayEdges:
        order = np.argsort(-np.abs(weights), axis=None, kind="stable")[: min(most, len(nodes) * (len(nodes) - 1))]
        target, source = np.unravel_index(order, weights.shape)
        names = self.tickers[nodes]
        return DayEdges(int(self.panel.days[day]), names[source], names[target], weights[target, source])

    def _score(self, batch: Mapping[str, Tensor], start: FloatArray, regime: int) -> Callable[[Tensor], Tensor]:
        """Log chance of one regime as a function of the standardised market inputs (n, 20)."""
        logit, network, n = self.model.logit, self.fitted.network, len(STATE_WORDS)
        weights = torch.from_numpy((FREEDOM[:, None] * logit.coefficients).astype(np.float32))
        offset = torch.from_numpy((start + logit.intercept).astype(np.float32))
        bare = torch.from_numpy(self.fitted.base(self.model.today(self.panel))[0][0].astype(np.float32))
        speaks = self.fitted.speaks[0]

        def score(inputs: Tensor) -> Tensor:
            logs = bare if self.fitted.variant == "network" else offset + inputs[:, :PLAIN] @ weights
            if network is not None and speaks > 0.0:
                state = torch.cat([inputs, batch["state"][:, n:]], dim=1)
                logs = logs + speaks * network(batch["names"], batch["pairs"], batch["valid"], state)[0]
            return torch.log_softmax(logs, dim=-1)[:, regime]

        return score


def _without_macro(panel: Panel, model: RegimeModel) -> Panel:
    state, measures = panel.state.copy(), panel.measures.copy()
    state[:, N_MARKET:] = np.where(np.isfinite(state[:, N_MARKET:]), model.scaler.mean[N_MARKET:], np.nan)
    measures[:, [CREDIT, INVERTED]] = np.nan
    return replace(panel, state=state, measures=measures)


def _without_words(panel: Panel) -> Panel:
    """As if nothing had been written; embeddings carry what was said of names behind their own columns."""
    width = panel.text.market.shape[1]
    silent = panel.without_text(width)
    embedding = panel.embedding.copy()
    embedding[..., -width:] = silent.text.names
    return replace(silent, embedding=embedding)


def _shuffled(panel: Panel, rng: np.random.Generator) -> Panel:
    """Embeddings handed to other names of the day."""
    embedding = panel.embedding.copy()
    for day in range(len(panel)):
        nodes = np.flatnonzero(panel.node[day])
        embedding[day, nodes] = panel.embedding[day, rng.permutation(nodes)]
    return replace(panel, embedding=embedding)


def _louder(panel: Panel) -> Panel:
    state, measures = panel.state.copy(), panel.measures.copy()
    state[:, :2] += np.log(HIGHER)
    measures[:, VOL] *= HIGHER
    return replace(panel, state=state, measures=measures)


def words_of(row: Mapping[str, float], shares: FloatArray) -> str:
    """The summary of a day; ``shares`` (11, 4) are what the anchor's inputs add to the logs of the four chances."""
    likely = int(row["regime_label_id"])
    chances = ", ".join(f"{name} {row[f'prob_{name}']:.0%}" for name in REGIMES)
    told = shares[:, likely] - shares.mean(axis=1)
    top = int(np.abs(told).argmax())
    verb = "raises" if told[top] > 0.0 else "lowers"
    return (
        f"Most likely {REGIMES[likely]} over the next 20 sessions: {chances}. Today counts as "
        f"{REGIMES[int(row['nowcast_regime'])]}; a change within them has chance {row['transition_probability']:.0%}. "
        f"Market volatility {row['market_vol_21d']:.0%} a year, drawdown {row['market_drawdown_63d']:.0%}, graph stress "
        f"{row['learned_graph_stress']:.2f}. Most of all, {STATE_WORDS[top]} {verb} it."
    )
