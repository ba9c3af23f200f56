"""Do the readers' chances come true on validation and test? Sentiment and news, document by document (spec 8).

One document about one name is one row, whatever its chunks (D-LAB-02): chances are averaged over them. Outcomes are those of
the run, and what counts as good, bad or deep is what the fit that answered test found in train.

1. Sentiment: its three chances against the class of the excess return over ten sessions. Expected calibration error of the
   chance of its own class over up to ten bins of equally many documents, log loss and accuracy. Beside it, on the documents
   that each can judge: as constant chances the thirds that its thresholds cut train into; the engine as it is, untuned,
   where it tells a mood, cut where a third of train lies below and above; the list of words, by its sign.
2. News: the Brier score of each chance by calendar year of the decision, and its parts over the same kind of bins:
   ``brier = reliability - resolution + uncertainty + within``, the last what varies within bins (Murphy 1973).

A chance without a single document whose outcome is known is not asked, and says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.calibration import bin_edges
from glassbox_bt.types import FloatArray, IntArray

__all__ = ["NEWS_CHANCES", "brier_parts", "calibration_error", "text_reader_rows", "trailing_volatility"]

KEYS = ["date", "ticker"]
DOCUMENT = [*KEYS, "doc_id"]
CHANCES = ["sentiment_prob_negative", "sentiment_prob_neutral", "sentiment_prob_positive"]
SHARES = np.array([0.33, 0.34, 0.33])  # of the classes in train: nominal, as its thresholds are the quantiles 0.33 and 0.67
NEUTRAL = 1
MOOD = "polarity"
EXCESS, VOLATILITY, DRAWDOWN = "forward_excess_log_return_10d", "forward_vol_30d", "forward_drawdown_30d"
TRAILING, SEEN = 60, 42  # sessions of the volatility before, and how many of them must be observed
NOT_FITTED = "the fit learned from no document, so it has no thresholds"
NO_DOCUMENT = "no document that it knows has a known outcome"


@dataclass(frozen=True, slots=True)
class Chance:
    """A chance or share of the news analyst, and what it speaks of.

    ``came`` is 0 to 1 for each joined row, given the thresholds of the fit; NaN where it is not known.
    """

    head: str
    column: str
    came: Callable[[pd.DataFrame, Mapping[str, float]], FloatArray]


def _size(rows: pd.DataFrame, found: Mapping[str, float]) -> FloatArray:
    share: FloatArray = np.abs(rows[EXCESS].to_numpy(dtype=np.float64)) / found["scale"]
    return np.clip(share, 0.0, 1.0)


def _ratio(rows: pd.DataFrame) -> FloatArray:
    after, before = (rows[name].to_numpy(dtype=np.float64) for name in (VOLATILITY, "trailing"))
    return np.asarray(after / np.maximum(before, 1e-9), dtype=np.float64)


def _harm(rows: pd.DataFrame, found: Mapping[str, float]) -> FloatArray:
    tense, deep = _ratio(rows) / found["spike"], rows[DRAWDOWN].to_numpy(dtype=np.float64) / found["deep"]
    return np.asarray(np.fmax(np.clip(tense, 0.0, 1.0), np.clip(deep, 0.0, 1.0)), dtype=np.float64)


def _spiked(rows: pd.DataFrame, found: Mapping[str, float]) -> FloatArray:
    ratio = _ratio(rows)
    return np.where(np.isfinite(ratio), ratio >= found["spike"], np.nan)


def _fell(rows: pd.DataFrame, found: Mapping[str, float]) -> FloatArray:
    drawdown = rows[DRAWDOWN].to_numpy(dtype=np.float64)
    return np.where(np.isfinite(drawdown), drawdown >= found["drawdown"], np.nan)


NEWS_CHANCES = (
    Chance("importance", "predicted_news_importance", _size),
    Chance("relevance", "predicted_risk_relevance_raw", _harm),
    Chance("spike", "predicted_volatility_spike_raw", _spiked),
    Chance("drawdown", "predicted_drawdown_risk_raw", _fell),
)


def text_reader_rows(
    run: Path,
    splits: Mapping[str, Mapping[int, pd.DataFrame]],
    word_list: Callable[[], pd.DataFrame | None],
    trailing: Callable[[], pd.DataFrame],
) -> dict[str, list[dict[str, Any]]]:
    """Lists ``sentiment`` and ``news`` by chunk and split; nothing where neither answered.

    Parameters
    ----------
    splits : Mapping[str, Mapping[int, pd.DataFrame]]
        Outcomes by split and chunk.
    word_list, trailing : Callable
        Read the scores of the word list, and the volatility of the 60 sessions up to each day; not called without answers.
    """
    parts = [(chunk, split, came) for split, chunks in splits.items() for chunk, came in chunks.items()]
    parts.sort(key=lambda part: part[0])
    told = {part[:2]: said(run, "sentiment", ["doc_id", *CHANCES], *part[:2]) for part in parts}
    news = {part[:2]: said(run, "news", ["doc_id", *(one.column for one in NEWS_CHANCES)], *part[:2]) for part in parts}
    found: dict[str, list[dict[str, Any]]] = {}
    if any(one is not None for one in told.values()):
        words = word_list()
        found["sentiment"] = [
            row for chunk, split, came in parts for row in _sentiment(run, (chunk, split), told[chunk, split], came, words)
        ]
    if any(one is not None for one in news.values()):
        before = trailing()
        found["news"] = [
            row for chunk, split, came in parts for row in _news(run, (chunk, split), news[chunk, split], came, before)
        ]
    return found


def calibration_error(confidence: FloatArray, event: FloatArray) -> float:
    """Mean distance of stated chance and rate of its event over up to ten bins, weighted by rows; NaN without rows."""
    if not len(confidence):
        return math.nan
    at = np.searchsorted(bin_edges(confidence), confidence, side="right")
    return float(np.abs(np.bincount(at, weights=confidence - event)).sum() / len(event))


def brier_parts(confidence: FloatArray, event: FloatArray) -> dict[str, float]:
    """Brier score, reliability, resolution, uncertainty, and what is left within bins; NaN without rows."""
    names = ("brier", "reliability", "resolution", "uncertainty", "within")
    if not len(confidence):
        return dict.fromkeys(names, math.nan)
    at = np.searchsorted(bin_edges(confidence), confidence, side="right")
    n = np.bincount(at)
    means, rates = (np.bincount(at, weights=values) / n for values in (confidence, event))
    off, apart = (float(np.sum(n * gap**2) / n.sum()) for gap in (means - rates, rates - event.mean()))
    brier, spread = float(np.mean((confidence - event) ** 2)), float(event.var())
    return dict(zip(names, (brier, off, apart, spread, brier - off + apart - spread), strict=True))


def _sentiment(
    run: Path, part: tuple[int, str], answers: pd.DataFrame | None, came: pd.DataFrame, words: pd.DataFrame | None
) -> Iterator[dict[str, Any]]:
    if answers is None:
        return
    of = {"chunk": part[0], "split": part[1]}
    edges = _summary(run, "sentiment", part[0]).get("thresholds")
    rows = _documents(answers, CHANCES, came, [EXCESS])
    rows = rows[rows[EXCESS].notna()]
    if edges is None or rows.empty:
        nothing = np.zeros(0)
        yield {**of, "who": "sentiment", **_scores(nothing, nothing), "why": NOT_FITTED if edges is None else NO_DOCUMENT}
        return
    excess = rows[EXCESS].to_numpy(dtype=np.float64)
    wanted = np.where(excess <= edges[0], 0, np.where(excess >= edges[1], 2, NEUTRAL))
    chances = rows[CHANCES].to_numpy(dtype=np.float64)
    own = (chances.argmax(axis=1) == wanted).astype(np.float64)
    for who, stated in (("sentiment", chances), ("constant", np.tile(SHARES, (len(wanted), 1)))):
        right = (stated.argmax(axis=1) == wanted).astype(np.float64)
        told = {"ece": calibration_error(stated.max(axis=1), right), "log_loss": _log_loss(stated, wanted)}
        yield {**of, "who": who, **_scores(right, own), **told}
    for who, classes in (("engine", _engine_classes(run, part, rows)), ("word list", _word_classes(words, rows))):
        there = classes >= 0
        if there.any():
            yield {**of, "who": who, **_scores((classes == wanted)[there].astype(np.float64), own[there])}


def _scores(right: FloatArray, own: FloatArray) -> dict[str, Any]:
    """How often it was right, and how often sentiment was on the same documents; without a stated chance."""
    share, other = (float(one.mean()) if len(one) else math.nan for one in (right, own))
    return {"n_documents": len(right), "accuracy": share, "own_accuracy": other, "ece": None, "log_loss": None, "why": ""}


def _log_loss(chances: FloatArray, wanted: IntArray) -> float:
    return float(-np.log(np.maximum(chances[np.arange(len(wanted)), wanted], 1e-12)).mean())


def _engine_classes(run: Path, part: tuple[int, str], rows: pd.DataFrame) -> IntArray:
    """Classes of the engine's own mood, -1 where it tells none, cut at the thirds of its moods in train."""
    columns = ["doc_id", MOOD, f"has_{MOOD}"]
    train, given = (said(run, "text_encoder", columns, part[0], split) for split in ("train", part[1]))
    if train is None or given is None:
        return np.full(len(rows), -1)
    moods = train.loc[train[f"has_{MOOD}"] == 1.0, MOOD]
    if moods.empty:
        return np.full(len(rows), -1)
    low, high = np.quantile(moods, [0.33, 0.67])
    mean = given[given[f"has_{MOOD}"] == 1.0].groupby(DOCUMENT)[MOOD].mean().reset_index()
    mood = rows[DOCUMENT].merge(mean, on=DOCUMENT, how="left", validate="1:1")[MOOD].to_numpy(dtype=np.float64)
    return np.where(np.isnan(mood), -1, np.where(mood < low, 0, np.where(mood > high, 2, NEUTRAL)))


