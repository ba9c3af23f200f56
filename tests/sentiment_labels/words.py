"""The README of reports/sentiment_labels, written from its tables and manifest alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

__all__ = ["Named", "told"]


class Named(Protocol):
    """A method as the README names it."""

    @property
    def name(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def told(self) -> str: ...


def told(tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any], asked: Sequence[Named]) -> str:
    """The whole page."""
    sizes, settings = tables["groups"], manifest["settings"]
    many = sizes[sizes["sentences_in_group"] > 1]
    return README.format(
        n=f"{manifest['n_sentences']:,}",
        n_agree=f"{manifest['n_all_agree']:,}",
        labels=", ".join(f"{count:,} {name}" for name, count in manifest["n_labels"].items()),
        n_groups=f"{manifest['n_groups']:,}",
        n_many=int(many["groups"].sum()),
        n_within=int((many["groups"] * many["sentences_in_group"]).sum()),
        largest=int(sizes["sentences_in_group"].max()),
        sha=manifest["labels"]["sha256"][:12],
        n_folds=settings["n_folds"],
        n_boot=f"{settings['n_boot']:,}",
        level=f"{settings['level']:.0%}",
        held=settings["hold_out_parts"],
        n_bins=settings["n_bins"],
        cutoff=manifest["knowledge_cutoff"] or "a day that is not known",
        methods="\n".join(f"- **{one.name}** (engine: {one.engine}): {one.told}." for one in asked),
        tuning=_tuning(tables["folds"], settings["fine_tuning"]),
        all=_scores(tables["table"], "all"),
        agree=_scores(tables["table"], "all agree"),
        differences=_differences(tables["differences"]),
        classes=_classes(tables["classes"]),
        calibration=_calibration(tables["table"]),
        engines="\n".join(f"- {name}: `{digest[:16]}`" for name, digest in manifest["engines"].items()),
    )


def _scores(table: pd.DataFrame, sample: str) -> str:
    rows = _rows(table[table["sample"] == sample])
    cells = [
        [
            row["method"],
            row["engine"],
            *(cell for name in ("accuracy", "macro_f1") for cell in (_figure(row, name), _range(row, name))),
            row["source"],
        ]
        for row in rows
    ]
    return _table(["method", "engine", "accuracy", "its interval", "macro-F1", "its interval", "source"], cells)


def _differences(table: pd.DataFrame) -> str:
    cells = [
        [
            row["sample"],
            f"{row['method']} ({row['engine']})",
            f"{row['against']} ({row['against_engine']})",
            *(cell for name in ("accuracy", "macro_f1") for cell in (f"{row[name]:+.3f}", _range(row, name, "+"))),
        ]
        for row in _rows(table)
    ]
    return _table(["sample", "method", "less", "accuracy", "its interval", "macro-F1", "its interval"], cells)


def _classes(table: pd.DataFrame) -> str:
    cells = [
        [
            row["method"],
            row["engine"],
            row["class"],
            *("none" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in ("precision", "recall", "f1")),
            f"{row['n']:,}",
        ]
        for row in _rows(table[table["sample"] == "all"])
    ]
    return _table(["method", "engine", "class", "precision", "recall", "F1", "sentences"], cells)


def _calibration(table: pd.DataFrame) -> str:
    figures = ("mean_confidence", "accuracy", "ece", "ece_by_chance")
    cells = [
        [row["sample"], row["method"], row["engine"], *(f"{row[name]:.3f}" for name in figures)]
        for row in _rows(table[table["ece"].notna()])
    ]
    return _table(["sample", "method", "engine", "mean probability", "accuracy", "error", "by chance"], cells)


def _tuning(folds: pd.DataFrame, settings: Mapping[str, Any]) -> str:
    """A point of the protocol."""
    fixed = (
        f"- Fine-tuning: all weights, AdamW, peak rate {settings['learning_rate']:g}, batches of {settings['batch_size']}, "
        f"at most {settings['epochs']} epochs. "
    )
    return textwrap.fill(fixed + _stopping(folds, settings["epochs"]), 122, subsequent_indent="  ")


def _stopping(folds: pd.DataFrame, epochs: int) -> str:
    if "best_epoch" not in folds:
        return "Fine-tuning was not run."
    trained = folds[folds["best_epoch"].notna()]
    best = ", ".join(f"{epoch:.0f}" for epoch in trained["best_epoch"])
    last = int((trained["best_epoch"] == epochs).sum())
    before, after = trained["holdout_loss_0"].mean(), trained[_losses(trained)].min(axis=1).mean()
    return (
        f"The hold-out chose the weights after epoch {best} in the folds in turn (0 is the frozen encoder with its logit); "
        f"its mean log loss went from {before:.3f} to {after:.3f}. In {last} of {len(trained)} folds that was the last "
        "epoch, with the loss still falling: their number was set by what one core can do in half an hour, and more may do "
        f"better. Sentences cut for length: {trained['n_cut'].max():.0f}."
    )


def _losses(folds: pd.DataFrame) -> list[str]:
    return [name for name in folds.columns if str(name).startswith("holdout_loss_")]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _figure(row: Mapping[str, Any], name: str) -> str:
    """A published figure has two digits."""
    return f"{row[name]:.3f}" if row["source"] == "measured here" else f"{row[name]:.2f}"


def _range(row: Mapping[str, Any], name: str, sign: str = "") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "none given" if pd.isna(low) else f"{low:{sign}.3f} to {high:{sign}.3f}"


def _rows(cells: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in cells.to_dict("records")]


README = """# Do the engines read financial sentences as people do?

