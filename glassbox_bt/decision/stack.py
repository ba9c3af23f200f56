"""The order in which modules run, taken from what they read.

A read ``module.output`` makes a module wait for ``module``. Names of silent modules are legal and
make nobody wait: their columns exist and say "unknown". Whoever reads a module that is neither in
the stack nor silent, and modules that wait for each other in a circle, are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from glassbox_bt.errors import ContractError
from glassbox_bt.modules.base import Module

__all__ = ["layer_of", "order", "upstream"]

MARKET_WIDE = "macro"  # `macro.VIX_CLOSE` is a market-wide series, not a module's answer
OF_THE_MARKET = (MARKET_WIDE, "text", "event")  # `text.body` and `event.event_count_litigation_7d` are none either


def order(modules: Mapping[str, Module], silent: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the stack, every module after the ones it reads.

    Among modules that are ready at the same time the order of ``modules`` decides, so the result
    depends on nothing else.

    Parameters
    ----------
    modules : Mapping[str, Module]
        The stack, by name.
    silent : Collection[str]
        Modules that may be read although they never answer in this run.

    Raises
    ------
    ContractError
        If a read names an unknown module, or if modules read each other in a circle.
    """
    waits_for = {name: upstream(name, modules, silent) for name in modules}
    done: list[str] = []
    while len(done) < len(modules):
        ready = [name for name in modules if name not in done and waits_for[name] <= set(done)]
        if not ready:
            raise ContractError(
                f"Modules read each other in a circle: {_circle(waits_for, done)}. Remove one of these reads."
            )
        done.append(ready[0])
    return tuple(done)


def upstream(name: str, modules: Mapping[str, Module], silent: Collection[str] = ()) -> frozenset[str]:
    """Modules of the stack that ``name`` reads directly; silent ones outside it are left out."""
    found = set()
    for read in modules[name].reads:
        owner, dot, _ = read.column.partition(".")
        if not dot or owner in OF_THE_MARKET:
            continue
        if owner in modules:
            found.add(owner)
        elif owner not in silent:
            raise ContractError(
                f"`{name}` reads `{read.column}`, but there is no module `{owner}` in the stack "
                f"({', '.join(modules)}). Add it, or list it as silent."
            )
    return frozenset(found)


def layer_of(modules: Mapping[str, Module], silent: Collection[str] = ()) -> dict[str, int]:
    """How many learned modules lie on the longest way up to and including each module.

    A module that learns from labels is one above the highest layer it reads, directly or through
    others. Rules and self-supervised encoders learn from no label, so they add no layer and only
    pass on what they read (R3, R4).
    """
    layers: dict[str, int] = {}
    for name in order(modules, silent):
        below = max((layers[other] for other in upstream(name, modules, silent)), default=0)
        layers[name] = below + int(bool(modules[name].learns_from))
    return layers


def _circle(waits_for: Mapping[str, frozenset[str]], done: Collection[str]) -> str:
    """One circle among the modules that are left, as ``a -> b -> a``."""
    name = next(other for other in waits_for if other not in done)
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = next(other for other in waits_for if other in waits_for[name] and other not in done)
    return " -> ".join([*seen[seen.index(name) :], name])
