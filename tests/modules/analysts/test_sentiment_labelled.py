"""The supervised road: what labelled sentences teach, and files that cannot teach anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.modules._sentiment_labelled import read_sentences
from glassbox_bt.modules.analysts.sentiment import CHANCES, FittedSentiment, SentimentAnalyst
from glassbox_bt.plan import SelectionPlan
from glassbox_bt.types import AnyArray
from glassbox_bt.walkforward.fits import save_candidate, save_others
from glassbox_bt.walkforward.selection import decided
from tests.contracts.text import cut_after
from tests.modules.analysts.text_cases import LATER, below, context, fitted, market, span_of, train_view_of

GOOD, BAD, PLAIN = ("profit", "record", "dividend"), ("loss", "lawsuit", "strike"), ("plant", "chief", "demand")


def sentences(n_each: int = 60, seed: int = 0) -> pd.DataFrame:
    """Made-up sentences; which words are in them decides the label."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, words in (("negative", BAD), ("neutral", PLAIN), ("positive", GOOD)):
        for number in range(n_each):
            filler = " ".join(rng.choice(("the", "company", "said", "on", "monday", "that"), 4))
            rows.append({"text": f"{' '.join(rng.choice(words, 4))} {filler} {label[:3]}{number}", "label": label})
    return pd.DataFrame(rows)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "sentences.csv"
    sentences().to_csv(file, index=False)
    return file


def taught(path: Path, **changes: object) -> SentimentAnalyst:
    return SentimentAnalyst(variant="labelled", labelled=str(path), engine="hashed-words", **changes)  # type: ignore[arg-type]


def bodies_of(words: tuple[str, ...]) -> AnyArray:
    return np.array([" ".join(words)] * 3, dtype=object)


def test_it_reads_texts_as_the_sentences_teach(path: Path) -> None:
    module, store = taught(path), market()
    chosen = module.select(fitted(module, store), None)
    assert chosen.variant == "labelled"
    model = chosen.fitted.model  # type: ignore[attr-defined]
    good, bad = model.heads(bodies_of(GOOD)).score, model.heads(bodies_of(BAD)).score
    assert good.min() > 0.2
    assert bad.max() < -0.2
    assert model.heads(bodies_of(PLAIN)).magnitude.max() < model.heads(bodies_of(GOOD)).magnitude.min()


def test_its_answers_keep_the_promises_of_a_module(path: Path) -> None:
    module, store = taught(path), market()
    chosen = module.select(fitted(module, store), None).fitted
    span = span_of(store, module, below(store))
    said = chosen.predict_many(span)
    chances = np.stack([said.outputs[name][said.known] for name in CHANCES], axis=1)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-4)
    again = module.restore(chosen.state()).predict_many(span)
    for name, values in said.outputs.items():
        np.testing.assert_array_equal(values, again.outputs[name], err_msg=name)
    assert "labelled sentences" in chosen.explain(span, said)[0]
    one = chosen.predict_many(span_of(store, module, below(store), LATER[7:8]))
    mine = said.days == LATER[7]
    np.testing.assert_array_equal(said.outputs["predicted_sentiment_score"][mine], one.outputs["predicted_sentiment_score"])
    poisoned = cut_after(store, int(LATER[20]), body="loss lawsuit strike")
    early = span_of(poisoned, module, below(store), LATER[:20])
    before = said.days < LATER[20]
    np.testing.assert_array_equal(
        said.outputs["predicted_sentiment_score"][before], chosen.predict_many(early).outputs["predicted_sentiment_score"]
    )


def test_it_is_one_more_candidate_beside_the_market_and_never_mixed_with_it(path: Path) -> None:
    module = SentimentAnalyst(labelled=str(path), engine="hashed-words", hidden=8, representation=8, epochs=2)
    candidates = fitted(module, market())
    assert [one.variant for one in candidates] == ["anchored", "anchor", "labelled"]
    alone = fitted(SentimentAnalyst(hidden=8, representation=8, epochs=2), market())
    for one, other in zip(candidates, alone, strict=False):
        for name, values in one.fitted.state().arrays.items():
            np.testing.assert_array_equal(values, other.fitted.state().arrays[name], err_msg=name)
    undated = candidates[2].summary
    assert "before the years of test" in str(undated["labels_are_undated"])
    assert undated["engine"] == "hashed-words"
    view = train_view_of(market(), module, below(market()), LATER)
    assert all(np.isfinite(module.validation_loss(one.fitted, view)) for one in candidates)


def test_the_engine_that_reads_the_chunks_is_named(path: Path) -> None:
    module, store = taught(path), market()
    chosen = module.select(fitted(module, store), None).fitted
    assert isinstance(chosen, FittedSentiment)
    assert (chosen.provenance["engine"], chosen.provenance["knowledge_cutoff"]) == ("hashed-words", "none")
    assert chosen.state().facts["provenance"] == chosen.provenance
    other = fitted(SentimentAnalyst(hidden=8, representation=8, epochs=1), store)[0].fitted
    assert isinstance(other, FittedSentiment)
    assert other.provenance == {}


