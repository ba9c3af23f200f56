"""The 23 event features of spec 26.1 for each session and name, from the table of text alone.

1. `event_records`: one row per document and name, with what `glassbox_bt.market.events` says of it.
2. A window of *w* days at a decision holds the events with ``cutoff - w days < known_at <= cutoff``: a text of exactly the
   cutoff counts (spec 0.2), one of a minute later does not, and each event is in a window for exactly *w* times 24 hours.
3. So an event enters at one session and leaves at a later one (`_spans`). Counts and sums are running sums of entries and
   exits, in whole millionths, so that nothing of an event stays behind when it leaves; extremes are taken over the pairs of
   session and event. There is no loop over sessions or names.

Zero where nothing happened (spec 26.1); a name of which nothing has been heard so far says so in a flag (`MISSING`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import LookAheadError
from glassbox_bt.market.calendar import first_session_after
from glassbox_bt.market.events import EVENT_TYPES, IMPACTS, EventRule, classify
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["FEATURES", "MISSING", "NEVER", "PREFIX", "event_columns", "event_facts", "event_records"]

PREFIX = "event."
NEVER = 999.0  # days since an event of which there was none

_COUNTED = ("refinancing", "dividend", "litigation", "negative_news")
_COUNTS = tuple(f"event_count_{what}_{days}d" for what in _COUNTED for days in (7, 30, 90))
_SUMS = tuple(f"sum_{impact}_90d" for impact in IMPACTS[:3])

FEATURES = (
    *_COUNTS,
    "max_event_severity_30d",
    "time_since_last_high_severity_event",
    *_SUMS,
    "news_sentiment_mean_7d",
    "news_sentiment_min_7d",
    "event_intensity_acceleration_ratio",
    "cross_source_confirmation_flag",
    "information_asymmetry_proxy_score",
    "filing_complexity_index",
)
"""The 23 features in the spec's order; their columns carry `PREFIX`."""

_FLAGS = ("text_missing", "news_missing", "filing_missing", "confirmation_missing")
MISSING: Mapping[str, str] = dict.fromkeys(FEATURES, "text_missing") | {
    **{f"event_count_negative_news_{days}d": "news_missing" for days in (7, 30, 90)},
    "news_sentiment_mean_7d": "news_missing",
    "news_sentiment_min_7d": "news_missing",
    "cross_source_confirmation_flag": "confirmation_missing",
    "information_asymmetry_proxy_score": "confirmation_missing",
    "filing_complexity_index": "filing_missing",
}
"""Feature to its flag: 1 while no document (no news, no filing, not both) of the name has been known so far."""

_NEGATIVE = -0.2  # news under this sentiment is negative
_COMPLEXITY = (("^10-k", 0.9), ("^10-q", 0.7), ("def 14a", 0.6), ("^8-k", 0.5), ("13d", 0.4), ("", 0.3))  # form to its base
_LONG_FILING = 10_000  # characters
_LEAD = np.timedelta64(48, "h")  # by which a filing may lead the news, at most
_UNIT = 1e6  # sums are of whole millionths
_PAIRS = 200_000  # events expanded to sessions at a time
_DAY = np.timedelta64(1, "D").astype("timedelta64[ns]")


def event_records(text: pd.DataFrame, rule: EventRule | None = None) -> pd.DataFrame:
    """The events: one row per document and name, in order of knowledge.

    Returns
    -------
    DataFrame
        ``document, session, asset, ticker, doc_id, source, form_type, published_at, known_at`` as in the table of text,
        ``is_filing`` (it has a form), ``n_characters`` (of all chunks, so overlaps count twice) and what `classify` says.
    """
    text = text.sort_values(["document", "chunk_index"], kind="stable")
    told = classify(text, rule)
    keys = text.drop_duplicates("document").set_index("document")
    characters = text["body"].str.len().astype(np.int64).groupby(text["document"].to_numpy()).sum()
    kept = ["session", "asset", "ticker", "doc_id", "source", "form_type", "published_at", "known_at"]
    records = keys[kept].assign(
        is_filing=(keys["form_type"] != "").to_numpy(dtype=bool), n_characters=characters.reindex(keys.index).to_numpy()
    )
    return pd.concat([records, told], axis=1).rename_axis("document").reset_index()


