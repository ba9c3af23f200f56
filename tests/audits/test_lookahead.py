"""Every way to look ahead is caught and named; the honest twin of each raises no alarm."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.base import AuditResult, AuditSettings
from glassbox_bt.audits.lookahead import audit_lookahead, chosen_days
from glassbox_bt.audits.subject import Subject
from glassbox_bt.errors import RunFolderError
from glassbox_bt.market.features import FEATURES
from glassbox_bt.market.graph import GraphRule, snapshot_days, snapshots
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules.base import Module
from glassbox_bt.types import AnyArray, FloatArray, IntArray
from glassbox_bt.walkforward.fitting import ChunkFitter
from tests.audits.walks import LABEL, RULE, Learner, Reader, Trend, built, orders_of, subject, with_columns

SHORT = AuditSettings(n_days=2)


def audited(one: Subject) -> AuditResult:
    return audit_lookahead(one, SHORT)


def found(result: AuditResult) -> set[tuple[str, str, str]]:
    return {(finding.check, finding.module, finding.column) for finding in result.findings}


def named(result: AuditResult) -> set[tuple[str, str]]:
    return {(finding.module, finding.column) for finding in result.findings}


def test_a_clean_walk_passes(tmp_path: Path) -> None:
    one = subject(tmp_path)
    result = audited(dataclasses.replace(one, orders=orders_of(one.store)))
    assert result.findings == ()
    asked = {check.check for check in result.checks}
    assert asked == {
        "clock of fills",
        "fitted before answering",
        "recorded inputs",
        "one day as many",
        "market",
        "known labels",
        "inputs of a fit",
        "inputs of a prediction",
        "bars",
        "targets",
    }
    assert {check.module for check in result.checks} >= {"reader", "learner", "trend", "market"}
    assert len({check.cut for check in result.checks if check.check == "market"}) == 4  # train, validation, two test days


# Columns: each fault has an honest twin, and a module that reads it.


def column(values: pd.DataFrame) -> AnyArray:
    return np.asarray(values, dtype=np.float64)


def graph_by(place: str, store: MarketStore) -> FloatArray:
    """Mean correlation within the window of each session, written at the window's end or at its start."""
    rule, density = GraphRule(stride=1), np.full(store.n_sessions, np.nan)
    for snapshot in snapshots(store.columns, snapshot_days(store.n_sessions, rule), rule):
        density[getattr(snapshot, place)] = snapshot.mean_abs_correlation
    return density


def texts_by(place: str, store: MarketStore) -> FloatArray:
    """Headlines of each session: by the session that may use them, or by the date they carry."""
    text = store.text.frame
    sessions = text["session"].to_numpy()
    if place == "date":
        sessions = np.searchsorted(store.dates, text["published_at"].to_numpy().astype("datetime64[D]"))
    return np.bincount(sessions, minlength=store.n_sessions + 1)[: store.n_sessions].astype(np.float64)


def honest(raw: RawMarket) -> MarketStore:
    store = built(raw)
    close, volume = (pd.DataFrame(store.columns[name]) for name in ("close", "volume"))
    return with_columns(
        store,
        rolling=column(close.rolling(5).mean()),
        filled=column(close.ffill()),
        scaled=column((volume - volume.expanding().mean()) / volume.expanding().std()),
        graph=graph_by("as_of", store),
        texts=texts_by("session", store),
    )


def faulty(raw: RawMarket) -> MarketStore:
    store = built(raw)
    close, volume = (pd.DataFrame(store.columns[name]) for name in ("close", "volume"))
    return with_columns(
        store,
        rolling=column(close.rolling(5, center=True).mean()),
        filled=column(close.bfill()),
        scaled=column((volume - volume.mean()) / volume.std()),
        graph=graph_by("window_start", store),
        texts=texts_by("date", store),
    )


PLANTED = ("rolling", "filled", "scaled", "graph", "texts")
READERS = tuple(Reader(called=f"reads_{name}", column=name) for name in PLANTED)


def test_honest_columns_pass(tmp_path: Path) -> None:
    result = audited(subject(tmp_path, build=honest, stack=READERS))
    assert result.findings == ()
    assert {check.column for check in result.checks if check.check == "inputs of a prediction"} >= set(PLANTED)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    return audited(subject(tmp_path_factory.mktemp("faulty"), build=faulty, stack=READERS))


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param("rolling", id="centred rolling window"),
        pytest.param("filled", id="gaps filled backwards"),
        pytest.param("scaled", id="scaled by the mean and deviation of the whole sample"),
        pytest.param("graph", id="graph named by the start of its window"),
        pytest.param("texts", id="text dated by day instead of time"),
    ],
)
def test_a_column_that_knows_the_future_is_named_with_its_reader(faults: AuditResult, planted: str) -> None:
    assert {("market", planted), (f"reads_{planted}", planted)} <= named(faults)


def test_nothing_else_is_named(faults: AuditResult) -> None:
    assert {column for _, column in named(faults)} == set(PLANTED)


def test_a_feature_that_fills_want_too_is_named_with_them(tmp_path: Path) -> None:
    features = {**FEATURES, "vol_21d": lambda c: column(pd.DataFrame(FEATURES["vol_21d"](c)).rolling(3, center=True).mean())}
    result = audited(subject(tmp_path, build=lambda raw: build_store(raw, RULE, features=features)))
    assert named(result) == {("market", "vol_21d"), ("reader", "vol_21d"), ("portfolio", "sigma")}


