"""Examples of what the sentiment analyst saw in a text: ``xai/text_examples.json``, a small sample of test documents.

1. The sample is drawn by a seed, evenly from chunks, classes and halves of the confidence (D-XAI-01); a text counts once.
2. The read-out of a text is the slope of its raw sentiment score in the engine's vector, found by central differences and
   carried back through the encoder's components. It holds at this text; the engine's own mood and all facts stay.
3. Integrated gradients share the read-out out to words, from the text with all words masked to the text. Their sum misses
   that change by the completeness error. Hits of a lexicon are exact; an engine without gradients has its words left out
   one by one, which need not add up.
4. At most `MOST_WORDS` words in a row are quoted, those with the most weight. The weights of all words are kept without the
   words, so that whoever has the market can draw and quote the same again (`examples_again`).

What moves a score is not what moves a price: weights explain the model, and only near this text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from glassbox_bt.backtest import open_run_store
from glassbox_bt.evaluation._resampling import stream
from glassbox_bt.evaluation.text_coverage import on_the_exchange, reads_text
from glassbox_bt.plan import Plan
from glassbox_bt.runs.artefacts import write_whole
from glassbox_bt.types import AnyArray, FloatArray, IntArray

if TYPE_CHECKING:
    from glassbox_bt.modules._text_engine import TextEngine

__all__ = ["EXAMPLES", "MOST", "MOST_WORDS", "examples_again", "quoted_words", "write_text_examples"]

EXAMPLES = Path("xai") / "text_examples.json"
MOST = 24  # examples
MOST_WORDS = 20  # quoted of one text, in a row
LONGEST = 30  # letters of a word that is quoted
STEP = 0.05  # of the differences, in deviations of train's embeddings
TEST = "test"
SCORES = ("predicted_sentiment_score", "predicted_sentiment_score_raw", "predicted_sentiment_confidence")
CLASS = "predicted_sentiment_class"
TABLE = ("date", "ticker", "chunk_id", *SCORES, CLASS, "known")
PROVENANCE = ("doc_id", "chunk_id", "chunk_index", "n_chunks", "source", "form_type")
WORD = re.compile(r"\S+")
LINK = re.compile(r"https?://|www\.|pic\.twitter|t\.co/", re.IGNORECASE)
METHODS = {"lexicon": "lexicon", "hashed-words": "occlusion"}  # of engines without gradients
GRADIENTS = "integrated_gradients"

Progress = Callable[[str, float], None]
Score = Callable[[FloatArray], FloatArray]  # of vectors (n, k): scores (n,)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one text and what each adds to its read-out.

    ``change`` is what they explain; ``gap`` is their sum less that, None where the method does not claim that they add up.
    """

    method: str
    weights: FloatArray  # (n_words,)
    change: float
    gap: float | None


def write_text_examples(run: Path, manifest: Mapping[str, Any], plan: Plan, progress: Progress) -> Path | None:
    """Write the examples of a walked run; None, and no file, where no text was read. Equal runs give equal bytes."""
    path = run / EXAMPLES
    if not reads_text(manifest) or "sentiment" in manifest.get("silent_modules", ()):
        path.unlink(missing_ok=True)
        return None
    store = open_run_store(run, manifest)
    fits, examples = [], list[Row]()
    for number in range(1, len(plan.chunks) + 1):
        progress("text examples", (number - 1) / len(plan.chunks))
        picked = _sample(run, store, plan.seed, number, len(plan.chunks))
        weighed = _weighed(run, manifest, plan, store, number, picked) if len(picked) else []
        fits.append(_fit_row(number, picked, weighed))
        examples += [_example(row, words, number) for row, words in zip(picked.to_dict("records"), weighed, strict=True)]
    content = {"seed": plan.seed, "most": MOST, "most_words": MOST_WORDS, "fits": fits, "examples": examples}
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    path.parent.mkdir(exist_ok=True)
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    progress("text examples", 1.0)
    return path


def examples_again(run: Path, manifest: Mapping[str, Any], recorded: Mapping[str, Any]) -> Row:
    """The examples drawn and quoted again from the market and the answers, with the recorded weights of words.

    Weights themselves would need the engine, which whoever checks a run may not have.
    """
    store, n_chunks = open_run_store(run, manifest), len(manifest["plan"]["chunks"])
    seed = int(manifest["plan"]["seed"])
    weights = {(one["chunk"], one["chunk_id"], one["ticker"]): one for one in recorded["examples"]}
    fits, examples = [], list[Row]()
    for number in range(1, n_chunks + 1):
        picked = _sample(run, store, seed, number, n_chunks)
        rows: list[dict[Any, Any]] = picked.to_dict("records")
        words = []
        for row in rows:
            one = weights.get((number, row["chunk_id"], row["ticker"]), {})
            numbers = np.asarray(one.get("weights", ()), dtype=np.float64)
            words.append(_Words(str(one.get("method")), numbers, one.get("change", 0.0), one.get("gap")))
        fits.append(_fit_row(number, picked, words))
        examples += [_example(row, one, number) for row, one in zip(rows, words, strict=True)]
    return {"seed": seed, "most": MOST, "most_words": MOST_WORDS, "fits": fits, "examples": examples}