def event_facts(events: pd.DataFrame, rule: EventRule | None = None) -> dict[str, Any]:
    """Counts for the report, of documents x names."""
    rule = rule or EventRule()
    refused = events["refusal"].value_counts()
    return {
        "method": "word patterns (rule), not learned",
        "n_events": len(events),
        "by_type": {kind: int((events["event_type"] == kind).sum()) for kind in EVENT_TYPES},
        "refused": {why: int(refused.get(why, 0)) for why in ("no_pattern", "low_confidence", "ambiguous")},
        "n_high_severity": int((events["event_severity"] >= rule.high_severity).sum()),
        "n_rare": int(events["is_rare_event"].sum()),
        "n_filings": int(events["is_filing"].sum()),
        "min_confidence": rule.min_confidence,
        "ambiguity": rule.ambiguity,
        "high_severity": rule.high_severity,
        "rare_severity": rule.rare_severity,
    }


def event_columns(
    events: pd.DataFrame, cutoffs: AnyArray, n_assets: int, rule: EventRule | None = None
) -> dict[str, FloatArray]:
    """``event.<feature>`` and the flags ``event.<...>_missing``, each (n_sessions, n_assets) float32.

    27 columns of 4 bytes: 54 MB for 100 names over 5,000 sessions, 1.7 GB for 2,500 over 6,285. Text about the market as a
    whole belongs to no name and is not counted.

    Parameters
    ----------
    events : DataFrame
        From `event_records`.
    cutoffs : datetime64[ns] array
        Decision times of the sessions, UTC, ascending, (n_sessions,).
    n_assets : int
        Length of the store's axis.
    rule : EventRule, optional
        For its ``high_severity``.

    Raises
    ------
    LookAheadError
        If an event's session comes before the session that may first know it.
    """
    grid = _Grid.of(events, cutoffs, n_assets)
    columns = {
        **_counts(grid),
        "max_event_severity_30d": grid.extreme(np.maximum, grid.floats("event_severity"), grid.everything, 30, 0.0),
        "time_since_last_high_severity_event": _since_severe(grid, rule or EventRule()),
        **{name: grid.total(name[len("sum_") : -len("_90d")], grid.everything, 90) for name in _SUMS},
        **_sentiment(grid),
        "event_intensity_acceleration_ratio": _acceleration(grid),
        "cross_source_confirmation_flag": _confirmed(grid),
        "information_asymmetry_proxy_score": _asymmetry(grid),
        "filing_complexity_index": _complexity(grid),
    }
    ordered = {name: columns[name] for name in FEATURES} | _flags(grid)
    return {f"{PREFIX}{name}": values.astype(np.float32) for name, values in ordered.items()}