def test_a_score_of_another_kind_keeps_its_own_scale(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of texts moves little and how they sound much: ranked among the former, the latter would all be extreme."""
    module, store = (
        SentimentAnalyst(labelled=str(path), engine="hashed-words", hidden=8, representation=8, epochs=2),
        market(),
    )
    chosen, *rest = fitted(module, store)
    (tmp_path / "checkpoints").mkdir()
    save_candidate(tmp_path, chosen, tmp_path / "checkpoints")
    save_others(tmp_path, rest)
    loss = {"sound": 0.1, "outcome": 0.9}
    monkeypatch.setattr(SentimentAnalyst, "validation_loss", lambda _self, one, _view: loss[one.scale_of])
    oof = chosen.fitted.predict_many(span_of(store, module, below(store)))
    one = decided(module, tmp_path, train_view_of(store, module, below(store), LATER), SelectionPlan(), oof)
    assert one.variant == "labelled"
    assert isinstance(one.fitted, FittedSentiment)
    assert one.fitted.scale is not None
    kept = rest[-1].fitted
    assert isinstance(kept, FittedSentiment)
    assert kept.scale is not None
    np.testing.assert_array_equal(one.fitted.scale.reference, kept.scale.reference)
    loss |= {"sound": 0.9, "outcome": 0.1}
    again = decided(module, tmp_path, train_view_of(store, module, below(store), LATER), SelectionPlan(), oof)
    assert again.variant == "anchored"


def test_what_lies_outside_the_repository_enters_the_key(path: Path) -> None:
    module = taught(path)
    before = dict(module.external())
    assert set(before) == {"labelled", "engine"}
    table = sentences()
    table.loc[0, "label"] = "neutral"
    table.to_csv(path, index=False)
    after = dict(module.external())
    assert after["labelled"] != before["labelled"]
    assert after["engine"] == before["engine"]
    assert SentimentAnalyst().external() == {}


def test_the_body_is_read_only_where_it_is_needed(path: Path) -> None:
    assert "text.body" in {read.column for read in taught(path).reads}
    assert "text.body" not in {read.column for read in SentimentAnalyst().reads}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_copies_count_once_and_contradictions_not_at_all(tmp_path: Path, suffix: str) -> None:
    table = sentences(4)
    torn = pd.DataFrame({"text": ["said twice", "said twice"], "label": ["negative", "positive"]})
    table = pd.concat([table, table.iloc[:3], torn], ignore_index=True)
    file = tmp_path / f"sentences.{suffix}"
    table.to_csv(file, index=False) if suffix == "csv" else table.to_parquet(file)
    found = read_sentences(str(file))
    assert (len(found.texts), found.n_duplicates, found.n_contradictions) == (12, 3, 1)
    assert "said twice" not in found.texts


def test_files_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    good = sentences(2)
    cases = {
        "has no column `label`": good.drop(columns="label"),
        "'bullish'": good.replace({"label": {"neutral": "bullish"}}),
        "text of row 2 is empty": good.assign(text=[good["text"][0], "  ", *good["text"][2:]]),
        "no sentence labelled `positive`": good[good["label"] != "positive"],
    }
    for number, (words, table) in enumerate(cases.items()):
        file = tmp_path / f"{number}.csv"
        table.to_csv(file, index=False)
        with pytest.raises(MarketDataError, match=words):
            read_sentences(str(file))
    with pytest.raises(MarketDataError, match="There is no file"):
        read_sentences(str(tmp_path / "nowhere.csv"))
    torn = tmp_path / "torn.csv"
    torn.write_text("text,label\n" + "".join(f"profit, it rose {label},{label}\n" for label in good["label"]))
    with pytest.raises(MarketDataError, match="cannot be read as a table"):
        read_sentences(str(torn))  # a comma without quotes in every row: the words before it would be lost


def test_a_file_that_teaches_nothing_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    file = tmp_path / "wrong.csv"
    sentences(2).replace({"label": {"neutral": "bullish"}}).to_csv(file, index=False)
    with pytest.raises(MarketDataError, match="'bullish'"):
        taught(file).external()
    store, module = market(), taught(file, min_documents=10**6)  # too little text to learn from
    with pytest.raises(MarketDataError, match="'bullish'"):
        fitted(module, store)
    (tmp_path / "notes.txt").write_text("text,label\n", encoding="utf-8")
    with pytest.raises(MarketDataError, match="must be a"):
        read_sentences(str(tmp_path / "notes.txt"))
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(MarketDataError, match="cannot be read as a table"):
        read_sentences(str(tmp_path / "broken.parquet"))
    with pytest.raises(MarketDataError, match="There is no file"):
        taught(tmp_path / "nowhere.csv").external()


def test_too_few_documents_abstain_here_too(path: Path) -> None:
    module = replace(taught(path), min_documents=100_000)
    chosen = module.select(module.fit(train_view_of(market(), module, below(market())), context(module)), None)
    assert "silent" in chosen.summary
