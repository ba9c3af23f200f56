"""Plain text: what goes, what stays, and that nothing an author writes can do harm."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.market.text_chunks import CHUNK_OVERLAP, CHUNK_WORDS, chunk_counts, chunks_of, word_counts
from glassbox_bt.market.text_cleaning import cleaned, lines_of, visible

PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["<", ">", "&", ";", "<b>", "</b>", "<script>", "</script>", "<!--", "-->", "<3", "<br/>"]),
    st.sampled_from(["&amp;", "&lt;", "&gt;", "AT&T;", "&#60;", "http://a.b/c", "htt…", "$AAPL"]),
    st.sampled_from(["\x00", "\u200b", "\ud800", "\x92", "\r\n", "\u2028"]),
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("AT&T; and S&P; fall", "AT&T and S&P fall"),
        ("Procter &amp; Gamble", "Procter & Gamble"),
        ("up &amp;gt; 3 %", "up > 3 %"),
        ("&quot;Buy&quot;&nbsp;now", '"Buy" now'),
        ("R&D; budget &unheardof; stays", "R&D budget &unheardof; stays"),
        ("<p>One</p><p>two <b>thr</b>ee</p>", "One two three"),
        ("a<script>alert('x')</script>b<style>p{}</style>c<!-- d -->e", "a b c e"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;left", "left"),
        ("a<script>never closed", "a"),
        ("I <3 <AAPL> and 2<3", "I <3 <AAPL> and 2<3"),
        ("Net income <4689.T> rose", "Net income <4689.T> rose"),
        ("$AAPL @cnbc #cars http://t.co/x1 https://t.co/x2", "$AAPL @cnbc #cars http http"),
        ("cut off by a link htt… http:/…", "cut off by a link http http"),
        ("nul\x00 bell\x07 tab\tline\nend", "nul bell tab line end"),
        ("zero\u200bwidth\ufeff \u202eevil\u202c", "zerowidth evil"),
        ("Microsoft\x92s", "Microsoft’s"),
        ("e\u0301clair", "éclair"),
        ("half a \ud83d surrogate", "half a surrogate"),
        ("  many   blanks\u00a0here\u2028 ", "many blanks here"),
        ("&#0;&#xD800;&#99999999;&#x41;", "&#99999999;A"),
        (" \u200b\x00<br>", ""),
    ],
)
def test_what_goes_and_what_stays(text: str, clean: str) -> None:
    assert cleaned([text]) == [clean]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("https://a.b/c?d=1&amp;e=2", "https://a.b/c?d=1&amp;e=2"),
        ("<b>[red]</b>", "<b>[red]</b>"),
        ("\x1b[2J\x07bell\x9b31m", "[2Jbell›31m"),
        ("one\r\ntwo\u2028three", "one  two three"),
        ("\u202eevil\ud800", "evil"),
    ],
)
def test_what_is_visible_stays_as_it_is(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_links_stay_where_that_is_asked() -> None:
    assert cleaned(["<b>x</b> http://a.b/c"], links=True) == ["x http://a.b/c"]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=14))
def test_a_clean_text_is_plain_whatever_was_written(pieces: list[str]) -> None:
    (clean,) = cleaned(["".join(pieces)])
    clean.encode("utf-8")
    assert clean == " ".join(clean.split())
    assert all(char.isprintable() or char == " " or ord(char) > 0x2000 for char in clean)
    assert not {"\x00", "\u200b", "\u202e", "\ufeff", "\n"} & set(clean)
    assert "<script>" not in clean.lower()


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = cleaned([text])
    assert cleaned(once) == once


@pytest.mark.parametrize("piece", ["<", "<script", "<!--", "&", "<a ", "&amp;", "https://", "<b>", "htt…", "<<b>b>", "\x00"])
def test_no_text_of_a_megabyte_takes_long(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begun = time.perf_counter()
    (clean,) = cleaned([text])
    assert time.perf_counter() - begun < 10.0
    assert len(clean) <= len(text)


def test_lines_of_html_are_its_paragraphs_and_rows() -> None:
    document = (
        "<html><body><p>Item 1A.\nRisk Factors</p><table><tr><td>Item 2.</td><td>Properties</td></tr></table>x<br>y</body>"
    )
    assert lines_of(document) == ["Item 1A. Risk Factors", "Item 2. Properties", "x", "y"]
    assert lines_of("Item 1.\n\n  Business  \n") == ["Item 1.", "Business"]


@settings(max_examples=50, deadline=None)
@given(n_words=st.integers(1, 2000))
def test_chunks_cover_a_text_with_their_overlap(n_words: int) -> None:
    words = [f"w{i}" for i in range(n_words)]
    chunks = [chunk.split(" ") for chunk in chunks_of(" ".join(words))]
    assert len(chunks) == chunk_counts(np.array([n_words]))[0]
    assert chunks[0] + [word for chunk in chunks[1:] for word in chunk[CHUNK_OVERLAP:]] == words
    assert all(len(chunk) == CHUNK_WORDS for chunk in chunks[:-1])
    assert len(chunks[-1]) > CHUNK_OVERLAP or len(chunks) == 1
    assert all(one[-CHUNK_OVERLAP:] == two[:CHUNK_OVERLAP] for one, two in pairwise(chunks))


def test_words_are_counted() -> None:
    assert word_counts(np.array(["", "one", "one two"], dtype=object)).tolist() == [0, 1, 2]
