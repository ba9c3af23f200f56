"""Which risk forecast is compared with whom, on what, and the rows of a run that the comparison needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.evaluation import forecast_losses
from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.forecast_losses import Loss
from glassbox_bt.market.regime_labels import REGIME_LABELS, REGIMES, RegimeRule
from glassbox_bt.types import FloatArray, IntArray

__all__ = [
    "ANCHOR",
    "DROPS",
    "RANKING",
    "REGIME",
    "RISK_CONTESTS",
    "Beside",
    "RiskContest",
    "arrays_of",
    "beside",
    "regime_rule",
]

ANCHOR = "anchor"
RANKING = "average_precision"
REGIME = "regime"
FACTS = "frozen.safetensors"
RULE = "rule"  # in the names of a regime fit's arrays
DROPS = {10: 0.05, 30: 0.08}  # drawdowns that the probabilities speak of, by sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskContest:
    """An answer of a module against one rival on one measure.

    Parameters
    ----------
    measure : str
        Name of the loss; `RANKING` is average precision, of which more is better.
    rival : str
        In a word; `ANCHOR` is the module without its network.
    answer, against : tuple[str, ...]
        Columns of the module's table.
    outcome : tuple[str, ...]
        Labels that decide it.
    horizon : int
        Sessions that the outcome looks ahead.
    at_least : float or None
        The event is an outcome of at least this; None where the outcome itself is compared.
    """

    module: str
    measure: str
    rival: str
    answer: tuple[str, ...]
    against: tuple[str, ...]
    outcome: tuple[str, ...]
    horizon: int
    loss: Loss | None
    at_least: float | None = None

    @property
    def family(self) -> tuple[str, str]:
        """What is corrected for together: one measure of one module, over horizons and rivals."""
        return self.module, self.measure

    @property
    def of_market(self) -> bool:
        """Whether there is one answer a day, not one per name."""
        return self.module == REGIME


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Rows of one chunk's split on which answer, rival and outcome are known, sorted by day.

    ``day`` numbers the days from 0, (n_rows,); ``answer`` and ``rival`` are (k, n_rows), ``outcome`` (n_rows,).
    """

    day: IntArray
    answer: FloatArray
    rival: FloatArray
    outcome: FloatArray

    @property
    def n_days(self) -> int:
        """Different days."""
        return int(self.day[-1]) + 1

    def daily(self, values: FloatArray) -> FloatArray:
        """Means of ``values`` by day, (n_days,)."""
        sums, rows = np.bincount(self.day, weights=values), np.bincount(self.day)
        return np.asarray(sums / rows, dtype=np.float64)


def _volatility() -> tuple[RiskContest, ...]:
    rivals = {
        10: {"GARCH": "garch_vol", "EWMA": "ewma_vol", "HAR-RV": "har_vol_10d"},
        30: {"GARCH": "garch_vol_30d", "EWMA": "ewma_vol", "HAR-RV": "har_vol_30d"},
    }
    losses = {"QLIKE": forecast_losses.qlike, "RMSE": forecast_losses.squared}
    return tuple(
        RiskContest(
            module="volatility",
            measure=measure,
            rival=rival,
            answer=(f"vol_{h}d",),
            against=(column,),
            outcome=(f"forward_vol_{h}d",),
            horizon=h,
            loss=loss,
        )
        for measure, loss in losses.items()
        for h, columns in rivals.items()
        for rival, column in {**columns, ANCHOR: f"vol_{h}d_anchor"}.items()
    )


def _drawdown() -> tuple[RiskContest, ...]:
    found = []
    for h, drop in DROPS.items():
        for rival, ending in (("volatility bucket", "bucket"), (ANCHOR, "anchor")):
            shared = {"module": "drawdown", "rival": rival, "outcome": (f"forward_drawdown_{h}d",), "horizon": h}
            quantiles, risk = (f"drawdown_q50_{h}d", f"drawdown_q90_{h}d"), f"drawdown_risk_{h}d"
            found += [
                RiskContest(
                    **shared,  # type: ignore[arg-type]
                    measure="pinball",
                    answer=quantiles,
                    against=tuple(f"{one}_{ending}" for one in quantiles),
                    loss=forecast_losses.pinball,
                ),
                RiskContest(
                    **shared,  # type: ignore[arg-type]
                    measure="Brier",
                    answer=(risk,),
                    against=(f"{risk}_{ending}",),
                    loss=forecast_losses.brier,
                    at_least=drop,
                ),
            ]
    return tuple(found)


