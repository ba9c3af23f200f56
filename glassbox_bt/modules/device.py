"""Which device networks run on."""

from __future__ import annotations

from glassbox_bt.errors import PlanError

__all__ = ["chosen_device"]


def chosen_device(name: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``; a GPU that was asked for and is not there is refused."""
    if name not in ("auto", "cpu", "cuda"):
        raise PlanError(f"The device must be auto, cpu or cuda, got {name!r}.")
    if name == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise PlanError("--device cuda was asked for, but torch finds no GPU. Use --device cpu or auto.")
    return "cpu"
