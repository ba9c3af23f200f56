"""The answers of a module that answers documents, in one chunk: rows of text in the place of days and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.market.documents import MARKET_WIDE, TextColumn
from glassbox_bt.market.store import Column, MarketStore
from glassbox_bt.modules.base import Module
from glassbox_bt.types import Answers, AnyArray, BoolArray, IntArray, Reason
from glassbox_bt.walkforward.answers import ModuleAnswers, Part, silent_column

__all__ = ["TEXT_MODULES", "Said", "TextAnswers", "laid_out", "silent"]

TEXT_MODULES = ("text_encoder", "sentiment", "news")  # these answer documents, also where they are silent


@dataclass(frozen=True, slots=True)
class TextAnswers:
    """All answers of one module to the text of one chunk.

    Parameters
    ----------
    days : IntArray
        Contiguous sessions, from the first answer to the chunk's last day.
    rows, session, asset : IntArray
        Each row of text of those days: its place in the store's table, its session and the position of its name in the
        store (`MARKET_WIDE` for none), (n_rows,) each.
    fitted_through : IntArray
        Last session of knowledge of the fit that answered each row, (n_rows,).
    """

    module: str
    days: IntArray
    rows: IntArray
    session: IntArray
    asset: IntArray
    outputs: Mapping[str, AnyArray]
    known: BoolArray
    reason: AnyArray
    fitted_through: IntArray
    in_sample: bool
    lacking: Mapping[str, BoolArray] = field(default_factory=dict)  # by output: rows answered by a variant without it

    @classmethod
    def assemble(
        cls, module: str, days: IntArray, store: MarketStore, assets: IntArray, parts: Sequence[Part], in_sample: bool
    ) -> TextAnswers:
        """Lay parts out on the text of ``days`` about the market or ``assets``; nothing is filled in between."""
        text = store.text.cut(int(days[0]), int(days[-1]), assets)
        asset = np.where(text.asset >= 0, assets[text.asset], MARKET_WIDE) if len(assets) else text.asset
        reason = np.full(len(text), Reason.NO_FIT_YET, dtype=np.int8)
        through = np.full(len(text), -1, dtype=np.int64)
        known = np.zeros(len(text), dtype=bool)
        bare = cls(module, days, text.rows, text.session, asset, {}, known, reason, through, in_sample)
        return bare.with_parts(parts)

    def with_parts(self, parts: Sequence[Part]) -> TextAnswers:
        """The same answers with these parts in the place of what was said about their rows."""
        known, reason, through = self.known.copy(), self.reason.copy(), self.fitted_through.copy()
        outputs = {name: np.array(values) for name, values in self.outputs.items()}
        lacking = {name: rows.copy() for name, rows in self.lacking.items()}
        every = {*outputs, *(name for part in parts for name in part.answers.outputs)}
        for part in parts:
            if part.answers.rows is None:
                raise ContractError(f"`{self.module}` answers documents in one part and names in another.")
            place = np.searchsorted(self.rows, part.answers.rows)
            if not np.array_equal(self.rows[place.clip(max=len(self.rows) - 1)], part.answers.rows):
                raise ContractError(f"`{self.module}` answers text that lies outside the chunk.")
            for name in every:
                lacking.setdefault(name, np.zeros(len(self.rows), dtype=bool))[place] = name not in part.answers.outputs
            known[place], reason[place] = part.answers.known, part.answers.reason
            through[place] = part.fitted_through
            for name, values in part.answers.outputs.items():
                if name not in outputs or outputs[name].shape[1:] != values.shape[1:]:
                    outputs[name] = np.full((len(self.rows), *values.shape[1:]), np.nan, dtype=values.dtype)
                outputs[name][place] = values
        return replace(self, outputs=outputs, known=known, reason=reason, fitted_through=through, lacking=lacking)

    def on_text_of(self, store: MarketStore, assets: IntArray) -> TextAnswers:
        """The same answers to the same documents, where an edit of the text has put them: other days, other names."""
        bare = TextAnswers.assemble(self.module, self.days, store, assets, [], self.in_sample)
        place = np.searchsorted(self.rows, bare.rows).clip(max=max(len(self.rows) - 1, 0))
        there = self.rows[place] == bare.rows if len(self.rows) else np.zeros(len(bare.rows), dtype=bool)
        outputs = {}
        for name, values in self.outputs.items():
            outputs[name] = np.full((len(bare.rows), *values.shape[1:]), np.nan, dtype=values.dtype)
            outputs[name][there] = values[place[there]]
        known, reason, through = bare.known.copy(), bare.reason.copy(), bare.fitted_through.copy()
        for mine, theirs in ((known, self.known), (reason, self.reason), (through, self.fitted_through)):
            mine[there] = theirs[place[there]]
        lacking = {name: np.zeros(len(bare.rows), dtype=bool) for name in self.lacking}
        for name, rows in self.lacking.items():
            lacking[name][there] = rows[place[there]]
        return replace(bare, outputs=outputs, known=known, reason=reason, fitted_through=through, lacking=lacking)

    def columns(self) -> dict[str, TextColumn]:
        """As the modules above read them: ``module.output`` and ``module.known``."""
        named = {**self.outputs, "known": self.known.astype(np.float64)}
        return {
            f"{self.module}.{name}": TextColumn(self.rows, self.session, values, self.fitted_through, self.in_sample)
            for name, values in named.items()
        }

    def on(self, days: IntArray, assets: IntArray | None = None) -> Answers:
        """The answers to the text of some days, about the market or some names of the store (all of the chunk's if None)."""
        mine = np.isin(self.session, days)
        if assets is not None:
            mine &= np.isin(self.asset, [*assets, MARKET_WIDE])
        outputs = {
            name: values[mine]
            for name, values in self.outputs.items()
            if name not in self.lacking or not self.lacking[name][mine].any()
        }
        session, rows = self.session[mine], self.rows[mine]
        return Answers(self.module, session, outputs, self.known[mine], self.reason[mine], "document", rows)


Said = ModuleAnswers | TextAnswers
"""The answers of one module in one chunk, whatever it answers."""


def laid_out(module: Module, days: IntArray, store: MarketStore, assets: IntArray, parts: Sequence[Part]) -> Said:
    """The parts of one module, laid out on days and names or on their text."""
    in_sample = module.self_supervised
    if module.kind == "document":
        return TextAnswers.assemble(module.name, days, store, assets, parts, in_sample)
    return ModuleAnswers.assemble(module.name, days, assets, parts, in_sample)


def silent(column: str, days: IntArray, assets: IntArray) -> Column:
    """A column of a silent module: never known, no value."""
    owner, _, output = column.partition(".")
    if owner not in TEXT_MODULES:
        return silent_column(output, days, assets)
    nothing = np.zeros(0, dtype=np.int64)
    return TextColumn(nothing, nothing, np.zeros(0), nothing)
