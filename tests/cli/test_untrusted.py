"""What others wrote reaches the terminal as plain characters, whichever command prints it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console, RenderableType

from glassbox_bt.audits import AuditResult
from glassbox_bt.audits.base import Check as Looked
from glassbox_bt.cli import ablate, audit, inspect, module, progress, verify
from glassbox_bt.cli.terminal import plain, say, shown
from glassbox_bt.reporting.card import DecisionCard
from glassbox_bt.reporting.faults import Check, Fault
from tests.flow.command import ROOT, Shell

NAMES = ("[/b]", "[red]", "\x1b[31mX\x07", "\x9b2J\u202eX", ":smile:", "a\r\nb", "\\[b]")


def printed(*things: RenderableType) -> str:
    """What a terminal with colours would receive, less the colours that are the program's own."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=200, highlight=False)
    for thing in things:
        console.print(thing)
    return out.getvalue()


def assert_harmless(screen: str, name: str) -> None:
    assert not [char for char in screen if not char.isprintable() and char != "\n"], ascii(screen)
    assert plain(name) in screen, ascii(screen)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_styles_moves_or_hides_anything(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain(name + "\ud800") == plain(name)
    assert_harmless(printed(shown(name)), name)
    say(name)
    assert capsys.readouterr().out == plain(name) + "\n"


@pytest.mark.parametrize("words", ["Brown-Forman", "café, 5 % [BF.B] <x>", "https://r.com/a?b=1"])
def test_plain_words_are_printed_as_they_stand(words: str) -> None:
    assert plain(words) == words
    assert printed(shown(words)) == words + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_findings_of_audits(name: str) -> None:
    look = Looked("range", name, name, 1, name, False, f"first {name}", name)
    results = [AuditResult("bounds", (look, dataclasses.replace(look, passed=None)), question="?", reason=f"{name}, x")]
    out = StringIO()
    audit._print(Console(file=out, force_terminal=True, color_system=None, width=200, highlight=False), results, name)
    assert out.getvalue().count(plain(name)) == 6 + 1
    assert_harmless(out.getvalue(), name)


@pytest.mark.parametrize("name", NAMES)
def test_tables_of_verify_ablate_and_decide(name: str) -> None:
    fault = Fault(name, name, "1", "2", name)
    assert_harmless(printed(shown(verify._line(fault)), verify._table((Check("q", 1, "rows", (fault,)),))), name)
    variants = [{"name": "v", "set": "modules", "depth": "inference", "target": name}]
    assert_harmless(printed(ablate._table(variants, pd.DataFrame(), "sharpe")), name)
    row = {"ticker": name, "final_recommendation": name, "learned_recommendation": name, "binding_rule_id": name}
    numbers = dict.fromkeys(("final_fusion_signal", "held_weight", "final_position_pct"), 0.0)
    screen = printed(inspect._decisions(pd.DataFrame([row | numbers]), "2020-01-02"))
    assert screen.count(plain(name)) == 4
    assert_harmless(screen, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_of_a_decision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=200, highlight=False)
    monkeypatch.setattr(inspect, "_console", lambda: console)
    inspect._print_card(DecisionCard(name, (("Why?", (name,)),), (), None))
    assert out.getvalue().count(plain(name)) == 2
    assert_harmless(out.getvalue(), name)


@pytest.mark.parametrize("name", NAMES)
def test_titles_of_progress(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with progress.bars(name) as tell:
        tell(name, 0.5)
    assert_harmless(capsys.readouterr().err, name)
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=200)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with progress.bars(name) as tell:
        tell(name, 0.5)
    assert plain(name) in out.getvalue()
    assert name.isprintable() or name not in out.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_a_market_is_checked_whatever_its_names_are(tmp_path: Path, shell: Shell, name: str) -> None:
    market = shutil.copytree(ROOT / "data" / "tiny", tmp_path / "market", ignore=shutil.ignore_patterns("news.*"))
    toml = (market / "market.toml").read_text(encoding="utf-8")
    (market / "market.toml").write_text(toml.replace('name = "synthetic"', f"name = {json.dumps(name)}"), encoding="utf-8")
    known = pd.read_csv(market / "prices.csv")["ticker"].iloc[0]
    news = pd.DataFrame({"published_at": "2002-03-04 15:00Z", "ticker": [known, name], "text": ["x", "y"], "source": name})
    news.to_parquet(market / "news.parquet", index=False)
    said = shell("data", "check", market)
    assert said.code == 0, said.err
    assert said.out.count(plain(name)) >= 2, ascii(said.out)  # the title and the name without prices, where nothing wraps
    assert_harmless(said.out, name)
    news.assign(ticker=name).to_parquet(market / "news.parquet", index=False)
    said = shell("data", "check", market)
    assert said.code == 2
    assert_harmless(said.complaint, " ".join(plain(name).split()))


def test_a_header_cannot_speak_to_the_terminal(tmp_path: Path, shell: Shell) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\x1b]0;owned\x07,[/b],\x1b[31mred\npublished_at,x,y\n")
    said = shell("data", "import", "--what", "text", path, "--out", tmp_path / "texts")
    assert said.code == 2
    assert "has no column `text` (it has: ]0;owned, [/b], [31mred)" in said.complaint
    assert said.complaint.isprintable()


def test_a_module_is_inspected_whatever_stands_in_its_settings(
    run: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Choice, "_described", lambda _self: iter([("setting path", name) for name in NAMES]))
    said = shell("module", "var", "inspect", run)
    assert said.code == 0, said.err
    for name in NAMES:
        assert_harmless(said.out, name)
