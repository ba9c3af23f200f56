"""The study of labelled sentences: small runs of it, and whether the committed tables keep their word."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from glassbox_bt.errors import InputError
from glassbox_bt.evaluation.labelled_sentences import CLASSES
from glassbox_bt.modules._text_engine import text_engine
from glassbox_bt.modules._text_finetune import Encoder, FineTuning
from glassbox_bt.runs.manifest import file_digest
from glassbox_bt.types import FloatArray
from tests.sentiment_labels import study
from tests.sentiment_labels.methods import Answered, Engines, Fold, Method, methods
from tests.sentiment_labels.words import told
from tests.text_models import WORDS, tiny_bert, tiny_classifier

REPORT = Path(__file__).resolve().parents[2] / "reports" / "sentiment_labels"
QUICK = FineTuning(epochs=1, batch_size=16, learning_rate=1e-3, max_tokens=64)


@dataclass(frozen=True)
class Counting:
    """An engine that counts the words rose and fell."""

    name: str = "counting"
    digest: str = "0" * 64

    def encode(self, texts: Sequence[str]) -> FloatArray:
        return np.array([[text.count("rose"), text.count("fell"), len(text)] for text in texts], dtype=np.float64)

    def polarity(self, texts: Sequence[str]) -> FloatArray | None:
        counts = self.encode(texts)
        return np.sign(counts[:, 0] - counts[:, 1])


def planted(n: int = 100, seed: int = 0, *, meaning: bool = True) -> pd.DataFrame:
    """Sentences whose label is that of the word rose, fell or neither; without ``meaning`` labels are shuffled."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.2, 0.5, 0.3])
    others = [word for word in WORDS if word not in ("rose", "fell")]
    signs = ("fell", "outlook", "rose")
    texts = [" ".join([*rng.choice(others, size=7), signs[label]]) for label in labels]
    said = labels if meaning else rng.permutation(labels)
    return pd.DataFrame({"text": texts, "label": [CLASSES[one] for one in said], "all_agree": rng.random(n) < 0.5})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.of(text_engine(str(tiny_bert(tmp_path_factory.mktemp("tiny")))))


def small(encoder: Encoder) -> list[Method]:
    """All methods, on an engine that knows the planted words."""
    named = [Counting(name) for name in ("lexicon", "tiny", "untrained")]
    return methods(Engines(*named), lambda: encoder, QUICK)


def facts() -> dict[str, Any]:
    return {
        "labels": {"file": "planted", "sha256": "0" * 64},
        "settings": {
            "n_folds": study.N_FOLDS,
            "n_boot": study.N_BOOT,
            "level": study.LEVEL,
            "hold_out_parts": 7,
            "n_bins": 10,
            "fine_tuning": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3},
        },
        "knowledge_cutoff": None,
    }


