"""Drivers that jump while nothing happens are noted; pairs in which something happened do not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits import top_driver
from tests.audits.planted import Planted

TABLE = "modules/quantitative/chunk1_test"
NEEDED = ("quantitative", "position_sizing", "technical", "liquidity", "fusion")
SHARES = ("volatility", "var_cvar", "liquidity")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny run has few pairs."""
    monkeypatch.setattr(top_driver, "LEAST", 20)


def figures(result: Any, split: str = "test", what: str = "attention") -> dict[str, tuple[float | None, str]]:
    mine = [one for one in result.metrics if (one.module, one.split) == ("quantitative", split)]
    return {one.metric.removesuffix(f" ({what})"): (one.value, one.verdict) for one in mine if what in one.metric}


def attending(shares: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with attention spread over three risks as told."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        given = np.asarray(shares(table), dtype=np.float64)
        return table.assign(**{f"risk_attention_{name}": given[:, i] for i, name in enumerate(SHARES)})

    return change


def day_of(table: pd.DataFrame) -> Any:
    return table["date"].rank(method="dense").to_numpy(dtype=np.int64)


def by_name(table: pd.DataFrame) -> Any:
    """Half of the names lean to one risk, half to another, for good."""
    left = table["ticker"].rank(method="dense").to_numpy() % 2 == 0
    return np.where(left[:, None], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5])


def by_day(table: pd.DataFrame) -> Any:
    """Every other day another risk."""
    even = day_of(table) % 2 == 0
    return np.where(even[:, None], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5])


def barely_by_day(table: pd.DataFrame) -> Any:
    """The same, with the first two hardly apart."""
    even = day_of(table) % 2 == 0
    return np.where(even[:, None], [0.405, 0.2, 0.395], [0.395, 0.2, 0.405])


@pytest.mark.usefixtures("few")
def test_drivers_that_stay_pass(planted: Planted, ask: Any) -> None:
    told = figures(ask("top_driver", planted.change(TABLE, attending(by_name)), *NEEDED))
    assert told["TDS"] == (1.0, "pass")
    assert told["drift"] == (0.0, "pass")
    assert told["TDS, all pairs"][0] == 1.0
    assert told["largest driver's share"][1] == "pass"


@pytest.mark.usefixtures("few")
def test_drivers_that_jump_are_noted(planted: Planted, ask: Any) -> None:
    result = ask("top_driver", planted.change(TABLE, attending(by_day)), *NEEDED)
    told = figures(result)
    assert told["TDS"] == (0.0, "note")
    assert told["drift"] == (0.3, "note")
    assert told["TDS, margin 0.02"][0] == 0.0
    assert {one.hard for one in result.findings} == {False}
    assert result.status == "note"


@pytest.mark.usefixtures("few")
def test_a_margin_tells_jumps_between_equals_from_real_ones(planted: Planted, ask: Any) -> None:
    told = figures(ask("top_driver", planted.change(TABLE, attending(barely_by_day)), *NEEDED))
    assert told["TDS"] == (0.0, "note")
    assert told["drift"] == (0.01, "pass")
    assert told["TDS, margin 0.02"][0] is None  # no pair in which the first two are apart


@pytest.mark.usefixtures("few")
def test_one_driver_for_all_is_trivial(planted: Planted, ask: Any) -> None:
    planted.change(TABLE, attending(lambda table: np.tile([0.5, 0.3, 0.2], (len(table), 1))))
    result = ask("top_driver", planted.run, *NEEDED)
    assert figures(result)["TDS"] == (1.0, "trivial")
    assert not [
        one for one in result.asked if (one.module, one.split, one.check) == ("quantitative", "test", "TDS (attention)")
    ]


def test_few_pairs_are_insufficient(run: Path, ask: Any) -> None:
    told = figures(ask("top_driver", run))
    assert told["TDS"][1] == "insufficient"
    assert told["eligible pairs"][1] == "insufficient"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (
            "decisions",
            lambda t: t.assign(rule_barrier_reasons=t["rule_barrier_reasons"] + "|" + (day_of(t) % 2).astype(str)),
        ),
        ("decisions", lambda t: t.assign(regime_label=np.where(day_of(t) % 2 == 0, "calm", "volatile"))),
        ("modules/technical/chunk1_test", lambda t: t.assign(momentum_score=np.where(day_of(t) % 2 == 0, -0.9, 0.9))),
        (
            "modules/position_sizing/chunk1_test",
            lambda t: t.assign(volatility_risk_score=np.where(day_of(t) % 2 == 0, 0.1, 0.9)),
        ),
    ],
    ids=["another rule fired", "another regime", "technical evidence moved", "a risk moved"],
)
def test_pairs_in_which_something_happened_do_not_count(
    planted: Planted, ask: Any, table: str, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    before = figures(ask("top_driver", planted.run, *NEEDED))["eligible pairs"][0]
    after = figures(ask("top_driver", planted.change(table, change), *NEEDED))["eligible pairs"][0]
    assert before is not None
    assert before > 0
    assert after == 0.0


def test_pairs_with_a_text_event_do_not_count_for_fusion(planted: Planted, ask: Any) -> None:
    def fusion(result: Any) -> Any:
        return next(
            one.value for one in result.metrics if one.metric == "eligible pairs (contribution)" and one.split == "test"
        )

    assert fusion(ask("top_driver", planted.run, *NEEDED)) > 0
    assert fusion(ask("top_driver", planted.change("decisions", lambda table: table.assign(event_count=1)))) == 0.0


def test_of_a_bare_table_only_all_pairs_are_told(bare: Any, ask: Any) -> None:
    result = ask("top_driver", bare())
    assert result.status == "not applicable"
    assert {one.metric for one in result.metrics} == {"TDS, all pairs (attention)", "largest driver's share (attention)"}
