"""Many comparisons at once: Holm's correction, the test of superior predictive ability, and the model confidence set.

The loss of a strategy on a day is its return with the sign turned, in units of the deviation of its own returns over
the span. A mean loss is then its Sharpe ratio (by √252, sign turned), so that neither leverage nor a small exposure
decides. Strategies whose returns do not vary have no such loss and are left out by name. Those with the very same
returns as one before them share its fate.

* Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
* Hansen, "A test for superior predictive ability", Journal of Business & Economic Statistics 23(4), 2005. The null:
  none of the others has a larger Sharpe ratio than the stack. `arch` takes the maximum of plain means, not of
  studentised ones, which losses of equal deviation make comparable.
* Hansen, Lunde and Nason, "The model confidence set", Econometrica 79(2), 2011.

Blocks of the stationary bootstrap may run over the gap between two test years.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.types import FloatArray

__all__ = ["Losses", "family_tests", "holm", "losses_of", "model_confidence_set", "superior_ability"]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given; NaN stays NaN and counts for nothing."""
    given = np.asarray(p_values, dtype=np.float64)
    rising = np.argsort(given, kind="stable")[: int(np.isfinite(given).sum())]  # NaN sorts last
    scaled = given[rising] * np.arange(len(rising), 0, -1)
    adjusted = np.full(len(given), math.nan)
    adjusted[rising] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(value) for value in adjusted]


@dataclass(frozen=True, slots=True)
class Losses:
    """Daily losses of those that can be compared.

    Parameters
    ----------
    table : pd.DataFrame
        (n_sessions, n_names), a column per name, no two columns alike.
    twins : Mapping[str, str]
        Names with the same returns as a column, and that column.
    left_out : tuple[str, ...]
        Names whose returns do not vary.
    """

    table: pd.DataFrame
    twins: Mapping[str, str]
    left_out: tuple[str, ...]

    def named(self, columns: Sequence[str]) -> list[str]:
        """These columns and their twins, sorted."""
        return sorted([*columns, *(twin for twin, column in self.twins.items() if column in columns)])


def losses_of(returns: Mapping[str, FloatArray]) -> Losses:
    """Losses in units of deviation from simple returns per session, all over the same days."""
    kept: dict[str, FloatArray] = {}
    twins: dict[str, str] = {}
    left_out = []
    for name, values in returns.items():
        deviation = float(np.std(values, ddof=1))
        if not deviation > 0.0:
            left_out.append(name)
            continue
        loss: FloatArray = -values / deviation
        same = [other for other, column in kept.items() if np.array_equal(column, loss)]
        if same:
            twins[name] = same[0]
        else:
            kept[name] = loss
    return Losses(pd.DataFrame(kept), twins, tuple(left_out))


def family_tests(
    family: str, stack: str, returns: Mapping[str, FloatArray], settings: StatisticsPlan, seed: int
) -> list[Any]:
    """Rows of both tests over one family, pooled; none where fewer than two can be compared.

    Parameters
    ----------
    family, stack : str
        Names; ``returns`` holds the stack and every member of the family.
    settings, seed
        Level and number of samples; the seed of the plan.
    """
    losses = losses_of(returns)
    if stack not in losses.table.columns or losses.table.shape[1] < 2:
        return []
    block, stream = block_length(losses.table, stack), _stream(seed, family)
    common = {"family": family, "measure": "sharpe", "chunk": 0, "left_out": sorted(losses.left_out), "block": block}
    lower, consistent, upper = superior_ability(losses.table, stack, settings.n_boot, block, stream)
    inside, outside = model_confidence_set(losses.table, settings, block, stream)
    nothing = dict.fromkeys(("p_lower", "p_consistent", "p_upper", "included", "excluded"))
    spa = {"test": "spa", "p_lower": lower, "p_consistent": consistent, "p_upper": upper, "n": losses.table.shape[1] - 1}
    mcs = {
        "test": "mcs",
        "included": losses.named(inside),
        "excluded": losses.named(outside),
        "n": losses.table.shape[1] + len(losses.twins),
    }
    return [{**common, **nothing, **spa}, {**common, **nothing, **mcs}]


def superior_ability(table: pd.DataFrame, stack: str, n_boot: int, block: int, stream: int) -> tuple[float, float, float]:
    """Lower, consistent and upper p-value of "no other column has a smaller mean loss than ``stack``"."""
    from arch.bootstrap import SPA

    others = table.drop(columns=stack)
    test = SPA(table[stack], others, block_size=block, reps=n_boot, bootstrap="stationary", seed=stream)
    test.compute()
    lower, consistent, upper = (float(test.pvalues[name]) for name in ("lower", "consistent", "upper"))
    return lower, consistent, upper


def model_confidence_set(
    table: pd.DataFrame, settings: StatisticsPlan, block: int, stream: int
) -> tuple[list[str], list[str]]:
    """Columns that may have the smallest mean loss, at the plan's level, and those that do not."""
    from arch.bootstrap import MCS

    test = MCS(table, size=1.0 - settings.level, reps=settings.n_boot, block_size=block, bootstrap="stationary", seed=stream)
    test.compute()
    return [str(name) for name in test.included], [str(name) for name in test.excluded]


def block_length(table: pd.DataFrame, stack: str) -> int:
    """Mean sessions per block: the largest optimum among the differences to the stack, at most a quarter of the days."""
    from arch.bootstrap import optimal_block_length

    gaps = table.drop(columns=stack).sub(table[stack], axis=0)
    best = float(np.nanmax(optimal_block_length(gaps)["stationary"].to_numpy(dtype=np.float64)))
    return int(np.clip(math.ceil(best), 1, max(1, len(table) // 4))) if math.isfinite(best) else 1


def _stream(seed: int, family: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{family}".encode(), digest_size=8).digest())
