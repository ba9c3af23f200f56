"""Fits every module of the stack in one chunk and answers its days out of fold (R3, R4).

1. Modules are taken in the order of their reads (`decision.stack.order`).
2. A *rule* answers every day: it knows nothing but its window.
3. A *self-supervised encoder* is fitted once on train; on train its answers are in sample, and marked so.
4. A *learned module of layer l* is fitted on train blocks l..k-1 to answer block k, and on l..5 to answer validation and
   test. Its rank scale is then frozen on those out-of-fold answers (R14), and so is the calibration of a module that has
   ``with_outcomes(answers, labels)``: on what came of them by the end of train.
5. Each fit and each run of answers is an artefact whose key holds the digest of everything that was handed over (`digests`).
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from glassbox_bt.decision.stack import layer_of, order
from glassbox_bt.errors import TrainingError
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, Module, ModuleState
from glassbox_bt.runs.artefacts import ArtefactStore, Made, code_digest, digest_array, digest_json, library_versions
from glassbox_bt.runs.engine import Progress
from glassbox_bt.types import IntArray, Read
from glassbox_bt.walkforward.answers import ModuleAnswers, Part, load_part, save_part, silent_column
from glassbox_bt.walkforward.chunks import N_BLOCKS, ChunkDays
from glassbox_bt.walkforward.tables import answers_table, write_table

__all__ = ["ChunkFitter", "FitRecord", "digests", "load_fitted", "save_fitted"]

MIN_FOLD_SESSIONS = 80  # with members; fewer leave no rows beside a purged hold-out, so the block they would answer abstains
PAGE = 756  # sessions answered at a time; bounds memory, changes no number


@dataclass(frozen=True, slots=True)
class FitRecord:
    """What the manifest says about one module in one chunk."""

    module: str
    chunk: int
    seconds: float
    fits: tuple[Mapping[str, Any], ...]  # fold, digest, cached, fitted_through
    parts: tuple[Mapping[str, Any], ...]  # split, path, digest, cached
    frozen: str  # path of the fit that answers validation and test


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit: the train days it knows and the runs of days it answers."""

    number: int
    train: IntArray
    runs: tuple[tuple[str, IntArray], ...]
    final: bool


