"""What the news analyst learns: what a document did to a name's price, volatility and drawdown (spec §4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._news_documents import Grouped
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["HEADS", "HORIZON", "LABELS", "RETURN", "TRAILING", "NewsTargets", "Outcomes"]

LABELS = ("forward_excess_log_return_10d", "forward_vol_30d", "forward_drawdown_30d")
HORIZON = 30  # sessions; the longest of them
RETURN = "log_return_1d"
TRAILING, MIN_SHARE = 60, 0.7  # sessions of the volatility before, and the share of them that must be observed
FLOOR = 1e-9
HEADS = ("impact", "importance", "relevance", "spike", "drawdown")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came of documents, (n_documents,) each; NaN where it is not known."""

    excess: FloatArray  # log return over the benchmark, 10 sessions
    ratio: FloatArray  # volatility of 30 sessions over that of the 60 before
    drawdown: FloatArray  # largest fall within 30 sessions, a positive fraction

    @classmethod
    def of(cls, view: TrainView, grouped: Grouped) -> Outcomes:
        """Of the decisions on the documents' sessions about their names."""
        excess, vol, drawdown = (view.text_label(name)[grouped.first] for name in LABELS)
        trailing = np.full(len(grouped), np.nan)
        known = np.isfinite(vol)  # a session of the view and a name, then
        session, asset = view.text.session[grouped.first][known], view.text.asset[grouped.first][known]
        pairs, place = np.unique(np.stack([np.searchsorted(view.days, session), asset], axis=1), axis=0, return_inverse=True)
        trailing[known] = _volatility(view.windows(RETURN, TRAILING)[pairs[:, 0], :, pairs[:, 1]])[place.ravel()]
        return cls(excess, vol / np.maximum(trailing, FLOOR), drawdown)


@dataclass(frozen=True, slots=True)
class NewsTargets:
    """Thresholds fitted on the purged fitting documents alone (D-LAB-01).

    Parameters
    ----------
    scale : float
        Quantile 0.95 of the size of the excess return.
    spike, drawdown : float
        Quantiles 0.80 of the volatility's ratio and of the drawdown, from where they are events.
    deep : float
        Quantile 0.95 of the drawdown.
    first, last : int
        Sessions of the first and the last document they were fitted on.
    """

    scale: float
    spike: float
    drawdown: float
    deep: float
    first: int
    last: int

    @classmethod
    def fit(cls, known: Outcomes, rows: AnyArray, session: AnyArray) -> NewsTargets:
        """From the True documents of ``rows``."""
        scale = float(np.nanquantile(np.abs(known.excess[rows]), 0.95))
        spike = float(np.nanquantile(known.ratio[rows], 0.80))
        drawdown, deep = np.nanquantile(known.drawdown[rows], [0.80, 0.95])
        days = session[rows]
        return cls(max(scale, 1e-6), spike, float(drawdown), max(float(deep), 1e-6), int(days.min()), int(days.max()))

    def of(self, known: Outcomes) -> FloatArray:
        """Targets by `HEADS`, (n_documents, 5): impact in (-1, 1), the others in [0, 1]; NaN where not known."""
        share = known.excess / self.scale
        tense = np.clip(known.ratio / self.spike, 0.0, 1.0)
        deep = np.clip(known.drawdown / self.deep, 0.0, 1.0)
        return np.stack(
            [
                np.tanh(share),
                np.clip(np.abs(share), 0.0, 1.0),
                np.fmax(tense, deep),  # of what is known of the two
                np.where(np.isfinite(known.ratio), known.ratio >= self.spike, np.nan),
                np.where(np.isfinite(known.drawdown), known.drawdown >= self.drawdown, np.nan),
            ],
            axis=1,
        )

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {
            "targets.thresholds": np.array([self.scale, self.spike, self.drawdown, self.deep]),
            "targets.fitted_on": np.array([self.first, self.last], dtype=np.int64),
        }

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray]) -> NewsTargets:
        """What `arrays` wrote."""
        return cls(*arrays["targets.thresholds"].tolist(), *arrays["targets.fitted_on"].tolist())


def _volatility(returns: FloatArray) -> FloatArray:
    """Annualised population deviation of windows of returns, (n, 60) -> (n,); NaN where too few are observed."""
    seen = np.isfinite(returns)
    count = seen.sum(axis=1)
    kept = np.where(seen, returns, 0.0)
    mean = kept.sum(axis=1) / np.maximum(count, 1)
    squares = np.where(seen, (kept - mean[:, None]) ** 2, 0.0).sum(axis=1)
    deviation = np.sqrt(252.0 * squares / np.maximum(count, 1))
    return np.where(count >= MIN_SHARE * returns.shape[1], deviation, np.nan)
