from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from glassbox_bt.market.view import Span
from glassbox_bt.modules._blocks import to_batch
from glassbox_bt.modules._contagion_graph import PAIR_WORDS, Shape, Structure, structures
from glassbox_bt.modules._contagion_inputs import Look, Panel
from glassbox_bt.modules._contagion_network import ContagionNetwork, ContagionSizes, answered, spread, tail_loss
from glassbox_bt.modules._contagion_rows import DayRows, Graphs, ask_days
from glassbox_bt.types import AnyArray, FloatArray, IntArray
from tests.modules.risk.contagion_cases import LATER, graph_of, shape, tiny

DENSE, SPARSE = shape(fewest=4), shape(fewest=4, dense_up_to=0)


def network(**sizes: Any) -> ContagionNetwork:
    plain = {"window": 30, "hidden": 4, "terms": 4, "multi": 2, "blocks": 2, "dropout": 0.0, "slope": 0.2, "horizons": 3}
    torch.manual_seed(0)
    return ContagionNetwork(ContagionSizes(**{**plain, "starts_at_zero": False, **sizes})).eval()


def batch_of(layout: Shape, days: IntArray, n_assets: int = 8) -> dict[str, Tensor]:
    panel, graphs = graph_of(tiny(n_assets), layout)
    events = np.where(panel.usable[..., None], np.random.default_rng(0).random((*panel.usable.shape, 3)) < 0.2, np.nan)
    extras = {"anchor": np.full(events.shape, -2.0), "event": events}
    rows = DayRows.of(panel, graphs, np.arange(len(panel)), extras)
    return dict(to_batch(rows.take(days, np.random.default_rng(0)), "cpu"))


# Structures


def test_a_day_uses_the_latest_snapshot_that_was_known_d_gra_01() -> None:
    panel, _ = graph_of(tiny(), DENSE)
    for day, session in enumerate(panel.days):
        snapshot = panel.snapshot_of(day)
        assert 0 <= session - snapshot < 20
        assert (snapshot - 29) % 20 == 0


def test_d_gra_01_a_graph_named_by_its_windows_start_is_caught() -> None:
    """Poison after a day changes what a graph named by the start of its window says of that day, and not ours."""
    day = 20

    def pairs(named_by_start: bool, poisoned: bool) -> AnyArray:
        look = Look(window=30, memory=252, min_names=3)
        span = tiny().span(np.arange(LATER[0], LATER[-1] + 1), look.reads, np.arange(8))
        panel = Panel.of(span, look)
        if poisoned:
            panel.returns[int(panel.at[day]) + 1 :] = np.random.default_rng(0).standard_normal(
                panel.returns[int(panel.at[day]) + 1 :].shape
            )
        if named_by_start:
            panel = panel.picked(np.array([day + 29]))
            return next(structures(panel, DENSE))[0].pairs
        return next(structures(panel.picked(np.array([day])), DENSE))[0].pairs

    assert np.array_equal(pairs(False, False), pairs(False, True))
    assert not np.array_equal(pairs(True, False), pairs(True, True))


def test_d_gra_02_what_is_known_of_a_pair_is_as_of_the_snapshot() -> None:
    """The pairs of a day are the same whatever later days the span holds; a full-sample correlation is not."""
    store, look = tiny(), Look(window=30, memory=252, min_names=3)
    short, long = (Panel.of(store.span(LATER[:n], look.reads, np.arange(8)), look) for n in (10, 60))

    def depends_on_later_days(early: AnyArray, late: AnyArray) -> bool:
        return not np.array_equal(early, late)

    full_sample = [np.asarray(np.corrcoef(np.nan_to_num(panel.returns[:, :2]).T)) for panel in (short, long)]
    assert depends_on_later_days(*full_sample)
    for early, late in zip(structures(short, DENSE), structures(long, DENSE), strict=False):
        assert not depends_on_later_days(early[0].pairs, late[0].pairs)


