"""Names of the risk engine's lists, tables and modules, and why a module has nothing to show: in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.derived_risk import answers_file
from glassbox_bt.reporting.record import POOLED, RunRecord, table_source
from glassbox_bt.reporting.report import Claim, Paragraph, Prose, prose
from glassbox_bt.reporting.sections.phrases import chunk_name, listed

__all__ = [
    "ANCHORS",
    "CALIBRATION",
    "CONTESTS",
    "CVAR",
    "EXCEEDANCES",
    "MODULES",
    "RANKING",
    "SELECTION",
    "TAILS",
    "TAIL_CONTESTS",
    "TAIL_TESTS",
    "TAIL_VERDICTS",
    "THRESHOLDS",
    "VAR",
    "absence",
    "answered_chunks",
    "counted_verdicts",
    "fit_source",
    "has_columns",
    "not_there",
    "reasons",
    "share_answered",
    "variant_in_use",
]

# Lists of `metrics.json`.
CONTESTS = "risk_contests"
SELECTION = "risk_selection"
CALIBRATION = "risk_calibration"
TAILS = "risk_backtests"
TAIL_TESTS = "risk_backtest_tests"
TAIL_VERDICTS = "risk_backtest_verdicts"
EXCEEDANCES = "risk_exceedances"
TAIL_CONTESTS = "risk_tail_contests"
THRESHOLDS = "risk_thresholds"
RANKING = "average_precision"  # the one measure of which more is better

VAR, CVAR = "var", "cvar"
MODULES: Mapping[str, str] = MappingProxyType(
    {
        "volatility": "Volatility",
        "drawdown": "Drawdown",
        "contagion": "Contagion",
        "regime": "Regime",
        VAR: "Value at risk",
        CVAR: "Expected shortfall",
    }
)
# What each learned module is without its network.
ANCHORS: Mapping[str, str] = MappingProxyType(
    {
        "volatility": "GARCH and a ridge on realised volatilities (HAR), half each",
        "drawdown": "a ridge and a logit on plain volatilities",
        "contagion": "a logit on the name’s own history and the market’s volatility",
        "regime": "persistence corrected by a logit of the market’s state",
    }
)
VERDICTS = ("supported", "refuted", "underpowered", "not tested")
KNOWN = "known"  # the reason of a row with an answer


def fit_source(module: str, chunk: int, file: str, pointer: str = "") -> str:
    """Source of a value that the fit that answered test wrote of itself, in ``file``."""
    return f"models/{module}/chunk{chunk}/{file}#{pointer}"


def has_columns(record: RunRecord, module: str, chunk: int, columns: Sequence[str]) -> bool:
    """Whether the test answers of a chunk are there and have all these columns."""
    file = answers_file(module, chunk)
    return record.holds(file) and set(columns) <= set(record.table(file).columns)


def answered_chunks(record: RunRecord, module: str, columns: Sequence[str] = ()) -> tuple[int, ...]:
    """Chunks in which the module answered on at least one test day, with all these columns."""
    return tuple(
        chunk
        for chunk in record.chunks
        if has_columns(record, module, chunk, (*columns, KNOWN))
        and bool(record.table(answers_file(module, chunk))[KNOWN].any())
    )


def share_answered(record: RunRecord, module: str, chunk: int) -> Claim:
    """Share of the rows of a chunk's test that have an answer."""
    return record.claim(table_source(answers_file(module, chunk), f"mean({KNOWN})"), "percent")


def variant_in_use(record: RunRecord, module: str, chunk: int) -> Claim | None:
    """The variant that answered test: what validation decided, else what train did; None where there are no variants."""
    for file in ("selection.json", "training_summary.json"):
        source = fit_source(module, chunk, file, "/variant")
        if record.has(source):
            return record.claim(source, "words")
    return None


def reasons(record: RunRecord, module: str, chunk: int) -> Prose:
    """``warm up (12 rows) and input missing (3 rows)`` of a chunk's test; empty where every row has an answer."""
    file = answers_file(module, chunk)
    found = record.table(file)["reason"].astype(str)
    said = []
    for name in sorted(set(found) - {KNOWN}):
        count = record.claim(table_source(file, "count()", reason=name), "integer")
        word = record.claim(table_source(file, "first(reason)", reason=name), "words")
        said.append(prose(word, " (", count, " rows)"))
    return listed(said)


def absence(record: RunRecord, module: str) -> Prose | None:
    """Why a module has nothing to show, in a sentence; None where it answered on some test day."""
    silent = list(record.manifest.get("silent_modules", []))
    if module in silent:
        name = record.claim(f"manifest.json#/silent_modules/{silent.index(module)}", "words")
        return prose("The plan of this run keeps the module ", name, " silent: there is nothing to show of it.")
    if answered_chunks(record, module):
        return None
    there = [chunk for chunk in record.chunks if has_columns(record, module, chunk, (KNOWN, "reason"))]
    if not there:
        return prose(f"This run recorded no answers of the module {MODULES[module].lower()}.")
    said = [prose(chunk_name(record, chunk), ": ", reasons(record, module, chunk)) for chunk in there]
    return prose(f"{MODULES[module]} abstained on every test day. Reasons: ", listed(said), ".")


def not_there(words: Prose) -> Paragraph:
    """One sentence in place of what cannot be shown."""
    return Paragraph(words, "note")


def counted_verdicts(record: RunRecord, of: str = CONTESTS, **where: str | int) -> Prose:
    """``supported 3, refuted 1 and underpowered 8, of 12``: pooled rows of a list; what did not occur is left out."""
    rows = {"of": of, "chunk": POOLED, **where}
    counts = [(word, record.claim(derived("n_rows", verdict=word, **rows), "integer")) for word in VERDICTS]
    said = [prose(word, " ", count) for word, count in counts if count.value or word == VERDICTS[0]]
    return prose(listed(said), ", of ", record.claim(derived("n_rows", **rows), "integer"))
