"""The page in Chromium at the width of a desk and of a telephone; screenshots land in the test's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")

# WCAG contrast of every element with text against the nearest opaque ground, and where it is too low.
CONTRAST = """() => {
  const channel = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.skip') || e.tagName === 'title' || e.tagName === 'desc') continue;
    const style = getComputedStyle(e);
    const ink = parse(e.closest('svg') ? style.fill : style.color), under = ground(e);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(e.tagName + ': ' + e.textContent.trim().slice(0, 40));
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: install it with `apt-get install chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is part of the `test` extra")
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true; })"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_can_be_read(browser: Any, report: Path, tmp_path: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(report.as_uri())
    page.screenshot(path=tmp_path / f"report_{width}_{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("ul.labels").bounding_box()["y"] < 844
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    assert _smallest_text(page) >= 10.0
    assert faults == []
    context.close()


def test_wide_tables_scroll_inside_their_box_with_the_strategy_in_sight(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(report.as_uri())
    page.evaluate(OPEN)
    moved = page.evaluate(
        """() => {
          const box = document.querySelector('#validation .scroll');
          const head = box.querySelector('tbody th');
          const before = head.getBoundingClientRect().left;
          box.scrollLeft = 200;
          return [box.scrollWidth > box.clientWidth, box.scrollLeft, head.getBoundingClientRect().left - before];
        }"""
    )
    assert moved[0]
    assert moved[1] == 200
    assert abs(moved[2]) <= 1.0
    context.close()


def test_long_tables_scroll_inside_their_box_with_the_head_in_sight(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    page = context.new_page()
    page.goto(report.as_uri())
    page.evaluate(OPEN)
    moved = page.evaluate(
        """() => {
          const table = document.querySelector('#intervals-table'), box = table.closest('.scroll');
          box.scrollTop = 300;
          const head = table.querySelector('thead th').getBoundingClientRect();
          return [box.scrollTop, head.top - box.getBoundingClientRect().top];
        }"""
    )
    assert moved[0] == 300
    assert 0.0 <= moved[1] <= 2.0
    context.close()


def test_at_a_desk_no_table_in_sight_needs_scrolling_sideways(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    page = context.new_page()
    page.goto(report.as_uri())
    wide = page.evaluate(
        """() => [...document.querySelectorAll('.scroll')]
          .filter(box => !box.closest('details') && box.scrollWidth > box.clientWidth)
          .map(box => box.querySelector('table').id + ' ' + (box.scrollWidth - box.clientWidth))"""
    )
    assert wide == []
    context.close()


def test_a_fold_opens_by_keyboard_and_shows_its_tables(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    page = context.new_page()
    page.goto(report.as_uri())
    table = page.locator("#returns-chunk1")
    assert not table.is_visible()
    page.locator("#returns-chunks summary").focus()
    page.keyboard.press("Enter")
    assert table.is_visible()
    page.keyboard.press("Tab")  # from the fold to the first table in it
    assert page.evaluate("document.activeElement.className") == "scroll"
    context.close()


def test_the_keyboard_reaches_the_results_first(browser: Any, report: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 844})
    page = context.new_page()
    page.goto(report.as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    assert page.locator("a.skip").bounding_box()["x"] >= 0
    context.close()


def test_it_prints(browser: Any, report: Path, tmp_path: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 less its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert page.locator("#returns-chunk1").is_visible()  # paper has nothing to unfold
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    context.close()


def _smallest_text(page: Any) -> float:
    """Size in pixels, on the screen, of the smallest text of the drawings."""
    return float(
        page.evaluate(
            """() => Math.min(...[...document.querySelectorAll('figure svg text')].map(
              e => parseFloat(getComputedStyle(e).fontSize) * Math.hypot(e.getCTM().a, e.getCTM().b)))"""
        )
    )
