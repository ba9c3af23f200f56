"""Full submissions of EDGAR: what is read of them, and what is skipped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.sources import edgar
from glassbox_bt.market.sources.edgar import FORMS, MIN_SECTION, filing_batches, read_filing
from tests.market.filings import submission, ten_k

SENTENCES = "The company sells tools to makers of tools. " * 20


def found(folder: Path, forms: tuple[str, ...] = FORMS, encoding: str = "utf-8") -> tuple[pd.DataFrame, Counter[str]]:
    facts = Counter[str]()
    tables = [table for table, _ in filing_batches(folder, forms, encoding, facts)]
    return pd.concat(tables, ignore_index=True), facts


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_header_says_form_issuer_number_and_time(tmp_path: Path) -> None:
    path = put(tmp_path, "1999/10-K/misnamed.txt", submission(form="8-K", accepted="20150127163652", cik="0000320193"))
    filing = read_filing(path)
    assert filing is not None
    assert (filing.form, filing.ciks, filing.accession) == ("8-K", ("320193",), "0000320193-15-000001")
    assert str(filing.accepted_at) == "2015-01-27 21:36:52+00:00"
    table, facts = found(tmp_path)
    assert table["published_at"].tolist() == table["accepted_at"].tolist() == [filing.accepted_at]
    assert table[["ticker", "cik", "source", "form_type", "doc_id"]].iloc[0].tolist() == [
        *("", "320193", "edgar", "8-K", "0000320193-15-000001")
    ]
    assert (facts["filings"], facts["form 8-K"], facts["files"]) == (1, 1, 1)


def test_summer_time_is_heeded(tmp_path: Path) -> None:
    filing = read_filing(put(tmp_path, "a.txt", submission(accepted="20150727163652")))
    assert filing is not None
    assert f"{filing.accepted_at:%H:%M}" == "20:36"


def test_a_submission_of_several_issuers_is_about_each(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", submission(cik="0000000011", co_registrants=("0000000022",)))
    table, _ = found(tmp_path)
    assert table["cik"].tolist() == ["11", "22"]
    assert table["doc_id"].nunique() == 1


def test_an_issuer_of_number_zero_stays_one(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", submission(cik="0000000000", co_registrants=("0000000022",)))
    assert found(tmp_path)[0]["cik"].tolist() == ["0", "22"]


def test_sections_come_by_priority_and_at_most_three(tmp_path: Path) -> None:
    filing = read_filing(put(tmp_path, "a.txt", ten_k()))
    assert filing is not None
    assert [name for name, _ in filing.sections] == ["risk_factors", "mdna", "business"]
    for (_, text), word in zip(filing.sections, ("risky", "grew", "sells"), strict=True):
        assert text.count(word) == 60
        assert sum(text.count(other) for other in {"risky", "grew", "sells", "audited"} - {word}) == 0


@pytest.mark.parametrize("html", [False, True])
def test_a_table_of_contents_and_short_sections_are_no_sections(tmp_path: Path, html: bool) -> None:
    lines = ["Item 1. Business", "Item 1A. Risk Factors", "Item 7. Management's Discussion and Analysis"]
    body = [*lines, lines[0], "Too short.", lines[1], SENTENCES, "Item 2. Properties", "We own a shed."]
    text = "".join(f"<p>{line}</p>\n" for line in body) if html else "\n".join(body)
    filing = read_filing(put(tmp_path, "a.txt", submission(form="10-K", text=text)))
    assert filing is not None
    ((name, told),) = filing.sections
    assert name == "risk_factors"
    assert MIN_SECTION <= len(told) < len(SENTENCES) + 30
    assert "shed" not in told


@pytest.mark.parametrize(
    "heading",
    [
        "Item 2. Management's Discussion & Analysis",
        "Item 2. Management\u2019s Discussion &amp; Analysis of Financial Condition &amp; Results of Operations",
        "MANAGEMENT&rsquo;S DISCUSSION &#38; ANALYSIS OF FINANCIAL CONDITION AND RESULTS OF OPERATIONS",
        "Management\ufffds Discussion and Analysis",  # an apostrophe in bytes of another encoding
    ],
)
@pytest.mark.parametrize("html", [False, True])
def test_headings_may_have_ampersands_and_curly_apostrophes(tmp_path: Path, heading: str, html: bool) -> None:
    body = ["Part I", heading, SENTENCES, "Item 4. Controls &amp; Procedures", "Controls are controls."]
    text = "".join(f"<p>{line}</p>\n" for line in body) if html else "\n".join(body)
    filing = read_filing(put(tmp_path, "a.txt", submission(form="10-Q", text=text)))
    assert filing is not None
    assert [name for name, _ in filing.sections] == ["mdna"]


def test_without_sections_the_whole_document_is_read(tmp_path: Path) -> None:
    filing = read_filing(put(tmp_path, "a.txt", submission(form="10-Q", text="Nothing &amp; nobody.")))
    assert filing is not None
    assert filing.sections == (("full_document", "Nothing & nobody."),)


def test_an_8k_comes_with_all_its_press_releases(tmp_path: Path) -> None:
    others = (("EX-99.1", "Record sales."), ("EX-10.1", "A contract."), ("EX-99.2", "<TABLE><S><C>Slides</TABLE>"))
    others += (("EX-99.3", "A call."), ("EX-99", "Its words."))
    filing = read_filing(put(tmp_path, "a.txt", submission(form="8-K", text="Item 2.02 Results.", others=others)))
    assert filing is not None
    assert filing.sections == (
        ("full_document", "Item 2.02 Results."),
        ("press_release_1", "Record sales."),
        ("press_release_2", "Slides"),
        ("press_release_3", "A call."),
        ("press_release_4", "Its words."),
    )


WHOLE = submission()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no header"),
        ("<html>a web page</html>", "no header"),
        (WHOLE[:150], "no header"),
        (WHOLE.replace("<ACCEPTANCE-DATETIME>", "<ACCEPTED>"), "no accepted in the header"),
        (WHOLE.replace("20150127163652", "20151327163652"), "no accepted in the header"),
        (WHOLE.replace("CENTRAL INDEX KEY", "KEY"), "no cik in the header"),
        (WHOLE.replace("CONFORMED SUBMISSION TYPE", "KIND").replace("FORM TYPE", "KIND"), "no form in the header"),
        (WHOLE.replace("ACCESSION NUMBER", "NUMBER"), "no accession in the header"),
        (WHOLE[: WHOLE.index("</TEXT>")], "cut off"),
        (WHOLE[: WHOLE.index("<DOCUMENT>")], "no document of its form"),
        (submission(text=" <br> "), "no text"),
        (b"\x00\x01\x02" + WHOLE.encode(), "not text"),
    ],
)
def test_what_cannot_be_read_is_skipped_and_counted(tmp_path: Path, text: str | bytes, reason: str) -> None:
    put(tmp_path, "bad.txt", text)
    put(tmp_path, "deep/er/good.txt", submission(accession="0000000001-15-000009"))
    table, facts = found(tmp_path)
    assert table["doc_id"].tolist() == ["0000000001-15-000009"]
    assert (facts[f"skipped: {reason}"], facts["filings"], facts["files"]) == (1, 1, 2)


def test_a_name_in_upper_case_is_read(tmp_path: Path) -> None:
    put(tmp_path, "A.TXT", submission())
    put(tmp_path, "B.Txt", submission(accession="0000000001-15-000002"))
    put(tmp_path, "c.html", WHOLE)
    assert found(tmp_path)[1]["files"] == 2


def test_the_same_submission_is_read_once_and_other_forms_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", WHOLE)
    put(tmp_path, "copy/a.txt", WHOLE)
    put(tmp_path, "b.txt", submission(form="S-1", accession="0000000001-15-000002"))
    table, facts = found(tmp_path)
    assert len(table) == 1
    assert (facts["seen before"], facts["of another form"], facts["filings"]) == (1, 1, 1)
    assert found(tmp_path, ("S-1",))[0]["form_type"].tolist() == ["S-1"]


def test_a_folder_without_a_filing_is_refused_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"holds no \.txt submissions"):
        found(tmp_path)
    put(tmp_path, "a.txt", "nothing")
    with pytest.raises(MarketDataError, match=r"None of the 1 files .* 1 skipped: no header"):
        found(tmp_path)


def test_filings_come_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgar, "_BATCH", 3)
    for number in range(8):
        put(tmp_path, f"{number}.txt", submission(accession=f"0000000001-15-00000{number}"))
    batches = list(filing_batches(tmp_path, FORMS, "utf-8", Counter[str]()))
    assert [len(table) for table, _ in batches] == [3, 3, 2]
    assert [share for _, share in batches] == [3 / 8, 6 / 8, 1.0]


def test_odd_bytes_are_replaced_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", submission(text="caf\xe9 sales").encode("latin-1"))
    table, facts = found(tmp_path)
    assert (table["text"].tolist(), facts["with_replacement_characters"]) == (["caf\ufffd sales"], 1)
    assert found(tmp_path, encoding="cp1252")[0]["text"].tolist() == ["café sales"]
