"""A fitted regime module: its answers, how they are put right, and its explanations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.regime_labels import AHEAD, REGIME_LABELS, REGIMES, changed_within
from glassbox_bt.market.view import Span
from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules._contagion_calibration import Calibration, fit_calibration, log_odds
from glassbox_bt.modules._regime_calibration import RegimeMap, fit_map
from glassbox_bt.modules._regime_explain import RegimeExplainer, words_of
from glassbox_bt.modules._regime_inputs import Look, Panel, Variant
from glassbox_bt.modules._regime_model import RIVALS, RegimeModel, Today, chances_of
from glassbox_bt.modules._regime_network import PROPERTIES, RegimeNetwork
from glassbox_bt.modules._regime_rows import DayGraphs, Said, ask
from glassbox_bt.modules._regime_text import TEXT_NOTE
from glassbox_bt.modules._training import weights_of
from glassbox_bt.modules.base import ModuleState, answers_of, rounded
from glassbox_bt.types import Answers, AnyArray, FloatArray, Reason, StrArray

__all__ = ["CHANCES", "OUTPUTS", "FittedRegime", "first_of", "per_day"]

CHANCES = tuple(f"prob_{name}" for name in REGIMES)
MEASURED = {  # of `MEASURES`, those that every answered day has
    "market_vol_21d": 0,
    "market_return_21d": 1,
    "market_drawdown_63d": 2,
    "graph_density_30d": 5,
    "graph_mean_abs_correlation_30d": 6,
}
OUTPUTS = (
    "regime_label_id",
    "regime_label",
    "regime_confidence",
    "transition_probability",
    *CHANCES,
    *PROPERTIES,
    "macro_stress_score",
    "rule_graph_stress_score",
    "nowcast_regime",
    "missing_clauses",
    *(f"{name}_raw" for name in CHANCES),
    "transition_probability_raw",
    *(f"{name}_{rival}" for rival in RIVALS for name in CHANCES),
    *(f"{name}_anchor_raw" for name in CHANCES),
    "transition_probability_anchor",
    "transition_probability_anchor_raw",
    "transition_probability_base_rate",
    "wild_state_probability",
    *MEASURED,
)


@dataclass(frozen=True, slots=True)
class FittedRegime:
    """Rule, rivals, anchor, residual network (None for the anchor alone) and calibration.

    ``model`` is None where there was too little to learn from: such a fit abstains on every day, with ``why`` as its reason.
    ``speaks`` is 1 for the residuals (chances of the regimes, chance of a change) that beat their anchor on the hold-out.
    ``text_scaler`` is that of the market's text, None where the network hears no text; ``text`` says why.
    """

    look: Look
    variant: Variant
    model: RegimeModel | None
    why: Reason = Reason.KNOWN
    network: RegimeNetwork | None = None
    node_scaler: Standardiser | None = None
    maps: tuple[RegimeMap, RegimeMap] = field(default_factory=lambda: (RegimeMap.identity(), RegimeMap.identity()))
    change_maps: tuple[Calibration, ...] = ()  # of the answer and of the anchor
    speaks: tuple[float, float] = (1.0, 1.0)
    text_scaler: Standardiser | None = None
    text: str = TEXT_NOTE
    name: ClassVar[str] = "regime"

    @property
    def missing_clauses(self) -> tuple[str, ...]:
        """Clauses of the weak labels that the train part could not serve, in words (R7)."""
        return () if self.model is None else self.model.rule.missing

    def said(self, panel: Panel) -> Said:
        """The network's residuals; none without it, and then the graph is the measured one."""
        return ask(self.network, panel, DayGraphs.of(panel), self.node_scaler, self.seen(panel))

    def panel(self, span: Span) -> Panel:
        """The days of a span as the network sees them."""
        panel = Panel.of(span, self.look)
        if self.text_scaler is None:
            return panel
        if panel.text.market.shape[1] == 0:  # nothing was written, so nothing is known of it
            panel = panel.without_text(len(self.text_scaler.mean))
        return panel.with_text

    def seen(self, panel: Panel) -> FloatArray:
        """What the network sees of the market, (n_days, k): its state and, where it hears text, the market's text."""
        state = _of(self.model).today(panel).state
        if self.text_scaler is None:
            return state
        return np.column_stack([state, self.text_scaler.pairs(panel.text.market)])

    def base(self, today: Today) -> tuple[FloatArray, FloatArray]:
        """Logs of the chances (n_days, 4) and log-odds of a change (n_days,) that the residuals are added to."""
        model = _of(self.model)
        if self.variant != "network":
            return model.anchor_logs(today), model.anchor_change(today)
        logs = np.where(model.rule.possible, np.log(np.maximum(model.base, 1e-12)), today.start.min())
        odds = np.asarray(log_odds(np.array(model.base_change)))
        return np.broadcast_to(logs, today.start.shape), np.broadcast_to(odds, today.code.shape)

    def raw(self, today: Today, said: Said) -> tuple[FloatArray, FloatArray]:
        """Chances (n_days, 4) and the chance of a change (n_days,) before calibration."""
        logs, odds = self.base(today)
        if self.network is not None:
            logs = logs + self.speaks[0] * said.regime
            odds = odds + self.speaks[1] * said.change
        chances = chances_of(logs, _of(self.model).rule.possible)
        return _grid(chances), _grid(1.0 / (1.0 + np.exp(-odds)))

    def predict_many(self, span: Span) -> Answers:
        """One answer a day, the same in the row of every member.

        * ``prob_*``: calibrated chances of the regime over the next 20 sessions, adding up to 1; ``regime_label`` the most
          likely, ``regime_confidence`` its chance; ``*_raw`` before calibration. 0 for a regime that the rule cannot name in
          this market.
        * ``transition_probability``: chance that the rule names another regime than today's on any of the next 20 sessions.
        * ``nowcast_regime``: today's regime by the rule; ``missing_clauses`` how many of its eight clauses do not speak.
        * `PROPERTIES`: the graph's weights before any cut, in [0, 1]; measured correlations where there is no network.
        * ``macro_stress_score``, ``rule_graph_stress_score`` (the source's ``label_graph_stress_score``): in [0, 1].
        * ``prob_*_<rival>``: what simple rivals say of the same 20 sessions; ``wild_state_probability`` is the filtered
          probability of the wilder of two states. ``market_*`` and ``graph_*_30d``: today's measures.
        """
        panel = self.panel(span)
        if self.model is None:
            codes = np.where(panel.codes == Reason.KNOWN, np.int8(self.why), panel.codes)
            nothing = np.full(codes.shape, np.nan)
            return answers_of(self.name, span, dict.fromkeys(OUTPUTS, nothing), codes)
        by_day = self._by_day(panel)
        shape = span.member.shape
        outputs = {name: np.broadcast_to(by_day[name][:, None], shape) for name in OUTPUTS}
        return answers_of(self.name, span, outputs, panel.codes)

    def _by_day(self, panel: Panel) -> dict[str, AnyArray]:
        model = _of(self.model)
        today, said = model.today(panel), self.said(panel)
        raw, change = self.raw(today, said)
        chances = _grid(self.maps[0].apply(raw))
        rivals = model.rivals(panel, today)
        anchor_change = _grid(1.0 / (1.0 + np.exp(-model.anchor_change(today))))
        label = np.argmax(np.nan_to_num(chances), axis=1).astype(np.float64)
        out: dict[str, AnyArray] = {
            "regime_label_id": label,
            "regime_label": label,
            "regime_confidence": chances.max(axis=1),
            "transition_probability": _grid(self.change_maps[0].apply(change)),
            "transition_probability_raw": change,
            "transition_probability_anchor": _grid(self.change_maps[1].apply(anchor_change)),
            "transition_probability_anchor_raw": anchor_change,
            "transition_probability_base_rate": _grid(np.full(len(panel), model.base_change)),
            "macro_stress_score": _grid(model.rule.macro_stress(panel.measures)),
            "rule_graph_stress_score": _grid(model.rule.graph_stress(panel.measures)),
            "nowcast_regime": today.code,
            "missing_clauses": model.rule.silent_clauses(panel.measures),
            "wild_state_probability": _grid(today.wild),
        }
        alone = _grid(rivals["anchor"])
        rivals["anchor"] = self.maps[1].apply(alone)
        for place, name in enumerate(CHANCES):
            out |= {name: chances[:, place], f"{name}_raw": raw[:, place], f"{name}_anchor_raw": alone[:, place]}
            out |= {f"{name}_{rival}": _grid(rivals[rival][:, place]) for rival in RIVALS}
        out |= {name: _grid(said.properties[:, place]) for place, name in enumerate(PROPERTIES)}
        return out | {name: panel.measures[:, place] for name, place in MEASURED.items()}

    def with_reference(self, oof: Answers) -> FittedRegime:  # noqa: ARG002
        """Itself: its chances meet rules as chances, not as ranks. It stands here so that `with_outcomes` is asked for."""
        return self

    def with_outcomes(self, oof: Answers, labels: Mapping[str, FloatArray]) -> FittedRegime:
        """The same fit, put right on the out-of-fold train answers and what came of them."""
        return self.recalibrated(oof, labels)

    def recalibrated(self, answers: Answers, labels: Mapping[str, FloatArray]) -> FittedRegime:
        """The same fit, put right on answers that it, or fits of other folds, gave without knowing their outcomes.

        On out-of-fold train answers it may serve validation and test, on validation answers test only (R5). Raw chances stay
        as they are.

        Parameters
        ----------
        labels : Mapping[str, FloatArray]
            By `REGIME_LABELS`, (n_days, n_assets), NaN = unknown.
        """
        if self.model is None or not answers.known.any():
            return self
        given = {name: per_day(answers, name) for name in OUTPUTS if name.endswith("_raw")}
        wanted = np.where(answers.known.any(axis=1), self.outcomes(labels), np.nan)
        named = changed_within(per_day(answers, "nowcast_regime"), answers.days)
        changed = np.where(np.isfinite(wanted), named, np.nan)
        raw, alone = (np.stack([given[f"{name}{ending}_raw"] for name in CHANCES], axis=-1) for ending in ("", "_anchor"))
        change, change_alone = given["transition_probability_raw"], given["transition_probability_anchor_raw"]
        return self.put_right((raw, alone), (change, change_alone), (wanted, changed))

    def put_right(
        self,
        chances: tuple[FloatArray, FloatArray],
        change: tuple[FloatArray, FloatArray],
        outcomes: tuple[FloatArray, FloatArray],
    ) -> FittedRegime:
        """Maps of the answer and of the anchor, fitted on their raw chances by day and what came of them."""
        first, second = (fit_map(one, outcomes[0]) for one in chances)
        moved = (fit_calibration(one[:, None], outcomes[1][:, None], AHEAD, "platt") for one in change)
        return replace(self, maps=(first, second), change_maps=tuple(moved))

    def outcomes(self, labels: Mapping[str, FloatArray]) -> FloatArray:
        """Regime over the next 20 sessions by this fit's rule, (n_days,), NaN = unknown: what is scored (D-REG-07)."""
        measures = np.stack([first_of(labels[name]) for name in REGIME_LABELS], axis=-1)
        return _of(self.model).rule.codes(measures, strict=True)

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """Chances, today's state and the input that moves the most likely regime most; one text a day."""
        if self.model is None or not answers.known.any():
            return per_row(answers, lambda _day, _asset: "")
        panel = self.panel(span)
        shares = self.model.logit.shares(self.model.today(panel).plain)
        told = {name: per_day(answers, name) for name in answers.outputs}
        texts: dict[int, str] = {}

        def write(day: int, _asset: int) -> str:
            if day not in texts:
                texts[day] = words_of({name: float(values[day]) for name, values in told.items()}, shares[day])
            return texts[day]

        return per_row(answers, write)

    def explainer(self, span: Span, answers: Answers) -> RegimeExplainer:
        """Edges, graph differences, gradients and what-ifs of the days of a span."""
        panel = self.panel(span)
        return RegimeExplainer.of(self, panel, tuple(span.tickers[place] for place in panel.order), answers)

    def state(self) -> ModuleState:
        facts: dict[str, object] = {
            "variant": self.variant,
            "why": int(self.why),
            "missing_clauses": list(self.missing_clauses),
        }
        facts["text"] = self.text
        if self.model is None:
            return ModuleState({"silent": np.zeros(1)}, facts)
        arrays = {**self.model.arrays(), "speaks": np.array(self.speaks)}
        for number, (one, other) in enumerate(zip(self.maps, self.change_maps, strict=True)):
            arrays |= one.arrays(f"map.{number}") | other.arrays(f"change_map.{number}")
        if self.network is not None and self.node_scaler is not None:
            arrays |= {f"weight/{name}": one for name, one in weights_of(self.network).items()}
            arrays |= self.node_scaler.arrays("node_scaler")
        if self.text_scaler is not None:
            arrays |= self.text_scaler.arrays("text_scaler")
        return ModuleState(arrays, facts)

    @classmethod
    def restore(
        cls, look: Look, network: RegimeNetwork | None, arrays: Mapping[str, AnyArray], facts: Mapping[str, object]
    ) -> FittedRegime:
        """What `state` wrote, around a network that already has its weights."""
        variant: Variant = facts["variant"]  # type: ignore[assignment]
        why = Reason(int(facts["why"]))  # type: ignore[call-overload]
        text = str(facts["text"])
        if "base" not in arrays:
            return cls(look, variant, None, why, text=text)
        speaks = arrays["speaks"]
        return cls(
            look=look,
            variant=variant,
            model=RegimeModel.restore(arrays),
            network=network,
            node_scaler=None if network is None else Standardiser.restore(arrays, "node_scaler"),
            maps=(RegimeMap.restore(arrays, "map.0"), RegimeMap.restore(arrays, "map.1")),
            change_maps=tuple(Calibration.restore(arrays, f"change_map.{number}", "platt") for number in (0, 1)),
            speaks=(float(speaks[0]), float(speaks[1])),
            text_scaler=Standardiser.restore(arrays, "text_scaler") if "text_scaler.mean" in arrays else None,
            text=text,
        )


def first_of(values: AnyArray) -> FloatArray:
    """A market-wide number from rows that repeat it, (n_days, n_assets) -> (n_days,); NaN without a name."""
    if values.ndim == 1 or values.shape[1] == 0:
        return np.full(len(values), np.nan) if values.ndim > 1 else np.asarray(values, dtype=np.float64)
    return np.asarray(values[:, 0], dtype=np.float64)


def per_day(answers: Answers, name: str) -> FloatArray:
    """An output by day: that of the first name with an answer; NaN without one."""
    first = answers.known.argmax(axis=1)
    values = answers.outputs[name][np.arange(len(first)), first]
    return np.where(answers.known.any(axis=1), values, np.nan)


def _grid(values: AnyArray) -> FloatArray:
    return np.asarray(rounded(values), dtype=np.float64)


def _of(model: RegimeModel | None) -> RegimeModel:
    if model is None:
        raise TrainingError("This regime fit had too little to learn from and says nothing.")
    return model