Made by `OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m tests.sentiment_labels.study --out reports/sentiment_labels`
(`--labels FILE` names the sentences, `--engine` another encoder). Every figure here comes from the CSV files of this folder;
`manifest.json` has the digests of data, code and engines.

## Question

How often does each way of reading a sentence of financial news give the label that people gave it: negative, neutral or
positive for the share price of the company in question? The answer says what an engine can be trusted with before it is
asked about returns, where the truth is noisy.

## Data

Financial PhraseBank (Malo, Sinha, Korhonen, Wallenius and Takala 2014): English sentences on Finnish companies, labelled by
16 annotators, in the version where at least half agree. Used here is a development part of {n} sentences
({labels}); all annotators agree on {n_agree} of them. Another part, set aside
as a test, is not here and was not used. File digest `{sha}…`.

Licence of the sentences: CC BY-NC-SA 3.0, not for commercial use. No sentence is in this folder or in the repository.

## Protocol

- Near-duplicates are one group: equal but for figures; same first 60 letters; or at least half of their words and word pairs
  in common (Jaccard), also by way of a third sentence. The {n} sentences make {n_groups} groups; {n_many} of these hold two
  sentences or more, {n_within} sentences in all, the largest {largest} (earnings reports that differ in names and figures).
- {n_folds} folds, stratified by label, groups whole. Each method learns on all but one and answers that one; every sentence
  is answered once, by a fit that saw neither it nor a near-duplicate.
- Settings were fixed before any score of this table was seen. The logit's penalty is chosen by cross-validation inside the
  training folds, the epoch of fine-tuning by a hold-out of one {held}th of them (so it learns from fewer sentences than the
  other methods). A first trial on 300 of the sentences, to time it, showed that a dead column of the encoder kept training
  from moving; that was mended, and then running time alone set epochs, batch and the range of penalties.
{tuning}
- Intervals ({level}): {n_boot} draws of whole groups, with replacement; two methods on the same draws. They hold the fitted
  classifiers fixed, so they do not show how much other training sentences would have changed them.
- "All agree" are the same answers on the sentences where all annotators agree; nothing was fitted anew.

The methods:

{methods}

Engines by digest:

{engines}

## All sentences

{all}

## Sentences on which all annotators agree

{agree}

The published rows are those of Araci (2019), "FinBERT: Financial Sentiment Analysis with Pre-trained Language Models",
https://arxiv.org/abs/1908.10063, page 6; the figures of the full set also at
https://www.paperswithcode.com/paper/finbert-financial-sentiment-analysis-with-pre. They were taken from that index and from
notes on the paper, not from the paper itself. FinBERT learned from this very set, which is why it is never scored on it
here. Its figures come from another split: they stand beside, not in, the comparison.

## Differences between methods, on the same sentences

An interval without 0 is a difference that the choice of sentences does not explain. They are not corrected for being many.

{differences}

## By class

{classes}

`confusion.csv` has label against answer for each method, `folds.csv` the scores by fold and what was chosen there.

## Do stated probabilities come true?

{n_bins} bins of equally many sentences by the largest probability (`calibration.csv`). The error is the mean distance
between stated probability and share of right answers; "by chance" is what a perfectly calibrated method with the same
probabilities stays below in 95% of samples. The lexicon rule states no probabilities.

{calibration}

## What this does not show

- That a label is right about the market: annotators were asked for the expected influence on a price, nobody looked at one.
- How the engines do on tweets, on headlines, on American filings or in later years: these sentences are about Finnish
  companies, in tokenised spelling, from years before the set was published.
- How FinBERT would do on sentences that it has not seen.
- What the encoder has seen: it may have learned from text up to {cutoff}, in which some of these sentences may be,
  without their labels.
- A final test: these folds are for development. Whoever changes a method after reading this page has used them up.
"""
