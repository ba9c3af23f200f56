"""A fitted contagion module: its answers, their calibration, and what it looked like on the hold-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.tail_labels import HORIZONS, TAIL_LABELS
from glassbox_bt.market.view import Span
from glassbox_bt.modules._anchor import RankScale
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules._contagion_anchor import OwnHistory
from glassbox_bt.modules._contagion_answers import SHOWN, Said, asked, told_alone, told_together
from glassbox_bt.modules._contagion_calibration import Calibration, CalibrationKind, fit_calibration, log_odds
from glassbox_bt.modules._contagion_explain import (
    MOST_AS_GOOD,
    EdgeImportance,
    ExplainedRow,
    edge_importance,
    explained_rows,
    stratified_rows,
)
from glassbox_bt.modules._contagion_graph import Shape
from glassbox_bt.modules._contagion_inputs import Look, Panel
from glassbox_bt.modules._contagion_network import ContagionNetwork
from glassbox_bt.modules._contagion_rows import Graphs
from glassbox_bt.modules._training import weights_of
from glassbox_bt.modules.base import ModuleState, answers_of, rounded
from glassbox_bt.modules.names import name_codes, names_of
from glassbox_bt.types import Answers, AnyArray, FloatArray, IntArray, Reason, StrArray

__all__ = ["NAME_OUTPUTS", "NETWORK_OUTPUTS", "OUTPUTS", "FittedContagion", "Variant"]

Variant = Literal["anchored", "anchor", "network"]
PARTS = (0.2, 0.4, 0.4)  # of the horizons in the one risk number (spec 18)
NAME_OUTPUTS = tuple(f"top_influencer_{rank}" for rank in range(1, SHOWN + 1))
NETWORK_OUTPUTS = (*NAME_OUTPUTS, *(f"influence_{rank}" for rank in range(1, SHOWN + 1)), "neighbour_stress")
OUTPUTS = (
    *(f"contagion_{horizon}d" for horizon in HORIZONS),
    *NETWORK_OUTPUTS,
    "contagion_risk_score",
    "contagion_risk_raw",
    *(f"contagion_{horizon}d_raw" for horizon in HORIZONS),
    *(f"own_history_{horizon}d" for horizon in HORIZONS),
    *(f"own_history_{horizon}d_raw" for horizon in HORIZONS),
    *(f"base_rate_{horizon}d" for horizon in HORIZONS),
)


@dataclass(frozen=True, slots=True)
class FittedContagion:
    """Anchor, residual network (None for the anchor alone), calibration and the frozen rank scale.

    ``own`` is None where a market never had enough names: such a fit abstains on every day. ``structure_p`` is the p-value
    of the permutation test, NaN without a network. ``explained`` is how many rows GNNExplainer is given on request; 0 =
    never (D-STM-07). ``speaks`` is 1 for the horizons whose residual beat its anchor on the hold-out, else 0.
    """

    look: Look
    shape: Shape
    variant: Variant
    own: OwnHistory | None
    network: ContagionNetwork | None = None
    maps: tuple[Calibration, ...] = ()  # of the answer, by horizon
    own_maps: tuple[Calibration, ...] = ()  # of the anchor
    scale: RankScale | None = None
    structure_p: float = field(default=float("nan"))
    explained: int = 0
    speaks: tuple[float, ...] = (1.0, 1.0, 1.0)
    name: ClassVar[str] = "contagion"

    def base(self, panel: Panel) -> FloatArray:
        """Log-odds that the network's residual is added to, (n_days, n_assets, horizons).

        The anchor's; for the network alone those of the base rate.
        """
        own = _of(self.own)
        if self.variant == "network":
            return np.broadcast_to(log_odds(own.base), (*panel.usable.shape, len(HORIZONS)))
        return own.log_odds(panel.own)

    def said(self, panel: Panel, graphs: Graphs, tickers: tuple[str, ...]) -> Said | None:
        """What the network says; ``tickers`` in the order of the span."""
        if self.network is None:
            return None
        return asked(self.network, panel, graphs, name_codes(tickers)[panel.order])

    def raw(self, panel: Panel, said: Said | None) -> FloatArray:
        """Probabilities before calibration, (n_days, n_assets, horizons)."""
        odds = self.base(panel) if said is None else self.base(panel) + np.array(self.speaks) * said.residual
        return _probabilities(odds)

    def predict_many(self, span: Span) -> Answers:
        """Probabilities of an extreme loss, who influences them, and the numbers they are compared with.

        ``contagion_*`` are calibrated probabilities in [0, 1], ``*_raw`` as the model gives them; ``own_history_*`` the
        anchor's and ``base_rate_*`` the share of events in train. ``contagion_risk_score`` is the rank in [0, 1] of
        ``contagion_risk_raw``, 0.2, 0.4 and 0.4 of the raw probabilities, among the train answers (R14). Influences are
        shares of a name's weights and add up to at most 1; ``neighbour_stress`` is the share that lies on names with a tail
        loss in the last five sessions.
        """
        panel = Panel.of(span, self.look)
        if self.own is None:
            codes = np.where(panel.codes == Reason.KNOWN, np.int8(Reason.INPUT_MISSING), panel.codes)
            nothing = np.full(panel.usable.shape, np.nan)
            outputs = {name: nothing for name in OUTPUTS if self.variant != "anchor" or name not in NETWORK_OUTPUTS}
            return answers_of(self.name, span, outputs, panel.restored(codes))
        graphs = Graphs.of(panel, self.shape) if self.network is not None else Graphs((), np.zeros(0, dtype=np.int64))
        said = self.said(panel, graphs, span.tickers)
        outputs = self._outputs(panel, said)
        restored = {name: panel.restored(outputs[name]) for name in OUTPUTS if name in outputs}
        return answers_of(self.name, span, restored, panel.restored(panel.codes))

    def _outputs(self, panel: Panel, said: Said | None) -> dict[str, AnyArray]:
        if self.scale is None:
            raise TrainingError("The contagion module has no rank scale yet. Use a fitted candidate.")
        own = _of(self.own)
        raw, alone = self.raw(panel, said), _probabilities(own.log_odds(panel.own))
        risk = risk_of(raw)
        outputs: dict[str, AnyArray] = {
            "contagion_risk_raw": risk,
            "contagion_risk_score": rounded(self.scale.rank(risk)),
        }
        for number, horizon in enumerate(HORIZONS):
            outputs |= {
                f"contagion_{horizon}d": rounded(self.maps[number].apply(raw[..., number])),
                f"contagion_{horizon}d_raw": raw[..., number],
                f"own_history_{horizon}d": rounded(self.own_maps[number].apply(alone[..., number])),
                f"own_history_{horizon}d_raw": alone[..., number],
                f"base_rate_{horizon}d": np.full(raw.shape[:2], rounded(own.base[number])),
            }
        if said is not None:
            outputs["neighbour_stress"] = rounded(said.stress)
            for rank in range(SHOWN):
                outputs[f"top_influencer_{rank + 1}"] = said.influencers[..., rank]
                outputs[f"influence_{rank + 1}"] = said.influence[..., rank]
        return outputs

    def with_reference(self, oof: Answers) -> FittedContagion:
        """The same fit, its rank scale frozen on the out-of-fold train answers (R14)."""
        if not oof.known.any():
            return self
        return replace(self, scale=RankScale.of(oof.outputs["contagion_risk_raw"]))

    def with_outcomes(self, answers: Answers, labels: Mapping[str, FloatArray]) -> FittedContagion:
        """The same fit, put right on out-of-fold train answers or validation answers and what came of them (D-STM-06)."""
        if self.own is None or not answers.known.any():
            return self
        return self.recalibrated(answers, np.stack([labels[name] for name in TAIL_LABELS], axis=-1), self.maps[0].kind)

    def recalibrated(self, answers: Answers, events: FloatArray, kind: CalibrationKind) -> FittedContagion:
        """The same fit, put right on answers that it, or fits of other folds, gave without knowing their outcomes.

        On out-of-fold train answers it may serve validation and test, on validation answers test only (R5). Rank scale and
        raw probabilities stay as they are.

        Parameters
        ----------
        events : FloatArray
            Outcomes of the answers by horizon, (n_days, n_assets, horizons), NaN = unknown.
        """
        raw, alone = (
            np.stack([answers.outputs[f"{what}_{horizon}d_raw"] for horizon in HORIZONS], axis=-1)
            for what in ("contagion", "own_history")
        )
        return self.put_right(raw, alone, events, kind)

    def put_right(self, raw: FloatArray, alone: FloatArray, events: FloatArray, kind: CalibrationKind) -> FittedContagion:
        """Maps fitted on probabilities and outcomes, each (n_days, n_assets, horizons)."""
        maps, own_maps = (
            tuple(
                fit_calibration(given[..., number], events[..., number], horizon, kind)
                for number, horizon in enumerate(HORIZONS)
            )
            for given in (raw, alone)
        )
        return replace(self, maps=maps, own_maps=own_maps)

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """Chances, own history's word on them, and the strongest influences or the strongest own input."""
        outputs = answers.outputs
        if self.network is None:
            return self._explain_alone(span, answers)
        names = np.stack([names_of(outputs[name], span.tickers) for name in NAME_OUTPUTS[:3]], axis=-1)
        uses_graph = bool(self.structure_p <= MOST_AS_GOOD)
        shown = [name for name in outputs if name not in NAME_OUTPUTS]

        def write(day: int, asset: int) -> str:
            row = {name: float(outputs[name][day, asset]) for name in shown}
            return told_together(row, names[day, asset], uses_graph)

        return per_row(answers, write)

    def edge_importance(self, span: Span, answers: Answers, n_rows: int, rng: np.random.Generator) -> list[EdgeImportance]:
        """Gradients of a seeded stratified sample of rows, for the chance over 20 sessions; none without a network."""
        if self.network is None:
            return []
        panel = Panel.of(span, self.look)
        rows = self._sample(panel, answers, n_rows, rng)
        return edge_importance(self.network, panel, Graphs.of(panel, self.shape), rows, HORIZONS.index(20))

    def explained_rows(self, span: Span, answers: Answers, rng: np.random.Generator) -> list[ExplainedRow]:
        """GNNExplainer on a seeded stratified sample of ``explained`` rows, for the chance over 20 sessions; opt-in."""
        if self.network is None or self.explained == 0:
            return []
        panel = Panel.of(span, self.look)
        rows = self._sample(panel, answers, self.explained, rng)
        graphs = (panel, Graphs.of(panel, self.shape))
        return explained_rows(self.network, graphs, rows, HORIZONS.index(20), int(rng.integers(2**31)))

    def _sample(self, panel: Panel, answers: Answers, n_rows: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Days and names of the panel, drawn from quarters of the days and deciles of the risk."""
        score = answers.outputs["contagion_risk_raw"][:, panel.order]
        return stratified_rows(score, answers.known[:, panel.order], n_rows, rng)

    def _explain_alone(self, span: Span, answers: Answers) -> StrArray:
        panel = Panel.of(span, self.look)
        shares = panel.own if self.own is None else self.own.shares(panel.own, HORIZONS.index(20))
        shares = panel.restored(shares)

        def write(day: int, asset: int) -> str:
            row = {name: float(values[day, asset]) for name, values in answers.outputs.items()}
            return told_alone(row, shares[day, asset])

        return per_row(answers, write)

    def state(self) -> ModuleState:
        arrays: dict[str, AnyArray] = {"structure_p": np.array([self.structure_p]), "speaks": np.array(self.speaks)}
        if self.own is not None:
            arrays |= self.own.arrays()
        for number, (one, other) in enumerate(zip(self.maps, self.own_maps, strict=True)):
            arrays |= one.arrays(f"map.{number}") | other.arrays(f"own_map.{number}")
        if self.scale is not None:
            arrays |= self.scale.arrays("scale")
        if self.network is not None:
            arrays |= {f"weight/{name}": one for name, one in weights_of(self.network).items()}
        kind = self.maps[0].kind if self.maps else "none"
        return ModuleState(arrays, {"variant": self.variant, "calibration": kind})

    @classmethod
    def restore(
        cls,
        layout: tuple[Look, Shape],
        network: ContagionNetwork | None,
        arrays: Mapping[str, AnyArray],
        facts: Mapping[str, object],
    ) -> FittedContagion:
        """What `state` wrote, around a network that already has its weights."""
        kind: CalibrationKind = facts["calibration"]  # type: ignore[assignment]
        own = OwnHistory.restore(arrays) if "base" in arrays else None
        maps, own_maps = (
            tuple(Calibration.restore(arrays, f"{what}.{number}", kind) for number in range(len(HORIZONS) if own else 0))
            for what in ("map", "own_map")
        )
        return cls(
            look=layout[0],
            shape=layout[1],
            variant=facts["variant"],  # type: ignore[arg-type]
            own=own,
            network=network,
            maps=maps,
            own_maps=own_maps,
            scale=RankScale.restore(arrays, "scale") if "scale.reference" in arrays else None,
            structure_p=float(arrays["structure_p"][0]),
            speaks=tuple(arrays["speaks"].tolist()),
        )


def risk_of(raw: FloatArray) -> FloatArray:
    """One number of the three horizons' probabilities."""
    total = np.zeros(raw.shape[:-1])
    for number, part in enumerate(PARTS):
        total = total + part * raw[..., number]
    return np.asarray(rounded(total), dtype=np.float64)


def _probabilities(odds: FloatArray) -> FloatArray:
    return np.asarray(rounded(1.0 / (1.0 + np.exp(-odds))), dtype=np.float64)


def _of(own: OwnHistory | None) -> OwnHistory:
    if own is None:
        raise TrainingError("This contagion fit never had enough names and says nothing.")
    return own
