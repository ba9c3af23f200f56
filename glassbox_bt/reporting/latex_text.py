"""Text for LaTeX: escaped, in ASCII, for any font encoding; and how wide it will be."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

from glassbox_bt.reporting.markdown import Shown
from glassbox_bt.reporting.report import Best, Claim, Code, Link, Literal, Mark, Piece, Prose, Ref, Weighed, plain_text

__all__ = ["escaped", "sign_of", "text_of", "text_width"]

MAY_BREAK = "\N{ZERO WIDTH SPACE}"
SPECIAL: Mapping[str, str] = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "_": r"\_",
        "%": r"\%",
        "^": r"\^{}",
        "~": r"\~{}",
        "<": r"$<$",
        ">": r"$>$",
        "|": r"$|$",
        '"': "''",
        "\n": " ",
        "\t": " ",
        "\N{NO-BREAK SPACE}": "~",
        "\N{NARROW NO-BREAK SPACE}": r"\,",
        "\N{THIN SPACE}": r"\,",
        MAY_BREAK: r"\allowbreak{}",
        "\N{MINUS SIGN}": "$-$",
        "\N{EN DASH}": "--",
        "\N{EM DASH}": "---",
        "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
        "\N{LEFT SINGLE QUOTATION MARK}": "`",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": "``",
        "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
        "\N{MULTIPLICATION SIGN}": r"$\times$",
        "\N{DIVISION SIGN}": r"$\div$",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
        "\N{MIDDLE DOT}": r"$\cdot$",
        "\N{DEGREE SIGN}": r"$^{\circ}$",
        "\N{SECTION SIGN}": r"\S{}",
        "\N{DAGGER}": r"\dag{}",
        "\N{DOUBLE DAGGER}": r"\ddag{}",
        "\N{LESS-THAN OR EQUAL TO}": r"$\le$",
        "\N{GREATER-THAN OR EQUAL TO}": r"$\ge$",
        "\N{NOT EQUAL TO}": r"$\neq$",
        "\N{ALMOST EQUAL TO}": r"$\approx$",
        "\N{SQUARE ROOT}": r"$\surd$",
        "\N{BULLET}": r"$\bullet$",
        "\N{BLACK CIRCLE}": r"$\bullet$",
        "\N{WHITE CIRCLE}": r"$\circ$",
        "\N{BLACK DIAMOND}": r"$\diamondsuit$",
        "\N{CHECK MARK}": r"$\surd$",
        "\N{BALLOT X}": r"$\times$",
        "\N{INFINITY}": r"$\infty$",
        "\N{LEFTWARDS ARROW}": r"$\leftarrow$",
        "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
        "\N{N-ARY SUMMATION}": r"$\Sigma$",
        "\N{N-ARY PRODUCT}": r"$\Pi$",
        "\N{SUPERSCRIPT TWO}": r"$^{2}$",
        "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
        "\N{LATIN SMALL LETTER AE}": r"\ae{}",
        "\N{LATIN CAPITAL LETTER AE}": r"\AE{}",
        "\N{LATIN SMALL LETTER O WITH STROKE}": r"\o{}",
        "\N{LATIN CAPITAL LETTER O WITH STROKE}": r"\O{}",
        "\N{LATIN SMALL LETTER L WITH STROKE}": r"\l{}",
        "\N{LATIN CAPITAL LETTER L WITH STROKE}": r"\L{}",
        "\N{LATIN SMALL LIGATURE OE}": r"\oe{}",
        "\N{LATIN CAPITAL LIGATURE OE}": r"\OE{}",
        "\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}",
    }
)
GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"),
)
CAPITALS = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "phi", "psi", "omega")  # the others look Latin
ACCENTS: Mapping[str, str] = MappingProxyType(
    {
        "\N{COMBINING GRAVE ACCENT}": "`",
        "\N{COMBINING ACUTE ACCENT}": "'",
        "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
        "\N{COMBINING TILDE}": "~",
        "\N{COMBINING MACRON}": "=",
        "\N{COMBINING BREVE}": "u",
        "\N{COMBINING DOT ABOVE}": ".",
        "\N{COMBINING DIAERESIS}": '"',
        "\N{COMBINING RING ABOVE}": "r",
        "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
        "\N{COMBINING CARON}": "v",
        "\N{COMBINING CEDILLA}": "c",
    }
)
SIGNS = {"*": "*", "**": "**", "†": r"\dagger", "‡": r"\ddagger"}
RUN = re.compile(r"[A-Za-z0-9]{9,}")  # parts of code that are cut where a line must end
PIECE = 8
# Widths of Computer Modern, in em: a guess that errs upwards by a few per cent.
WIDTHS: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys("0123456789", 0.5),
        **dict.fromkeys("iljt.,:;'!|()[] ", 0.31),
        **dict.fromkeys("mwMW%@", 0.85),
        "\N{NARROW NO-BREAK SPACE}": 0.17,
        "\N{MINUS SIGN}": 0.78,
    }
)


def escaped(text: str) -> str:
    """The text with every character that LaTeX reads as more than itself replaced; one it has no sign for is named."""
    return "".join(SPECIAL.get(one) or _character(one) for one in unicodedata.normalize("NFC", text))


def text_of(text: Prose, shown: Shown) -> str:
    """Prose as LaTeX."""
    return "".join(_piece(piece, shown) for piece in text)


def text_width(text: Prose | str) -> float:
    """Width in em of the size it is set in."""
    plain = text if isinstance(text, str) else plain_text(text)
    return sum(WIDTHS.get(one, 0.73 if one.isupper() else 0.5) for one in plain)


def _character(one: str) -> str:
    if one.isascii():
        return one if one.isprintable() else ""
    name = unicodedata.name(one, "").lower()
    if name.startswith("greek "):
        word, is_capital = name.rpartition(" ")[2].replace("lamda", "lambda"), "capital" in name
        if word in GREEK and "with" not in name and (not is_capital or word in CAPITALS):
            return f"$\\{word.capitalize() if is_capital else word}$"
    parts = unicodedata.normalize("NFD", one)
    if len(parts) == 2 and parts[0].isascii() and parts[1] in ACCENTS:
        return f"\\{ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"[U+{ord(one):04X}]"


def _piece(piece: Piece, shown: Shown) -> str:
    match piece:
        case str():
            text = escaped(piece)
        case Claim() | Literal():
            text = _value(piece, shown)
        case Code():
            text = f"\\texttt{{{_code(piece, shown)}}}"
        case Link():
            text = escaped(piece.content) if isinstance(piece.content, str) else _value(piece.content, shown)
        case Ref():
            kind, short = ("Table", "tab") if piece.to == "table" else ("Figure", "fig")
            text = f"{kind}~\\ref{{{short}:{piece.key}}}"
        case Best():
            text = f"\\textbf{{\\boldmath{{}}{_value(piece.content, shown)}}}"
        case Weighed():
            text = f"\\textbf{{{_value(piece.content, shown)}}} ({_value(piece.share, shown)})"
        case Mark():
            text = f"\\rlap{{{sign_of(piece)}}}"  # so that the numbers of a column stay in line
    return text


def _value(piece: Claim | Literal, shown: Shown) -> str:
    """A day is not cut at the end of a line."""
    text = shown(piece, escaped(piece.text))
    return f"\\mbox{{{text}}}" if isinstance(piece, Claim) and piece.style == "date" else text


def sign_of(mark: Mark) -> str:
    """The raised sign."""
    return f"$^{{{SIGNS[mark.sign]}}}$"


def _code(code: Code, shown: Shown) -> str:
    r"""Typewriter text that may be cut behind a sign and inside a long run; ``--`` stays two signs."""
    cut = RUN.sub(lambda run: MAY_BREAK.join(_chunks(run.group())), code.text)
    cut = re.sub(r"([_/.=])(?=.)", rf"\1{MAY_BREAK}", cut)
    text = escaped(cut).replace("--", "-{}-")
    return shown(code.content, text) if isinstance(code.content, Claim) else text


def _chunks(run: str) -> list[str]:
    return [run[at : at + PIECE] for at in range(0, len(run), PIECE)]