def run(out: Path, asked: Sequence[Method], table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return study.study(study.sample_of(table, "planted"), asked, out, facts(), Console(file=io.StringIO()))


def measured(scores: pd.DataFrame, sample: str = "all") -> dict[str, dict[str, Any]]:
    """By method, its row over that sample."""
    rows = scores[(scores["sample"] == sample) & (scores["source"] == "measured here")].to_dict("records")
    return {str(row["method"]): {str(name): value for name, value in row.items()} for row in rows}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def made(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "made"
    run(folder, small(encoder), planted())
    return folder


def test_the_planted_words_are_found_and_everything_is_written(made: Path) -> None:
    assert set(content(made)) == {
        *(f"{name}.csv" for name in ("table", "differences", "classes", "confusion", "calibration", "folds", "groups")),
        "README.md",
        "manifest.json",
    }
    found = measured(pd.read_csv(made / "table.csv", keep_default_na=False, na_values=[""]))
    assert list(found) == [one.name for one in small_names()]
    assert found["lexicon rule"]["accuracy"] == 1.0
    assert found["frozen + logit"]["accuracy"] > 0.95
    assert found["majority"]["accuracy"] < 0.6
    assert np.isnan(found["lexicon rule"]["ece"])


def small_names() -> list[Method]:
    return methods(Engines(Counting(), Counting(), Counting()), lambda: pytest.fail("not asked"), QUICK)


def test_shuffled_labels_are_not_found(tmp_path: Path, encoder: Encoder) -> None:
    asked = [one for one in small(encoder) if one.name in ("majority", "lexicon rule", "frozen + logit")]
    scores = run(tmp_path / "a", asked, planted(400, seed=3, meaning=False))["table"]
    whole = measured(scores)
    assert abs(whole["frozen + logit"]["accuracy"] - whole["majority"]["accuracy"]) < 0.05
    assert whole["lexicon rule"]["accuracy_high"] < 0.5


def test_an_interrupted_study_goes_on_and_gives_the_same_bytes(tmp_path: Path, encoder: Encoder) -> None:
    class StoppedError(Exception): ...

    calls: list[tuple[str, int]] = []

    def watched(method: Method, stop_at: int | None) -> Method:
        def answer(fold: Fold) -> Answered:
            if method.name == "lexicon + logit" and fold.number == stop_at:
                raise StoppedError
            calls.append((method.name, fold.number))
            return method.answer(fold)

        return replace(method, answer=answer)

    asked = [one for one in small(encoder) if one.name in ("majority", "lexicon rule", "lexicon + logit")]
    run(tmp_path / "whole", asked, planted(80))
    with pytest.raises(StoppedError):
        run(tmp_path / "cut", [watched(one, 2) for one in asked], planted(80))
    assert (tmp_path / "cut" / "unfinished.jsonl").exists()
    before = len(calls)
    run(tmp_path / "cut", [watched(one, None) for one in asked], planted(80))
    assert calls[before:] == [("lexicon + logit", number) for number in (2, 3, 4)]
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_answers_of_another_study_are_not_taken_up(tmp_path: Path) -> None:
    record = tmp_path / "unfinished.jsonl"
    record.write_text(json.dumps({"identity": "other", "key": "majority/0", "probabilities": [], "facts": {}}) + "\n{half")
    assert study._finished(record, "mine") == {}
    assert set(study._finished(record, "other")) == {"majority/0"}


@dataclass
class Peeking:
    """Remembers what it was given to learn from, and answers neutral."""

    seen: list[Fold] = field(default_factory=list)

    def __call__(self, fold: Fold) -> Answered:
        self.seen.append(fold)
        return Answered(np.tile([0.0, 1.0, 0.0], (int(fold.scored.sum()), 1)))


def test_each_sentence_is_scored_once_and_never_beside_its_twin(tmp_path: Path) -> None:
    table = planted(120)
    twins = table.assign(text=[f"{text} by 5.1 %" for text in table["text"]])
    twins = pd.concat([twins, twins.assign(text=twins["text"].str.replace("5.1", "17", regex=False))], ignore_index=True)
    peeking = Peeking()
    asked = [Method("majority", "none", "", "it", peeking)]
    study.answered(study.sample_of(twins, "twins"), asked, tmp_path / "log", "mine", Console(file=io.StringIO()))
    scored = np.sum([fold.scored for fold in peeking.seen], axis=0)
    np.testing.assert_array_equal(scored, 1)
    for fold in peeking.seen:
        np.testing.assert_array_equal(fold.scored[:120], fold.scored[120:])


def test_without_the_file_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    absent = tmp_path / "absent.parquet"
    monkeypatch.setattr(sys, "argv", ["study", "--labels", str(absent), "--out", str(tmp_path / "out")])
    study.main()
    assert f"Skipped: there are no labelled sentences at {absent}" in capsys.readouterr().out.replace("\n", "")
    assert not (tmp_path / "out").exists()


def test_a_model_that_tells_moods_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not scored here"):
        study._asked(str(tiny_classifier(tmp_path / "moods")), "lexicon", QUICK)


# The committed tables


def committed() -> dict[str, pd.DataFrame]:
    names = ("table", "differences", "classes", "confusion", "calibration", "folds", "groups")
    return {name: pd.read_csv(REPORT / f"{name}.csv", keep_default_na=False, na_values=[""]) for name in names}


def test_the_committed_page_tells_the_committed_tables() -> None:
    manifest = json.loads((REPORT / "manifest.json").read_text(encoding="utf-8"))
    words = told(committed(), manifest, small_names_of(committed()["table"]))
    assert (REPORT / "README.md").read_text(encoding="utf-8") == words
    assert {name: file_digest(REPORT / name) for name in manifest["files"]} == manifest["files"]


def small_names_of(scores: pd.DataFrame) -> list[Method]:
    """The methods with the engines that the tables name."""
    named = [Counting(measured(scores)[of]["engine"]) for of in ("lexicon rule", "frozen + logit", "untrained + logit")]
    return methods(Engines(*named), lambda: pytest.fail("not asked"), QUICK)


def test_the_committed_scores_are_those_of_the_committed_counts() -> None:
    tables = committed()
    for sample in ("all", "all agree"):
        found = measured(tables["table"], sample)
        assert list(found) == [one.name for one in small_names()]
        for method, row in found.items():
            of = tables["confusion"]
            cells = of[(of["method"] == method) & (of["sample"] == sample)].pivot(
                index="label", columns="answer", values="n"
            )
            assert cells.to_numpy().sum() == row["n"]
            assert np.trace(cells.to_numpy()) / row["n"] == pytest.approx(row["accuracy"], abs=1e-5)
            assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


def test_every_committed_row_of_a_score_names_its_engine() -> None:
    tables = committed()
    for name in ("table", "differences", "classes", "confusion", "calibration", "folds"):
        assert tables[name]["engine"].notna().all(), name
    published = tables["table"][tables["table"]["source"] != "measured here"]
    assert set(published["source"]) == {study.PUBLISHED}
    assert published["accuracy_low"].isna().all()


def test_the_committed_report_holds_no_sentence(shared_data: Path) -> None:
    path = shared_data / "sentiment_labels" / "sentiment_labels.parquet"
    if not path.exists():
        pytest.skip(f"no labelled sentences at {path}")
    texts = pd.read_parquet(path)["text"]
    long = texts[texts.str.len() > 40]
    for one in sorted(REPORT.iterdir()):
        words = one.read_text(encoding="utf-8")
        assert not [text for text in long if text in words], one.name