def test_a_text_record_that_is_known_too_early_is_named(tmp_path: Path) -> None:
    def build(raw: RawMarket) -> MarketStore:
        store = built(raw)
        records = dict(store.records)
        if "text" in records:
            records["text"] = records["text"].assign(known_at=records["text"]["published_at"].dt.normalize())
        return dataclasses.replace(store, records=records)

    assert named(audited(subject(tmp_path, build=build))) == {("market", "record text")}


def test_a_label_that_crosses_the_train_end_is_named_with_its_learner(tmp_path: Path) -> None:
    def build(raw: RawMarket) -> MarketStore:
        store = built(raw)
        early = dataclasses.replace(store.labels[LABEL], known_at=store.decided_at)
        return dataclasses.replace(store, labels={**store.labels, LABEL: early})

    result = audited(subject(tmp_path, build=build))
    assert found(result) == {("known labels", "market", LABEL), ("inputs of a fit", "learner", f"label {LABEL}")}


def test_a_universe_chosen_by_the_whole_sample_is_named(tmp_path: Path) -> None:
    def build(raw: RawMarket) -> MarketStore:
        store = built(raw)
        n_bars = np.asarray(store.columns["is_observed"]).sum(axis=0)
        best = np.argsort(-n_bars, kind="stable")[:4]
        member = np.zeros(store.member.shape, dtype=bool)
        member[60:, best] = True
        return with_columns(store, member=member)

    result = audited(subject(tmp_path, build=build))
    assert {("market", "market", "member"), ("inputs of a fit", "learner", "member")} <= found(result)


# Modules, fits, strategies, fills.


def test_an_average_over_the_split_is_named(tmp_path: Path) -> None:
    result = audited(subject(tmp_path, stack=(Reader(of_split=True), Learner())))
    assert ("one day as many", "reader", "mean") in found(result)
    assert {(finding.check, finding.module) for finding in result.findings} == {("one day as many", "reader")}


class TunedOnTest(ChunkFitter):
    """Hands every fit the test days as well, so that whatever it chooses, it chooses there."""

    def train_view(self, module: Module, train: IntArray) -> TrainView:
        days = np.concatenate([train, self.days.test[self.days.test < self.store.n_sessions]])
        assets = self.store.assets_until(self.days.first, int(train[-1]))
        return self.store.train_view(days, module.reads, module.learns_from, assets, self.columns)


def test_a_threshold_fitted_on_test_is_named(tmp_path: Path) -> None:
    result = audited(subject(tmp_path, fitter=TunedOnTest))
    assert ("inputs of a fit", "learner", f"label {LABEL}") in found(result)
    assert {finding.module for finding in result.findings} == {"learner"}


def test_a_strategy_that_tunes_its_threshold_on_test_is_named(tmp_path: Path) -> None:
    result = audited(subject(tmp_path, strategies=(Trend(tuned=True),)))
    assert found(result) == {("targets", "trend", "target_weight")}


def test_a_fill_at_its_own_bar_is_named(tmp_path: Path) -> None:
    one = subject(tmp_path)
    result = audited(dataclasses.replace(one, orders=orders_of(one.store, same_bar=True)))
    assert found(result) == {("clock of fills", "glassbox", "filled_at")}
    assert "decided on 2018-09-04 and filled on 2018-09-04" in result.findings[0].detail


def test_a_fill_at_another_price_is_named(tmp_path: Path) -> None:
    one = subject(tmp_path)
    result = audited(dataclasses.replace(one, orders=orders_of(one.store, price=0.99)))
    assert found(result) == {("clock of fills", "glassbox", "price")}


# The audit itself.


def test_the_same_seed_audits_the_same_days(tmp_path: Path) -> None:
    one = subject(tmp_path)
    days = chosen_days(one, 3)[1]
    np.testing.assert_array_equal(days, chosen_days(one, 3)[1])
    assert len(days) == 3
    gaps = one.store.member & (np.asarray(one.store.columns["is_observed"]) == 0.0)
    assert gaps[days].any()


def test_a_store_that_the_raw_tables_do_not_give_is_refused(tmp_path: Path) -> None:
    one = subject(tmp_path)
    other = dataclasses.replace(one, build=lambda raw: with_columns(built(raw), close=np.ones(one.store.member.shape)))
    with pytest.raises(RunFolderError, match="`close` differs"):
        audited(other)


def test_a_refit_on_a_market_without_a_future_gives_the_same_states(tmp_path: Path) -> None:
    result = audit_lookahead(subject(tmp_path), AuditSettings(n_days=1, refit=True))
    again = [check for check in result.checks if check.check == "fitted again"]
    assert result.passed
    assert {check.module for check in again} == {"reader", "learner"}


def test_a_refit_shows_what_a_leak_does_to_the_fits(tmp_path: Path) -> None:
    result = audit_lookahead(subject(tmp_path, fitter=TunedOnTest), AuditSettings(n_days=1, refit=True))
    assert {finding.module for finding in result.findings if finding.check == "fitted again"} == {"learner"}
