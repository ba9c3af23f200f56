"""The upstream project's tables: its folders, names and columns, made of what the run recorded and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.layouts import FIN_GLASSBOX, write_fin_glassbox
from glassbox_bt.runs.artefacts import write_whole

DAYS = pd.to_datetime(["2019-05-01", "2019-05-02", "2019-05-03"])
TICKERS = ("A", "B")
LAYOUTS = {layout.folder: layout for layout in FIN_GLASSBOX}
RENAMED = {
    "pred_regime_id": "regime_label_id",
    "pred_regime_label": "regime_label",
    "confidence": "regime_confidence",
    "label_graph_stress_score": "rule_graph_stress_score",
}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def rows(columns: tuple[str, ...]) -> pd.DataFrame:
    """Two names on three days, each column counting on; the last day is not known to anybody."""
    day = np.repeat(np.arange(3), 2)
    table: dict[str, Any] = {"ticker": np.tile(TICKERS, 3), "date": DAYS[day]}
    for at, name in enumerate(columns):
        if name not in table:
            table[name] = np.where(day < 2, at + 10.0 * day, np.nan)
    known = day < 2
    return pd.DataFrame({**table, "known": known, "reason": np.where(known, "known", "warm_up"), "xai_summary": "Why not."})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., dict[str, pd.DataFrame]]:
    """Writes the tables of some modules, one of them after ``change``, and reads the exported ones by folder."""

    def write(change: Change = lambda table: table, changed: str = "") -> dict[str, pd.DataFrame]:
        for folder, module in (("Drawdown", "drawdown"), ("StemGNN", "contagion"), ("MTGNNRegime", "regime")):
            house = tuple(RENAMED.get(name, name) for name in LAYOUTS[folder].columns)
            table = rows(house).assign(contagion_risk_raw=0.5, wild_state_probability=0.1)
            table = change(table) if module == changed else table
            place = tmp_path / "modules" / module / "chunk1_test.parquet"
            write_whole(place, lambda draft, table=table: table.to_parquet(draft, index=False))  # type: ignore[misc]
        marked = rows(()).assign(chunk=1, split="test")
        for name in ("decisions", "portfolio/approved"):
            write_whole(tmp_path / f"{name}.parquet", lambda draft: marked.to_parquet(draft, index=False))
        return {path.parent.name: pd.read_csv(path) for path in write_fin_glassbox(tmp_path)}

    return write


@pytest.mark.parametrize("folder", ["Drawdown", "StemGNN", "MTGNNRegime"])
def test_columns_are_upstreams_in_its_order_and_no_others(written: Any, folder: str) -> None:
    assert list(written()[folder].columns) == list(LAYOUTS[folder].columns)


def test_stems_are_upstreams(written: Any, tmp_path: Path) -> None:
    written()
    root = tmp_path / "outputs" / "results"
    for name in ("Drawdown/predictions", "StemGNN/contagion_scores", "MTGNNRegime/predictions"):
        assert (root / f"{name}_chunk1_test.csv").is_file()


def test_the_regime_has_one_row_a_day_under_upstreams_names(written: Any) -> None:
    table, own = written()["MTGNNRegime"], rows(tuple(RENAMED.values()))
    assert table["date"].tolist() == ["2019-05-01", "2019-05-02", "2019-05-03"]
    assert "ticker" not in table.columns
    stress = LAYOUTS["MTGNNRegime"].columns.index("label_graph_stress_score")
    assert table["label_graph_stress_score"].tolist()[:2] == [stress, stress + 10.0]
    assert table["label_graph_stress_score"].isna().tolist() == own.groupby("date")["known"].any().eq(False).tolist()
    assert table["xai_summary"].notna().all()


def test_a_name_without_an_answer_does_not_hide_that_of_its_day(written: Any) -> None:
    def unseen(table: pd.DataFrame) -> pd.DataFrame:
        first = (table["ticker"] == "A") & table["known"]
        numbers = table.select_dtypes("number").columns
        table.loc[first, numbers] = np.nan
        return table.assign(known=table["known"] & ~first)

    assert written(unseen, "regime")["MTGNNRegime"]["prob_crisis"].notna().tolist() == [True, True, False]


def test_several_answers_on_one_day_are_refused(written: Any) -> None:
    def torn(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[2, "prob_crisis"] = 0.123
        return table

    with pytest.raises(RunFolderError, match="one answer a day, but has several on 2019-05-02"):
        written(torn, "regime")


def test_what_a_variant_does_not_have_is_left_out(written: Any) -> None:
    def alone(table: pd.DataFrame) -> pd.DataFrame:
        return table.drop(columns=[name for name in table.columns if "influence" in name or name == "neighbour_stress"])

    table = written(alone, "contagion")["StemGNN"]
    assert list(table.columns) == ["ticker", "date", "contagion_5d", "contagion_20d", "contagion_60d", "xai_summary"]


def test_no_layout_lets_an_outcome_through() -> None:
    """`label_graph_stress_score` is upstream's name of a rule's number of the day itself."""
    for layout in FIN_GLASSBOX:
        outcomes = [
            name for name in layout.columns if name.startswith(("target_", "true_", "future_", "forward_", "label_"))
        ]
        assert outcomes in ([], ["label_graph_stress_score"])
