"""Metrics of every strategy, chunk and split, from the recorded equity and orders alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.portfolio.metrics import summarise

__all__ = ["DEGENERATE", "action_rates", "strategy_metrics"]

DEGENERATE = 0.01  # R22: a stack that buys in fewer rows than this did not trade


def strategy_metrics(run: Path) -> list[dict[str, Any]]:
    """One row per strategy, chunk and split; validation rows carry ``selection`` 1 (R5)."""
    equity = pd.read_parquet(run / "portfolio" / "equity.parquet")
    orders = pd.read_parquet(run / "portfolio" / "orders.parquet")
    rates = action_rates(pd.read_parquet(run / "decisions.parquet"))
    keys = ["chunk", "split", "strategy"]
    fills: dict[Any, pd.DataFrame] = dict(iter(orders.groupby(keys)))
    rows: list[dict[str, Any]] = []
    key: Any
    for key, days in equity.groupby(keys, sort=False):
        chunk, split, strategy = key
        row: dict[str, Any] = {"strategy": strategy, "chunk": int(chunk), "split": split, "selection": int(split != "test")}
        row.update(_numbers(days, fills.get(key)))
        if strategy == "glassbox":
            row.update(rates[(int(chunk), str(split))])
        rows.append(row)
    return rows


def action_rates(decisions: pd.DataFrame) -> dict[tuple[int, str], dict[str, Any]]:
    """Share of SELL, HOLD and BUY among the rows of each chunk and split."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    key: Any
    for key, rows in decisions.groupby(["chunk", "split"]):
        share = rows["final_recommendation"].value_counts(normalize=True)
        rates = {f"{action.lower()}_rate": float(share.get(action, 0.0)) for action in ("SELL", "HOLD", "BUY")}
        found[(int(key[0]), str(key[1]))] = {**rates, "degenerate": rates["buy_rate"] < DEGENERATE}
    return found


def _numbers(days: pd.DataFrame, fills: pd.DataFrame | None) -> dict[str, Any]:
    delistings = ("delisted", "assumed_delisting")
    traded = None if fills is None else fills[(fills["filled_shares"] > 0.0) & ~fills["code"].isin(delistings)]
    numbers = summarise(
        returns=days["return"].to_numpy(),
        exposure=days["exposure"].to_numpy(),
        traded=days["traded"].to_numpy(),
        costs=days["costs"].to_numpy(),
        equity=days["equity"].to_numpy(),
    )
    plain: dict[str, Any] = {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}
    plain["n_trades"] = 0 if traded is None else len(traded)
    plain["unfilled"] = 0 if fills is None else int((fills["filled_shares"] == 0.0).sum())
    plain["booked_out"] = 0 if fills is None else int(fills["code"].isin(delistings).sum())
    return plain
