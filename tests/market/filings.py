"""Small submissions in the form in which EDGAR hands them out."""

from __future__ import annotations

__all__ = ["submission", "ten_k"]

_ISSUER = """
FILER:

	COMPANY DATA:
		COMPANY CONFORMED NAME:			TOOLS INC
		CENTRAL INDEX KEY:			{cik}
		STANDARD INDUSTRIAL CLASSIFICATION:	TOOLS [3420]

	FILING VALUES:
		FORM TYPE:		{form}
		SEC ACT:		1934 Act
"""


def submission(  # noqa: PLR0917 - as many as a header has fields
    form: str = "8-K",
    accepted: str = "20150127163652",
    filed: str = "20150127",
    cik: str = "0000000001",
    accession: str = "0000320193-15-000001",
    text: str = "The company announced a new tool.",
    others: tuple[tuple[str, str], ...] = (),
    co_registrants: tuple[str, ...] = (),
) -> str:
    """One full submission: header, the document of its form, and others as (type, text)."""
    header = (
        f"<SEC-DOCUMENT>{accession}.txt : {filed}\n<SEC-HEADER>{accession}.hdr.sgml : {filed}\n"
        f"<ACCEPTANCE-DATETIME>{accepted}\nACCESSION NUMBER:\t\t{accession}\nCONFORMED SUBMISSION TYPE:\t{form}\n"
        f"PUBLIC DOCUMENT COUNT:\t\t{1 + len(others)}\nFILED AS OF DATE:\t\t{filed}\n"
    )
    header += "".join(_ISSUER.format(cik=one, form=form) for one in (cik, *co_registrants)) + "</SEC-HEADER>\n"
    documents = "".join(
        f"<DOCUMENT>\n<TYPE>{kind}\n<SEQUENCE>{at}\n<FILENAME>d{at}.htm\n<TEXT>\n{words}\n</TEXT>\n</DOCUMENT>\n"
        for at, (kind, words) in enumerate(((form, text), *others), start=1)
    )
    return header + documents + "</SEC-DOCUMENT>\n"


def ten_k(**header: str) -> str:
    """An annual report with a table of contents and four sections."""
    headings = {
        "Item 1. Business": "The company sells tools.",
        "Item 1A. Risk Factors": "Tools are risky.",
        "Item 7. Management\u2019s Discussion and Analysis of Financial Condition and Results of Operations": "Sales grew.",
        "Item 8. Financial Statements and Supplementary Data": "This was audited.",
    }
    contents = "".join(f"<tr><td>{heading.replace('. ', '.</td><td>', 1)}</td></tr>" for heading in headings)
    sections = "".join(f"<p><b>{heading}</b></p>" + f"<p>{words}</p>\n" * 60 for heading, words in headings.items())
    return submission(form="10-K", text=f"<html><body><table>{contents}</table>{sections}</body></html>", **header)  # type: ignore[arg-type]
