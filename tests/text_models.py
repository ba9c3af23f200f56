"""Models of the BERT kind, small enough to be made in a test and saved as a download would lie there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification, BertModel, BertTokenizerFast
from transformers.utils import logging

__all__ = ["WORDS", "finbert_sized", "sentences", "tiny_bert", "tiny_classifier"]

WORDS = (
    *("profit", "loss", "guidance", "lawsuit", "record", "weak", "demand", "merger", "strike", "dividend", "plant", "chief"),
    *("shares", "rose", "fell", "sharply", "after", "the", "company", "raised", "cut", "its", "outlook", "for", "year"),
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = (*"abcdefghijklmnopqrstuvwxyz0123456789$.,", *(f"##{one}" for one in "abcdefghijklmnopqrstuvwxyz0123456789"))
LABELS = {0: "positive", 1: "negative", 2: "neutral"}  # FinBERT's order
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def tiny_bert(folder: Path, *, words: Sequence[str] = WORDS, seed: int = 0, positions: int = 64, head: bool = False) -> Path:
    """A model of two layers and width 32 with random weights; ``head``: with one that guesses masked words."""
    kind = BertForMaskedLM if head else BertModel
    return _saved(kind, folder, words, seed=seed, positions=positions)


def tiny_classifier(folder: Path, *, words: Sequence[str] = WORDS, seed: int = 0, positions: int = 64) -> Path:
    """The same with a classifier of positive, negative and neutral on it, as FinBERT has."""
    return _saved(BertForSequenceClassification, folder, words, seed=seed, positions=positions, id2label=LABELS)


def finbert_sized(folder: Path) -> Path:
    """A classifier of FinBERT's shape (12 layers, width 768) with random weights, for speed alone."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    return _saved(BertForSequenceClassification, folder, positions=512, id2label=LABELS, sizes=sizes)


def sentences(n_texts: int, seed: int = 0, words: Sequence[str] = WORDS) -> list[str]:
    """Distinct texts of 1 to 30 of the words."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int) -> int:
        return int(torch.randint(0, high, (1,), generator=generator))

    found: dict[str, None] = {}
    while len(found) < n_texts:
        found[" ".join(words[draw(len(words))] for _ in range(1 + draw(30)))] = None
    return list(found)


def _saved(
    kind: type,
    folder: Path,
    words: Sequence[str] = WORDS,
    *,
    seed: int = 0,
    positions: int = 64,
    id2label: dict[int, str] | None = None,
    sizes: Mapping[str, int] = TINY,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *LETTERS, *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokeniser = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=positions)
    (folder / "vocab.txt").unlink()
    more = {} if id2label is None else {"id2label": id2label, "label2id": {name: i for i, name in id2label.items()}}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=positions, **sizes, **more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config)
        std = 0.4 * (TINY["hidden_size"] / sizes["hidden_size"]) ** 0.5  # weights of 0.02 would make all texts alike
        for name, one in model.named_parameters():
            if one.ndim == 2 and "LayerNorm" not in name:
                torch.nn.init.normal_(one, std=std)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokeniser.save_pretrained(folder)
    if bars:
        logging.enable_progress_bar()
    return folder
