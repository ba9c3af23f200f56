from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox_bt.decision.stack import layer_of, order
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Kind, Read


@dataclass(frozen=True)
class Stub:
    """A module that has reads and labels, and nothing else that the order asks for."""

    reading: tuple[str, ...] = ()
    learning: bool = False
    name: ClassVar[str] = "stub"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(column) for column in self.reading)

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ("forward_log_return_5d",) if self.learning else ()


def stack() -> dict[str, Any]:
    return {
        "fusion": Stub(("quantitative.signal", "position_sizing.size", "qualitative.score", "macro.VIX_CLOSE"), True),
        "quantitative": Stub(("position_sizing.size", "technical.trend_score"), True),
        "position_sizing": Stub(("technical.trend_score", "cvar.cvar_95")),
        "cvar": Stub(("log_return_1d",)),
        "technical": Stub(("temporal_encoder.embedding",), True),
        "temporal_encoder": Stub(("log_return_1d", "macro.VIX_CLOSE")),
    }


def test_everyone_runs_after_what_it_reads() -> None:
    assert order(stack(), ("qualitative",)) == (
        "cvar",
        "temporal_encoder",
        "technical",
        "position_sizing",
        "quantitative",
        "fusion",
    )


def test_only_learned_modules_add_a_layer() -> None:
    assert layer_of(stack(), ("qualitative",)) == {
        "cvar": 0,
        "temporal_encoder": 0,
        "technical": 1,
        "position_sizing": 1,
        "quantitative": 2,
        "fusion": 3,
    }


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(ContractError, match=r"`fusion` reads `qualitative\.score`"):
        order(stack())


def test_a_circle_is_shown() -> None:
    modules: dict[str, Any] = {"a": Stub(("b.x",)), "b": Stub(("c.x",)), "c": Stub(("a.x",)), "d": Stub()}
    with pytest.raises(ContractError, match="a -> b -> c -> a"):
        order(modules)
    with pytest.raises(ContractError, match="a -> a"):
        order({"a": Stub(("a.x",))})  # type: ignore[dict-item]


@given(st.permutations(list(stack())))
def test_the_order_of_the_mapping_never_breaks_a_read(names: list[str]) -> None:
    modules = {name: stack()[name] for name in names}
    ranked = order(modules, ("qualitative",))
    for name, module in modules.items():
        for read in module.reads:
            owner = read.column.partition(".")[0]
            if owner in modules:
                assert ranked.index(owner) < ranked.index(name)
    assert layer_of(modules, ("qualitative",)) == layer_of(stack(), ("qualitative",))
