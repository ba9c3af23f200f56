"""How good a sentiment model is on the hold-out of its train part, document by document; nothing here chooses anything."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import f1_score

from glassbox_bt.errors import ContractError
from glassbox_bt.modules._anchor import RankScale, information_coefficient
from glassbox_bt.modules._sentiment_model import Heads, TrainRows
from glassbox_bt.modules._sentiment_network import CLASSES, by_document
from glassbox_bt.modules._sentiment_targets import SentimentTargets
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["calibration_error", "quality", "sign_agreement", "year_balance"]

STRONG, AGREE = 0.3, 0.9  # scores that must have the sign of their class, and in how many rows (spec §8)
BINS = 10  # of equal mass
BLOCK = 20  # sessions; outcomes of neighbouring days overlap, and names share their days


def quality(heads: Heads, targets: SentimentTargets, rows: TrainRows, polarity: FloatArray) -> dict[str, object]:
    """Hold-out figures of answers to the held-out rows.

    ``polarity`` is a rival: how positive the engine itself, untuned, reads the text (0 where it cannot say).
    """
    held = rows.held_out
    document, session, weight, excess = rows.document[held], rows.session[held], rows.weight[held], rows.excess[held]
    wanted, said = targets.classes(excess), heads.chances.argmax(axis=1)
    first, score = by_document(heads.score, document, weight)
    outcome, days = excess[first], session[first]
    engine = by_document(polarity.astype(np.float64), document, weight)[1]
    chance = heads.chances[np.arange(len(wanted)), wanted]
    rate = np.bincount(targets.classes(rows.excess[rows.fitting]), rows.weight[rows.fitting], CLASSES)
    rate = (rate + 0.5) / (rate.sum() + 0.5 * CLASSES)
    size = targets.magnitude(excess)
    usual = float(np.average(targets.magnitude(rows.excess[rows.fitting]), weights=rows.weight[rows.fitting]))
    agreed, n_strong = sign_agreement(RankScale.of(heads.score).signal(heads.score), said - 1)
    return {
        "n_documents": len(np.unique(rows.document[rows.fitting])),
        "n_holdout_documents": len(first),
        "thresholds": [targets.low, targets.high, targets.scale],
        "thresholds_fitted_on_sessions": [targets.first, targets.last],
        "holdout_ic": information_coefficient(score, outcome),
        "holdout_ic_error": ic_error(score, outcome, days),
        "holdout_ic_engine_untuned": information_coefficient(engine, outcome),
        "holdout_macro_f1": float(
            f1_score(wanted, said, labels=range(CLASSES), average="macro", sample_weight=weight, zero_division=0.0)
        ),
        "holdout_log_loss": float(np.average(-np.log(np.maximum(chance, 1e-12)), weights=weight)),
        "holdout_log_loss_constant": float(np.average(-np.log(rate[wanted]), weights=weight)),
        "holdout_calibration_error": calibration_error(heads.chances.max(axis=1), said == wanted, weight),
        "holdout_magnitude_error": magnitude_error(heads.magnitude, size, weight),
        "holdout_magnitude_error_constant": magnitude_error(np.full(len(size), usual), size, weight),
        "sign_agreement": agreed,
        "n_strong_rows": n_strong,
        "sign_disagrees": bool(n_strong and agreed < AGREE),
    }


def ic_error(score: FloatArray, outcome: FloatArray, days: IntArray) -> float:
    """Standard error of the rank correlation over blocks of 20 sessions; NaN with fewer than two."""
    ranks = [RankScale.of(one).rank(one) - 0.5 for one in (score, outcome)]
    product = 12.0 * ranks[0] * ranks[1]
    _, place, count = np.unique((days - days.min()) // BLOCK, return_inverse=True, return_counts=True)
    if len(count) < 2:
        return float("nan")
    deviation = np.bincount(place, weights=product - product.mean())
    return float(np.sqrt((deviation**2).sum() * len(count) / (len(count) - 1)) / len(product))


def magnitude_error(magnitude: FloatArray, size: FloatArray, weight: FloatArray) -> float:
    """Mean squared error of magnitudes, both in [0, 1]: after the link, never log-odds against shares (D-SENT-03).

    Raises
    ------
    ContractError
        If the magnitudes are not shares.
    """
    if magnitude.size and not (magnitude.min() >= 0.0 and magnitude.max() <= 1.0):
        raise ContractError(
            f"Magnitudes must lie in [0, 1], got {magnitude.min():.3f} to {magnitude.max():.3f}. Apply the link first."
        )
    return float(np.average((magnitude - size) ** 2, weights=weight))


def sign_agreement(score: FloatArray, sentiment_class: AnyArray) -> tuple[float, int]:
    """Share of rows with a score beyond ±0.3 whose class is not of the other sign, and how many those are."""
    strong = np.abs(score) > STRONG
    if not strong.any():
        return float("nan"), 0
    return float(np.mean(np.sign(score[strong]) == np.sign(sentiment_class[strong]))), int(strong.sum())


def calibration_error(confidence: FloatArray, right: AnyArray, weight: FloatArray) -> float:
    """Expected calibration error: mean gap of confidence and share of right answers over 10 bins of equal mass."""
    order = np.argsort(confidence, kind="stable")
    total = 0.0
    for part in np.array_split(order, BINS):
        if weight[part].sum() > 0.0:
            gap = np.average(confidence[part] - np.asarray(right[part], dtype=np.float64), weights=weight[part])
            total += abs(float(gap)) * float(weight[part].sum())
    return total / float(weight.sum())


def year_balance(classes: IntArray, weight: FloatArray, year: IntArray) -> dict[str, list[float]]:
    """Share of each class by calendar year of the decision; a report, no input (D-SENT-01)."""
    return {
        str(one): (np.bincount(classes[year == one], weight[year == one], CLASSES) / weight[year == one].sum()).tolist()
        for one in np.unique(year)
    }
