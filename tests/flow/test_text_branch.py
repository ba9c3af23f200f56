"""From words to a decision: a whole job on a tiny market with headlines, read as its user would."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.backtest import open_run_store, read_market
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan, read_plan
from glassbox_bt.reporting.layouts import FIN_GLASSBOX, write_fin_glassbox
from glassbox_bt.walkforward.oneday import decide_day
from tests.flow.texty import texty_run

BRANCH = ("text_encoder", "sentiment", "news", "qualitative")
NEUTRAL = {
    "qualitative_score": 0.0,
    "qualitative_risk_score": 0.5,
    "qualitative_confidence": 0.0,
    "event_count": 0,
    "qualitative_recommendation": "HOLD",
    "dominant_qualitative_driver": "no_text_event",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    plan, run = texty_run(tmp_path_factory.getbasetemp())
    return read_plan(plan), run


@pytest.fixture(scope="module")
def decisions(made: tuple[Plan, Path]) -> pd.DataFrame:
    return pd.read_parquet(made[1] / "decisions.parquet")


def test_every_module_of_the_branch_answers_test(made: tuple[Plan, Path]) -> None:
    for name in BRANCH:
        table = pd.read_parquet(made[1] / "modules" / name / "chunk1_test.parquet")
        assert table["known"].any(), name
        assert table["xai_summary"].str.split().str.len().between(8, 60).all(), name


def test_every_row_of_the_branch_names_the_engine_that_read_and_documents_their_source(made: tuple[Plan, Path]) -> None:
    fit = json.loads((made[1] / "models" / "text_encoder" / "chunk1" / "frozen.json").read_text())["provenance"]
    for name in BRANCH:
        for path in sorted((made[1] / "modules" / name).glob("*.parquet")):
            table = pd.read_parquet(path)
            assert (table["engine"] == "hashed-words").all(), path
            assert (table["engine_digest"] == fit["digest"]).all(), path
            assert (table["knowledge_cutoff"] == "none").all(), path
            assert (table["knowledge"] == "clean").all(), path  # it learned from no text
            assert name == "qualitative" or table[["doc_id", "chunk_id", "source"]].ne("").all(axis=None)
    assert (made[1] / "modules" / "qualitative" / "chunk1_test_events.parquet").exists()
    assert "engine" not in pd.read_parquet(made[1] / "modules" / "fusion" / "chunk1_test.parquet").columns
    manifest = json.loads((made[1] / "manifest.json").read_text())
    assert [one["engine"] for one in manifest["text_engines"]] == ["hashed-words"]


def test_every_document_of_test_is_answered_whatever_came_of_it(made: tuple[Plan, Path]) -> None:
    plan, run = made
    store = open_run_store(run, json.loads((run / "manifest.json").read_text()))
    first, last = store.sessions_between(*plan.chunks[0].test)[[0, -1]]
    there = store.text.cut(int(first), int(last), store.assets_until(0, int(last)))
    for name in BRANCH[:3]:
        table = pd.read_parquet(run / "modules" / name / "chunk1_test.parquet")
        assert len(table) == len(there)
        assert not table.duplicated(["chunk_id", "ticker"]).any()


def test_rows_without_text_are_neutral_and_the_others_say_what_the_analyst_said(
    made: tuple[Plan, Path], decisions: pd.DataFrame
) -> None:
    mute = decisions[decisions["event_count"] == 0]
    assert len(mute)
    for name, value in NEUTRAL.items():
        assert (mute[name] == value).all(), name
    known = mute[mute["text_available"].notna()]
    assert (known["text_available"] == 0.0).all()
    assert (known["learned_qualitative_weight"] == 0.0).all()
    said = pd.read_parquet(made[1] / "modules" / "qualitative" / "chunk1_test.parquet")
    said = said[said["known"]]
    told = decisions[decisions["split"] == "test"].merge(said, on=["date", "ticker"], suffixes=("", "_said"))
    assert len(told) == len(said)
    np.testing.assert_array_equal(told["qualitative_score"], told["qualitative_score_said"])
    assert (told["qualitative_xai_summary"] == told["xai_summary"]).all()
    assert (told["event_count"] >= 1).all()


def test_an_events_table_tells_each_document_of_each_name(made: tuple[Plan, Path]) -> None:
    events = pd.read_parquet(made[1] / "modules" / "qualitative" / "chunk1_test_events.parquet")
    assert len(events)
    assert not events.duplicated(["date", "ticker", "doc_id"]).any()


def test_what_text_adds_is_asked(made: tuple[Plan, Path]) -> None:
    variants = {one["name"]: one for one in json.loads((made[1] / "ablations" / "variants.json").read_text())}
    assert set(variants) == {"without_text", "text_moved", "text_delayed"}
    assert all(one["effect"] == "changed" for one in variants.values())
    scores = pd.read_parquet(made[1] / "ablations" / "text_scores.parquet")
    assert set(scores["variant"]) == {"text_moved", "text_delayed"}
    metrics = json.loads((made[1] / "metrics.json").read_text())
    asked = {"as it came", "text_moved", "text_delayed", "word list"}
    assert {row["text"] for row in metrics["text_controls"]} == asked


def test_the_readers_chances_are_scored_on_validation_and_on_test(made: tuple[Plan, Path]) -> None:
    readers = json.loads((made[1] / "metrics.json").read_text())["text_readers"]
    whos = {(row["split"], row["who"]) for row in readers["sentiment"]}
    assert whos == {(split, who) for split in ("val", "test") for who in ("sentiment", "constant", "word list")}
    heads = {(row["split"], row["head"]) for row in readers["news"]}
    assert heads == {(split, head) for split in ("val", "test") for head in ("importance", "relevance", "spike", "drawdown")}
    assert all(row["n_documents"] > 0 and not row["why"] for rows in readers.values() for row in rows)
    assert json.loads((made[1] / "manifest.json").read_text())["test_label_reads"] == 1


def test_the_layout_of_upstream_has_the_text_tables(made: tuple[Plan, Path], tmp_path: Path) -> None:
    for name in ("modules", "portfolio"):
        shutil.copytree(made[1] / name, tmp_path / name)
    shutil.copy(made[1] / "decisions.parquet", tmp_path)
    written = {path.parent.name: pd.read_csv(path) for path in write_fin_glassbox(tmp_path) if path.stem.endswith("_test")}
    layouts = {layout.folder: layout for layout in FIN_GLASSBOX}
    for folder in ("SentimentAnalyst", "NewsAnalyst", "QualitativeAnalyst"):
        assert list(written[folder].columns) == list(layouts[folder].columns), folder
        assert len(written[folder]), folder
    assert (written["QualitativeAnalyst"]["event_count"] > 0).all()


def with_document(plan: Plan, hour: str, day: str, ticker: str) -> MarketStore:
    """The plan's market with one more headline, published on that day at that time of New York."""
    raw = read_market(plan).raw
    assert raw.news is not None
    moment = pd.Timestamp(f"{day} {hour}").tz_localize("America/New_York").tz_convert("UTC")
    text = f"{ticker} wins a large contract and raises its outlook far above estimates"
    row: dict[str, Any] = {"published_at": moment, "ticker": ticker, "text": text, "source": "wire", "doc_id": "planted"}
    news = pd.concat([raw.news, pd.DataFrame([row])[list(raw.news.columns)]], ignore_index=True)
    return build_store(replace(raw, news=news), plan.market.universe)


def test_text_after_the_close_waits_a_day_and_text_before_it_does_not(made: tuple[Plan, Path]) -> None:
    plan, run = made
    bare = build_store(read_market(plan).raw, plan.market.universe)
    day = int(bare.sessions_between("2019-06-12", "2019-06-12")[0])
    decided = pd.read_parquet(run / "decisions.parquet")
    mute = decided[(decided["date"] == "2019-06-12") & (decided["event_count"] == 0)]
    ticker = str(mute["ticker"].iloc[0])

    def view(store: MarketStore, session: int) -> pd.DataFrame:
        return decide_day(plan, store, run, 1, session, {}).table.drop(columns="date").reset_index(drop=True)

    late = with_document(plan, "17:30", "2019-06-12", ticker)
    pd.testing.assert_frame_equal(view(late, day), view(bare, day))
    assert not view(late, day + 1).equals(view(bare, day + 1))
    early = with_document(plan, "15:30", "2019-06-12", ticker)
    changed, before = view(early, day), view(bare, day)
    row = changed["ticker"] == ticker
    assert changed.loc[row, "event_count"].item() == 1
    assert changed.loc[row, "learned_fusion_signal"].item() != before.loc[row, "learned_fusion_signal"].item()