def _word_classes(words: pd.DataFrame | None, rows: pd.DataFrame) -> IntArray:
    """Classes by the sign of the word list's score, -1 where it has none."""
    if words is None:
        return np.full(len(rows), -1)
    (column,) = set(words.columns) - set(KEYS)
    score = rows[KEYS].merge(words, on=KEYS, how="left", validate="m:1")[column].to_numpy(dtype=np.float64)
    return np.where(np.isnan(score), -1, NEUTRAL + np.sign(np.nan_to_num(score))).astype(np.int64)


def _news(
    run: Path, part: tuple[int, str], answers: pd.DataFrame | None, came: pd.DataFrame, before: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    if answers is None:
        return
    found = _summary(run, "news", part[0]).get("thresholds")
    columns = [one.column for one in NEWS_CHANCES]
    rows = _documents(answers, columns, came, [EXCESS, VOLATILITY, DRAWDOWN])
    rows = rows.merge(before, on=KEYS, how="left", validate="m:1")
    years = rows["date"].dt.year.to_numpy()
    for one in NEWS_CHANCES:
        of = {"chunk": part[0], "split": part[1], "head": one.head}
        event = np.full(len(rows), np.nan) if found is None else one.came(rows, found)
        known, stated = np.isfinite(event), rows[one.column].to_numpy(dtype=np.float64)
        if not known.any():
            why = NOT_FITTED if found is None else NO_DOCUMENT
            yield {**of, "year": None, "n_documents": 0, **brier_parts(event[known], event[known]), "why": why}
        for year in np.unique(years[known]):
            mine = known & (years == year)
            yield {
                **of,
                "year": int(year),
                "n_documents": int(mine.sum()),
                **brier_parts(stated[mine], event[mine]),
                "why": "",
            }


def _summary(run: Path, module: str, chunk: int) -> Mapping[str, Any]:
    """What the fit that answered test recorded of itself."""
    path = run / "models" / module / f"chunk{chunk}" / "training_summary.json"
    facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return facts


def _documents(answers: pd.DataFrame, columns: list[str], came: pd.DataFrame, outcomes: list[str]) -> pd.DataFrame:
    """One row for each document about a member of the day, with what came of it."""
    mean = answers.groupby(DOCUMENT, sort=True)[columns].mean().round(9).reset_index()  # equal chances share a bin
    return mean.merge(came[[*KEYS, *outcomes]], on=KEYS, validate="m:1")


def trailing_volatility(run: Path, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Annualised volatility of the 60 sessions up to each day, by date and ticker; NaN where too few are observed."""
    from glassbox_bt.backtest import open_run_store

    store = open_run_store(run, manifest)
    returns = np.asarray(store.columns["log_return_1d"], dtype=np.float64)
    table = pd.DataFrame(returns, index=store.dates, columns=list(store.tickers))
    risk = table.rolling(TRAILING, min_periods=SEEN).std(ddof=0) * math.sqrt(252.0)
    long = risk.rename_axis("date").reset_index().melt("date", var_name="ticker", value_name="trailing")
    return long.astype({"date": "datetime64[ns]"})
