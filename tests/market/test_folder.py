from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources import from_name
from glassbox_bt.market.sources.folder import load_folder, write_folder
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.universe import UniverseRule
from tests.market.markets import DATES, EAGER, market, prices

TOML = 'name = "mine"\nprice_basis = "split_adjusted"\n'
TINY = Path(__file__).resolve().parents[2] / "data" / "tiny"
TINY_NAME = "synthetic?n_names=5&first=2001-01-02&last=2002-08-30&halts=4&delistings=1&splits=2&seed=1"


def folder(path: Path, toml: str = TOML, **tables: pd.DataFrame) -> Path:
    path.mkdir(exist_ok=True)
    (path / "market.toml").write_text(toml, encoding="utf-8")
    for name, table in ({"prices": prices()} | tables).items():
        table.to_csv(path / f"{name}.csv", index=False)
    return path


def assert_same_store(one: RawMarket, other: RawMarket) -> None:
    rule = UniverseRule(**EAGER)
    ours, theirs = build_store(one, rule), build_store(other, rule)
    assert ours.tickers == theirs.tickers
    for name, values in ours.columns.items():
        np.testing.assert_array_equal(values, theirs.columns[name], err_msg=name)
    for name, table in ours.records.items():
        pd.testing.assert_frame_equal(table, theirs.records[name], check_dtype=False)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_market_that_is_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    raw = SyntheticMarket(n_names=3, first="2019-10-01", last="2020-03-31", delistings=1).raw()
    write_folder(raw, tmp_path, suffix)
    read = load_folder(tmp_path)
    assert read.meta == raw.meta
    assert set(read.tables()) == set(raw.tables())
    assert_same_store(raw, read)


def test_csv_and_hand_made_tables_agree(tmp_path: Path) -> None:
    assert_same_store(from_name(folder(tmp_path)), market(meta={"name": "mine"}))


def test_tickers_that_look_like_missing_values_survive(tmp_path: Path) -> None:
    table = prices().replace({"ticker": {"A": "NA", "B": "nan", "C": "1"}})
    sectors = pd.DataFrame({"ticker": ["NA"], "sector": ["None"]})
    read = load_folder(folder(tmp_path, prices=table, sectors=sectors))
    store = build_store(read, UniverseRule(**EAGER), features={})
    assert store.tickers == ("1", "NA", "nan")
    assert store.records["sectors"]["sector"].tolist() == ["None"]


def test_blank_cells_are_missing_values(tmp_path: Path) -> None:
    table = prices()
    table.loc[10, ["open", "volume"]] = np.nan
    store = build_store(load_folder(folder(tmp_path, prices=table)), UniverseRule(**EAGER), features={})
    assert np.isnan(store.columns["open"][10, 0])
    assert store.columns["tradable"][10, 0] == 0


def test_files_may_lie_elsewhere_and_bars_may_be_cut(tmp_path: Path) -> None:
    folder(tmp_path / "theirs")
    mine = tmp_path / "mine"
    mine.mkdir()
    toml = TOML + 'start = "2019-11-01"\nend = "2020-02-28"\n[files]\nprices = "../theirs/prices.csv"\n'
    (mine / "market.toml").write_text(toml, encoding="utf-8")
    days = pd.to_datetime(load_folder(mine).prices["date"])
    assert str(days.min().date()) == "2019-11-01"
    assert str(days.max().date()) == "2020-02-28"


def test_rules_of_knowledge_are_read_by_table_and_series(tmp_path: Path) -> None:
    toml = TOML + '[known_at]\nnews = "column"\n[known_at.macro]\ndefault = "+1 sessions"\nSPX = "close"\n'
    meta = load_folder(folder(tmp_path, toml)).meta
    assert meta.known_at == {"news": "column", "macro": "+1 sessions", "macro.SPX": "close"}


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('name = "x"', "no `price_basis`|`price_basis`"),
        (TOML + 'colour = "red"', "Unknown key `colour` in market.toml. Allowed: name, calendar"),
        (TOML + '[files]\npricez = "p.csv"', r"Unknown key `pricez` in \[files\]"),
        (TOML + '[files]\nprices = "gone.csv"', "which is no file"),
        (TOML + '[known_at]\nsectors = "close"', r"Unknown key `sectors` in \[known_at\]"),
        (TOML + "[known_at]\nmacro = 3", "known_at.macro"),
        (TOML + "known_at = 3", "must be a table"),
        (TOML + "currency = 3", "must be text"),
        (TOML + 'card = "one"', "list of sentences"),
        (TOML + 'start = "soon"', "must be a date"),
        (TOML + "name = = 3", "cannot be read"),
    ],
)
def test_a_market_toml_that_is_not_understood_is_refused(tmp_path: Path, toml: str, says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        load_folder(folder(tmp_path, toml))


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"market\.toml is missing"):
        load_folder(tmp_path)
    (tmp_path / "market.toml").write_text(TOML, encoding="utf-8")
    with pytest.raises(MarketDataError, match=r"no prices\.parquet or prices\.csv"):
        load_folder(tmp_path)
    (tmp_path / "prices.parquet").write_bytes(b"PAR1 this is no parquet")
    with pytest.raises(MarketDataError, match=r"prices\.parquet cannot be read"):
        load_folder(tmp_path)
    (tmp_path / "prices.parquet").unlink()
    (tmp_path / "prices.csv").write_text("", encoding="utf-8")
    with pytest.raises(MarketDataError, match=r"prices\.csv cannot be read"):
        load_folder(tmp_path)
    (tmp_path / "prices.csv").write_bytes(b"date,ticker,close\n2020-01-02,\xff\xfe,1\n")
    with pytest.raises(MarketDataError, match=r"prices\.csv is not UTF-8: line 2 has the byte 0xff"):
        load_folder(tmp_path)


