"""With cores to spare, pages of rules are answered before the chunks are walked; no byte of a run depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from glassbox_bt import backtest
from glassbox_bt.backtest import read_market, stored, walk_forward
from glassbox_bt.market.archive import open_store
from glassbox_bt.plan import Plan, plan_from
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.walkforward.ahead import PageJob, answer_ahead, pages_ahead
from tests.flow.tiny import tiny_table


def quiet(_what: str, _share: float) -> None: ...


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_from(tiny_table())


def ahead(plan: Plan, folder: Path) -> list[PageJob]:
    artefacts = ArtefactStore(folder / "artefacts")
    made = stored(plan, read_market(plan), artefacts)
    return list(pages_ahead(plan, open_store(made.path), made.path, artefacts, "cpu"))


def test_rules_that_read_the_market_alone_can_be_answered_ahead(plan: Plan, tmp_path: Path) -> None:
    jobs = ahead(plan, tmp_path)
    assert {job.module for job in jobs} == {"garch", "var", "cvar", "liquidity"}
    assert {job.split for job in jobs} == {"lead", "train", "val", "test"} - ({"lead"} if all_but_lead(jobs) else set())
    assert len({(job.module, job.split, job.first) for job in jobs}) == len(jobs)


def all_but_lead(jobs: list[PageJob]) -> bool:
    return all(job.split != "lead" for job in jobs)


def test_the_walk_finds_what_was_answered_ahead(plan: Plan, tmp_path: Path) -> None:
    for job in ahead(plan, tmp_path):
        answer_ahead(job, quiet)
    record = walk_forward(plan, read_market(plan), tmp_path, "cpu", 1, quiet)
    alone = tmp_path / "alone"
    plain = walk_forward(plan, read_market(plan), alone, "cpu", 1, quiet)
    for here, there in zip(record["artefacts"]["modules"], plain["artefacts"]["modules"], strict=True):
        rule = here["module"] in ("garch", "var", "cvar", "liquidity")
        assert all(part["cached"] for part in here["parts"]) == rule
        assert [part["digest"] for part in here["parts"]] == [part["digest"] for part in there["parts"]]
    assert (tmp_path / "decisions.parquet").read_bytes() == (alone / "decisions.parquet").read_bytes()


@pytest.mark.parametrize(("workers", "asked"), [(1, False), (2, True)])
def test_only_cores_to_spare_are_used(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, asked: bool
) -> None:
    called = list[str]()

    class StoppedError(Exception): ...

    def tasks(task: object, jobs: list[object], **_: object) -> list[object]:
        called.append(getattr(task, "__name__", ""))
        if called[-1] == "walk_chunk":
            raise StoppedError
        return jobs

    monkeypatch.setattr(backtest, "run_tasks", tasks)
    with pytest.raises(StoppedError):
        walk_forward(plan, read_market(plan), tmp_path, "cpu", workers, quiet)
    assert called == (["answer_ahead", "walk_chunk"] if asked else ["walk_chunk"])