@dataclass(slots=True)
class ChunkFitter:
    """Answers of all modules in one chunk; ``answers`` and ``columns`` grow as modules are taken in turn."""

    store: MarketStore
    stack: Mapping[str, Module]
    days: ChunkDays
    artefacts: ArtefactStore
    seed: int
    silent: tuple[str, ...] = ()
    device: str = "cpu"
    answers: dict[str, ModuleAnswers] = field(default_factory=dict)
    columns: dict[str, AnswerColumn] = field(default_factory=dict)
    fitted: dict[str, FittedModule] = field(default_factory=dict)
    tables: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def assets(self) -> IntArray:
        """Names that were members at some time in the chunk: the asset axis of its answers."""
        return self.store.assets_until(self.days.first, self.days.last)

    def table(self, module: str, split: str) -> pd.DataFrame:
        """The module's table of one split, as the run folder holds it."""
        return pd.concat([pd.read_parquet(path) for path in self.tables[module, split]], ignore_index=True)

    def run(self, progress: Progress) -> list[FitRecord]:
        """Fit and answer the whole stack, lowest layer first."""
        names = order(self.stack, self.silent)
        records = []
        for i, name in enumerate(names):
            label = f"chunk {self.days.number} {name}"
            progress(label, i / len(names))

            def told(share: float, i: int = i, label: str = label) -> None:
                progress(label, (i + share) / len(names))

            records.append(self.take(name, told))
        progress(f"chunk {self.days.number} answered", 1.0)
        return records

    def take(self, name: str, progress: Callable[[float], None]) -> FitRecord:
        """Fit one module, answer its days and offer its columns to those above."""
        started, module = time.perf_counter(), self.stack[name]
        self._offer_silent(module.reads)
        fits: list[Mapping[str, Any]] = []
        parts: list[tuple[str, Part, Made]] = []
        folds = list(self.schedule(name))
        for i, fold in enumerate(folds):
            try:
                fit = self._fit(module, fold, lambda share, i=i: progress((i + share) / len(folds)))  # type: ignore[misc]
            except TrainingError as failed:
                if fold.final:
                    raise
                self.skipped.append(
                    f"chunk {self.days.number}, {name}: train block {fold.number + 1} is not answered: {failed}"
                )
                continue
            if fold.final and module.learns_from and parts:
                fit = self._freeze(module, fit, [(part, made) for _, part, made in parts])
            fitted = load_fitted(module, fit.path)
            through = int(fold.train[-1]) if len(fold.train) else -1
            fits.append({"fold": fold.number, "digest": fit.digest, "cached": fit.cached, "fitted_through": through})
            for split, days in fold.runs:
                for page in _pages(days):
                    made = self._answer(module, fitted, fit, page, through, split)
                    parts.append((split, load_part(made.path), made))
                    if split != "lead":
                        self.tables.setdefault((name, split), []).append(made.path / "table.parquet")
        self.fitted[name] = fitted
        self._offer(name, module, [part for _, part, _ in parts])
        return FitRecord(
            name,
            self.days.number,
            round(time.perf_counter() - started, 3),
            tuple(fits),
            tuple({"split": s, "path": str(m.path), "digest": m.digest, "cached": m.cached} for s, _, m in parts),
            str(fit.path),
        )

    def schedule(self, name: str) -> Iterator[Fold]:
        """Which train days each fit knows and which days it answers; the last fit answers validation and test."""
        module, days = self.stack[name], self.days
        final = (
            *self._gap(name, days.train, days.val),
            ("val", days.val),
            *self._gap(name, days.val, days.test),
            ("test", days.test),
        )
        if not module.learns_from:
            known = days.train if module.self_supervised else days.train[:0]
            lead = np.arange(max(days.first - self._lead(name), 0), days.first, dtype=np.int64)
            yield Fold(0, known, (("lead", lead), ("train", days.train), *final), final=True)
            return
        layer, blocks = layer_of(self.stack, self.silent)[name], days.blocks
        for k in range(layer, N_BLOCKS):
            known = np.concatenate(blocks[layer - 1 : k])
            if np.count_nonzero(self.store.member[known].any(axis=1)) >= MIN_FOLD_SESSIONS:
                yield Fold(k, known, (("train", blocks[k]),), final=False)
        yield Fold(N_BLOCKS, np.concatenate(blocks[layer - 1 :]), final, final=True)

    def train_view(self, module: Module, train: IntArray) -> TrainView:
        """What a fit on ``train`` is handed."""
        assets = self.store.assets_until(self.days.first, int(train[-1]))
        return self.store.train_view(train, module.reads, module.learns_from, assets, self.columns)

    def _fit(self, module: Module, fold: Fold, progress: Callable[[float], None]) -> Made:
        key: dict[str, Any] = {**_identity(module), "device": self.device}
        if not len(fold.train):  # a rule: there is nothing to fit
            return self.artefacts.get_or_make("fits", key, lambda folder: save_fitted(folder, ModuleState()))
        train = self.train_view(module, fold.train)
        key["stream"] = [self.seed, module.name, self.days.number, fold.number]
        key["inputs"] = digests(train)
        digest = digest_json(key)

        def make(folder: Path) -> None:
            place = self.artefacts.checkpoints(digest)
            ctx = FitContext(self.seed, module.name, self.days.number, fold.number, self.device, place, progress)
            save_candidate(folder, module.select(module.fit(train, ctx), None), place)

        made = self.artefacts.get_or_make("fits", key, make)
        self.artefacts.forget_checkpoints(digest)
        return made

    def _freeze(self, module: Module, fit: Made, parts: Sequence[tuple[Part, Made]]) -> Made:
        """The final fit with its rank scale, and a calibration if it has one, frozen on the out-of-fold answers of train."""
        fitted = load_fitted(module, fit.path)
        refer, learn = getattr(fitted, "with_reference", None), getattr(fitted, "with_outcomes", None)
        if refer is None:
            return fit
        key: dict[str, Any] = {
            "fit": fit.digest,
            "reference": [made.digest for _, made in parts],
            "code": code_digest(type(module).__module__),
        }
        days = self._train_days(parts)
        labels = self.store.train_view(days, (), module.learns_from, self.assets).labels if learn else {}
        if learn:
            key["outcomes"] = {name: digest_array(values) for name, values in labels.items()}

        def make(folder: Path) -> None:
            shutil.copytree(fit.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("key.json"))
            given = [part for part, _ in parts]
            oof = ModuleAnswers.assemble(module.name, days, self.assets, given, in_sample=False).on(days)
            ranked = refer(oof)
            save_fitted(folder, (ranked.with_outcomes(oof, labels) if learn else ranked).state())

        return self.artefacts.get_or_make("frozen", key, make)

    @staticmethod
    def _train_days(parts: Sequence[tuple[Part, Made]]) -> IntArray:
        return np.concatenate([part.answers.days for part, _ in parts])

    def _answer(self, module: Module, fitted: FittedModule, fit: Made, days: IntArray, through: int, split: str) -> Made:
        reach = min(int(days[-1]) + self._lead(module.name), self.days.last)
        assets = self.store.assets_until(self.days.first, reach)
        span = self.store.span(days, module.reads, assets, self.columns)
        key = {"fit": fit.digest, **_identity(module), "split": split, "through": through, "inputs": digests(span)}
        key["table"] = code_digest("glassbox_bt.walkforward.tables")

        def make(folder: Path) -> None:
            answers = fitted.predict_many(span)
            save_part(folder, Part(answers, assets, through))
            if split != "lead":
                write_table(folder / "table.parquet", answers_table(module, span, answers, fitted.explain(span, answers)))

        return self.artefacts.get_or_make("answers", key, make)

    def _offer(self, name: str, module: Module, parts: Sequence[Part]) -> None:
        first = min(int(part.answers.days[0]) for part in parts)
        days = np.arange(first, self.days.last + 1, dtype=np.int64)
        self.answers[name] = ModuleAnswers.assemble(name, days, self.assets, parts, in_sample=module.self_supervised)
        self.columns.update(self.answers[name].columns())

    def _offer_silent(self, reads: Sequence[Read]) -> None:
        for read in reads:
            owner, _, output = read.column.partition(".")
            if owner in self.silent and read.column not in self.columns:
                days = np.arange(self.days.first, self.days.last + 1, dtype=np.int64)
                self.columns[read.column] = silent_column(output, days, self.assets)

    def _gap(self, name: str, before: IntArray, after: IntArray) -> tuple[tuple[str, IntArray], ...]:
        """Days between two parts of the chunk that modules above look back on from the second."""
        first = max(int(before[-1]) + 1, int(after[0]) - self._lead(name))
        return (("lead", np.arange(first, int(after[0]), dtype=np.int64)),) if first < int(after[0]) else ()

    def _lead(self, name: str) -> int:
        """Sessions that modules above look back on in this module's answers."""
        lengths = [r.sessions for m in self.stack.values() for r in m.reads if r.column.partition(".")[0] == name]
        return max(lengths, default=1) - 1


