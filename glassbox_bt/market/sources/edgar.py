"""Filings as EDGAR gives them: a folder of full submissions (``.txt``, in either case), however deep, each read on its own.

1. The header says everything: form, issuers, accession number and when the submission was accepted, on New York's clock. The
   name of a folder or a file says nothing (D-TXT-02), and the filing date is not read: what was accepted after the close is
   not known that day (D-TXT-01).
2. The document of the form itself is read, of an 8-K the whole of it and all its press releases (EX-99), numbered.
3. Sections are found by their headings; where one is found twice (a table of contents) the longest counts. Sections under
   500 characters are dropped, the first three by `SECTIONS` stay (specification 1.2); without any, the whole document.
4. Every filing of the wanted forms is kept: no quota, no draw (D-TXT-02).

A submission that cannot be read is skipped and counted by its reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.sources.text_source import check_encoding
from glassbox_bt.market.text_cleaning import MAX_CHARACTERS, lines_of

__all__ = ["FORMS", "MIN_SECTION", "N_SECTIONS", "SECTIONS", "Filing", "filing_batches", "read_filing"]

FORMS = ("10-K", "10-K405", "10-KSB", "10-Q", "8-K", "DEF 14A")
N_SECTIONS = 3
MIN_SECTION = 500  # characters

_ITEM = r"(?:item\s*\d{1,2}[a-c]?\s*[.:\-\u2013\u2014]*\s*)?"
_AND = r"(?:and|&)"
_APOSTROPHE = r"['\u2018\u2019\u02bc\u00b4\u0060\ufffd]?"  # the last: one in bytes of another encoding
SECTIONS: dict[str, re.Pattern[str]] = {
    name: re.compile(rf"(?:part\s+[iv]+\s*[.,:\-\u2013\u2014]*\s*)?{_ITEM}{title}\W*", re.IGNORECASE)
    for name, title in {
        "risk_factors": r"risk factors",
        "mdna": rf"management{_APOSTROPHE}s discussion {_AND} analysis(?: of financial condition)?"
        rf"(?:,? {_AND} results of operations?)?(?: of financial condition)?",
        "business": r"(?:description of )?business(?: overview)?",
        "financial_statements": rf"(?:condensed )?(?:consolidated )?financial statements(?: {_AND} supplementary data)?",
        "executive_compensation": rf"executive compensation(?: {_AND} other information)?",
        "governance": rf"(?:directors(?:,? executive officers)?,? {_AND} )?corporate governance(?: matters)?",
        "ownership": rf"(?:security|stock|beneficial) ownership(?: of certain beneficial owners)?(?:,? {_AND} management)?"
        rf"(?:,? {_AND} related stockholder matters)?",
    }.items()
}
"""Sections in order of priority, and what a line that opens one looks like."""

WHOLE, RELEASE = "full_document", "press_release"

_ZONE = ZoneInfo("America/New_York")
_MAX_BYTES = 256 * 2**20  # of a submission with all its exhibits
_BATCH = 50  # files
_HEADING = re.compile(r"(?:part\s+[iv]+\s*[.,:\-\u2013\u2014]*\s*)?item\s*\d{1,2}[a-c]?\b.{0,120}", re.IGNORECASE)
_LONGEST_HEADING = 160  # characters
_FIELD = {
    "accepted": re.compile(r"<ACCEPTANCE-DATETIME>\s*(\d{14})\b"),
    "form": re.compile(r"^(?:CONFORMED SUBMISSION TYPE:|FORM TYPE:|<TYPE>)[ \t]*(\S.*?)[ \t]*$", re.MULTILINE),
    "accession": re.compile(r"(?:ACCESSION NUMBER:|<ACCESSION-NUMBER>)\s*(\d{10}-\d\d-\d{6})"),
    "cik": re.compile(r"(?:CENTRAL INDEX KEY:|<CIK>)\s*(\d{1,10})\b"),
}
_HEAD_END = re.compile(r"</(?:SEC|IMS)-HEADER>|<DOCUMENT>")
_DOCUMENT = re.compile(r"<DOCUMENT>(.*?)</DOCUMENT>", re.DOTALL)
_TYPE = re.compile(r"<TYPE>[ \t]*(\S[^\n<]*?)[ \t]*$", re.MULTILINE)
_TEXT = re.compile(r"<TEXT>(.*?)(?:</TEXT>|\Z)", re.DOTALL)
_TABLE_MARK = re.compile(r"</?(?:S|C|FN|PAGE|PDF|XBRL|XML)>", re.IGNORECASE)


class _SkippedError(MarketDataError):
    """A submission that is skipped; its message is the reason."""


@dataclass(frozen=True, slots=True)
class Filing:
    """One submission: when it was accepted (UTC), by whom, and its sections in order of priority."""

    accession: str
    form: str
    ciks: tuple[str, ...]
    accepted_at: pd.Timestamp
    sections: tuple[tuple[str, str], ...]


def filing_batches(
    folder: Path, forms: Sequence[str], encoding: str, facts: Counter[str]
) -> Iterator[tuple[pd.DataFrame, float]]:
    """Batches of news, a row for each issuer and section of a filing, and the share of the files read.

    Counts go to ``facts``.

    Raises
    ------
    MarketDataError
        If there is no submission in ``folder``, or none of them can be read.
    """
    check_encoding(encoding)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
    if not paths:
        raise MarketDataError(f"{folder} holds no .txt submissions. Give the folder of EDGAR's full submission files.")
    seen: set[str] = set()
    rows: list[dict[str, object]] = []
    for number, path in enumerate(paths, start=1):
        try:
            filing = read_filing(path, forms, encoding)
        except _SkippedError as reason:
            facts[f"skipped: {reason}"] += 1
            continue
        if filing is None or filing.accession in seen:
            facts["of another form" if filing is None else "seen before"] += 1
            continue
        seen.add(filing.accession)
        facts["filings"] += 1
        facts[f"form {filing.form}"] += 1
        facts["with_replacement_characters"] += any("\ufffd" in text for _, text in filing.sections)
        rows += _rows(filing)
        if number % _BATCH == 0:
            yield pd.DataFrame(rows), number / len(paths)
            rows = []
    facts["files"] = len(paths)
    if not facts["filings"]:
        why = "; ".join(f"{count} {reason}" for reason, count in sorted(facts.items()) if reason != "files")
        raise MarketDataError(f"None of the {len(paths)} files in {folder} is a filing of {', '.join(forms)}: {why}.")
    yield pd.DataFrame(rows), 1.0


def read_filing(path: Path, forms: Sequence[str] = FORMS, encoding: str = "utf-8") -> Filing | None:
    """The filing in one file; None if it is of another form.

    Raises
    ------
    MarketDataError
        Where the header lacks something, or the file is cut off, too large or no text.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _SkippedError(f"larger than {_MAX_BYTES // 2**20} MB")
        raw = path.read_bytes()
    except OSError as error:
        raise _SkippedError("cannot be opened") from error
    if b"\x00" in raw[:4096]:
        raise _SkippedError("not text")
    text = raw.decode(encoding, errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    end = _HEAD_END.search(text)
    if end is None:
        raise _SkippedError("no header")
    head = text[: end.start()]
    fields = {name: pattern.findall(head) for name, pattern in _FIELD.items()}
    for name, found in fields.items():
        if not found:
            raise _SkippedError(f"no {name} in the header")
    form = fields["form"][0].upper()
    if form not in forms:
        return None
    return Filing(
        accession=fields["accession"][0],
        form=form,
        ciks=tuple(dict.fromkeys(cik.lstrip("0") or "0" for cik in fields["cik"])),
        accepted_at=_moment(fields["accepted"][0]),
        sections=_sections(text[end.start() :], form),
    )


def _moment(digits: str) -> pd.Timestamp:
    try:
        wall_clock = pd.to_datetime(digits, format="%Y%m%d%H%M%S")
    except ValueError as error:
        raise _SkippedError("no accepted in the header") from error
    # A time that came twice is the later one: a filing is never dated too early.
    return wall_clock.tz_localize(_ZONE, ambiguous=False, nonexistent="shift_forward").tz_convert("UTC")


def _sections(body: str, form: str) -> tuple[tuple[str, str], ...]:
    documents = [(kind, text) for kind, text in _documents(body) if kind == form or kind.startswith("EX-99")]
    main = next((text for kind, text in documents if kind == form), None)
    if main is None:
        raise _SkippedError("cut off" if body.count("<DOCUMENT>") > body.count("</DOCUMENT>") else "no document of its form")
    lines = lines_of(main)
    if form.startswith("8-K"):
        releases = [" ".join(lines_of(text)) for kind, text in documents if kind.startswith("EX-99")]
        names = [WHOLE, *(f"{RELEASE}_{at}" for at in range(1, len(releases) + 1))]
        told = zip(names, [" ".join(lines), *releases], strict=True)
        sections = [(name, text) for name, text in told if text]
    else:
        sections = _by_heading(lines)[:N_SECTIONS]
    if not sections:
        raise _SkippedError("no text")
    if any(len(text) > MAX_CHARACTERS for _, text in sections):
        raise _SkippedError(f"a section of more than {MAX_CHARACTERS:,} characters")
    return tuple(sections)


def _documents(body: str) -> Iterator[tuple[str, str]]:
    """Type and text of each document of a submission that is there to its end."""
    for document in _DOCUMENT.finditer(body):
        kind, text = _TYPE.search(document[1]), _TEXT.search(document[1])
        if kind and text:
            yield kind[1].upper(), _TABLE_MARK.sub(" ", text[1])


def _by_heading(lines: list[str]) -> list[tuple[str, str]]:
    """The sections of a document, by priority; the whole of it where none is found."""
    opens = [(at, _opened(line)) for at, line in enumerate(lines) if len(line) <= _LONGEST_HEADING]
    marks = [(at, name) for at, name in opens if name is not None]
    marks.append((len(lines), ""))
    best: dict[str, str] = {}
    for (at, name), (end, _) in pairwise(marks):
        text = " ".join(lines[at:end])
        if name and len(text) >= MIN_SECTION and len(text) > len(best.get(name, "")):
            best[name] = text
    if best:
        return [(name, best[name]) for name in SECTIONS if name in best]
    whole = " ".join(lines)
    return [(WHOLE, whole)] if whole else []


def _opened(line: str) -> str | None:
    """The section that a line opens; empty for an item that is none of them, None for a line that opens nothing."""
    for name, pattern in SECTIONS.items():
        if pattern.fullmatch(line):
            return name
    return "" if _HEADING.fullmatch(line) else None


def _rows(filing: Filing) -> list[dict[str, object]]:
    return [
        {
            "published_at": filing.accepted_at,
            "accepted_at": filing.accepted_at,
            "ticker": "",
            "cik": cik,
            "text": text,
            "section": name,
            "source": "edgar",
            "form_type": filing.form,
            "doc_id": filing.accession,
        }
        for cik in filing.ciks
        for name, text in filing.sections
    ]
