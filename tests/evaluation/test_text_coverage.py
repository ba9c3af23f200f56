"""Coverage, lags and weights on a market of two names and ten sessions that can be counted by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.evaluation import text_coverage as told
from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.documents import empty_text

MANIFEST: dict[str, Any] = {"market": {"text": {"n_documents": 6}}, "silent_modules": []}
# The Monday after Thanksgiving, whose Friday closes at 13:00; New York is five hours behind UTC.
CLOCK = sessions("XNYS", "2019-11-18", "2019-12-03")
DAYS = CLOCK.dates
# published (UTC), has a time, ticker, first session: every moment of the exchange's clock once, and a market-wide text.
DOCUMENTS = (
    ("2019-11-26 13:00", True, "A", "2019-11-26"),  # 08:00 in New York, before the open
    ("2019-11-26 18:00", True, "A", "2019-11-26"),  # in the session
    ("2019-11-29 18:30", True, "B", "2019-12-02"),  # 13:30 on the day that closes at 13:00: after the close
    ("2019-11-30 15:00", True, "A", "2019-12-02"),  # a Saturday
    ("2019-12-03 04:59", False, "A", "2019-12-03"),  # only the day is known: its last second, then the next session
    ("2019-12-02 15:00", True, "", "2019-12-02"),
)


def market() -> Any:
    session = [int(np.flatnonzero(np.datetime64(one[3]) == DAYS)[0]) for one in DOCUMENTS]
    rows = pd.DataFrame(
        {
            "session": session,
            "ticker": [one[2] for one in DOCUMENTS],
            "doc_id": [f"d{place}" for place in range(len(DOCUMENTS))],
            "chunk_index": 0,
            "has_time": [one[1] for one in DOCUMENTS],
            "published_at": pd.to_datetime([one[0] for one in DOCUMENTS]),
        }
    )
    second = rows.iloc[[1]].assign(chunk_index=1)  # a further chunk is no further document
    frame = pd.concat([empty_text(), rows, second], ignore_index=True).sort_values("session", kind="stable")
    frame = frame.astype({"session": "int64", "chunk_index": "int64", "has_time": "bool"})
    return SimpleNamespace(
        dates=DAYS,
        opens_at=CLOCK.opens_at,
        decided_at=CLOCK.closes_at,
        facts={"calendar": "XNYS"},
        text=SimpleNamespace(frame=frame.assign(published_at=pd.to_datetime(frame["published_at"]))),
    )


@pytest.fixture
def coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Validation until 22 November, test from the 25th on; B leaves the universe on the last day."""
    rows = [
        {"chunk": 1, "split": "val" if day < np.datetime64("2019-11-25") else "test", "date": day, "ticker": name}
        for day in DAYS
        for name in ("A", "B")
        if not (name == "B" and day == DAYS[-1])
    ]
    table = pd.DataFrame(rows)
    table["text_available"] = ((table["ticker"] == "A") & (table["date"] >= pd.Timestamp("2019-11-26"))).astype(int)
    table["learned_qualitative_weight"] = np.where(table["text_available"] == 1, 0.4, 0.01)
    table.loc[0, "learned_qualitative_weight"] = np.nan
    table.to_parquet(tmp_path / "decisions.parquet")
    monkeypatch.setattr(told, "open_run_store", lambda _run, _manifest: market())
    return told.text_coverage(tmp_path, MANIFEST)


def test_parts_count_name_days_documents_and_names(coverage: dict[str, Any]) -> None:
    parts = {(row["chunk"], row["split"]): row for row in coverage["parts"]}
    assert set(parts) == {(1, "val"), (1, "test"), (0, "test")}
    test = parts[1, "test"]
    assert (test["n_days"], test["n_name_days"]) == (6, 11)
    assert (test["n_with_text"], test["n_with_document"], test["n_documents"]) == (5, 4, 5)
    assert test["share_with_document"] == 4 / 11
    assert (test["n_market_wide"], test["n_names"], test["n_names_with_document"]) == (1, 2, 2)
    assert (test["median_documents"], test["max_documents"]) == (1.0, 2)
    assert parts[1, "val"]["selection"] == 1
    assert parts[1, "val"]["n_documents"] == 0
    assert parts[1, "val"]["median_documents"] is None
    assert test | {"chunk": 0} == parts[0, "test"]


def test_days_and_months_add_up_to_the_part(coverage: dict[str, Any]) -> None:
    for name in ("days", "months"):
        rows = [row for row in coverage[name] if row["split"] == "test"]
        assert sum(row["n_documents"] for row in rows) == 5
        assert sum(row["n_name_days"] for row in rows) == 11
    assert {row["month"] for row in coverage["months"]} == {"2019-11", "2019-12"}
    assert {row["date"]: row["n_documents"] for row in coverage["days"]}["2019-11-26"] == 2
    assert all(row["split"] == "test" for row in coverage["days"])


def test_names_are_listed_by_documents(coverage: dict[str, Any]) -> None:
    rows = [(row["place"], row["ticker"], row["n_documents"], row["n_days_with_document"]) for row in coverage["tickers"]]
    assert rows == [("most", "A", 4, 3), ("most", "B", 1, 1)]


def test_lags_are_hours_to_the_official_close_and_moments_those_of_the_exchange(coverage: dict[str, Any]) -> None:
    pooled = next(row for row in coverage["lags"] if row["chunk"] == 0)
    assert pooled["n_documents"] == 6
    wanted = [8.0, 3.0, 74.5, 54.0, 21.0 - (4.0 + 59.0 / 60.0), 6.0]  # closes at 21:00 UTC
    assert pooled["max"] == pytest.approx(74.5)
    assert pooled["p50"] == pytest.approx(float(np.median(wanted)))
    assert [pooled[name] for name in told.MOMENTS] == pytest.approx([1 / 6, 2 / 6, 1 / 6, 1 / 6, 1 / 6])
    assert sum(row["n"] for row in coverage["lag_bins"]) == 6
    in_bin = {row["low"]: row["n"] for row in coverage["lag_bins"] if row["n"]}
    assert in_bin == {2.0: 1, 4.0: 1, 7.0: 1, 12.0: 1, 48.0: 1, 72.0: 1}


def test_weights_are_told_apart_by_availability(coverage: dict[str, Any]) -> None:
    rows = {(row["chunk"], row["text_available"]): row for row in coverage["weights"]}
    assert rows[0, 0]["p99"] == pytest.approx(0.01)
    assert rows[0, 1]["mean"] == pytest.approx(0.4)
    assert rows[0, 0]["n_rows"] + rows[0, 1]["n_rows"] == 11


@pytest.mark.parametrize(
    "manifest",
    [
        {"market": {"text": {}}},
        {"market": {}},
        {"market": {"text": {"n_documents": 3}}, "silent_modules": ["qualitative"]},
    ],
    ids=["no text", "no facts", "silent"],
)
def test_a_run_that_read_no_text_has_no_coverage(tmp_path: Path, manifest: dict[str, Any]) -> None:
    assert told.text_coverage(tmp_path, manifest) == {}