@dataclass(frozen=True, slots=True)
class _Grid:
    """Events about names, and the sessions and names that they fall on."""

    events: pd.DataFrame
    known: AnyArray  # datetime64[ns], (n_events,)
    asset: IntArray  # (n_events,)
    filing: BoolArray  # (n_events,)
    everything: BoolArray  # (n_events,) all True
    cutoffs: AnyArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, events: pd.DataFrame, cutoffs: AnyArray, n_assets: int) -> _Grid:
        mine = (events["asset"] >= 0) & (events["session"] < len(cutoffs)) & events["known_at"].notna()
        rows = events[mine.to_numpy(dtype=bool)]
        known = rows["known_at"].to_numpy().astype("datetime64[ns]")
        early = first_session_after(known, cutoffs) > rows["session"].to_numpy()
        if early.any():
            first = rows[early].iloc[0]
            raise LookAheadError(
                f"Document `{first['doc_id']}` was known at {first['known_at']} UTC, after the close of session "
                f"{int(first['session'])} to which it belongs. Date it by its `known_at`."
            )
        filing = rows["is_filing"].to_numpy(dtype=bool)
        asset = rows["asset"].to_numpy().astype(np.int64)
        return cls(rows, known, asset, filing, np.ones(len(rows), dtype=bool), cutoffs, (len(cutoffs), n_assets))

    def floats(self, name: str) -> FloatArray:
        values: FloatArray = self.events[name].to_numpy().astype(np.float64)
        return values

    def kind(self, name: str) -> BoolArray:
        """Events whose type contains ``name`` (spec 26.1: matched by substring)."""
        types = pd.Categorical(self.events["event_type"], categories=list(EVENT_TYPES))
        found: BoolArray = np.isin(types.codes, [at for at, one in enumerate(EVENT_TYPES) if name in one])
        return found

    def spans(self, which: BoolArray, days: float) -> tuple[IntArray, IntArray]:
        """Sessions ``first <= s < last`` in whose window of ``days`` each of the events lies."""
        known = self.known[which]
        first, last = (np.searchsorted(self.cutoffs, moment, side="left") for moment in (known, known + _length(days)))
        return first.astype(np.int64), last.astype(np.int64)

    def running(self, values: IntArray, which: BoolArray, days: float) -> IntArray:
        """Sum of whole numbers over the events in each window."""
        first, last = self.spans(which, days)
        steps = np.zeros((self.shape[0] + 1, self.shape[1]), dtype=np.int64)
        np.add.at(steps, (first, self.asset[which]), values)
        np.subtract.at(steps, (last, self.asset[which]), values)
        return np.cumsum(steps[:-1], axis=0)

    def count(self, which: BoolArray, days: float) -> IntArray:
        return self.running(np.ones(int(which.sum()), dtype=np.int64), which, days)

    def total(self, name: str, which: BoolArray, days: float) -> FloatArray:
        values = np.rint(self.floats(name)[which] * _UNIT).astype(np.int64)
        return self.running(values, which, days) / _UNIT

    def extreme(self, pick: np.ufunc, values: AnyArray, which: BoolArray, days: float, none: float) -> AnyArray:
        """Smallest or largest value over the events in each window; the search starts from ``none``."""
        out = np.full(self.shape[0] * self.shape[1], none, dtype=values.dtype)
        for session, event in self.pairs(which, days):
            pick.at(out, session * self.shape[1] + self.asset[event], values[event])
        return out.reshape(self.shape)

    def pairs(self, which: BoolArray, days: float) -> Iterator[tuple[IntArray, IntArray]]:
        """Sessions and the events in their windows, each pair once, some events at a time."""
        first, last = self.spans(which, days)
        rows, lengths = np.flatnonzero(which), last - first
        for low in range(0, len(rows), _PAIRS):
            part = slice(low, low + _PAIRS)
            starts = np.cumsum(lengths[part]) - lengths[part]
            ahead = np.arange(int(lengths[part].sum())) - np.repeat(starts, lengths[part])
            yield np.repeat(first[part], lengths[part]) + ahead, np.repeat(rows[part], lengths[part])

    def heard(self, which: BoolArray) -> BoolArray:
        """Whether any of these events has been known so far."""
        there = np.zeros(self.shape, dtype=bool)
        first = np.searchsorted(self.cutoffs, self.known[which], side="left")
        there[first, self.asset[which]] = True
        found: BoolArray = np.logical_or.accumulate(there, axis=0)
        return found


def _length(days: float) -> np.timedelta64:
    return np.timedelta64(round(days * 86_400_000_000_000), "ns")


def _counts(grid: _Grid) -> dict[str, AnyArray]:
    counted = {what: grid.kind(what) for what in _COUNTED[:-1]}
    counted["negative_news"] = ~grid.filing & (grid.floats("sentiment_score") < _NEGATIVE)
    return {f"event_count_{what}_{days}d": grid.count(mine, days) for what, mine in counted.items() for days in (7, 30, 90)}