def test_d_gra_03_nothing_undated_is_read() -> None:
    """A sector map of today would say in 2001 what was known in 2024; returns of each session cannot."""
    reads = {read.column for read in Look(window=30, memory=252, min_names=3).reads}
    assert reads == {"log_return_1d", "benchmark_log_return_1d"}


def test_d_gra_04_a_name_that_moves_the_other_way_is_a_neighbour() -> None:
    """Half of the neighbours are the closest by the size of the correlation; a rule for positive ones loses them."""
    store = tiny(12)
    columns = {**store.columns, "log_return_1d": store.columns["log_return_1d"].copy()}
    noise = 0.002 * np.random.default_rng(0).standard_normal(store.n_sessions)
    columns["log_return_1d"][:, 1] = -columns["log_return_1d"][:, 0] + noise
    _, graphs = graph_of(replace(store, columns=columns), shape(fewest=2))
    structure = graphs.found[0]
    assert structure.pairs[0, 1, 0] < -0.8
    assert structure.allowed[0, 1]
    positive_only = structure.pairs[0, :, 0] > 0.1  # the fault
    assert not positive_only[1]


def test_neighbours_are_a_share_of_the_names_d_reg_08() -> None:
    layout = Shape(share=0.02, fewest=3, dense_up_to=0)
    assert [layout.neighbours(n) for n in (3, 20, 500, 2500)] == [2, 3, 10, 50]


@pytest.mark.parametrize("layout", [DENSE, SPARSE], ids=["table", "lists"])
def test_every_name_has_its_neighbours_and_never_itself(layout: Shape) -> None:
    _, graphs = graph_of(tiny(12), layout)
    for structure in graphs.found:
        n = len(structure.nodes)
        assert (structure.allowed.sum(axis=1) == 4).all()
        near = named(structure)
        assert not near[np.arange(n), np.arange(n)].any()


def named(structure: Structure) -> AnyArray:
    """Allowed neighbours as an n × n table."""
    if structure.near is None:
        return structure.allowed
    out = np.zeros((len(structure.nodes),) * 2, dtype=bool)
    np.put_along_axis(out, structure.near, structure.allowed, axis=1)
    return out


def test_lists_and_tables_hold_the_same_numbers() -> None:
    (_, tables), (_, lists) = graph_of(tiny(12), DENSE), graph_of(tiny(12), SPARSE)
    assert len(tables.found) == len(lists.found) > 2
    for table, listed in zip(tables.found, lists.found, strict=True):
        np.testing.assert_array_equal(named(table), named(listed))
        assert listed.near is not None
        there = np.take_along_axis(table.pairs, listed.near[..., None], axis=1)
        np.testing.assert_array_equal(there, listed.pairs)
    assert tables.found[0].pairs.shape[-1] == len(PAIR_WORDS)


# The network


def test_lists_and_tables_give_the_same_answers_and_gradients() -> None:
    one, other = network(), network()
    days = np.arange(16)
    for model, layout in ((one, DENSE), (other, SPARSE)):
        tail_loss(model, batch_of(layout, days, 12)).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        dense, _ = answered(one, batch_of(DENSE, days, 12))
        sparse, _ = answered(other, batch_of(SPARSE, days, 12))
    torch.testing.assert_close(dense, sparse, atol=1e-6, rtol=1e-5)
    for (name, left), (_, right) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        assert left.grad is not None, name
        torch.testing.assert_close(left.grad, right.grad, atol=1e-6, rtol=1e-4, msg=name)


def test_with_every_name_a_neighbour_lists_are_the_full_table() -> None:
    days = np.arange(4)
    with torch.no_grad():
        full, weights = answered(network(), batch_of(shape(fewest=20), days, 12))
        lists, _ = answered(network(), batch_of(shape(fewest=20, dense_up_to=0), days, 12))
    torch.testing.assert_close(full, lists, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones_like(weights[..., 0]))


