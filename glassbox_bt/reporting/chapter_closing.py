"""The last sections of the chapter: what limits the results, and how to get them again."""

from __future__ import annotations

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import AUDITS, POOLED, STACK, VARIANTS, RunRecord
from glassbox_bt.reporting.report import Code, Item, Listing, Paragraph, Prose, Section, prose
from glassbox_bt.reporting.sections.estimates import measure_style, primary
from glassbox_bt.reporting.sections.phrases import NOT_RECORDED, listed, named_values, quoted
from glassbox_bt.reporting.sections.verdict import verdict

__all__ = ["limitations", "reproducibility"]

MANIFEST = "manifest.json#"


def limitations(record: RunRecord) -> Section:
    """Conditions of the run, limits of its data, its size and what it did not do."""
    conditions = [item for block in verdict(record).blocks if isinstance(block, Listing) for item in block.items]
    items = [*conditions, *_data(record), *_size(record), *_missing(record)]
    return Section("limitations", prose("Limitations"), (Listing(tuple(items)),))


def _data(record: RunRecord) -> list[Item]:
    survivors = f"{MANIFEST}/market/survivorship"
    return [Item(prose(record.claim(survivors)), prose("Survivorship: "))] if record.has(survivors) else []


def _size(record: RunRecord) -> list[Item]:
    """How little a sample of this size could have shown, and measures without an interval."""
    items = []
    rivals = record.entries("comparisons", family="rivals", chunk=POOLED, measure=primary(record))
    known = [one for one in rivals if one.get("smallest_detectable") is not None]
    if known:
        least = min(known, key=lambda one: float(one.get("smallest_detectable")))
        words = prose(
            "against its rivals this sample could have shown differences in ",
            record.claim(least.source("measure"), "measure"), " of ",
            record.claim(least.source("smallest_detectable"), measure_style(primary(record))),
            " at best; a smaller one stays unseen, whether it is there or not.",
        )  # fmt: skip
        items.append(Item(words, prose("Size of the sample: ")))
    withheld = [one for one in record.entries("intervals", strategy=STACK, chunk=POOLED) if one.get("withheld")]
    if withheld:
        names = listed([record.claim(one.source("measure"), "measure") for one in withheld])
        items.append(Item(prose("no interval is given for ", names, "."), prose("Withheld: ")))
    return items


def _missing(record: RunRecord) -> list[Item]:
    """Parts of the job that this run left out."""
    left_out = [
        words
        for words, is_there in (
            ("intervals and tests", record.has("metrics.json#/settings")),
            ("ablations", record.holds(VARIANTS)),
            ("audits of the explanations", record.holds(AUDITS)),
        )
        if not is_there
    ]
    return [Item(prose("the run made none of these: ", listed(left_out), "."), prose("Left out: "))] if left_out else []


def reproducibility(record: RunRecord) -> Section:
    """Commands, digests, seeds and versions."""
    how = Paragraph(
        prose(
            "The whole plan stands in ", Code("manifest.json"), " of the run folder. ", Code("glassbox run PLAN --out DIR"),
            " makes the run again: on the same versions and the same kind of machine with the same numbers. ",
            Code("glassbox report DIR"), " writes this chapter again, byte for byte, and ", Code("glassbox verify DIR"),
            " recomputes what it prints: equity from orders and prices, measures from equity, and every digit of the texts "
            "from the place in the run folder it was read from.",
        )
    )  # fmt: skip
    code = record.manifest.get("code_digest")
    facts = [
        Item(prose(Code(record.claim(derived("identity")))), prose("Run")),
        Item(_digest(record, "plan_digest"), prose("Plan")),
        Item(_digest(record, "data_fingerprint"), prose("Data")),
        *(_code(record, code) if isinstance(code, dict) else [Item(_digest(record, "code_digest"), prose("Code"))]),
        Item(prose(quoted(record, f"{MANIFEST}/device")), prose("Device")),
        *named_values(record, "/seeds", prose("Seed of the ")),
    ]
    versions = named_values(record, "/versions")
    made_with = listed([prose(one.head, " ", one.body) for one in versions]) if versions else prose(NOT_RECORDED)
    return Section(
        "reproducibility",
        prose("Reproducibility"),
        (how, Paragraph(prose("Digests (SHA of plan, data and code):")), Listing(tuple(facts), "facts"),
         Paragraph(prose("Versions: ", made_with, "."))),
    )  # fmt: skip


def _digest(record: RunRecord, name: str) -> Prose:
    source = f"{MANIFEST}/{name}"
    return prose(Code(record.claim(source))) if record.has(source) else prose(NOT_RECORDED)


def _code(record: RunRecord, digests: dict[str, str]) -> list[Item]:
    return [
        Item(
            prose(Code(record.claim(f"{MANIFEST}/code_digest/{name}"))),
            prose("Code, ", record.claim(derived("key", of="/code_digest", place=place))),
        )
        for place, name in enumerate(sorted(digests))
    ]