def _since_severe(grid: _Grid, rule: EventRule) -> FloatArray:
    """Days since the latest severe event, at most `NEVER`."""
    severe = grid.floats("event_severity") >= rule.high_severity
    latest = np.full(grid.shape, np.iinfo(np.int64).min, dtype=np.int64)
    first = np.searchsorted(grid.cutoffs, grid.known[severe], side="left")
    np.maximum.at(latest, (first, grid.asset[severe]), grid.known[severe].astype(np.int64))
    latest = np.maximum.accumulate(latest, axis=0)
    there = latest > np.iinfo(np.int64).min
    now = np.broadcast_to(grid.cutoffs.astype("datetime64[ns]").astype(np.int64)[:, None], grid.shape)
    days = np.full(grid.shape, NEVER)
    days[there] = (now[there] - latest[there]) / _DAY.astype(np.int64)
    capped: FloatArray = np.minimum(days, NEVER)
    return capped


def _sentiment(grid: _Grid) -> dict[str, AnyArray]:
    news = ~grid.filing
    n, total = grid.count(news, 7), grid.total("sentiment_score", news, 7)
    least = grid.extreme(np.minimum, grid.floats("sentiment_score"), news, 7, np.inf)
    return {
        "news_sentiment_mean_7d": np.divide(total, n, out=np.zeros(grid.shape), where=n > 0),
        "news_sentiment_min_7d": np.where(n > 0, least, 0.0),
    }


def _acceleration(grid: _Grid) -> FloatArray:
    week, month = grid.count(grid.everything, 7), grid.count(grid.everything, 30)
    return np.divide(week / 7.0, month / 30.0, out=np.zeros(grid.shape), where=month > 0)


def _confirmed(grid: _Grid) -> BoolArray:
    """A filing and news of one type within three days; ``other`` is no type to agree on."""
    both = np.zeros(grid.shape, dtype=bool)
    for name in EVENT_TYPES[:-1]:
        mine = (grid.events["event_type"] == name).to_numpy(dtype=bool)
        filed, told = mine & grid.filing, mine & ~grid.filing
        if filed.any() and told.any():
            both |= (grid.count(filed, 3) > 0) & (grid.count(told, 3) > 0)
    return both


def _asymmetry(grid: _Grid) -> FloatArray:
    """How long the first filing of the last seven days preceded the first news, in parts of 48 hours, within [0, 1]."""
    never = np.iinfo(np.int64).max
    moments = grid.known.astype(np.int64)
    filed, told = (grid.extreme(np.minimum, moments, which, 7, never) for which in (grid.filing, ~grid.filing))
    both = (filed < never) & (told < never)
    score = np.zeros(grid.shape)
    score[both] = (told[both] - filed[both]) / _LEAD.astype("timedelta64[ns]").astype(np.int64)
    return np.clip(score, 0.0, 1.0)


def _complexity(grid: _Grid) -> FloatArray:
    forms = grid.events["form_type"].astype(str).str.lower()
    base = np.select(
        [forms.str.contains(words).to_numpy(dtype=bool) for words, _ in _COMPLEXITY], [b for _, b in _COMPLEXITY]
    )
    index = base * (0.5 + 0.5 * np.minimum(1.0, grid.events["n_characters"].to_numpy() / _LONG_FILING))
    n = grid.count(grid.filing, 30)
    total = grid.running(np.rint(index[grid.filing] * _UNIT).astype(np.int64), grid.filing, 30) / _UNIT
    return np.divide(total, n, out=np.zeros(grid.shape), where=n > 0)


def _flags(grid: _Grid) -> dict[str, BoolArray]:
    text, news, filings = (grid.heard(which) for which in (grid.everything, ~grid.filing, grid.filing))
    return dict(zip(_FLAGS, (~text, ~news, ~filings, ~(news & filings)), strict=True))
