"""The numbers behind a regime answer, day by day: rule, rivals, anchor, and what the network adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.market.macro import covered
from glassbox_bt.market.regime_labels import AHEAD, REGIMES, RegimeRule
from glassbox_bt.modules._anchor import LinearAnchor, Standardiser, fit_logit
from glassbox_bt.modules._regime_anchor import Blend, RegimeLogit, StateTable, base_rates, normalised_logs, vix_states
from glassbox_bt.modules._regime_calibration import LEAST, logs_of
from glassbox_bt.modules._regime_inputs import FREEDOM, PLAIN, Panel
from glassbox_bt.modules._regime_switching import Switching, fit_switching
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["RIVALS", "RegimeModel", "Today", "chances_of", "log_losses"]

N = len(REGIMES)
MOST_DEVIATIONS = 5.0  # of a state input (spec 17)
RIVALS = ("base_rate", "persistence", "vix_rule", "markov_switching", "anchor")


@dataclass(frozen=True, slots=True, eq=False)
class Today:
    """What is known of each day before any network speaks.

    Parameters
    ----------
    code : FloatArray
        Today's regime by the rule, (n_days,).
    plain : FloatArray
        Inputs of the anchor, standardised and scaled by `FREEDOM`, 0 where missing, (n_days, 11).
    state : FloatArray
        What the network sees of the market: (value, known) pairs and today's regime, (n_days, 44).
    start : FloatArray
        Logs of the chances that the anchor's logit starts from, (n_days, 4).
    wild : FloatArray
        Filtered probability of the wild state of the switching model, (n_days,).
    """

    code: FloatArray
    plain: FloatArray
    state: FloatArray
    start: FloatArray
    wild: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class RegimeModel:
    """Everything that was fitted but the network; see `_regime_anchor` for the rivals.

    Parameters
    ----------
    scaler : Standardiser
        Of the state; columns that train did not cover are never known (D-MAC-04).
    base : FloatArray
        Share of each regime in train, (4,).
    base_change : float
        Share of train days whose regime changed within 20 sessions.
    change : LinearAnchor
        Log-odds of a change from the anchor's inputs and today's regime.
    """

    rule: RegimeRule
    scaler: Standardiser
    base: FloatArray
    base_change: float
    persistence: StateTable
    vix: StateTable
    blend: Blend
    switching: Switching
    logit: RegimeLogit
    change: LinearAnchor

    @classmethod
    def fit(
        cls, panel: Panel, rule: RegimeRule, outcomes: tuple[FloatArray, FloatArray], rows: BoolArray, penalty: float
    ) -> RegimeModel:
        """On some days of a train panel.

        Parameters
        ----------
        outcomes : tuple of FloatArray
            Regime over the next 20 sessions, and whether today's changes within them; (n_days,) each, NaN = unknown.
        rows : BoolArray
            Days to learn from, (n_days,).
        """
        wanted, changed = (np.where(rows, one, np.nan) for one in outcomes)
        code = rule.codes(panel.measures)
        state = np.where(covered(panel.state[rows]), panel.state, np.nan)
        scaler = Standardiser.fit(state[rows])
        base = base_rates(wanted, rule.possible)
        persistence = StateTable.fit(code, wanted, N, base)
        switching = fit_switching(panel.market[rows, -1])
        wild = switching.ahead(switching.filtered(panel.market), AHEAD)
        plain = _plain(scaler, panel.state)
        start = logs_of(persistence.predict(code, base))
        return cls(
            rule=rule,
            scaler=scaler,
            base=base,
            base_change=_base_change(changed),
            persistence=persistence,
            vix=StateTable.fit(vix_states(panel.vix), wanted, 3, base),
            blend=Blend.fit(wild, wanted, base),
            switching=switching,
            logit=RegimeLogit.fit(plain, start, wanted, penalty),
            change=fit_logit(np.column_stack([plain, _one_hot(code)]), changed, penalty=penalty),
        )

    def today(self, panel: Panel) -> Today:
        """Inputs of every day of a panel."""
        code = self.rule.codes(panel.measures)
        pairs = self.scaler.pairs(panel.state)
        pairs[:, : panel.state.shape[1]] = np.clip(pairs[:, : panel.state.shape[1]], -MOST_DEVIATIONS, MOST_DEVIATIONS)
        return Today(
            code=code,
            plain=_plain(self.scaler, panel.state),
            state=np.column_stack([pairs, _one_hot(code)]),
            start=logs_of(self.persistence.predict(code, self.base)),
            wild=self.switching.filtered(panel.market),
        )

    def anchor_logs(self, today: Today) -> FloatArray:
        """Logs of the anchor's chances, (n_days, 4)."""
        return self.logit.logs(today.plain, today.start)

    def anchor_change(self, today: Today) -> FloatArray:
        """The anchor's log-odds of a change, (n_days,)."""
        return self.change.linear(np.column_stack([today.plain, _one_hot(today.code)]))

    def rivals(self, panel: Panel, today: Today) -> dict[str, FloatArray]:
        """Chances of each rival, (n_days, 4), by `RIVALS`; base rates where one knows nothing of a day."""
        ahead = self.switching.ahead(today.wild, AHEAD)
        return {
            "base_rate": np.broadcast_to(self.base, (len(panel), N)),
            "persistence": self.persistence.predict(today.code, self.base),
            "vix_rule": self.vix.predict(vix_states(panel.vix), self.base),
            "markov_switching": self.blend.predict(ahead, self.base),
            "anchor": chances_of(self.anchor_logs(today), self.rule.possible),
        }

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        tables = {"persistence": self.persistence.rates, "vix": self.vix.rates, "blend": self.blend.rates}
        return {
            **self.rule.arrays("rule"),
            **self.scaler.arrays("scaler"),
            **self.switching.arrays("switching"),
            **self.logit.arrays("logit"),
            **self.change.arrays("change"),
            **tables,
            "base": self.base,
            "base_change": np.array([self.base_change]),
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray]) -> RegimeModel:
        """What `arrays` wrote."""
        return cls(
            rule=RegimeRule.restore(arrays, "rule"),
            scaler=Standardiser.restore(arrays, "scaler"),
            base=arrays["base"],
            base_change=float(arrays["base_change"][0]),
            persistence=StateTable(arrays["persistence"]),
            vix=StateTable(arrays["vix"]),
            blend=Blend(arrays["blend"]),
            switching=Switching.restore(arrays, "switching"),
            logit=RegimeLogit.restore(arrays, "logit"),
            change=LinearAnchor.restore(arrays, "change", "logistic"),
        )