@pytest.mark.parametrize("layout", [DENSE, SPARSE], ids=["table", "lists"])
def test_exchanging_names_exchanges_answers_r16(layout: Shape) -> None:
    batch, model = batch_of(layout, np.arange(4), 12), network()
    order = torch.from_numpy(np.random.default_rng(1).permutation(12))
    place = torch.argsort(order)
    moved = {name: values[:, order] for name, values in batch.items()}
    if "near" in batch:
        moved["near"] = place[moved["near"]]
    else:
        moved |= {name: moved[name][:, :, order] for name in ("pairs", "allowed")}
    with torch.no_grad():
        before, _ = answered(model, batch)
        after, _ = answered(model, moved)
    torch.testing.assert_close(after, before[:, order], atol=1e-6, rtol=1e-5)


def test_d_stm_02_an_answer_depends_on_its_own_day_alone() -> None:
    """Weights averaged over the batch, as in the source, make it depend on whatever days are asked with it."""
    model = network()
    with torch.no_grad():
        alone, together = (answered(model, batch_of(DENSE, days, 12))[0][0] for days in (np.array([3]), np.array([3, 40])))
        assert invariant(alone, together)
        faulty = []
        for days in (np.array([3]), np.array([3, 40])):
            batch = batch_of(DENSE, days, 12)
            weights = model.adjacency(batch["window"], batch["pairs"], batch["allowed"], None)
            mean = weights.mean(dim=0, keepdim=True).expand_as(weights)
            faulty.append(model.respond(batch["window"], mean, None)[0])
    assert not invariant(*faulty)


def invariant(alone: Tensor, together: Tensor) -> bool:
    return bool(torch.allclose(alone, together, atol=1e-6))


@pytest.mark.parametrize("layout", [DENSE, SPARSE], ids=["table", "lists"])
def test_blocks_give_a_day_the_same_bits_whatever_is_asked_with_it(layout: Shape) -> None:
    model = network()
    panel, graphs = graph_of(tiny(12), layout)

    def answers(picked: IntArray) -> FloatArray:
        out = np.full((*panel.usable.shape, 3), np.nan)
        some = Graphs(graphs.found, np.where(np.isin(np.arange(len(panel)), picked), graphs.of_day, -1))
        for served, structure, said, _ in ask_days(lambda batch: answered(model, batch), panel, some):
            out[np.ix_(served, structure.nodes)] = said
        return out[picked]

    everything = answers(np.arange(len(panel)))
    for picked in (np.array([5]), np.array([3, 5, 6, 40]), np.arange(30, 60)):
        np.testing.assert_array_equal(answers(picked), everything[picked])


def test_the_weights_are_a_mean_and_averaging_matches_the_definition() -> None:
    rng = np.random.default_rng(0)
    weights, values = torch.from_numpy(rng.random((2, 5, 3))), torch.from_numpy(rng.random((2, 5, 7)))
    near = torch.from_numpy(np.stack([np.stack([rng.permutation(5)[:3] for _ in range(5)]) for _ in range(2)]))
    expected = torch.einsum("bnk,bnkf->bnf", weights, torch.stack([values[day][near[day]] for day in range(2)]))
    torch.testing.assert_close(spread(weights, values, near), expected)


def test_d_stm_08_a_missing_return_is_not_a_return_of_zero() -> None:
    panel, _ = graph_of(tiny(), DENSE)
    day, nodes = 30, np.arange(4)
    row = int(panel.at[day]) - 3
    seen = panel.windows(np.array([day]))[0, nodes]
    panel.returns[row, 0] = np.nan
    missing = panel.windows(np.array([day]))[0, nodes]
    panel.returns[row, 0] = 0.0
    nought = panel.windows(np.array([day]))[0, nodes]
    assert tells_missing_from_zero(missing, nought)
    assert not tells_missing_from_zero(missing[..., :1], nought[..., :1])  # the fault: returns alone
    assert seen[0, -4, 1] == nought[0, -4, 1] == 1.0
    assert missing[0, -4, 1] == 0.0


