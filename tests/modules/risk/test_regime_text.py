"""The regime module's text block: what it holds, when it is heard, and that silence changes nothing."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.market.documents import COLUMNS, MARKET_WIDE, TextColumn
from glassbox_bt.market.regime_labels import REGIMES
from glassbox_bt.market.store import Column, MarketStore
from glassbox_bt.market.view import Span
from glassbox_bt.modules._regime_model import log_losses
from glassbox_bt.modules._regime_text import COMPONENTS, TEXT_NOTE, TEXT_READ, TextBlock
from glassbox_bt.modules.base import Candidate, predict
from glassbox_bt.modules.risk.regime import FittedRegime, MtgnnRegime
from glassbox_bt.types import FloatArray, IntArray
from tests.builders import tiny_store
from tests.modules.risk.regime_cases import CONTEXT, LATER, SMALL, TRAIN, below, candidates, fitted, tiny

MODULE = MtgnnRegime(**SMALL)
WIDTH = 10  # of the made-up embeddings; more than the block takes
EMBEDDING = TEXT_READ.column


def written(share: float = 0.9, seed: int = 0, market: float = 0.3, store: MarketStore | None = None) -> pd.DataFrame:
    """A table of text: on a session a name gets a document of one to three chunks now and then, if it is ever written of."""
    store = store or tiny()
    rng = np.random.default_rng(seed)
    spoken = np.arange(store.n_assets) < round(share * store.n_assets)
    rows: list[dict[str, Any]] = []
    number = 0
    for session in range(100, store.n_sessions):
        names = np.flatnonzero(spoken & (rng.random(store.n_assets) < 0.2))
        for asset in [*names, *([MARKET_WIDE] if rng.random() < market else [])]:
            for chunk in range(int(rng.integers(1, 4))):
                at = store.decided_at[session]
                rows.append(
                    {
                        **{"session": session, "asset": int(asset), "document": number, "chunk_index": chunk, "n_chunks": 1},
                        **{"word_count": 9, "n_copies": 1, "has_time": True, "published_at": at, "known_at": at},
                        **{"ticker": "", "doc_id": f"d{number}", "chunk_id": f"d{number}#{chunk}", "source": "made up"},
                        **{"form_type": "", "body": "words"},
                    }
                )
            number += 1
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))


def with_text(table: pd.DataFrame, values: FloatArray | None = None, store: MarketStore | None = None) -> Any:
    """The tiny market with that text, and answers with embeddings of it."""
    store = store or tiny()
    rng = np.random.default_rng(5)
    drawn = rng.standard_normal((len(table), WIDTH)) if values is None else values
    rows, session = np.arange(len(table), dtype=np.int64), table["session"].to_numpy()
    encoder = TextColumn(rows, session, drawn.astype(np.float32), np.full(len(table), -1, dtype=np.int64), in_sample=True)
    answers: dict[str, Column] = {**below(store, MODULE), EMBEDDING: encoder}
    return dataclasses.replace(store, records={**store.records, "text": table}), answers


def span_with(case: Any, days: IntArray = LATER, module: MtgnnRegime = MODULE, order: IntArray | None = None) -> Span:
    store, answers = case
    names = np.arange(store.n_assets) if order is None else order
    span: Span = store.span(days, module.reads, names, answers)
    return span


def fit_with(case: Any, module: MtgnnRegime = MODULE) -> tuple[Candidate, ...]:
    store, answers = case
    return module.fit(store.train_view(TRAIN, module.reads, module.learns_from, np.arange(store.n_assets), answers), CONTEXT)


@cache
def heard() -> tuple[Any, FittedRegime]:
    case = with_text(written())
    found = fit_with(case)[0].fitted
    assert isinstance(found, FittedRegime)
    return case, dataclasses.replace(found, speaks=(1.0, 1.0))


def block_of(case: Any, days: IntArray = LATER) -> TextBlock:
    span = span_with(case, days)
    return TextBlock.of(span, np.arange(span.n_assets))


# What the block holds


def test_it_is_the_mean_of_a_month_in_which_a_document_counts_once() -> None:
    table = written()
    case = with_text(table)
    block = block_of(case)
    values = case[1][EMBEDDING].values.astype(np.float64)[:, :COMPONENTS]
    own = pd.DataFrame(values).assign(document=table["document"]).groupby("document").mean().to_numpy()
    of = table.groupby("document")[["session", "asset"]].first()
    for row, day in list(enumerate(LATER))[::9]:
        recent = (of["session"] > day - TEXT_READ.sessions) & (of["session"] <= day)
        for asset in (0, 3, 7, MARKET_WIDE):
            mine = own[(recent & (of["asset"] == asset)).to_numpy()]
            found = block.market[row] if asset == MARKET_WIDE else block.names[row, asset]
            assert found[-1] == float(len(mine) > 0)
            if len(mine):
                np.testing.assert_allclose(found[:-1], mine.mean(axis=0), atol=1e-6)
            else:
                assert np.isnan(found[:-1]).all()
    assert block.names.shape == (len(LATER), tiny().n_assets, COMPONENTS + 1)


def test_nothing_else_in_the_span_changes_a_mean() -> None:
    case = with_text(written())
    many = block_of(case)
    for row in (0, 30, len(LATER) - 1):
        one = block_of(case, LATER[row : row + 1])
        np.testing.assert_array_equal(one.names[0], many.names[row])
        np.testing.assert_array_equal(one.market[0], many.market[row])


def test_text_after_the_day_is_never_in_it() -> None:
    case = with_text(written())
    late = np.asarray(case[1][EMBEDDING].session > LATER[0])
    values = np.where(late[:, None], 1e6, case[1][EMBEDDING].values)
    poisoned = with_text(written(), values)
    before, after = block_of(case, LATER[:1]), block_of(poisoned, LATER[:1])
    np.testing.assert_array_equal(before.names, after.names)
    np.testing.assert_array_equal(before.market, after.market)


# When it is heard


def test_a_silent_encoder_changes_nothing() -> None:
    store = tiny()
    nothing = np.zeros(0, dtype=np.int64)
    silent: dict[str, Column] = {**below(store, MODULE), EMBEDDING: TextColumn(nothing, nothing, np.zeros(0), nothing)}
    without, unread = fit_with((store, silent)), fit_with((store, below(store, MODULE)), MtgnnRegime(**SMALL, text=False))
    written_of_nobody = fit_with((dataclasses.replace(store, records={"text": written()}), silent))
    for one, two, three in zip(without, unread, written_of_nobody, strict=True):
        states = [candidate.fitted.state() for candidate in (one, two, three)]
        assert {state.facts["text"] for state in states} == {TEXT_NOTE}
        for name, values in states[0].arrays.items():
            np.testing.assert_array_equal(values, states[1].arrays[name], err_msg=name)
            np.testing.assert_array_equal(values, states[2].arrays[name], err_msg=name)
    assert EMBEDDING not in [read.column for read in MtgnnRegime(**SMALL, text=False).reads]
    assert EMBEDDING not in [read.column for read in MtgnnRegime(**SMALL, variant="anchor").reads]


def test_where_text_covers_enough_names_it_is_heard() -> None:
    case, one = heard()
    assert one.text.startswith("The text block is heard: text covers ")
    assert one.text_scaler is not None
    before = one.predict_many(span_with(case))
    values = case[1][EMBEDDING].values + 3.0
    after = one.predict_many(span_with(with_text(written(), values)))
    assert np.nanmax(np.abs(before.outputs["prob_calm_raw"] - after.outputs["prob_calm_raw"])) > 1e-4
    np.testing.assert_array_equal(before.outputs["prob_calm_anchor_raw"], after.outputs["prob_calm_anchor_raw"])
    alone = next(found for found in fit_with(case) if found.variant == "anchor").fitted
    assert alone.state().facts["text"] == "The text block is left out: the anchor hears no text."
    np.testing.assert_array_equal(alone.predict_many(span_with(case)).known, before.known)


def test_names_without_text_stay_in_the_graph() -> None:
    case, one = heard()
    with_words, without = one.panel(span_with(case)), fitted().panel(span_with(case))
    np.testing.assert_array_equal(with_words.node, without.node)
    np.testing.assert_array_equal(with_words.codes, without.codes)
    assert np.isnan(with_words.embedding[with_words.node]).any()


def test_one_day_many_days_order_and_state_agree() -> None:
    case, one = heard()
    many = one.predict_many(span_with(case))
    view = case[0].view(int(LATER[20]), MODULE.reads, np.arange(8), case[1])
    for name, values in predict(one, view).outputs.items():
        np.testing.assert_array_equal(values, many.outputs[name][20], err_msg=name)
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    turned = one.predict_many(span_with(case, order=order))
    again = MODULE.restore(one.state()).predict_many(span_with(case))
    for name, values in many.outputs.items():
        np.testing.assert_array_equal(values[:, order], turned.outputs[name], err_msg=name)
        np.testing.assert_array_equal(values, again.outputs[name], err_msg=name)
    assert MODULE.restore(one.state()).text == one.text


def test_a_month_without_a_word_is_answered_as_such() -> None:
    """A fit that hears text answers days without any; their inputs are those of a month in which nobody wrote."""
    case, one = heard()
    quiet = written()
    quiet = quiet[quiet["session"] < LATER[0] - 40]
    values = case[1][EMBEDDING].values[: len(quiet)]
    answers = one.predict_many(span_with(with_text(quiet, values)))
    assert answers.known.any()
    assert np.isfinite(answers.outputs["prob_calm"][answers.known]).all()


def test_nothing_written_is_a_what_if() -> None:
    case, one = heard()
    span = span_with(case)
    explainer = one.explainer(span, one.predict_many(span))
    found = {cf.name: cf for cf in explainer.what_ifs(np.arange(8), np.random.default_rng(0))}
    assert np.abs(found["nothing written"].after - found["nothing written"].before).max() > 1e-5
    silent = fitted().explainer(span, fitted().predict_many(span))
    assert "nothing written" not in {cf.name for cf in silent.what_ifs(np.arange(8), np.random.default_rng(0))}


@pytest.mark.parametrize(("share", "used"), [(0.25, False), (0.75, True)])
def test_d_reg_04_text_that_covers_few_names_is_dropped(share: float, used: bool) -> None:
    case = with_text(written(share))
    one = fit_with(case)[0].fitted
    assert isinstance(one, FittedRegime)
    assert (one.text_scaler is not None) is used
    assert ("is heard" in one.text) is used
    if not used:
        before = candidates()[0].fitted.state().arrays
        for name, values in one.state().arrays.items():
            np.testing.assert_array_equal(values, before[name], err_msg=name)


def test_d_reg_04_one_mean_of_all_text_for_every_name_is_caught() -> None:
    """The source's issuer map was never read, so every name got the same mean: full coverage that says nothing of a name."""
    case = with_text(written(0.25))
    honest = block_of(case)
    everyone = np.repeat(np.nanmean(honest.names, axis=1, keepdims=True), tiny().n_assets, axis=1)
    everyone[..., -1] = 1.0
    faulty = TextBlock(everyone, honest.market)
    nodes = np.ones(honest.names.shape[:2], dtype=bool)

    def is_broadcast(block: TextBlock) -> bool:
        """Every name has the same text on every day."""
        return bool((np.nan_to_num(block.names) == np.nan_to_num(block.names[:, :1])).all())

    assert is_broadcast(faulty)
    assert faulty.coverage(nodes) == 1.0
    assert not is_broadcast(honest)
    assert honest.coverage(nodes) < 0.30


