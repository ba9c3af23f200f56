"""What labelled sentences teach of sentiment: a multinomial logit on what an engine makes of a sentence.

The sentences have no dates and their labels no prices. So this model knows how a text sounds, not what came of such texts,
and it is a variant of its own: no row is answered by both.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.errors import ParserWarning

from glassbox_bt.errors import MarketDataError
from glassbox_bt.modules._anchor import LinearAnchor
from glassbox_bt.modules._sentiment_model import EFFECTS, Heads, class_logits, softmax
from glassbox_bt.modules._sentiment_network import CLASSES
from glassbox_bt.modules._sentiment_targets import SentimentTargets
from glassbox_bt.modules._text_inputs import Wording
from glassbox_bt.types import AnyArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from glassbox_bt.modules._text_engine import TextEngine

__all__ = ["LABELS", "LabelledModel", "Sentences", "read_sentences"]

LABELS = ("negative", "neutral", "positive")
COLUMNS = ("text", "label")
NEAR_ONE = 1.0 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Sentences:
    """Distinct labelled sentences, in the order of the file.

    Parameters
    ----------
    texts : tuple[str, ...]
    labels : IntArray
        Places in `LABELS`, (n_sentences,).
    n_duplicates : int
        Further copies of a sentence with the same label; they count once.
    n_contradictions : int
        Sentences that the file labels in two ways; they are left out, all copies.
    """

    texts: tuple[str, ...]
    labels: IntArray
    n_duplicates: int
    n_contradictions: int


def read_sentences(path: str) -> Sentences:
    """The file of the setting ``labelled``: CSV or Parquet with the columns ``text`` and ``label``.

    Raises
    ------
    MarketDataError
        If the file is not there or of another kind, lacks a column, holds a label that is none of the three, an empty text,
        or not all three labels.
    """
    table = _table(Path(path))
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise MarketDataError(f"{path} has no column `{missing[0]}`. It needs `text` and `label`.")
    text = table["text"].map(lambda one: one.strip() if isinstance(one, str) else "")
    if (text == "").any():
        row = int(np.flatnonzero(text == "")[0]) + 1
        raise MarketDataError(
            f"{path}: the text of row {row} is empty ({int((text == '').sum())} such rows). Take them out."
        )
    label = table["label"].map(lambda one: one.strip().lower() if isinstance(one, str) else one)
    strange = ~label.isin(LABELS)
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise MarketDataError(
            f"{path}: row {row + 1} has the label {str(table['label'].iloc[row])!r} ({int(strange.sum())} such rows). "
            f"Labels are {', '.join(LABELS)}: rename it, or take the row out."
        )
    kept, n_duplicates, n_contradictions = _distinct(pd.DataFrame({"text": text, "label": label}))
    absent = [name for name in LABELS if name not in set(kept["label"])]
    if absent:
        raise MarketDataError(f"{path} has no sentence labelled `{absent[0]}`. A fit needs all of {', '.join(LABELS)}.")
    places = pd.Index(LABELS).get_indexer(pd.Index(kept["label"]))
    return Sentences(tuple(kept["text"]), places.astype(np.int64), n_duplicates, n_contradictions)


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise MarketDataError(
            f"There is no file {path} of labelled sentences. Correct `labelled` in the plan, or leave it out."
        )
    if path.suffix not in (".csv", ".parquet"):
        raise MarketDataError(f"{path} must be a .csv or .parquet file, got `{path.suffix}`.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)  # more cells than columns: a text with a comma and no quotes
            return pd.read_csv(path, index_col=False)
    except (ValueError, OSError, ParserWarning) as failed:  # pandas' and pyarrow's parsing errors are among them
        raise MarketDataError(f"{path} cannot be read as a table: {failed}. Save it anew.") from failed


def _distinct(table: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    once = table.drop_duplicates()
    torn = once["text"].duplicated(keep=False)
    return once[~torn], len(table) - len(once), int(once.loc[torn, "text"].nunique())


@dataclass(frozen=True, slots=True, eq=False)
class LabelledModel:
    """A logit on an engine's vectors.

    Parameters
    ----------
    engine : str
        Name of the engine (`_text_engine`); its vectors are raw, not those of the encoder's components.
    wording : Wording
        Their scale among the sentences.
    anchors : tuple[LinearAnchor, ...]
        Logits of negative, neutral, positive.
    targets : SentimentTargets
        The market's thresholds; by them alone it is compared with the other variants.
    """

    engine: str
    wording: Wording
    anchors: tuple[LinearAnchor, ...]
    targets: SentimentTargets

    @classmethod
    def fit(
        cls, path: str, engine: str, targets: SentimentTargets, penalty: float
    ) -> tuple[LabelledModel, dict[str, object]]:
        """The model and what its training summary says of the file."""
        sentences, reader = read_sentences(path), engine_of(engine)
        vectors = reader.encode(sentences.texts)
        wording = Wording.fit(vectors)
        x = wording.scaled(vectors).astype(np.float64)
        # The sentences are few and tell much, prices many and tell little: hence a hundredth of the prices' penalty.
        anchors = class_logits(x, sentences.labels, np.ones(len(x)), 0.01 * penalty)
        model = cls(engine, wording, anchors, targets)
        facts: dict[str, object] = {
            "labelled_file": Path(path).name,
            "labelled_digest": _digest(path),
            "labels_are_undated": "nothing says that the sentences were written before the years of test",
            "n_sentences": len(sentences.texts),
            "n_duplicate_sentences": sentences.n_duplicates,
            "n_contradicting_sentences": sentences.n_contradictions,
            "share_by_label": (np.bincount(sentences.labels, minlength=CLASSES) / len(sentences.texts)).tolist(),
            **model.provenance,
        }
        return model, facts

    @property
    def provenance(self) -> dict[str, object]:
        """The engine that reads the chunks, its digest and the last day it may know (D-FIN-01)."""
        reader = engine_of(self.engine)
        return {"engine": reader.name, "digest": reader.digest, "knowledge_cutoff": reader.knowledge_words}

    @staticmethod
    def external(path: str, engine: str) -> dict[str, str]:
        """Digests of the file and of the engine."""
        if not Path(path).is_file():
            raise MarketDataError(f"There is no file {path} of labelled sentences. Correct `labelled` in the plan.")
        read_sentences(path)  # a file that cannot teach is refused before anything is fitted
        return {"labelled": _digest(path), "engine": engine_of(engine).digest}

    def chances(self, vectors: Float32Array) -> FloatArray:
        """Probabilities of the three labels, (n_rows, 3)."""
        x = self.wording.scaled(vectors)
        return softmax(np.stack([one.linear(x) for one in self.anchors], axis=1))

    def heads(self, bodies: AnyArray) -> Heads:
        """Answers to texts: the score is P(positive) - P(negative), the magnitude 1 - P(neutral)."""
        chances = self.chances(_encoded(self.engine, bodies, self.wording.width))
        score = np.clip(chances[:, 2] - chances[:, 0], -NEAR_ONE, NEAR_ONE)
        effects = np.zeros((len(score), len(EFFECTS)))
        effects[:, 0] = np.arctanh(score)
        return Heads(score, score, chances, 1.0 - chances[:, 1], effects)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        out = self.wording.arrays("wording") | self.targets.arrays()
        for number, anchor in enumerate(self.anchors):
            out |= anchor.arrays(f"anchor.{number}")
        return out

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], engine: str) -> LabelledModel:
        """What `arrays` wrote."""
        anchors = tuple(LinearAnchor.restore(arrays, f"anchor.{number}") for number in range(CLASSES))
        return cls(engine, Wording.restore(arrays, "wording"), anchors, SentimentTargets.restore(arrays))


def _encoded(engine: str, bodies: AnyArray, width: int) -> Float32Array:
    if not len(bodies):
        return np.zeros((0, width), dtype=np.float32)
    texts: Sequence[str] = [str(one) for one in bodies]
    return engine_of(engine).encode(texts)


def engine_of(name: str) -> TextEngine:
    """The engine of that name; models are heavy, so they are loaded when they are asked for."""
    from glassbox_bt.modules._text_engine import text_engine

    return text_engine(name)


def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