def test_two_files_for_one_table_are_refused(tmp_path: Path) -> None:
    prices().to_parquet(folder(tmp_path) / "prices.parquet")
    with pytest.raises(MarketDataError, match="both"):
        load_folder(tmp_path)


def test_a_table_in_a_form_that_is_not_read_is_not_passed_over(tmp_path: Path) -> None:
    path = folder(tmp_path / "mine")
    (path / "news.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(MarketDataError, match=r"news\.jsonl is not read.*glassbox data import .*news\.jsonl --what text"):
        load_folder(path)
    pd.DataFrame({"published_at": ["2015-01-02"], "ticker": ["A"], "text": ["words"]}).to_csv(path / "news.csv", index=False)
    assert len(load_folder(path).tables()["news"]) == 1  # made of the other, which may stay


def test_a_file_of_another_encoding_names_the_line(tmp_path: Path) -> None:
    path = folder(tmp_path / "mine")
    (path / "news.csv").write_bytes("published_at,ticker,text\n2015-01-02,A,plain\n2015-01-05,A,it’s\n".encode("cp1252"))
    with pytest.raises(MarketDataError, match=r"news\.csv is not UTF-8: line 3 has the byte 0x92"):
        load_folder(path)


def test_textual_prices_in_csv_name_the_row(tmp_path: Path) -> None:
    folder(tmp_path)
    lines = (tmp_path / "prices.csv").read_text(encoding="utf-8").splitlines()
    lines[5] = lines[5].replace(lines[5].split(",")[5], "twelve")
    (tmp_path / "prices.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(MarketDataError, match="`prices` row 4: close 'twelve' is not a number"):
        build_store(load_folder(tmp_path), UniverseRule(**EAGER))


@pytest.mark.parametrize("name", ["nowhere", "synthetic?colour=red", "synthetic?seed=x", "synthetic?noise_only=yes"])
def test_unknown_markets_and_settings_are_refused(name: str) -> None:
    with pytest.raises(MarketDataError):
        from_name(name)


def test_the_committed_sample_is_what_its_command_makes(tmp_path: Path) -> None:
    write_folder(from_name(TINY_NAME), tmp_path, "csv")
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert TINY_NAME in (TINY / "README.md").read_text(encoding="utf-8")
    assert made == {path.name: path.read_bytes() for path in TINY.iterdir() if path.name != "README.md"}


def test_the_committed_sample_is_a_market() -> None:
    store = build_store(from_name(TINY))
    assert store.n_sessions > 400
    assert len(store.tickers) == 5
    assert store.member.any()
    assert store.facts["has_opens"] and store.facts["has_volume"]
    assert DATES[0] > store.dates[-1]  # not the market of the other tests


@pytest.mark.slow
def test_large_markets_of_others_are_read(shared_data: Path, tmp_path: Path) -> None:
    toml = f"""
name = "pystock"
price_basis = "raw"
licence = "CC BY-SA 4.0"
[files]
prices = "{shared_data}/pystock_2015_2017/prices.parquet"
macro = "{shared_data}/macro/macro.parquet"
membership = "{shared_data}/membership/membership.parquet"
[known_at.macro]
default = "+1 sessions"
DCOILWTICO = "+7 days"
DCOILBRENTEU = "+7 days"
DTWEXBGS = "+7 days"
DEXUSEU = "+7 days"
DEXJPUS = "+7 days"
SPX_CLOSE = "close"
"""
    (tmp_path / "market.toml").write_text(toml, encoding="utf-8")
    store = build_store(load_folder(tmp_path), UniverseRule(size=100, use_membership=False), features={})
    booked_out = store.facts["booked_out"]
    assert store.facts["n_names"] == 3704
    assert store.member.sum(axis=1).max() == 100
    assert 400 <= booked_out["assumed"] <= 500  # type: ignore[index]
