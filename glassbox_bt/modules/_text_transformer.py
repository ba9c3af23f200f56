"""Language models of the BERT kind, by name or by folder: text in, pooled last hidden layer out.

1. The files are looked for on this machine only: a folder, or the cache of the Hugging Face hub. Nothing is downloaded.
2. Texts become word pieces. Those that do not fit into the model are cut at its maximum, and how many is told.
3. Texts of like length share a block of fixed shape (`LENGTHS`, `rows_of`), zero-padded in both directions, on one thread:
   the vector of a text is the same bits whatever else is read with it (R13).
4. The mean over a text's word pieces is its vector; folders of sentence-transformers may ask for the first piece instead,
   or for vectors of length one.
5. A classifier of positive, negative and neutral tells the mood in the same pass: P(positive) - P(negative).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from logging import ERROR
from pathlib import Path
from typing import Any

import numpy as np

from glassbox_bt.errors import InputError
from glassbox_bt.modules._text_cache import Readings
from glassbox_bt.runs.artefacts import digest_array, digest_json
from glassbox_bt.types import AnyArray, IntArray

__all__ = ["MOODS", "TransformerReader", "found_model", "rows_of"]

VERSION = 2  # raise it when the numbers of a reading change
READ = (".json", ".txt", ".model", ".safetensors", ".bin")  # files that decide the numbers
MOODS = ("negative", "neutral", "positive")
LENGTHS = (*range(8, 32, 4), *range(32, 64, 8), *range(64, 128, 16), *range(128, 8192, 64))
PIECES = 512  # word pieces of a block: as fast as any larger one on one core (docs/decisions/0036)
SLAB = 16_384  # texts that are put in order of length together
GROUP = 256  # texts that are handed on together


def rows_of(length: int) -> int:
    """Rows of a block whose texts are padded to that many word pieces."""
    return max(1, PIECES // length)


def found_model(name: str) -> Path:
    """The folder of a model; `InputError` with the command that fetches it where this machine does not have it."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~", "models/")) or name.count("/") > 1:
        raise InputError(
            f"There is no text model in the folder {name}. Fetch one, for example with `hf download ProsusAI/finbert "
            f"--local-dir {name}`, or choose another `engine`."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    short = f"models/{Path(name).name}"
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise InputError(
            f"The text model `{name}` is not on this machine. Fetch it with `hf download {name}`, or into a folder with "
            f'`hf download {name} --local-dir {short}` and set engine = "{short}".'
        ) from None


@dataclass(frozen=True, eq=False)
class TransformerReader:
    """One model in a folder.

    Parameters
    ----------
    name : str
        As the plan has it.
    folder : Path
        Configuration, tokeniser and weights.
    pinned : str
        sha256 that ``model.safetensors`` must have; empty: any.
    weights : Mapping[str, AnyArray] or None
        Adapted weights of the encoder in place of the folder's; such a reader has no notion of mood, because the head that
        tells it was trained on the encoder as it was.
    """

    name: str
    folder: Path
    pinned: str = ""
    weights: Mapping[str, AnyArray] | None = None
    stored: bool = True  # slow enough to be worth a cache

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's own description of itself."""
        config: dict[str, Any] = _json(self.folder / "config.json")
        if "model_type" not in config:
            raise InputError(
                f"`{self.name}` has no config.json of a transformers model in {self.folder}. Fetch all of its files, for "
                f"example with `hf download ProsusAI/finbert --local-dir {self.folder}`."
            )
        return config

    @cached_property
    def width(self) -> int:
        """Numbers in a vector."""
        width = self.config.get("hidden_size", self.config.get("dim"))
        if not isinstance(width, int):
            raise InputError(
                f"`{self.name}` states no `hidden_size` in its config.json: it is not a model of the BERT kind. Choose "
                "another `engine`."
            )
        return width

    @cached_property
    def has_polarity(self) -> bool:
        """Whether it is a classifier of moods, as FinBERT is."""
        labels = {str(one).lower() for one in self.config.get("id2label", {}).values()}
        heads = self.config.get("architectures") or [""]
        return self.weights is None and labels == set(MOODS) and "SequenceClassification" in heads[0]

    @cached_property
    def base_digest(self) -> str:
        """sha256 over the files of the folder and how they are read."""
        files = sorted(
            path
            for path in (*self.folder.glob("*"), *self.folder.glob("1_Pooling/*"))
            if path.is_file() and path.suffix in READ and not path.name.startswith(".")
        )
        sums = {str(path.relative_to(self.folder)): _sha256(path) for path in files}
        if not any(name.endswith((".safetensors", ".bin")) for name in sums):
            raise InputError(
                f"`{self.name}` has no weights in {self.folder}: no *.safetensors and no *.bin. Fetch all of its files."
            )
        if self.pinned and sums.get("model.safetensors") != self.pinned:
            raise InputError(
                f"The weights of `{self.name}` in {self.folder} have sha256 {sums.get('model.safetensors')}, not "
                f"{self.pinned} as they should. Install the package again from the index, or choose another `engine`."
            )
        return digest_json({"files": sums, "version": VERSION, "libraries": _libraries()})

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, tokeniser, versions of libraries and of this code."""
        if self.weights is None:
            return self.base_digest
        return digest_json([self.base_digest, {name: digest_array(one) for name, one in self.weights.items()}])

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Tokeniser, and model in evaluation mode."""
        import torch

        _ = self.base_digest  # refuses wrong files before anything is made of them
        tokeniser, model = loaded_model(self.name, self.folder, "mood" if self.has_polarity else "encoder")
        if self.weights is not None:
            given = {name: torch.from_numpy(np.array(one)) for name, one in self.weights.items()}
            missing, strange = model.load_state_dict(given, strict=False)
            if strange or any(not name.startswith("pooler.") for name in missing):  # a pooler is not read
                raise InputError(f"The adapted weights do not belong to `{self.name}`: {[*strange, *missing][:3]} differ.")
        return tokeniser, model.eval()

    @cached_property
    def limit(self) -> int:
        """Most word pieces of a text, the special ones included."""
        tokeniser, _ = self.loaded
        positions = int(self.config.get("max_position_embeddings", 512))
        offset = int(self.config.get("pad_token_id", 0)) + 1 if "roberta" in self.config["model_type"] else 0
        return int(min(tokeniser.model_max_length, positions - offset))

    @cached_property
    def first_piece(self) -> bool:
        """Whether the first word piece stands for the text, as some folders of sentence-transformers ask for."""
        return bool(_json(self.folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token", False))

    @cached_property
    def unit_length(self) -> bool:
        """Whether vectors are scaled to length one, as folders of sentence-transformers may ask for."""
        steps = _json(self.folder / "modules.json")
        return any(str(one.get("type", "")).endswith("Normalize") for one in (steps if isinstance(steps, list) else []))

    def read(self, texts: Sequence[str]) -> Iterator[tuple[IntArray, Readings]]:
        """Positions of some texts, and what was made of them, until all are done."""
        for first in range(0, len(texts), SLAB):
            for positions, readings in self.read_pieces(*self.pieces(texts[first : first + SLAB])):
                yield positions + first, readings

    def read_pieces(self, pieces: Sequence[Sequence[int]], cut: IntArray) -> Iterator[tuple[IntArray, Readings]]:
        """The same of a slab of texts in word pieces, special ones included; ``cut`` says how many each has lost."""
        n_pieces = np.array([len(one) for one in pieces], dtype=np.int64)
        lengths = np.minimum(np.array(LENGTHS)[np.searchsorted(LENGTHS, n_pieces)], self.limit)
        waiting: list[tuple[IntArray, Readings]] = []
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            for first in range(0, len(rows), rows_of(int(length))):
                picked = rows[first : first + rows_of(int(length))]
                vectors, mood = self._block([pieces[row] for row in picked], int(length))
                waiting.append((picked, Readings(vectors, mood, cut[picked])))
                if sum(len(one) for one, _ in waiting) >= GROUP:
                    yield _joined(waiting)
                    waiting = []
        if waiting:
            yield _joined(waiting)

    def pieces(self, texts: Sequence[str]) -> tuple[list[list[int]], IntArray]:
        """Numbers of the word pieces of each text, special ones included, and how many were cut off."""
        tokeniser, _ = self.loaded
        asked = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        whole = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates are question marks
        found: list[list[int]] = tokeniser(whole, **asked)["input_ids"]
        cut = np.array([max(0, len(one) - self.limit) for one in found], dtype=np.int64)
        for row in np.flatnonzero(cut).tolist():
            found[row] = tokeniser(whole[row], truncation=True, max_length=self.limit, **asked)["input_ids"]
        return found, cut

    def _block(self, pieces: Sequence[Sequence[int]], length: int) -> tuple[AnyArray, AnyArray]:
        """Vectors and moods of a few texts, in a block of the shape that belongs to the length."""
        import torch

        from glassbox_bt.modules._blocks import deterministic

        tokeniser, model = self.loaded
        tokens = np.full((rows_of(length), length), tokeniser.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros(tokens.shape, dtype=np.int64)
        mask[:, 0] = 1  # a row of padding attends to something, so that it is finite
        for row, one in enumerate(pieces):
            tokens[row, : len(one)], mask[row, : len(one)] = one, 1
        with deterministic("cpu"), torch.inference_mode():
            given = {"input_ids": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
            said = model(**given, output_hidden_states=self.has_polarity)
            hidden = said.hidden_states[-1] if self.has_polarity else said.last_hidden_state
            vectors = self.pooled(hidden, given["attention_mask"])[: len(pieces)].float().numpy()
            moods = self._moods(said.logits[: len(pieces)]) if self.has_polarity else np.full(len(pieces), np.nan)
        if not np.isfinite(vectors).all():
            raise InputError(f"`{self.name}` made numbers that are not finite: its weights in {self.folder} are damaged.")
        return vectors, moods

    def pooled(self, hidden: Any, mask: Any) -> Any:
        """The vector of each text from the last hidden layer, a tensor (n_texts, width)."""
        share = mask.unsqueeze(-1).to(hidden.dtype)
        vectors = hidden[:, 0] if self.first_piece else (hidden * share).sum(dim=1) / share.sum(dim=1).clamp(min=1.0)
        return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12) if self.unit_length else vectors

    def _moods(self, logits: Any) -> AnyArray:
        labels = {str(label).lower(): int(number) for number, label in self.config["id2label"].items()}
        chances = logits.double().softmax(dim=-1).numpy()
        moods: AnyArray = chances[:, labels["positive"]] - chances[:, labels["negative"]]
        return moods


def loaded_model(name: str, folder: Path, kind: str) -> tuple[Any, Any]:
    """Tokeniser and model of a folder; ``kind`` is ``encoder``, ``mood`` (with its classifier) or ``masked`` (to adapt)."""
    import transformers
    from safetensors import SafetensorError

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one thread, as everywhere
    made = {
        "encoder": transformers.AutoModel,
        "mood": transformers.AutoModelForSequenceClassification,
        "masked": transformers.AutoModelForMaskedLM,
    }[kind]
    try:
        with _quiet():
            # "[SEP]" in a text is five characters that somebody wrote, not the end of a text
            tokeniser = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, split_special_tokens=True)
            return tokeniser, made.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as wrong:
        why = str(wrong).strip().splitlines()[0]
        raise InputError(
            f"The text model `{name}` in {folder} cannot be read: {why} Fetch all of its files again, or choose another "
            "`engine`."
        ) from wrong


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and the notes on unused heads that transformers writes to the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _joined(parts: Sequence[tuple[IntArray, Readings]]) -> tuple[IntArray, Readings]:
    readings = [one for _, one in parts]
    return np.concatenate([rows for rows, _ in parts]), Readings(
        np.concatenate([one.vectors for one in readings]),
        np.concatenate([one.polarity for one in readings]),
        np.concatenate([one.cut for one in readings]),
    )


def _json(path: Path) -> Any:
    """What a JSON file says; an empty mapping where there is none."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as wrong:
        raise InputError(f"{path} is not valid JSON ({wrong}). Fetch the model's files again.") from wrong


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "tokenizers")}
