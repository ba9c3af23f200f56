"""From the news of a market to the store's table of text (`glassbox_bt.market.documents`).

1. When each document was public: by ``accepted_at`` where a regulator stamped it, else by ``published_at`` (D-TXT-01). A
   document of which only the day is known counts as published at the end of that day on the exchange's clock, so after its
   close. A rule in market.toml may delay it further, never hasten it.
2. The first session whose official close is not before that moment (early closes through the calendar); what was published
   after a close, at a weekend or on a holiday belongs to the next session.
3. Whom it is about: see `text_names`. What is about nobody on the axis is counted and left out.
4. Plain text: see `text_cleaning`. What is empty then is counted and left out.
5. The same document for the same name twice is one row with ``n_copies``.
6. Long documents become chunks: see `text_chunks`. A document may come in sections (``section``), a row each; they are its
   chunks in the order of the file, and no chunk crosses from one into the next.

Rows are in order of knowledge, then of document and name, whatever the order of the file. So rows of the past keep their
places and numbers, whatever is published later, on one axis of names.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import Sessions, first_session_after, time_zone
from glassbox_bt.market.documents import COLUMNS, MARKET_WIDE, empty_text
from glassbox_bt.market.side_tables import KnownAt
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.text_chunks import chunk_counts, chunks_of, word_counts
from glassbox_bt.market.text_cleaning import MAX_CHARACTERS, cleaned, visible
from glassbox_bt.market.text_names import Match
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["exchange_days", "text_known_at", "text_records"]

_DOCUMENT = ["ticker", "doc_id"]
_SECOND = np.timedelta64(1, "s")
_LABEL = 200  # characters of a doc_id or a source


def text_records(
    market: RawMarket, clock: Sessions, known_at: KnownAt, tickers: tuple[str, ...]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of text, and what the report says about it.

    Parameters
    ----------
    market : RawMarket
        Checked tables; ``news`` carries ``match`` (`check_market`).
    clock : Sessions
        The market's own; those of ``known_at`` reach back before them.
    tickers : tuple of str
        The store's axis.

    Raises
    ------
    MarketDataError
        For a document beyond the size limit, and for two of one name under the same ``doc_id``.
    """
    if market.news is None:
        return empty_text(), {}
    rows, before, after = _dated(market.news, clock, known_at)
    rows["asset"] = pd.Index(tickers, dtype=object).get_indexer(pd.Index(rows["ticker"], dtype=object))
    outside = ((rows["match"] == Match.NAME) & (rows["asset"] < 0)).to_numpy()
    named = rows["match"].isin((Match.NAME, Match.MARKET_WIDE)).to_numpy() & ~outside
    kept = rows[named & ~before & ~after].reset_index(drop=True)
    kept = kept.assign(body=_plain(kept["text"]), asset=kept["asset"].where(kept["match"] == Match.NAME, MARKET_WIDE))
    empty = (kept["body"] == "").to_numpy()
    parts, copies = _folded(_named(kept[~empty]), known_at.zone)
    table = _chunked(parts)
    left_out = {
        "unmapped": int((rows["match"] == Match.UNMAPPED).sum()),
        "ambiguous": int((rows["match"] == Match.AMBIGUOUS).sum()),
        "outside_universe": int(outside.sum()),
        "before_first_session": int((named & before).sum()),
        "after_last_session": int((named & after).sum()),
        "empty": int(empty.sum()),
        "folded_copies": copies,
    }
    return table, _facts(len(rows), parts, table, left_out, known_at.zone)


def text_known_at(news: pd.DataFrame, known_at: KnownAt) -> tuple[AnyArray, AnyArray]:
    """When each document was published and from when it may be known, both UTC, (n_rows,); NaT = never within the data.

    The rule ``column`` (the default) takes the moment of publication; any other counts from its date on the exchange's
    clock.
    """
    published = _published(news, known_at)
    rule = known_at.rule("news", default="column")
    if rule in ("column", None):
        return published, published
    days = _local_days(published, known_at.zone)
    return published, np.maximum(known_at.apply(days, str(rule)), published)


def exchange_days(news: pd.DataFrame, calendar: str) -> AnyArray:
    """Day of publication of each document on the exchange's clock, datetime64[D] (n_rows,)."""
    stamps, dated = _stamps(news)
    days = _local_days(stamps, time_zone(calendar))
    days[dated] = stamps[dated].astype("datetime64[D]")
    return days


