"""What the network's weights say of a day, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from glassbox_bt.market.tail_labels import HORIZONS
from glassbox_bt.market.tails import lately_stressed
from glassbox_bt.modules._contagion_inputs import OWN_WORDS, Panel
from glassbox_bt.modules._contagion_network import answered
from glassbox_bt.modules._contagion_rows import Graphs, ask_days
from glassbox_bt.modules.base import rounded
from glassbox_bt.modules.names import NOBODY, NOBODY_WORD
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["SHOWN", "Said", "asked", "told_alone", "told_together"]

SHOWN = 10  # influencers per row


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """By day and name of a panel; NaN where nothing was asked.

    Parameters
    ----------
    residual : FloatArray
        What the network adds to the log-odds, (n_days, n_assets, horizons).
    influencers, influence : FloatArray
        Codes of the ten names with the largest weights, and these, (n_days, n_assets, 10); `NOBODY` and 0 where there are
        fewer.
    stress : FloatArray
        Share of the weights that lies on names with a tail loss in the last five sessions, in [0, 1].
    """

    residual: FloatArray
    influencers: FloatArray
    influence: FloatArray
    stress: FloatArray


def asked(network: nn.Module, panel: Panel, graphs: Graphs, codes: FloatArray) -> Said:
    """The network's answers for every usable name; ``codes`` are those of the panel's names."""
    shape = panel.usable.shape
    residual, stress = np.full((*shape, len(HORIZONS)), np.nan), np.full(shape, np.nan)
    influencers, influence = np.full((*shape, SHOWN), np.nan), np.full((*shape, SHOWN), np.nan)
    lately = np.nan_to_num(lately_stressed(panel.depth)[panel.at])
    for picked, structure, said, weights in ask_days(lambda batch: answered(network, batch), panel, graphs):
        nodes, place = structure.nodes, np.ix_(picked, structure.nodes)
        names = np.broadcast_to(np.arange(len(nodes)), weights.shape[1:]) if structure.near is None else structure.near
        shares = np.asarray(rounded(weights))
        residual[place] = said
        stress[place] = (shares * lately[picked][:, nodes][:, names]).sum(axis=-1)
        influencers[place], influence[place] = _largest(shares, names, codes[nodes])
    out = Said(residual, influencers, influence, np.minimum(stress, 1.0))
    for values in (out.residual, out.influencers, out.influence, out.stress):
        values[~panel.usable] = np.nan
    return out


def _largest(shares: FloatArray, names: IntArray, codes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Codes and shares of the ten largest, each (n_days, n, 10); ties go to the earlier name."""
    top = np.argsort(-shares, axis=-1, kind="stable")[..., :SHOWN]
    size = np.take_along_axis(shares, top, axis=-1)
    who = np.take_along_axis(np.broadcast_to(names, shares.shape), top, axis=-1)
    short = ((0, 0), (0, 0), (0, SHOWN - top.shape[-1]))
    return np.pad(np.where(size > 0.0, codes[who], NOBODY), short, constant_values=NOBODY), np.pad(size, short)


def told_together(row: Mapping[str, float], influencers: AnyArray, uses_graph: bool) -> str:
    """The summary of a row that the network had a say in."""
    named = [
        f"{who} {row[f'influence_{rank}']:.0%}"
        for rank, who in enumerate(influencers[:3], start=1)
        if who not in (None, NOBODY_WORD)
    ]
    text = _chances(row)
    text += f" Strongest influences by weight: {', '.join(named)}." if named else " No neighbour influences it."
    text += f" Names in distress this week hold {row['neighbour_stress']:.0%} of the weights."
    return text if uses_graph else f"{text} On past data the network showed no use of neighbours."


def told_alone(row: Mapping[str, float], shares: FloatArray) -> str:
    """The summary of a row that only own history had a say in; ``shares`` are what its inputs add to the log-odds."""
    top = int(np.abs(shares).argmax())
    moved = "raises" if shares[top] > 0.0 else "lowers"
    return f"{_chances(row)} Neighbours are not looked at. Most of all {OWN_WORDS[top]} {moved} the chance over 20 sessions."


def _chances(row: Mapping[str, float]) -> str:
    chances = [f"{row[f'contagion_{horizon}d']:.1%} within {horizon}" for horizon in HORIZONS]
    return (
        f"Chance of an extreme loss {', '.join(chances)} sessions; own history alone says {row['own_history_20d']:.1%} "
        "for 20."
    )