def _contagion() -> tuple[RiskContest, ...]:
    losses = {RANKING: None, "Brier": forecast_losses.brier, "log loss": forecast_losses.log_loss}
    return tuple(
        RiskContest(
            module="contagion",
            measure=measure,
            rival=rival,
            answer=(f"contagion_{h}d",),
            against=(f"{column}_{h}d",),
            outcome=(f"tail_event_{h}d",),
            horizon=h,
            loss=loss,
        )
        for measure, loss in losses.items()
        for h in (5, 20, 60)
        for rival, column in ((ANCHOR, "own_history"), ("base rate", "base_rate"))
    )


def _regime() -> tuple[RiskContest, ...]:
    rivals = {
        "persistence": "persistence",
        "VIX rule": "vix_rule",
        "Markov switching": "markov_switching",
        ANCHOR: "anchor",
        "base rate": "base_rate",
    }
    return tuple(
        RiskContest(
            module=REGIME,
            measure="forward log loss",
            rival=rival,
            answer=tuple(f"prob_{name}" for name in REGIMES),
            against=tuple(f"prob_{name}_{ending}" for name in REGIMES),
            outcome=REGIME_LABELS,
            horizon=20,
            loss=forecast_losses.multiclass_log_loss,
        )
        for rival, ending in rivals.items()
    )


RISK_CONTESTS: tuple[RiskContest, ...] = (*_volatility(), *_drawdown(), *_contagion(), *_regime())


def beside(run: Path, of: RiskContest, chunk: int, split: str, outcomes: pd.DataFrame) -> Beside | None:
    """The rows of a contest; None where the module does not write a column, or no row is known."""
    answers = said(run, of.module, list(dict.fromkeys((*of.answer, *of.against))), chunk, split)
    if answers is None or not set(of.outcome) <= set(outcomes.columns):
        return None
    table = outcomes[["date", "ticker", *of.outcome]]
    if of.of_market:  # one row a day, the same for every name
        rule = regime_rule(run, chunk)
        if rule is None:
            return None
        answers = answers.drop_duplicates("date").drop(columns="ticker")
        table = table.drop_duplicates("date").drop(columns="ticker")
        table = table.assign(happened=rule.codes(table[list(of.outcome)].to_numpy(dtype=np.float64), strict=True))
    else:
        happened = table[of.outcome[0]]
        event = (happened >= of.at_least).where(happened.notna()) if of.at_least is not None else happened
        table = table.assign(happened=event.astype(np.float64))
    table = table.drop(columns=list(of.outcome))
    keys = [key for key in ("date", "ticker") if key in table.columns]
    rows = answers.merge(table, on=keys, validate="1:1").dropna().sort_values(keys, kind="stable")
    if rows.empty:
        return None
    _, day = np.unique(rows["date"].to_numpy(), return_inverse=True)
    answer, rival = (rows[list(columns)].to_numpy(dtype=np.float64).T for columns in (of.answer, of.against))
    return Beside(day.astype(np.int64), answer, rival, rows["happened"].to_numpy(dtype=np.float64))


def regime_rule(run: Path, chunk: int) -> RegimeRule | None:
    """The rule that names regimes in a chunk: its percentiles are those of the fit's train days; None where not recorded."""
    arrays = arrays_of(run, REGIME, chunk)
    return RegimeRule.restore(arrays, RULE) if f"{RULE}.p50" in arrays else None


def arrays_of(run: Path, module: str, chunk: int) -> Mapping[str, FloatArray]:
    """What the fit that answered a chunk's test days recorded; empty where there is none."""
    from safetensors.numpy import load_file

    path = run / "models" / module / f"chunk{chunk}" / FACTS
    return load_file(str(path)) if path.exists() else {}
