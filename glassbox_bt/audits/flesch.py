"""How easily a text reads: Flesch's reading ease and the Flesch-Kincaid grade of English prose.

Ease = 206.835 - 1.015 words per sentence - 84.6 syllables per word; grade = 0.39 words per sentence + 11.8 syllables per
word - 15.59 (Flesch 1948, Kincaid et al. 1975). Neither defines how a number counts, so numbers are left out. Syllables are
counted by groups of vowels, with the usual exceptions for silent endings; on common words such counts are right in nine
cases of ten, and off by one elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Ease", "ease_of", "syllables"]

_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")
_VOWELS = re.compile(r"[aeiouy]+")
# An ending that is not spoken: "rule", "rules", "averaged"; but not "table", "losses", "permitted".
_SILENT = re.compile(r"[^aeiouy](?:(?<![^aeiouy]l)e|(?<![sxz])(?<!ch)(?<!sh)(?<![cg])es|(?<![td])ed)$")
_APART = re.compile(r"(?:ia|io(?!u)|iu|eo|ua(?!r)|uo)(?![aeiou])")  # two sounds written together, as in "variance"
_TOGETHER = re.compile(r"(?:[tcsg]i(?=o|a|e)|qu|gu(?=[aei]))")  # one sound written apart, as in "position"


@dataclass(frozen=True, slots=True)
class Ease:
    """Reading ease (higher is easier) and grade (school years) of one text."""

    ease: float
    grade: float


def ease_of(text: str) -> Ease | None:
    """Ease of a text; None where it has no word."""
    words = [part for word in _WORD.findall(text) for part in re.split(r"[-']", word) if len(part) > 1 or part in "aAI"]
    if not words:
        return None
    sentences = max(len(_SENTENCE.findall(text)), 1)
    length, per_word = len(words) / sentences, sum(map(syllables, words)) / len(words)
    return Ease(206.835 - 1.015 * length - 84.6 * per_word, 0.39 * length + 11.8 * per_word - 15.59)


def syllables(word: str) -> int:
    """Syllables of one English word, at least 1."""
    lower = word.lower()
    count = len(_VOWELS.findall(lower)) + len(_APART.findall(_TOGETHER.sub("x", lower)))
    return max(count - bool(_SILENT.search(lower)), 1)
