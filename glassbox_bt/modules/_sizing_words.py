"""Position sizing in words: the summary of each row and the codes of what made it smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from glassbox_bt.types import Answers, AnyArray, FloatArray, IntArray, Reason, StrArray

__all__ = ["Lever", "levers", "reduction_reasons", "summaries"]

WORDS = MappingProxyType(
    {
        "volatility": "volatility",
        "drawdown": "drawdown",
        "var_cvar": "tail loss",
        "contagion": "contagion",
        "liquidity": "liquidity",
        "regime": "market regime",
    }
)
BUCKET_WORDS = ("zero", "quarter", "half", "three quarters", "full")
UNKNOWN_WORDS = MappingProxyType(
    {
        Reason.NOT_A_MEMBER: "No size: the name is outside the universe of the day.",
        Reason.UPSTREAM_UNKNOWN: (
            "No size: neither liquidity nor tail risk is known today, and a position is not sized on a guess."
        ),
    }
)
FULL = 4  # bucket code
CRISIS = 2  # regime code
HIGH = 0.75  # a score from here on is a reason of its own
LOW_CONFIDENCE = 0.45


@dataclass(frozen=True, slots=True)
class Lever:
    """How far one risk score would have to fall for the next larger bucket, all else equal.

    ``below`` is the bound (exclusive); NaN where not even a score of 0 would be enough.
    """

    family: str
    score: float
    below: float


def summaries(answers: Answers, weights: FloatArray) -> StrArray:
    """One or two sentences per row: the size, the bucket, the leading risk, the cap that binds.

    Parameters
    ----------
    answers : Answers
        Of `PositionSizing`.
    weights : FloatArray
        Of the six families in the order of their names.
    """
    texts = np.empty(answers.known.shape, dtype=object)
    for reason, words in UNKNOWN_WORDS.items():
        texts[answers.reason == reason] = words
    rows = np.nonzero(answers.known)
    if len(rows[0]) == 0:
        return texts
    out = {name: values[rows] for name, values in answers.outputs.items()}
    leading = _ranked(out, weights)[:, 0]
    texts[rows] = [_sentence(out, int(first), i) for i, first in enumerate(leading)]
    return texts


def reduction_reasons(answers: Answers, weights: FloatArray) -> StrArray:
    """Codes joined by ``|``: leading risks, binding caps, crisis, high scores, low confidence.

    Empty where the position is as large as the mode allows; None where the module does not know.
    """
    texts = np.full(answers.known.shape, None, dtype=object)
    rows = np.nonzero(answers.known)
    if len(rows[0]) == 0:
        return texts
    out = {name: values[rows] for name, values in answers.outputs.items()}
    ranked = _ranked(out, weights)[:, :3]
    texts[rows] = ["|".join(_codes(out, ranked[i], i)) for i in range(len(ranked))]
    return texts


def levers(answers: Answers, row: tuple[int, int], weights: Sequence[float], buckets: Sequence[float]) -> tuple[Lever, ...]:
    """One lever per known family, in fixed order; none where the bucket is full or the row unknown.

    Parameters
    ----------
    row : tuple[int, int]
        Day and name.
    buckets : Sequence[float]
        Upper bounds of combined risk, ascending.
    """
    out = {name: float(values[row]) for name, values in answers.outputs.items()}
    if not answers.known[row] or out["size_bucket"] == FULL:
        return ()
    share = {name: w * out[f"{name}_risk_available"] for name, w in zip(WORDS, weights, strict=True)}
    excess = out["combined_risk_score"] - buckets[FULL - 1 - int(out["size_bucket"])]
    found = []
    for name in (name for name, weight in share.items() if weight > 0.0):
        score = out[f"{name}_risk_score"]
        below = score - excess * sum(share.values()) / share[name]
        found.append(Lever(name, score, below if below > 0.0 else np.nan))
    return tuple(found)


def _ranked(out: Mapping[str, AnyArray], weights: FloatArray) -> IntArray:
    """Families by weighted risk, worst first; ties in fixed order, unavailable ones last."""
    weighted = np.stack(
        [
            np.where(out[f"{name}_risk_available"] == 1.0, w * out[f"{name}_risk_score"], -1.0)
            for name, w in zip(WORDS, weights, strict=True)
        ],
        axis=1,
    )
    return np.argsort(-weighted, axis=1, kind="stable")


def _sentence(out: Mapping[str, AnyArray], leading: int, i: int) -> str:
    family = tuple(WORDS)[leading]
    bucket = BUCKET_WORDS[int(out["size_bucket"][i])]
    text = (
        f"Risk allows {out['recommended_capital_pct'][i]:.1f} percent of equity: combined risk "
        f"score {out['combined_risk_score'][i]:.2f} gives a {bucket} position. "
        f"The leading risk is {WORDS[family]} at {out[f'{family}_risk_score'][i]:.2f}."
    )
    binding = _names(int(out["binding_cap_source"][i]))
    if binding:
        words = " and ".join(WORDS[name] for name in binding)
        text += f" The {words} cap of {100 * out['binding_hard_cap'][i]:.1f} percent binds."
    silent = [WORDS[name] for name in WORDS if out[f"{name}_risk_available"][i] != 1.0]
    if silent:
        text += f" Not known: {', '.join(silent)}."
    return text


def _codes(out: Mapping[str, AnyArray], ranked: IntArray, i: int) -> list[str]:
    names = tuple(WORDS)
    if out["recommended_capital_fraction"][i] >= out["max_single_stock_exposure"][i]:
        return []
    codes = []
    if out["size_bucket"][i] < FULL:
        leading = [names[k] for k in ranked]
        codes = [f"leading_risk_{name}" for name in leading if _score(out, name, i) > 0]
    codes += [f"hard_cap_{name}" for name in _names(int(out["binding_cap_source"][i]))]
    if out["regime_label"][i] == CRISIS:
        codes.append("crisis_regime")
    codes += [f"high_{name}_risk" for name in ("liquidity", "contagion", "drawdown") if _score(out, name, i) >= HIGH]
    if out["technical_confidence"][i] < LOW_CONFIDENCE:
        codes.append("low_technical_confidence")
    return codes


def _score(out: Mapping[str, AnyArray], name: str, i: int) -> float:
    return float(out[f"{name}_risk_available"][i] * out[f"{name}_risk_score"][i])


def _names(mask: int) -> Sequence[str]:
    return [name for bit, name in enumerate(WORDS) if mask >> bit & 1]
