"""data check and data import: what is in a market folder, and how one comes to be."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.market.sources.folder import load_folder
from tests.flow.command import ROOT, Shell

TINY = ROOT / "data" / "tiny"
STATED = ("--name", "mine", "--price-basis", "raw", "--calendar", "XNYS", "--benchmark", "equal-weight")


def test_check_tells_facts_flags_and_card(shell: Shell) -> None:
    said = shell("data", "check", TINY)
    assert said.code == 0
    for words in ("first session", "2001-01-02", "survivorship", "bars with zero volume", "Synthetic market, seed 1"):
        assert words in said.out


def test_check_refuses_with_one_line(tmp_path: Path, shell: Shell) -> None:
    said = shell("data", "check", tmp_path)
    assert said.code == 2
    assert "market.toml is missing" in said.complaint
    assert said.out == ""


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_imported_table_is_a_market(tmp_path: Path, shell: Shell, suffix: str) -> None:
    prices = pd.read_csv(TINY / "prices.csv", parse_dates=["date"])
    source = tmp_path / f"bars.{suffix}"
    if suffix == "csv":
        prices.to_csv(source, index=False)
    else:
        prices.to_parquet(source)
    said = shell("data", "import", source, "--out", tmp_path / "market", *STATED)
    assert said.code == 0, said.err
    raw = load_folder(tmp_path / "market")
    assert (raw.meta.name, raw.meta.price_basis, raw.meta.benchmark) == ("mine", "raw", None)
    assert raw.prices["close"].tolist() == prices["close"].tolist()
    assert shell("data", "check", tmp_path / "market").code == 0


def test_an_import_replaces_nothing(tmp_path: Path, shell: Shell) -> None:
    said = shell("data", "import", TINY / "prices.csv", "--out", tmp_path, *STATED)
    assert said.code == 2
    assert "exists already" in said.complaint
    assert not list(tmp_path.iterdir())


def test_an_import_asks_for_what_has_no_honest_default(tmp_path: Path, shell: Shell) -> None:
    for left_out in range(0, len(STATED), 2):
        stated = (*STATED[:left_out], *STATED[left_out + 2 :])
        said = shell("data", "import", TINY / "prices.csv", "--out", tmp_path / "market", *stated)
        assert said.code == 2
        assert STATED[left_out] in said.err
    assert not (tmp_path / "market").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--price-basis": "adjusted"}, "price_basis"),
        ({"--calendar": "MARS"}, "MARS"),
        ({"--benchmark": "SPY"}, "benchmark `SPY` has no prices"),
    ],
)
def test_an_import_is_refused_like_a_run(tmp_path: Path, shell: Shell, changes: dict[str, str], says: str) -> None:
    stated = dict(zip(STATED[::2], STATED[1::2], strict=True)) | changes
    said = shell(
        "data",
        "import",
        TINY / "prices.csv",
        "--out",
        tmp_path / "market",
        *(word for pair in stated.items() for word in pair),
    )
    assert said.code == 2
    assert says in said.complaint
    assert not (tmp_path / "market").exists()
