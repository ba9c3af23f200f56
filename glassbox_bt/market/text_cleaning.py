"""Plain text from text that nobody vouches for: markup, broken entities, control and invisible characters, links.

1. Control characters of the upper half (U+0080 to U+009F) are what Windows-1252 meant by these bytes; tabs and line ends are
   blanks; other control characters, invisible ones (zero width, writing direction, soft hyphens, tags) and lone surrogates
   are nothing.
2. Entities that end in a semicolon are what they name, twice over (``&amp;gt;``). One that names nothing loses its semicolon
   where it looks like a name (Reuters writes ``AT&T;`` and ``S&P;``).
3. Comments, scripts, styles and HTML tags are nothing; tags that end a line or a cell are a blank. ``<3`` and ``<AAPL>`` are
   no tags and stay.
4. Links are the word ``http``: their target is opaque, differs between copies of one post, and fills an encoder's window
   with pieces that mean nothing. ``$AAPL``, ``@handles`` and ``#words`` say whom a text is about, and stay.
5. Characters are composed (NFC), runs of white space are one blank.

Tags are found by a pattern instead of `html.parser`, whose treatment of unfinished markup has changed between patch releases
of Python: the same text must have the same digest on every machine. Cleaning a clean text changes nothing, unless markup was
wrapped in markup more than four times.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html.entities import html5

__all__ = ["LINK", "MAX_CHARACTERS", "cleaned", "lines_of", "visible"]

LINK = "http"

MAX_CHARACTERS = 5_000_000  # of one document; the longest annual reports have about 3 million

_ODD = re.compile(r"[^\x20-\x7e]|[<&]|  |://|^ | $")  # a text without any of these is clean already
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,31});")
_NAME = re.compile(r"[A-Z][A-Za-z]{0,5}")  # what follows the & of a company's name
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_BLOCK = (
    "address|article|aside|blockquote|body|br|caption|center|col|colgroup|dd|div|dl|dt|figure|footer|form|h[1-6]|head|header|"
    "hr|html|iframe|img|input|li|link|main|meta|nav|ol|option|p|page|pre|section|select|table|tbody|td|tfoot|th|thead|title|"
    "tr|ul|!doctype|\\?xml"
)
_INLINE = "a|abbr|b|big|cite|code|del|em|font|i|ins|kbd|label|mark|q|small|span|strike|strong|sub|sup|tt|u|var|wbr"
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCK})(?:[\s/][^<>]*)?/?>", re.IGNORECASE)
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:[\s/][^<>]*)?/?>", re.IGNORECASE)
_HTML = re.compile(r"<(?:html|body|div|p|br|font)[\s/>]", re.IGNORECASE)
_CELL = re.compile(r"</?t[dh](?:\s[^<>]*)?>", re.IGNORECASE)
_LINK = re.compile(r"\bhttps?://[^\s<>\"]*|\bhttps?:/{0,2}\u2026|\bhtt?p?\u2026", re.IGNORECASE)
_PASSES = 4  # markup within markup; what is nested deeper is nobody's text, and stays as it is

_INVISIBLE = (
    *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x00AD, 0x034F, 0x061C, 0x180E, 0xFEFF,
    *range(0xFFF0, 0xFFFC), 0xFFFE, 0xFFFF, *range(0xE0000, 0xE0080), *range(0xD800, 0xE000),
)  # fmt: skip
_BLANKS = (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029)


def _characters() -> dict[int, str]:
    table = dict.fromkeys((*range(0x20), 0x7F, *range(0x80, 0xA0), *_INVISIBLE), "")
    table |= {0x80 + i: bytes([0x80 + i]).decode("cp1252", errors="ignore") for i in range(0x20)}
    return table | dict.fromkeys(_BLANKS, " ")


_CHARACTERS = _characters()


def cleaned(texts: Sequence[str], *, links: bool = False) -> list[str]:
    """Plain text of each of ``texts``, by the rules above; empty where nothing is left. With ``links`` these stay."""
    odd = _ODD.search
    return [text if odd(text) is None else _clean(text, links) for text in texts]


def visible(text: str) -> str:
    """The text on one line without control and invisible characters, by the first rule above; all else stays."""
    return text.translate(_CHARACTERS)


def lines_of(document: str) -> list[str]:
    """Clean lines of a long document: in HTML, paragraphs and rows of tables; elsewhere the lines as they stand."""
    text = _COMMENT.sub(" ", document)
    if _HTML.search(text) is not None:
        text = _BLOCK_TAG.sub("\n", _CELL.sub(" ", " ".join(text.split())))
    return [line for line in cleaned(text.split("\n")) if line]


def _clean(text: str, links: bool) -> str:
    text = text.translate(_CHARACTERS)
    for _ in range(_PASSES):
        before = text
        if "&" in text:
            text = _ENTITY.sub(_meant, text).translate(_CHARACTERS)
        if "<" in text:
            text = _INLINE_TAG.sub("", _BLOCK_TAG.sub(" ", _COMMENT.sub(" ", text)))
        if text == before:
            break
    if not links and ("http" in text.lower() or "\u2026" in text):
        text = _LINK.sub(LINK, text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def _meant(found: re.Match[str]) -> str:
    name = found[1]
    if name[0] == "#":
        code = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
        return chr(code) if 0 < code <= 0x10FFFF else ""
    if f"{name};" in html5:
        return html5[f"{name};"]
    return f"&{name}" if _NAME.fullmatch(name) else found[0]
