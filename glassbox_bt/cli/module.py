"""One module alone: `glassbox module NAME VERB RUN|PLAN`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from glassbox_bt.cli.terminal import say, shown

if TYPE_CHECKING:
    from glassbox_bt.market.store import MarketStore
    from glassbox_bt.modules.base import Module
    from glassbox_bt.plan import Plan
    from glassbox_bt.walkforward.fitting import ChunkFitter

__all__ = ["Choice", "Verb", "module", "spread"]

SMOKE_SESSIONS = 400  # of train: five blocks of 80, the least that a fold is fitted on
PART_OF = {"train": "train", "val": "validation", "test": "test"}  # split in tables to field of a chunk
SPLITS = tuple(PART_OF)
HEAD = 5


class Verb(StrEnum):
    """What to do with the module."""

    INSPECT = "inspect"
    SMOKE = "smoke"
    TRAIN_BEST = "train-best"
    PREDICT = "predict"
    VALIDATE = "validate"


def spread(arguments: Sequence[str]) -> list[str]:
    """``--chunks 1 2`` as ``--chunks 1 --chunks 2``, which is how options with several values are read; likewise splits."""
    out: list[str] = []
    option, n_values = "", 0
    for word in arguments:
        if (option == "--chunks" and word.isdigit()) or (option == "--splits" and word in SPLITS):
            out += [option, word] if n_values else [word]
            n_values += 1
        else:
            option, n_values = word, 0
            out.append(word)
    return out


def module(
    name: Annotated[str, typer.Argument(help="Name of the module, for example volatility.")],
    verb: Annotated[Verb, typer.Argument(help="What to do.")],
    place: Annotated[Path, typer.Argument(help="A run folder, or a plan.toml.")],
    chunks: Annotated[list[int] | None, typer.Option(help="Chunks, for example --chunks 1 3; default all.")] = None,
    splits: Annotated[list[str] | None, typer.Option(help="train, val, test; default all.")] = None,
) -> None:
    """Look at one module, try it, fit it, show or check its answers.

    Example: [bold]glassbox module volatility validate runs/quickstart --chunks 1 2 --splits val test[/bold]
    """
    from glassbox_bt.cli.run_choice import run_or_plan
    from glassbox_bt.errors import PlanError
    from glassbox_bt.plan import load_stack

    run, plan = run_or_plan(place)
    stack = load_stack(plan)
    if name not in stack:
        raise PlanError(f"There is no module `{name}` in this plan's stack. It has: {', '.join(stack)}.")
    choice = Choice(name, stack, run.resolve(), plan, _chunks(plan, chunks), _splits(splits))
    verbs: Mapping[Verb, Callable[[], None]] = {
        Verb.INSPECT: choice.inspect,
        Verb.SMOKE: choice.smoke,
        Verb.TRAIN_BEST: choice.train_best,
        Verb.PREDICT: choice.predict,
        Verb.VALIDATE: choice.validate,
    }
    verbs[verb]()


@dataclass(frozen=True, slots=True)
class Choice:
    """A module of a plan's stack, its run folder, and the parts of the run that are meant."""

    name: str
    stack: Mapping[str, Module]
    run: Path
    plan: Plan
    chunks: tuple[int, ...]
    splits: tuple[str, ...]

    def inspect(self) -> None:
        """Print settings, inputs, outputs and what the run holds of the module."""
        from rich.console import Console
        from rich.table import Table

        table = Table("what", "is", title=self.name)
        for key, value in self._described():
            table.add_row(key, shown(value))
        Console(highlight=False).print(table)

    def smoke(self) -> None:
        """Fit and predict the last 400 train sessions of the first chunk, with everything below; keeps nothing."""
        from glassbox_bt.walkforward.chunks import MIN_SESSIONS, ChunkDays

        with TemporaryDirectory() as folder:
            fitter = self._fitter(self.chunks[0], self._store(), Path(folder))
            days = fitter.days
            fitter.days = ChunkDays(
                days.number, days.train[-SMOKE_SESSIONS:], days.val[:MIN_SESSIONS], days.test[:MIN_SESSIONS]
            )
            for one in self._needed():
                started = time.perf_counter()
                fitter.take(one, lambda _share: None)
                said, seconds = fitter.answers[one], time.perf_counter() - started
                shapes = Counter(str(values.shape) for values in said.outputs.values())
                outputs = ", ".join(f"{count} of {shape}" for shape, count in shapes.items())
                typer.echo(f"{one}: {seconds:.2f} s, {said.known.mean():.0%} of rows known; outputs {outputs}")

    def train_best(self) -> None:
        """Fit the module and what it needs into the run folder; what is there already is read."""
        from glassbox_bt import backtest
        from glassbox_bt.cli.progress import bars
        from glassbox_bt.market.archive import open_store
        from glassbox_bt.runs.artefacts import ArtefactStore
        from glassbox_bt.runs.lock import sole_writer
        from glassbox_bt.runs.manifest import Manifest
        from glassbox_bt.walkforward.record import record_module

        with sole_writer(self.run), bars(f"{self.name}: {self.plan.title}") as progress:
            former = Manifest.claim(self.run, self.plan.digest)
            market = backtest.read_market(self.plan)
            if former is None:
                identity = backtest.identity_of(self.plan, market, "cpu")
                Manifest.start(self.run, identity, backtest.facts_of(self.plan, market, self.run))
            store = open_store(backtest.stored(self.plan, market, ArtefactStore(self.run / "artefacts")).path)
            for chunk in self.chunks:
                fitter = self._fitter(chunk, store, self.run / "artefacts")
                for one in self._needed():
                    label = f"chunk {chunk} {one}"
                    record = fitter.take(one, lambda share, label=label: progress(label, share))  # type: ignore[misc]
                    progress(label, 1.0)
                    record_module(self.run, record)
        for chunk in self.chunks:
            typer.echo(str(self.run / "models" / self.name / f"chunk{chunk}"))

    def predict(self) -> None:
        """Print the path and the first rows of the module's recorded tables."""
        import pandas as pd

        for path, _, _ in self._tables():
            table = pd.read_parquet(path)
            typer.echo(f"{path} ({len(table)} rows, {table['known'].mean():.0%} known)")
            for line in table.drop(columns="xai_summary").head(HEAD).to_string(index=False, max_colwidth=24).split("\n"):
                say(line)

    def validate(self) -> None:
        """Check the recorded tables against the promises of a module; exit 1 if one is broken."""
        import pandas as pd

        from glassbox_bt.audits.module_tables import answered, table_faults, through_faults
        from glassbox_bt.cli.run_choice import manifest_of
        from glassbox_bt.errors import ContractError

        tables = list(self._tables())
        content, store = manifest_of(self.run).content, self._store()
        faults: list[str] = []
        for path, chunk, split in tables:
            days = store.sessions_between(*getattr(self.plan.chunks[chunk - 1], PART_OF[split]))
            table = pd.read_parquet(path)
            if split == "train" and self.stack[self.name].learns_from:
                days = answered(table, store, days)
            faults += [f"{path.name}: {fault}" for fault in table_faults(table, store, days)]
        for record in content.get("artefacts", {}).get("modules", ()):
            if record["module"] == self.name and record["chunk"] in self.chunks:
                in_sample = ("train", "lead") if self.stack[self.name].self_supervised else ()
                faults += list(through_faults(self.run, record, store, in_sample))
        for fault in faults:
            say(fault)
        if faults:
            raise ContractError(f"`{self.name}` breaks {len(faults)} promises in {self.run}.")
        typer.echo(f"{self.name}: {len(tables)} tables keep every promise")

    def _described(self) -> Iterator[tuple[str, str]]:
        from glassbox_bt.decision.stack import layer_of

        one = self.stack[self.name]
        yield "class", f"{type(one).__module__}:{type(one).__qualname__}"
        yield "kind", one.kind
        learns = ", ".join(one.learns_from) or ("its own inputs" if one.self_supervised else "nothing: a rule")
        yield "learns from", learns
        yield "layer", str(layer_of(self.stack, self.plan.silent)[self.name])
        yield "needs", ", ".join(self._needed()[:-1]) or "no other module"
        yield "reads", ", ".join(f"{read.column}[{read.sessions}]" for read in one.reads)
        yield "outputs", ", ".join(one.outputs)
        for setting in fields(one):  # type: ignore[arg-type]
            if setting.init:
                yield f"setting {setting.name}", str(getattr(one, setting.name))
        for chunk in self.chunks:
            folder = self.run / "models" / self.name / f"chunk{chunk}"
            if folder.exists():
                yield (
                    f"chunk {chunk}",
                    f"{_parameters(folder)} parameters; {', '.join(sorted(p.name for p in folder.iterdir()))}",
                )
            else:
                yield f"chunk {chunk}", f"not fitted in {self.run}"

    def _needed(self) -> list[str]:
        """The module and everything below it, lowest first."""
        from glassbox_bt.decision.stack import order, upstream

        wanted, found = {self.name}, set[str]()
        while wanted:
            one = wanted.pop()
            found.add(one)
            wanted |= upstream(one, self.stack, self.plan.silent) - found
        return [one for one in order(self.stack, self.plan.silent) if one in found]

    def _fitter(self, chunk: int, store: MarketStore, artefacts: Path) -> ChunkFitter:
        from glassbox_bt.runs.artefacts import ArtefactStore
        from glassbox_bt.walkforward.fitting import ChunkFitter

        return ChunkFitter.of(self.plan, chunk, store, ArtefactStore(artefacts), "cpu")

    def _store(self) -> MarketStore:
        """The run's own store, or the plan's market where nothing was run yet."""
        from glassbox_bt import backtest
        from glassbox_bt.market.ingest import build_store
        from glassbox_bt.runs.manifest import Manifest

        manifest = Manifest.open(self.run)
        if manifest is not None and "market" in manifest.content.get("artefacts", {}):
            return backtest.open_run_store(self.run, manifest.content)
        raw = backtest.read_market(self.plan).raw
        return build_store(raw, self.plan.market.universe, delist_return=self.plan.market.delist_return)

    def _tables(self) -> Iterator[tuple[Path, int, str]]:
        from glassbox_bt.errors import RunFolderError

        for chunk in self.chunks:
            for split in self.splits:
                path = self.run / "modules" / self.name / f"chunk{chunk}_{split}.parquet"
                if not path.exists():
                    raise RunFolderError(f"There is no {path}. Run the plan, or `module {self.name} train-best`, first.")
                yield path, chunk, split


def _parameters(folder: Path) -> int:
    """Numbers in the frozen fit."""
    from safetensors.numpy import load_file

    return sum(int(values.size) for values in load_file(str(folder / "frozen.safetensors")).values())


def _chunks(plan: Plan, given: Sequence[int] | None) -> tuple[int, ...]:
    from glassbox_bt.errors import PlanError

    numbers = range(1, len(plan.chunks) + 1)
    for one in given or ():
        if one not in numbers:
            raise PlanError(f"There is no chunk {one} in this plan. It has {len(plan.chunks)}, counted from 1.")
    return tuple(given or numbers)


def _splits(given: Sequence[str] | None) -> tuple[str, ...]:
    from glassbox_bt.errors import PlanError

    for one in given or ():
        if one not in SPLITS:
            raise PlanError(f"There is no split `{one}`. There are: {', '.join(SPLITS)}.")
    return tuple(given or SPLITS)