def test_d_reg_05_positions_of_filtered_text_are_caught() -> None:
    """Metadata filtered to named text and numbered anew, against embeddings that were not: the rows no longer match."""
    table = written()
    case = with_text(table)
    named = table["asset"].to_numpy() != MARKET_WIDE
    kept = table[named]
    values = case[1][EMBEDDING].values
    honest = with_text(kept, values[named])  # filtered together
    faulty = with_text(kept, values[: len(kept)])  # new positions, old matrix

    def differs(one: Any) -> bool:
        return not np.array_equal(block_of(one).names, block_of(case).names, equal_nan=True)

    assert differs(faulty)
    assert not differs(honest)


# What it is worth


def planted(store: MarketStore, module: MtgnnRegime, *, tells: bool) -> tuple[Candidate, FloatArray]:
    """A fit on text whose first component tells the regime of the sessions ahead, or the same numbers in any order.

    With it the gain on later days: log loss of the anchor less that of the answer before calibration, by day.
    """
    days, later = np.arange(130, 830), np.arange(852, 1070)
    names, table = np.arange(store.n_assets), written(store=store)
    labels = {name: store.labels[name].on(np.arange(store.n_sessions), names) for name in module.learns_from}
    view = store.train_view(days, module.reads, module.learns_from, names, below(store, module))
    rule = MtgnnRegime(**SMALL, variant="anchor").fit(view, CONTEXT)[0].fitted
    assert isinstance(rule, FittedRegime)
    ahead = np.minimum(table["session"].to_numpy() + 10, store.n_sessions - 1)  # a month of text is ten sessions old
    code = np.nan_to_num(rule.outcomes(labels)[ahead], nan=1.0)
    values = 0.7 * np.random.default_rng(4).standard_normal((len(table), WIDTH))
    values[:, 0] += 2.0 * (code if tells else np.random.default_rng(3).permutation(code))
    told, answers = with_text(table, values, store)
    found = module.fit(told.train_view(days, module.reads, module.learns_from, names, answers), CONTEXT)[0]
    one, after = found.fitted, told.train_view(later, module.reads, module.learns_from, names, answers)
    assert isinstance(one, FittedRegime)
    said, wanted = one.predict_many(after).outputs, one.outcomes(after.labels)
    ours, alone = (
        log_losses(np.stack([said[f"prob_{name}{ending}"][:, 0] for name in REGIMES], axis=1), wanted)
        for ending in ("_raw", "_anchor_raw")
    )
    return found, alone - ours


def test_text_that_tells_the_future_is_heard_and_text_that_does_not_is_not() -> None:
    store = tiny_store(1100, 8, seed=2)
    module = MtgnnRegime(**{**SMALL, "epochs": 20, "patience": 10, "learning_rate": 3e-3})
    told, gain = planted(store, module, tells=True)
    assert "regime" in told.summary["network_speaks_on"]  # type: ignore[operator]
    assert np.nanmean(gain) > 0.02
    idle, nothing = planted(store, module, tells=False)
    assert idle.summary["network_speaks_on"] == []
    assert np.nanmax(np.abs(nothing)) == 0.0