def chances_of(logs: FloatArray, possible: BoolArray) -> FloatArray:
    """Chances (n_days, 4) that add up to 1: at least 0.0001 for a regime that can be named, 0 for one that cannot."""
    chances = np.exp(normalised_logs(logs))
    kept = np.where(possible, np.maximum(chances, LEAST), 0.0)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True), dtype=np.float64)


def log_losses(chances: FloatArray, outcomes: FloatArray) -> FloatArray:
    """Minus the log of the chance that was given to what came, (n_days,); NaN where that is unknown."""
    known = np.isfinite(outcomes) & np.isfinite(chances).all(axis=1)
    losses = np.full(len(outcomes), np.nan)
    picked = chances[known, outcomes[known].astype(np.int64)]
    losses[known] = -np.log(np.maximum(picked, LEAST))
    return losses


def _plain(scaler: Standardiser, state: FloatArray) -> FloatArray:
    return np.asarray(FREEDOM * np.clip(scaler.scaled(state)[:, :PLAIN], -MOST_DEVIATIONS, MOST_DEVIATIONS))


def _one_hot(code: FloatArray) -> FloatArray:
    """(n_days, 4), all 0 where unknown."""
    return np.asarray(code[:, None] == np.arange(N), dtype=np.float64)


def _base_change(changed: FloatArray) -> float:
    """Share of changes, with half an observation on either side."""
    known = changed[np.isfinite(changed)]
    return float((known.sum() / AHEAD + 0.5) / (len(known) / AHEAD + 1.0))
