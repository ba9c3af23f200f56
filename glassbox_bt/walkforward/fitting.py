"""Fits every module of the stack in one chunk and answers its days out of fold (R3, R4).

1. Modules are taken in the order of their reads (`decision.stack.order`).
2. A *rule* answers every day: it knows nothing but its window.
3. A *self-supervised encoder* is fitted once on train; on train its answers are in sample, and marked so.
4. A *learned module of layer l* is fitted on train blocks l..k-1 to answer block k, and on l..5 to answer validation and
   test. Its rank scale is then frozen on those out-of-fold answers (R14), and so, if the plan wants it, is the calibration
   of a module that has ``with_outcomes(answers, labels)``: on what came of them by the end of train. Or validation decides
   which variant answers test and how it is calibrated (`selection`).
5. Each fit and each run of answers is an artefact whose key holds the digest of everything that was handed over (`digests`).

Ablations: columns of ``blank`` read as missing in every fit and answer. A module named in ``stand_ins`` is replaced in what
the others read, on train days too: a silent one is not fitted, a shuffled or frozen one is fitted and answers as ever
(`stood_in`). Folds stay those of the whole stack. Whoever cannot be fitted without what was taken away abstains.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from glassbox_bt.decision.stack import layer_of, order
from glassbox_bt.errors import TrainingError
from glassbox_bt.market.store import Column, MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import FitContext, FittedModule, Module, ModuleState
from glassbox_bt.modules.stand_ins import Silent
from glassbox_bt.plan import Plan, SelectionPlan, load_stack
from glassbox_bt.runs.artefacts import ArtefactStore, Made, code_digest, digest_array, digest_json
from glassbox_bt.runs.engine import Progress
from glassbox_bt.types import Answers, IntArray, Read
from glassbox_bt.walkforward.answers import Part, load_part, save_part
from glassbox_bt.walkforward.chunks import N_BLOCKS, ChunkDays, chunk_days
from glassbox_bt.walkforward.fits import digests, identity, is_silence, load_fitted, save_candidate, save_fitted, save_others
from glassbox_bt.walkforward.selection import chooses, decided, decides, fit_variant, save_decided
from glassbox_bt.walkforward.stood_in import STOOD_IN_TEXT, refuse_unknown_columns, stood_in
from glassbox_bt.walkforward.tables import answers_table, engine_behind, tables_of, write_table
from glassbox_bt.walkforward.text_answers import TEXT_MODULES, Said, laid_out, silent
from glassbox_bt.walkforward.text_edits import with_text

__all__ = [
    "DECIDED",
    "REJECTED",
    "UNPRINTED",
    "ChunkFitter",
    "FitRecord",
    "Fold",
    "digests",
    "load_fitted",
    "pages",
    "save_fitted",
]

S = TypeVar("S", bound=Span)

MIN_FOLD_SESSIONS = 80  # with members; fewer leave no rows beside a purged hold-out, so the block they would answer abstains
REJECTED = "rejected"  # answers for test of the variant that train chose and validation did not; nobody reads them below
UNPRINTED = ("lead", REJECTED)
DECIDED = N_BLOCKS + 1  # number of the fit that validation decided on
PAGE = 756  # sessions answered at a time; bounds memory, changes no number


@dataclass(frozen=True, slots=True)
class FitRecord:
    """What the manifest says about one module in one chunk."""

    module: str
    chunk: int
    seconds: float
    fits: tuple[Mapping[str, Any], ...]  # fold, digest, cached, fitted_through
    parts: tuple[Mapping[str, Any], ...]  # split, path, digest, cached
    frozen: str  # path of the fit that answers test
    before: str  # path of the fit that answers validation; the same where validation decided nothing


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit: the train days it knows and the runs of days it answers."""

    number: int
    train: IntArray
    runs: tuple[tuple[str, IntArray], ...]
    final: bool


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of one module: its last fits, where they lie, what the record says of its fits, and its answers."""

    fitted: FittedModule
    frozen: Path
    before: Path
    fits: list[Mapping[str, Any]]
    parts: list[tuple[str, Part, Made]]


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
    answers: dict[str, Said] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)
    fitted: dict[str, FittedModule] = field(default_factory=dict)  # what answers test
    before: dict[str, FittedModule] = field(default_factory=dict)  # what answers validation, where that is another fit
    selection: SelectionPlan = field(default_factory=SelectionPlan)
    tables: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    stand_ins: Mapping[str, str] = field(default_factory=dict)  # module to silent, shuffled or frozen
    blank: tuple[str, ...] = ()  # columns that nobody sees
    like: Mapping[str, Said] = field(default_factory=dict)  # a walk of this stack; shapes of what is silent here

    @classmethod
    def of(cls, plan: Plan, number: int, store: MarketStore, artefacts: ArtefactStore, device: str) -> ChunkFitter:
        """The fitter of chunk ``number`` (from 1) of a plan.

        Raises
        ------
        PlanError
            If the plan cannot be used on this market.
        """
        stack = load_stack(plan)
        refuse_unknown_columns(plan, stack, store)
        return cls(
            store=with_text(store, plan.text, plan.seed),
            stack=stack,
            days=chunk_days(store, plan.chunks[number - 1], number),
            artefacts=artefacts,
            seed=plan.seed,
            silent=plan.silent,
            selection=plan.selection,
            device=device,
            stand_ins=plan.stand_ins,
            blank=plan.blank,
        )

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
        started, module = time.perf_counter(), self.speaker(name)
        self._offer_silent(module.reads)
        said_before = len(self.skipped)
        try:
            taken = self._taken(module, progress)
        except TrainingError:
            if not (self.stand_ins or self.blank):
                raise
            words = f"chunk {self.days.number}: {name} cannot be fitted without what was taken away, so it abstains."
            self.skipped[said_before:] = [words]
            module = self._silent(name)
            taken = self._taken(module, progress)
        parts = taken.parts
        if self.stand_ins.get(name, "silent") != "silent":
            parts = self._stood_in(name, module, parts)
        for split, _, made in parts:
            if split not in UNPRINTED:
                self.tables.setdefault((name, split), []).append(made.path / "table.parquet")
        self._remember(name, module, taken.frozen, taken.before)
        self._offer(name, module, [part for split, part, _ in parts if split != REJECTED])
        return FitRecord(
            name,
            self.days.number,
            round(time.perf_counter() - started, 3),
            tuple(taken.fits),
            tuple({"split": s, "path": str(m.path), "digest": m.digest, "cached": m.cached} for s, _, m in parts),
            str(taken.frozen),
            str(taken.before),
        )

    def restore(self, name: str, frozen: Path, before: Path, parts: Sequence[Part]) -> None:
        """Offer what `take` offered when it was made: the last fits and the answers of one module."""
        abstained = (self.stand_ins or self.blank) and is_silence(frozen)
        module = self._silent(name) if abstained else self.speaker(name)
        self._offer_silent(module.reads)
        self._remember(name, module, frozen, before)
        self._offer(name, module, parts)

    def answering(self, name: str, day: int) -> tuple[FittedModule, int]:
        """The fit that answers a day of validation or test, and the last session of its knowledge (-1 for a rule)."""
        module, days = self.stack[name], self.days
        if name in self.before and day > int(days.val[-1]):
            return self.fitted[name], int(days.val[-1])
        learns = module.learns_from or module.self_supervised
        return self.before.get(name, self.fitted[name]), int(days.train[-1]) if learns else -1

    def _remember(self, name: str, module: Module, frozen: Path, before: Path) -> None:
        self.fitted[name] = load_fitted(module, frozen)
        if before != frozen:
            self.before[name] = load_fitted(module, before)

    def speaker(self, name: str) -> Module:
        """The module itself, or the silence that stands in for it."""
        return self._silent(name) if self.stand_ins.get(name) == "silent" else self.stack[name]

    def _silent(self, name: str) -> Module:
        return Silent(name, self.stack[name].outputs, of_text=name in TEXT_MODULES)

    def _taken(self, module: Module, progress: Callable[[float], None]) -> _Taken:
        """Every fit of the module and its answers.

        Raises
        ------
        TrainingError
            The fit that answers validation and test failed; of a block that cannot be answered there is only a note.
        """
        fits: list[Mapping[str, Any]] = []
        parts: list[tuple[str, Part, Made]] = []
        folds = list(self._folds(module))
        for i, fold in enumerate(folds):
            try:
                fit = self._fit(module, fold, lambda share, i=i: progress((i + share) / len(folds)))  # type: ignore[misc]
            except TrainingError as failed:
                if fold.final:
                    raise
                self.skipped.append(
                    f"chunk {self.days.number}, {module.name}: train block {fold.number + 1} is not answered: {failed}"
                )
                continue
            if fold.final and module.learns_from and parts:
                fit = self._freeze(module, fit, [(part, made) for _, part, made in parts])
            fitted, before = load_fitted(module, fit.path), fit
            through = int(fold.train[-1]) if len(fold.train) else -1
            fits.append({"fold": fold.number, "digest": fit.digest, "cached": fit.cached, "fitted_through": through})
            for split, days in fold.runs:
                late = len(days) and days[0] > self.days.val[-1]
                if fold.final and before is fit and late and decides(module, fitted, self.selection):
                    fit = self._decided(module, before, [(part, made) for _, part, made in parts])
                    through = int(self.days.val[-1])
                    fits.append({"fold": DECIDED, "digest": fit.digest, "cached": fit.cached, "fitted_through": through})
                parts += self._answered(module, fit, days, through, split)
            if fit is not before and fit_variant(fit.path) != fit_variant(before.path):
                parts += self._answered(module, before, self.days.test, int(fold.train[-1]), REJECTED)
        return _Taken(fitted, fit.path, before.path, fits, parts)

    def answer_page(self, name: str, split: str, page: IntArray) -> Made:
        """One page of a rule's answers, as `take` will find it."""
        module = self.speaker(name)
        fit = self._fit(module, next(self._folds(module)), lambda _share: None)
        return self._answer(module, load_fitted(module, fit.path), fit, page, -1, split)

    def schedule(self, name: str) -> Iterator[Fold]:
        """Which train days each fit knows and which days it answers; the last fit answers validation and test."""
        yield from self._folds(self.speaker(name))

    def _folds(self, module: Module) -> Iterator[Fold]:
        name, days = module.name, self.days
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
        view = self.store.train_view(train, module.reads, module.learns_from, assets, self.columns)
        return self._blanked(view)

    def validation_view(self, module: Module) -> TrainView:
        """What validation knows by its end: the inputs of its days, and the outcomes that have come to pass."""
        days = self.days.val
        assets = self.store.assets_until(self.days.first, int(days[-1]))
        return self._blanked(self.store.train_view(days, module.reads, module.learns_from, assets, self.columns))

    def span(self, module: Module, days: IntArray, known_by: int) -> Span:
        """What a prediction for ``days`` is handed, for the names that were members by session ``known_by``."""
        assets = self.store.assets_until(self.days.first, known_by)
        return self._blanked(self.store.span(days, module.reads, assets, self.columns))

    def _blanked(self, span: S) -> S:
        """The span with the blanked columns missing; others are the same objects, and so have the same digests."""
        hidden = {name: np.full(span.blocks[name].shape, np.nan) for name in self.blank if name in span.blocks}
        for block in hidden.values():
            block.flags.writeable = False
        return dataclasses.replace(span, blocks={**span.blocks, **hidden}) if hidden else span

    def _fit(self, module: Module, fold: Fold, progress: Callable[[float], None]) -> Made:
        key: dict[str, Any] = {**identity(module), "device": self.device}
        if not len(fold.train):  # a rule: there is nothing to fit
            return self.artefacts.get_or_make("fits", key, lambda folder: save_fitted(folder, ModuleState()))
        train = self.train_view(module, fold.train)
        key["stream"] = [self.seed, module.name, self.days.number, fold.number]
        key["inputs"] = digests(train)
        digest = digest_json(key)

        def make(folder: Path) -> None:
            place = self.artefacts.checkpoints(digest)
            ctx = FitContext(self.seed, module.name, self.days.number, fold.number, self.device, place, progress)
            candidates = module.fit(train, ctx)
            chosen = module.select(candidates, None)
            save_candidate(folder, chosen, place)
            if fold.final and chooses(module, self.selection):
                save_others(folder, [one for one in candidates if one is not chosen])

        made = self.artefacts.get_or_make("fits", key, make)
        self.artefacts.forget_checkpoints(digest)
        return made

    def _freeze(self, module: Module, fit: Made, parts: Sequence[tuple[Part, Made]]) -> Made:
        """The final fit with its rank scale, and a calibration if it has one, frozen on the out-of-fold answers of train."""
        fitted = load_fitted(module, fit.path)
        refer = getattr(fitted, "with_reference", None)
        learn = getattr(fitted, "with_outcomes", None) if self.selection.calibration == "out_of_fold" else None
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
            oof = self._out_of_fold(module, parts)
            ranked = refer(oof)
            save_fitted(folder, (ranked.with_outcomes(oof, labels) if learn else ranked).state())

        return self.artefacts.get_or_make("frozen", key, make)

    def _decided(self, module: Module, fit: Made, parts: Sequence[tuple[Part, Made]]) -> Made:
        """The fit that answers test, once validation has decided."""
        view = self.validation_view(module)
        oof = [(part, made) for part, made in parts if part.days[-1] <= self.days.train[-1]]
        key: dict[str, Any] = {
            "fit": fit.digest,
            **identity(module),
            "rule": dataclasses.asdict(self.selection),
            "reference": [made.digest for _, made in oof],
            "inputs": digests(view),
            "selection": code_digest("glassbox_bt.walkforward.selection"),
        }

        def make(folder: Path) -> None:
            one = decided(module, fit.path, view, self.selection, self._out_of_fold(module, oof))
            save_decided(folder, one, fit.path)

        return self.artefacts.get_or_make("decided", key, make)

    def _out_of_fold(self, module: Module, parts: Sequence[tuple[Part, Made]]) -> Answers | None:
        """Out-of-fold answers of train; None without any."""
        if not parts:
            return None
        days = self._train_days(parts)
        return laid_out(module, days, self.store, self.assets, [part for part, _ in parts]).on(days)

    @staticmethod
    def _train_days(parts: Sequence[tuple[Part, Made]]) -> IntArray:
        return np.concatenate([part.days for part, _ in parts])

    def _answered(
        self, module: Module, fit: Made, days: IntArray, through: int, split: str
    ) -> Iterator[tuple[str, Part, Made]]:
        fitted = load_fitted(module, fit.path)
        for page in pages(days):
            made = self._answer(module, fitted, fit, page, through, split)
            yield split, load_part(made.path), made

    def _answer(self, module: Module, fitted: FittedModule, fit: Made, days: IntArray, through: int, split: str) -> Made:
        span = self.span(module, days, self.reach(module.name, days))
        assets = self.store.assets_until(self.days.first, self.reach(module.name, days))
        key = {"fit": fit.digest, **identity(module), "split": split, "through": through, "inputs": digests(span)}
        key["table"] = code_digest("glassbox_bt.walkforward.tables")
        engine = self._engine(module.name, fitted, days)
        if engine:  # of a fit below, which is no part of this one's key
            key["engine"] = engine
        if span.documents is not None:
            key["rows"] = digest_array(span.documents.rows)  # handles, no inputs, but the answers hold them

        def make(folder: Path) -> None:
            answers = fitted.predict_many(span)
            save_part(folder, Part(answers, assets, through, days))
            if split != "lead":
                for name, table in tables_of(module, fitted, span, answers, self.store, engine).items():
                    write_table(folder / f"{name}.parquet", table)

        return self.artefacts.get_or_make("answers", key, make)

    def _engine(self, name: str, fitted: FittedModule, days: IntArray) -> dict[str, str]:
        """The text engine behind the module's rows of these days."""
        late = days[0] > self.days.val[-1]
        fits = {**self.fitted, **({} if late else self.before), name: fitted}
        return engine_behind(name, {one: getattr(fit, "provenance", {}) for one, fit in fits.items()})

    def reach(self, name: str, days: IntArray) -> int:
        """Last session on which a module above reads the module's answers to ``days``."""
        return min(int(days[-1]) + self._lead(name), self.days.last)

    def assembled(self, name: str, parts: Sequence[Part]) -> Said:
        """The parts of one module laid out on all days from its first answer to the chunk's last day."""
        first = min(int(part.days[0]) for part in parts)
        days = np.arange(first, self.days.last + 1, dtype=np.int64)
        return laid_out(self.stack[name], days, self.store, self.assets, parts)

    def _stood_in(self, name: str, module: Module, parts: Sequence[tuple[str, Part, Made]]) -> list[tuple[str, Part, Made]]:
        """The parts as others read them, shuffled or frozen, each an artefact of its own."""
        kind = self.stand_ins[name]
        altered = stood_in(kind, self.assembled(name, [part for _, part, _ in parts]), self.days, self.store, self.seed)
        given = [made.digest for _, _, made in parts]
        key = {"stand_in": kind, "module": name, "of": given, "stream": [self.seed, self.days.number]}
        key["code"] = code_digest("glassbox_bt.walkforward.stood_in")
        replaced = []
        for place, (split, part, _) in enumerate(parts):
            said = Part(altered.on(part.days, part.assets), part.assets, part.fitted_through, part.asked)

            def make(folder: Path, split: str = split, said: Part = said) -> None:
                save_part(folder, said)
                span = self.store.span(said.days, (), said.assets)
                texts = np.full(said.answers.known.shape, STOOD_IN_TEXT[kind], dtype=object)
                if split != "lead":
                    write_table(folder / "table.parquet", answers_table(module, span, said.answers, texts, self.store))

            replaced.append((split, said, self.artefacts.get_or_make("answers", {**key, "place": place}, make)))
        return replaced

    def _offer(self, name: str, module: Module, parts: Sequence[Part]) -> None:
        given = self.assembled(name, parts)
        if name in self.like and isinstance(module, Silent):
            n_axes = self.like[name].known.ndim
            shapes = {output: values.shape[n_axes:] for output, values in self.like[name].outputs.items()}
            nothing = {output: np.full((*given.known.shape, *shape), np.nan) for output, shape in shapes.items()}
            given = dataclasses.replace(given, outputs={**given.outputs, **nothing})
        self.answers[name] = given
        self.columns.update(given.columns())

    def _offer_silent(self, reads: Sequence[Read]) -> None:
        for read in reads:
            owner = read.column.partition(".")[0]
            if owner in self.silent and read.column not in self.columns:
                days = np.arange(self.days.first, self.days.last + 1, dtype=np.int64)
                self.columns[read.column] = silent(read.column, days, self.assets)

    def _gap(self, name: str, before: IntArray, after: IntArray) -> tuple[tuple[str, IntArray], ...]:
        """Days between two parts of the chunk that modules above look back on from the second."""
        first = max(int(before[-1]) + 1, int(after[0]) - self._lead(name))
        return (("lead", np.arange(first, int(after[0]), dtype=np.int64)),) if first < int(after[0]) else ()

    def _lead(self, name: str) -> int:
        """Sessions that modules above look back on in this module's answers."""
        lengths = [r.sessions for m in self.stack.values() for r in m.reads if r.column.partition(".")[0] == name]
        return max(lengths, default=1) - 1


def pages(days: IntArray) -> Iterator[IntArray]:
    """The days in runs that are answered at a time."""
    for start in range(0, len(days), PAGE):
        yield days[start : start + PAGE]