def digests(span: Span) -> dict[str, str]:
    """Content digest of everything a fit or a prediction was handed, by column (R25)."""
    found = {"days": digest_array(span.dates), "tickers": digest_json(span.tickers), "member": digest_array(span.member)}
    found.update({name: digest_array(block) for name, block in span.blocks.items()})
    if isinstance(span, TrainView):
        found.update({f"label {name}": digest_array(values) for name, values in span.labels.items()})
    return found


def save_candidate(folder: Path, candidate: Candidate, checkpoints: Path) -> None:
    """The chosen candidate: frozen state, checkpoints, history and summary of its training."""
    save_fitted(folder, candidate.fitted.state())
    for path in sorted(checkpoints.rglob("*")):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    pd.DataFrame(list(candidate.history)).to_csv(folder / "training_history.csv", index=False)
    summary = {"variant": candidate.variant, **candidate.summary}
    text = json.dumps(summary, indent=1, sort_keys=True, default=str)
    (folder / "training_summary.json").write_text(text, encoding="utf-8")


def save_fitted(folder: Path, state: ModuleState) -> None:
    """Arrays as safetensors, facts as JSON; no pickle."""
    arrays = {name: np.ascontiguousarray(values) for name, values in state.arrays.items()}
    save_file(arrays, str(folder / "frozen.safetensors"))
    (folder / "frozen.json").write_text(json.dumps(state.facts, sort_keys=True, default=str), encoding="utf-8")


def load_fitted(module: Module, folder: Path) -> FittedModule:
    """The fit that `save_fitted` wrote."""
    facts = json.loads((folder / "frozen.json").read_text(encoding="utf-8"))
    return module.restore(ModuleState(load_file(str(folder / "frozen.safetensors")), facts))


def _identity(module: Module) -> dict[str, Any]:
    cls = type(module)
    return {
        "module": module.name,
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "settings": dataclasses.asdict(module),  # type: ignore[call-overload]
        "code": code_digest(cls.__module__),
        "libraries": library_versions(),
    }


def _pages(days: IntArray) -> Iterator[IntArray]:
    for start in range(0, len(days), PAGE):
        yield days[start : start + PAGE]