def _stamps(news: pd.DataFrame) -> tuple[AnyArray, BoolArray]:
    """UTC stamps of publication, and where they are only a day (then midnight of it)."""
    stamps = news["published_at"].to_numpy().copy()
    dated = ~news["has_time"].to_numpy(dtype=bool)
    if "accepted_at" in news.columns:
        accepted = news["accepted_at"].to_numpy()
        given = ~np.isnat(accepted)
        stamps[given] = accepted[given]
        dated &= ~given
    return stamps, dated


def _published(news: pd.DataFrame, known_at: KnownAt) -> AnyArray:
    stamps, dated = _stamps(news)
    stamps[dated] = known_at.apply(stamps[dated], "+0 days") - _SECOND  # the last second of the day on the exchange's clock
    return stamps


def _local_days(stamps: AnyArray, zone: str) -> AnyArray:
    moments = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(zone).tz_localize(None)
    days: AnyArray = moments.to_numpy().astype("datetime64[D]")
    return days


def _dated(news: pd.DataFrame, clock: Sessions, known_at: KnownAt) -> tuple[pd.DataFrame, BoolArray, BoolArray]:
    """The news with its clock, and which rows are before the first session and after the last one."""
    published, known = text_known_at(news, known_at)
    session = first_session_after(known, known_at.clock.closes_at) - (len(known_at.clock.dates) - len(clock.dates))
    early = np.isnat(known) & (published <= clock.closes_at[0])
    _, dated = _stamps(news)
    rows = news.assign(published_at=published, known_at=known, session=session, has_time=~dated)
    return rows, (session < 0) | early, (session >= len(clock.dates)) & ~early