def _sample(run: Path, store: Any, seed: int, chunk: int, n_chunks: int) -> pd.DataFrame:
    """Some answered rows of a chunk's test, in the order of the market's text, with their words and provenance."""
    path = run / "modules" / "sentiment" / f"chunk{chunk}_{TEST}.parquet"
    if not path.exists():
        return pd.DataFrame()
    table = pd.read_parquet(path, columns=list(TABLE))
    table = table[table["known"]].drop(columns="known")
    columns = [*dict.fromkeys((*PROVENANCE, "ticker", "published_at", "has_time", "body"))]
    frame: pd.DataFrame = store.text.frame[columns]
    frame = frame.assign(row=np.arange(len(frame)), day=on_the_exchange(store, frame["published_at"].to_numpy()))
    joined = frame.merge(table, on=["chunk_id", "ticker"], how="inner", validate="1:1").drop_duplicates("body")
    joined["half"] = np.where(joined[SCORES[2]] >= joined[SCORES[2]].median(), "upper", "lower")
    rng = stream(f"{seed}/text examples/{chunk}")
    joined = joined.iloc[rng.permutation(len(joined))]
    turn = joined.groupby([CLASS, "half"]).cumcount().to_numpy()  # the how-manieth of its stratum
    joined = joined.iloc[np.argsort(turn, kind="stable")]
    return joined.head(max(1, MOST // n_chunks)).sort_values("row").reset_index(drop=True)


def _weighed(
    run: Path, manifest: Mapping[str, Any], plan: Plan, store: Any, chunk: int, picked: pd.DataFrame
) -> list[_Words]:
    """The words of the sampled texts, by the fits that answered them."""
    from glassbox_bt.modules._sentiment_labelled import LabelledModel
    from glassbox_bt.modules._text_engine import text_engine
    from glassbox_bt.walkforward.restored import restored_walk

    walk = restored_walk(run, manifest, plan, store, chunk)
    model: Any = getattr(walk.fitted["sentiment"], "model")  # noqa: B009 - a fit of the text branch, not of the protocol
    bodies = picked["body"].tolist()
    if isinstance(model, LabelledModel):
        engine = text_engine(model.engine)
        vectors, spread = engine.encode(bodies).astype(np.float64), model.wording.spread

        def mood(at: FloatArray) -> FloatArray:
            chances = model.chances(at.astype(np.float32))
            return np.asarray(chances[:, 2] - chances[:, 0], dtype=np.float64)

        return [_shared(engine, body, _slope(mood, at, spread)) for body, at in zip(bodies, vectors, strict=True)]
    encoder: Any = walk.fitted["text_encoder"]
    session = store.text.frame["session"].to_numpy()[picked["row"].to_numpy()]
    days = np.unique(session).astype(np.int64)
    span = walk.span(walk.stack["sentiment"], days, walk.reach("sentiment", days))
    place: IntArray = np.searchsorted(span.text.rows, picked["row"].to_numpy())
    words = []
    for body, at in zip(bodies, place, strict=True):
        score, embedding = _score_of(model, span, int(at))
        slope = _slope(score, embedding, model.wording.spread)
        words.append(_shared(encoder.engine, body, encoder.projection.axes.T @ slope))
    return words


def _score_of(model: Any, span: Any, row: int) -> tuple[Score, FloatArray]:
    """The raw score of a row by its embedding, all else as it is, and the embedding."""
    from glassbox_bt.modules._text_inputs import EMBEDDING

    mine = np.zeros(len(span.text), dtype=bool)
    mine[row] = True
    x = model.inputs(span, mine)

    def score(embeddings: FloatArray) -> FloatArray:
        moved = np.repeat(x, len(embeddings), axis=0)
        moved[:, : model.wording.width] = model.wording.scaled(embeddings)
        return np.asarray(model.heads(moved).score, dtype=np.float64)

    return score, np.asarray(span.block(EMBEDDING)[row], dtype=np.float64)


def _slope(score: Score, at: FloatArray, spread: float) -> FloatArray:
    """Gradient of a score at one vector by central differences, (k,)."""
    step = STEP * spread * np.eye(len(at))
    up, down = np.split(score(np.concatenate([at + step, at - step])), 2)
    return np.asarray((up - down) / (2.0 * STEP * spread), dtype=np.float64)


def _shared(engine: TextEngine, text: str, readout: FloatArray) -> _Words:
    """What each word of a text adds to ``vector @ readout``."""
    from glassbox_bt.modules._text_attribution import gradients_of_pieces, word_attributions

    method = METHODS.get(engine.name, GRADIENTS)
    first = np.array([one.start() for one in WORD.finditer(text)], dtype=np.int64)
    weights = np.zeros(len(first))
    if method == GRADIENTS:
        shares, starts = gradients_of_pieces(engine, text, readout)
        mine = starts >= 0  # special pieces stand for no word and add nothing
        place = np.searchsorted(first, starts[mine], side="right") - 1
        np.add.at(weights, place, shares.shares[0].sum(axis=1)[mine])
        return _Words(method, weights, float(shares.change[0]), float(weights.sum() - shares.change[0]))
    found = word_attributions(engine, text, readout, "lexicon" if method == "lexicon" else "occlusion")
    place = np.searchsorted(first, [one.start for one in found], side="right") - 1
    np.add.at(weights, place.astype(np.int64), [one.weight for one in found])
    change = float(engine.encode([text])[0].astype(np.float64) @ readout)  # a text without words has the vector zero
    return _Words(method, weights, change, float(weights.sum() - change) if method == "lexicon" else None)


def _fit_row(chunk: int, picked: pd.DataFrame, words: Sequence[_Words]) -> Row:
    errors = [error for error in map(_completeness_error, words) if error is not None]
    methods = sorted({one.method for one in words})
    return {
        "chunk": chunk,
        "n_examples": len(picked),
        "method": methods[0] if len(methods) == 1 else None,
        "largest_completeness_error": max(errors) if errors else None,
    }


def _completeness_error(words: _Words) -> float | None:
    """The gap as a share of all absolute weight, at least 0; None where nothing is claimed."""
    total = float(np.abs(words.weights).sum())
    return None if words.gap is None or total == 0.0 else round(abs(words.gap) / total, 6)


def _example(row: Mapping[Any, Any], words: _Words, chunk: int) -> Row:
    weights = np.round(words.weights, 9)
    score, raw, confidence = (round(float(row[name]), 6) for name in SCORES)
    stamp = f"{row['published_at']:%Y-%m-%d %H:%M}" if row["has_time"] else f"{row['day']:%Y-%m-%d}"
    quoted = quoted_words(str(row["body"]), weights)
    return {
        "chunk": chunk,
        "split": TEST,
        "ticker": str(row["ticker"]),
        "session": f"{row['date']:%Y-%m-%d}",
        "published_at": stamp,
        "has_time": bool(row["has_time"]),
        **{name: _named(row[name]) for name in PROVENANCE},
        "score": score,
        "score_raw": raw,
        "confidence": confidence,
        "confidence_half": str(row["half"]),
        "class": ("negative", "neutral", "positive")[int(row[CLASS]) + 1],
        "method": words.method,
        "change": round(words.change, 9),
        "gap": None if words.gap is None else round(words.gap, 9),
        "completeness_error": _completeness_error(words),
        "weights": weights.tolist(),
        "n_words": len(weights),
        **quoted,
    }


def _named(value: Any) -> str | int:
    return str(value) if isinstance(value, str) else int(value)


def quoted_words(text: str, weights: AnyArray) -> Row:
    """The `MOST_WORDS` words in a row with the most absolute weight, the first of equals.

    Each has its ``share`` of all absolute weight of the text, with its sign, and a ``level`` from -2 to 2: at least two
    thirds or one third of the largest of the text, else 0. ``begins`` and ``ends`` say whether the quotation reaches the
    ends of the text. Weights of another text than this are not used: then every share is unknown.
    """
    words = WORD.findall(text)
    sizes = np.abs(np.asarray(weights, dtype=np.float64)) if len(weights) == len(words) else np.zeros(len(words))
    total, largest = float(sizes.sum()), float(sizes.max(initial=0.0))
    width = min(MOST_WORDS, len(words))
    before = np.concatenate([[0.0], np.cumsum(sizes)])
    sums = np.round(before[width:] - before[: len(before) - width], 12)
    start = int(np.argmax(sums))
    quoted = []
    for at in range(start, start + width):
        sign = 0.0 if total == 0.0 else float(np.sign(weights[at]))
        level = 0 if total == 0.0 else int(sign) * min(2, int(3.0 * sizes[at] / largest))
        share = None if total == 0.0 else round(sign * float(sizes[at]) / total, 6)
        quoted.append({"word": _shown(words[at]), "share": share, "level": level})
    return {"words": quoted, "begins": start == 0, "ends": start + width == len(words)}


def _shown(word: str) -> str:
    """A word of untrusted text: no address that could be followed, no invisible signs, of bounded length."""
    if LINK.search(word):
        return "(link)"
    seen = "".join(sign for sign in unicodedata.normalize("NFC", word) if not unicodedata.category(sign).startswith("C"))
    cut = seen if len(seen) <= LONGEST else f"{seen[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    return cut or "(sign)"