def tells_missing_from_zero(missing: AnyArray, nought: AnyArray) -> bool:
    return not np.array_equal(missing, nought)


def test_a_young_name_is_scaled_by_the_others_r16() -> None:
    panel, _ = graph_of(tiny(), DENSE, days=np.arange(160, 260))  # the last name is listed at 54, a member from 108
    assert np.isfinite(panel.scale[panel.usable]).all()
    store = tiny()
    returns = store.columns["log_return_1d"].copy()
    returns[:, 2] = 0.0  # never moved: it has no scale of its own
    still, _ = graph_of(replace(store, columns={**store.columns, "log_return_1d": returns}), DENSE)
    others = np.delete(still.scale, 2, axis=1)[10][np.delete(still.usable[10], 2)]
    assert still.scale[10, 2] == pytest.approx(np.median(others))


# Memory


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the shapes of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(one, Tensor):
                self.shapes.append(tuple(one.shape))
        return out


def wide(n_names: int, layout: Shape) -> tuple[Panel, Graphs]:
    """One day of many unrelated names."""
    look = Look(window=30, memory=252, min_names=3)
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((800, n_names))
    blocks = {"log_return_1d": returns, "benchmark_log_return_1d": returns.mean(axis=1)[-252:]}
    span = Span(
        days=np.array([799]),
        dates=np.array(["2012-01-03"], dtype="datetime64[D]"),
        as_of=np.array(["2012-01-03T21"], dtype="datetime64[ns]"),
        tickers=tuple(f"N{number:04d}" for number in range(n_names)),
        member=np.ones((1, n_names), dtype=bool),
        reads={"log_return_1d": 800, "benchmark_log_return_1d": 252},
        blocks=blocks,
    )
    panel = Panel.of(span, look)
    return panel, Graphs.of(panel, layout)


def pairwise(shapes: list[tuple[int, ...]], n_names: int) -> list[tuple[int, ...]]:
    return [one for one in shapes if sum(size == n_names for size in one) >= 2]


def test_no_table_of_all_pairs_at_500_names() -> None:
    n = 503  # a number that nothing else has
    for layout, has_table in ((shape(), False), (shape(dense_up_to=1000), True)):
        panel, graphs = wide(n, layout)
        rows = DayRows(panel, graphs, np.array([0]), n, {"anchor": np.full((1, n, 3), -2.0), "event": np.zeros((1, n, 3))})
        model = network(multi=1, blocks=1, hidden=4)
        with Largest() as made:
            loss = tail_loss(model, to_batch(rows.take(np.array([0]), np.random.default_rng(0)), "cpu"))
            loss.backward()  # type: ignore[no-untyped-call]
        assert bool(pairwise(made.shapes, n)) == has_table


def test_lists_and_tables_agree_at_300_names() -> None:
    said = []
    for layout in (shape(dense_up_to=1000), shape(dense_up_to=0)):
        panel, graphs = wide(300, layout)
        model = network(multi=1, blocks=1, hidden=4)
        (found,) = ask_days(lambda batch: answered(model, batch), panel, graphs)  # noqa: B023
        said.append((found[2], np.sort(found[3], axis=-1)[..., -20:]))
        assert (found[1].near is None) == (layout.dense_up_to > 300)
    for table, listed in zip(*said, strict=True):
        np.testing.assert_allclose(table, listed, atol=1e-6, rtol=1e-5)


def test_the_memory_of_a_graph_grows_with_the_names_not_with_their_pairs() -> None:
    peaks = {}
    for n in (300, 600):
        panel, _ = wide(n, shape())
        for kind, layout in (("lists", shape()), ("table", shape(dense_up_to=2000))):
            tracemalloc.start()
            Graphs.of(panel, layout)
            peaks[kind, n] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peaks["lists", 600] < 2.6 * peaks["lists", 300]
    assert peaks["lists", 600] < 0.6 * peaks["table", 600]