def _plain(texts: pd.Series) -> list[str]:
    """Clean text of each row; a text that several rows share is cleaned once."""
    codes, once = pd.factorize(texts)
    long = np.fromiter((len(text) > MAX_CHARACTERS for text in once), dtype=bool, count=len(once))
    if long.any():
        length = max(len(text) for text in once[long])
        raise MarketDataError(
            f"`news`: a document of {length:,} characters; at most {MAX_CHARACTERS:,} are read. Split it or leave it out."
        )
    clean = np.array(cleaned(list(once)), dtype=object)
    plain: list[str] = clean[codes].tolist()
    return plain


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """With ``doc_id, source, form_type, section`` and ``n_copies``, whatever the source gave of them.

    A document without an identifier gets one of its content and time: what several names share is one document.
    """
    texts = {
        column: rows[column].to_numpy(dtype=object) if column in rows.columns else np.full(len(rows), "", dtype=object)
        for column in ("doc_id", "source", "form_type", "section")
    }
    texts = {column: _labels(values, column) for column, values in texts.items()}
    unnamed = np.flatnonzero(texts["doc_id"] == "")
    stamps = rows["published_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    body = rows["body"].to_numpy(dtype=object)
    for at in unnamed:
        content = f"{stamps[at]}\x1f{texts['source'][at]}\x1f{body[at]}"
        texts["doc_id"][at] = hashlib.sha256(content.encode()).hexdigest()[:16]
    given = rows["n_copies"].to_numpy() if "n_copies" in rows.columns else np.ones(len(rows))
    return rows.assign(**texts, n_copies=np.where(given >= 1.0, given, 1.0).astype(np.int64))  # NaN counts as one


def _labels(values: AnyArray, column: str) -> AnyArray:
    """Identifiers and names of sources in plain characters, of bounded length; links stay."""
    codes, once = pd.factorize(values)
    given = list(map(str, once))
    labels = list(map(_identifier, given)) if column == "doc_id" else [text[:_LABEL] for text in cleaned(given, links=True)]
    plain: AnyArray = np.array(labels, dtype=object)
    return plain[codes].copy()


def _identifier(raw: str) -> str:
    """An identifier as a label; one that had to be changed ends in a hash of what was given, so different ones stay so."""
    plain = " ".join(visible(raw).split())
    if not plain or (plain == raw and len(raw) <= _LABEL):
        return plain
    mark = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{plain[: _LABEL - len(mark) - 1]}-{mark}"


def _folded(rows: pd.DataFrame, zone: str) -> tuple[pd.DataFrame, int]:
    """One row for each section of each document and name, and how many were folded away.

    Only what is the same in text and time is folded, so that no later copy changes an earlier row.
    """
    key = [*_DOCUMENT, "section"]
    again = rows.duplicated(key).to_numpy()
    torn = rows.duplicated(_DOCUMENT).to_numpy() & ~rows.duplicated([*_DOCUMENT, "known_at"]).to_numpy()
    differs = torn | (again & ~rows.duplicated([*key, "known_at", "body"]).to_numpy())
    if differs.any():
        first = rows[differs].iloc[0]
        form = f"%Y-%m-%d %H:%M {zone}" if first["has_time"] else "%Y-%m-%d"
        when = first["published_at"].tz_localize("UTC").tz_convert(zone).strftime(form)
        raise MarketDataError(
            f"`news` gives document `{first['doc_id']}` of {first['ticker'] or 'the market'} twice, the second time with "
            f"another text or time ({when}). Give each its own doc_id, or none."
        )
    if not again.any():
        return rows, 0
    total = rows.groupby(key, sort=False)["n_copies"].transform("sum")
    return rows.assign(n_copies=total)[~again], int(again.sum())


def _chunked(parts: pd.DataFrame) -> pd.DataFrame:
    """The table of text: the rows of each section, in order of knowledge, repeated for its chunks."""
    parts = parts.assign(place=parts.groupby(_DOCUMENT, sort=False).cumcount())
    parts = parts.sort_values(["known_at", "doc_id", "ticker", "place"], ignore_index=True)
    bodies: AnyArray = parts["body"].to_numpy(dtype=object)
    n_chunks = chunk_counts(word_counts(bodies))
    part = np.repeat(np.arange(len(parts)), n_chunks)
    body = bodies[part]
    for at in np.flatnonzero(n_chunks > 1):
        start = int(np.searchsorted(part, at))
        body[start : start + int(n_chunks[at])] = chunks_of(bodies[at])
    # Without the whole texts, a copy of which for each chunk would take the square of a document's length.
    repeated = [name for name in (*COLUMNS, "place") if name in parts.columns and name != "body"]
    rows = parts[repeated].iloc[part].reset_index(drop=True)
    document = np.cumsum(((rows["place"] == 0) & (np.diff(part, prepend=-1) > 0)).to_numpy()) - 1
    index = np.arange(len(rows)) - np.searchsorted(document, document)
    table = {
        **{name: rows[name].to_numpy() for name in COLUMNS if name in rows.columns},
        "document": document,
        "chunk_index": index,
        "n_chunks": np.bincount(document)[document] if len(rows) else document,
        "word_count": word_counts(body),
        "ticker": np.where(rows["asset"] == MARKET_WIDE, "", rows["ticker"].to_numpy(dtype=object)),
        "chunk_id": [f"{one}#{at}" for one, at in zip(rows["doc_id"], index, strict=True)],
        "body": body,
    }
    return pd.DataFrame({name: pd.Series(table[name], dtype=kind) for name, kind in COLUMNS.items()})


def _facts(n_given: int, parts: pd.DataFrame, table: pd.DataFrame, left_out: dict[str, int], zone: str) -> dict[str, Any]:
    """Counts for the report.

    ``n_given`` is the sum of ``mapped``, ``market_wide`` and ``left_out``, all in rows of ``news``: a document about several
    names or in several sections counts once for each. ``by_source`` and ``without_time_share`` are of documents x names,
    ``n_rows`` of chunks x names. Days are those of the exchange's clock.
    """
    documents = table[table["chunk_index"] == 0]
    about_market = parts["asset"] == MARKET_WIDE
    days = _local_days(documents["published_at"].to_numpy(), zone)
    by_source = documents["source"].where(documents["source"] != "", "not stated").value_counts().sort_index()
    return {
        "n_given": n_given,
        "n_documents": int(documents["doc_id"].nunique()),
        "n_texts": int(table["body"].nunique()),
        "n_rows": len(table),
        "mapped": int((~about_market).sum()),
        "market_wide": int(about_market.sum()),
        **left_out,
        "n_names": int(documents.loc[documents["asset"] != MARKET_WIDE, "asset"].nunique()),
        "first_published": str(days.min()) if len(days) else None,
        "last_published": str(days.max()) if len(days) else None,
        "without_time_share": float((~documents["has_time"]).mean()) if len(documents) else 0.0,
        "by_source": {str(source): int(count) for source, count in by_source.items()},
    }
