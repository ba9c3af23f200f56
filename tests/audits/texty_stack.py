"""The whole stack with the branch of text, for `texty`; it stands alone, so that its code says what a run was made of."""

from __future__ import annotations

from glassbox_bt.modules.base import Module
from strategies.full_stack import stack as without_text

__all__ = ["stack"]


def stack() -> dict[str, Module]:
    """Modules by name."""
    from glassbox_bt.modules.analysts.news import NewsAnalyst
    from glassbox_bt.modules.analysts.qualitative import QualitativeAnalyst
    from glassbox_bt.modules.analysts.sentiment import SentimentAnalyst
    from glassbox_bt.modules.encoders.text import TextEncoder

    branch: tuple[Module, ...] = (TextEncoder(), SentimentAnalyst(), NewsAnalyst(), QualitativeAnalyst())
    return {**without_text(), **{module.name: module for module in branch}}
