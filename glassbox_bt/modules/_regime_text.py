"""What was written in the last month, laid out for the regime network: a mean per name, and one for the market.

The text encoder's components come ordered by how much of train they explain, so its first few are a small projection that
was fitted on train already. A document counts once, whatever the number of its chunks. Rows of text are read with the
session and the name that they carry, never by a position that a filter moved (D-REG-05).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.market.view import Span
from glassbox_bt.types import BoolArray, Float32Array, FloatArray, IntArray, Read

__all__ = ["ANCHOR_NOTE", "ENOUGH", "TEXT_NOTE", "TEXT_READ", "TextBlock"]

TEXT_READ = Read("text_encoder.embedding", 21)  # sessions in thirty days (spec 17)
COMPONENTS = 8
ENOUGH = 0.30  # share of the names of train days that text must cover (D-REG-04)
TEXT_NOTE = "The text block is left out: no text module answers, so text covers 0 % of the names and 30 % are needed."
ANCHOR_NOTE = "The text block is left out: the anchor hears no text."


@dataclass(frozen=True, slots=True, eq=False)
class TextBlock:
    """Means of the month up to each day; the last column is 1 where there was text, the others are NaN where there was none.

    Parameters
    ----------
    names : Float32Array
        (n_days, n_assets, 9), in the order that was asked for; (n_days, n_assets, 0) where no text module answers.
    market : FloatArray
        Of text about no single name, (n_days, 9) or (n_days, 0).
    """

    names: Float32Array
    market: FloatArray

    @classmethod
    def nothing(cls, n_days: int, n_assets: int) -> TextBlock:
        """No text module answers."""
        return cls(np.zeros((n_days, n_assets, 0), dtype=np.float32), np.zeros((n_days, 0)))

    @classmethod
    def of(cls, span: Span, order: IntArray) -> TextBlock:
        """Of a span, with its names in ``order``."""
        n_days, n_assets = len(span), len(order)
        if span.documents is None or not len(span.text):  # the encoder is silent, or nothing was written
            return cls.nothing(n_days, n_assets)
        values = np.asarray(span.block(TEXT_READ.column), dtype=np.float64)
        values = values.reshape(len(span.text), -1)[:, :COMPONENTS]
        rows = np.flatnonzero(np.isfinite(values).all(axis=1))
        if not len(rows):
            return cls.nothing(n_days, n_assets)
        sums = _summed(span, values, rows)
        means = _month(sums, span.days - span.days[0] + TEXT_READ.sessions - 1)
        names = means[:, :-1][:, order]
        return cls(names.astype(np.float32), means[:, -1])

    def coverage(self, nodes: BoolArray) -> float:
        """Share of the names in the graphs, (n_days, n_assets), that were written about; 0 without any."""
        if not self.names.shape[-1] or not nodes.any():
            return 0.0
        return float((self.names[..., -1][nodes] == 1.0).mean())


def _summed(span: Span, values: FloatArray, rows: IntArray) -> FloatArray:
    """Sum of the embeddings and number of documents of each session and name, the market last: (sessions, names + 1, k + 1).

    Added up in the order of the rows, so that nothing else in the span changes a sum.
    """
    text = span.text
    chunks = np.bincount(text.document[rows], minlength=int(text.document.max()) + 1)
    share = 1.0 / chunks[text.document[rows]]
    session = text.session[rows] - (int(span.days[0]) - TEXT_READ.sessions + 1)
    name = np.where(text.asset[rows] == MARKET_WIDE, span.n_assets, text.asset[rows])
    n_sessions = int(span.days[-1] - span.days[0]) + TEXT_READ.sessions
    sums = np.zeros((n_sessions, span.n_assets + 1, values.shape[1] + 1))
    np.add.at(sums, (session, name), np.column_stack([share[:, None] * values[rows], share]))
    return sums


def _month(sums: FloatArray, last: IntArray) -> FloatArray:
    """Means over the sessions up to each of ``last``, oldest first; a flag in place of the count."""
    total = np.zeros((len(last), *sums.shape[1:]))
    for age in range(TEXT_READ.sessions - 1, -1, -1):
        total += sums[last - age]
    count = total[..., -1:]
    means = np.divide(total[..., :-1], count, out=np.full(total[..., :-1].shape, np.nan), where=count > 0.0)
    return np.concatenate([means, (count > 0.0).astype(np.float64)], axis=-1)
