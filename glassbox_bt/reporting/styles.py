"""How a recorded value is printed: one function per style, from the value to its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from glassbox_bt.decision.rules import RULES
from glassbox_bt.errors import ContractError

__all__ = ["MEASURE_LABELS", "STRATEGY_LABELS", "STYLES", "Value"]

Value = float | int | bool | str | None
MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def _signed(number: str) -> str:
    return number.replace("-", MINUS)


def _number(digits: int) -> Callable[[Value], str]:
    def show(value: Value) -> str:
        return _signed(f"{_as_float(value):,.{digits}f}".replace(",", THIN))

    return show


def _percent(digits: int) -> Callable[[Value], str]:
    def show(value: Value) -> str:
        return _signed(f"{100.0 * _as_float(value):,.{digits}f}".replace(",", THIN)) + f"{THIN}%"

    return show


def _bare_percent(digits: int) -> Callable[[Value], str]:
    """A fraction in percent without the sign, for a column whose head has it."""
    return lambda value: _number(digits)(100.0 * _as_float(value))


def _difference(show: Callable[[Value], str]) -> Callable[[Value], str]:
    """As ``show``, with a plus before what is above zero."""
    return lambda value: ("+" if _as_float(value) > 0.0 else "") + show(value)


def _p_value(value: Value) -> str:
    return "<0.001" if _as_float(value) < 0.001 else _number(3)(value)


def _as_float(value: Value) -> float:
    if value is None or isinstance(value, str):
        raise ContractError(f"{value!r} is not a number. Print it with style `text`.")
    number = float(value)
    return 0.0 if number == 0.0 else number  # no minus zero


def _integer(value: Value) -> str:
    number = _as_float(value)
    if number != int(number):
        raise ContractError(f"{value!r} is not a whole number. Print it with style `number`.")
    return _signed(f"{int(number):,}".replace(",", THIN))


def _short_digest(value: Value) -> str:
    return str(value)[:12]


def _words(value: Value) -> str:
    return str(value).replace("_", " ")


def _strategy(value: Value) -> str:
    return STRATEGY_LABELS.get(str(value), _words(value))


def _measure(value: Value) -> str:
    return MEASURE_LABELS.get(str(value), _words(value))


def _member(value: Value) -> str:
    """``module.column``, as recorded for a claim about one answer of a module."""
    return _words(value).replace(".", ": ")


def _answer(value: Value) -> str:
    """A probability of a risk module by its column: what it is about, how far ahead, and whose it is if not the module's."""
    name = str(value).removesuffix("_raw")
    found = re.fullmatch(r"(\w+?)_(\d+)d(?:_(\w+))?", name)
    if found is None:
        return ANSWER_LABELS.get(name, _words(name))
    about, sessions, whose = found.groups()
    return f"{_words(about)}, {sessions} sessions" + (f", by {WHOSE.get(whose, _words(whose))}" if whose else "")


def _tail(value: Value) -> str:
    return TAIL_LABELS.get(str(value), _words(value))


def _tails(value: Value) -> str:
    """Several names of tests, as recorded with a space between them."""
    return ", ".join(SHORT_TAILS.get(name, _words(name)) for name in str(value).split())


def _codes(value: Value) -> str:
    return _words(value).replace("|", ", ")


def _rule(value: Value) -> str:
    short = next((rule.short for rule in RULES if rule.id == value), None)
    return str(value) if short is None else f"{value} {short}"


def _plain(value: Value) -> str:
    """As recorded: whole numbers grouped, others to six digits."""
    if isinstance(value, bool):
        return _yes_no(value)
    if isinstance(value, int):
        return _integer(value)
    return _signed(f"{value:.6g}") if isinstance(value, float) else str(value)


def _yes_no(value: Value) -> str:
    return "yes" if value else "no"


STRATEGY_LABELS: Mapping[str, str] = {
    "glassbox": "Stack (glassbox)",
    "cash": "Cash",
    "buy_and_hold": "Buy and hold 1/N",
    "monthly_1n": "Monthly 1/N",
    "momentum_12_1": "12-1 momentum",
    "inverse_volatility": "Inverse volatility",
    "sizing_only": "Sizing only",
    "formula_only": "Formula only",
    "benchmark": "Benchmark",
}

MEASURE_LABELS: Mapping[str, str] = {
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "calmar": "Calmar ratio",
    "annual_return": "annual return",
    "max_drawdown": "maximum drawdown",
    "cvar_95": "CVaR 95",
    "cost_share": "cost share",
    "rank_ic": "rank IC",
    "brier_skill": "Brier skill",
    "average_precision": "average precision",
}

ANSWER_LABELS: Mapping[str, str] = {
    "regime_probs_low": "volatility, lowest third",
    "regime_probs_medium": "volatility, middle third",
    "regime_probs_high": "volatility, highest third",
    "prob_calm": "regime calm",
    "prob_volatile": "regime volatile",
    "prob_crisis": "regime crisis",
    "prob_rotation": "regime rotation",
}
WHOSE: Mapping[str, str] = {"anchor": "the anchor", "bucket": "volatility bucket"}

TAIL_LABELS: Mapping[str, str] = {
    "rate": "Share of returns beyond it",
    "clustering": "Correlation with the day before",
    "coverage": "How often (Kupiec)",
    "independence": "Day after day (Christoffersen)",
    "conditional": "Both together (Christoffersen)",
    "dynamic": "Foreseeable (dynamic quantile)",
    "severity": "How deep (Acerbi-Szekely)",
    "tail_loss": "Deep and often (Acerbi-Szekely)",
}
SHORT_TAILS: Mapping[str, str] = {
    "coverage": "Kupiec",
    "independence": "independence",
    "conditional": "Christoffersen",
    "dynamic": "dynamic quantile",
    "severity": "depth",
    "tail_loss": "depth and frequency",
}

STYLES: Mapping[str, Callable[[Value], str]] = {
    "text": str,
    "words": _words,
    "strategy": _strategy,
    "measure": _measure,
    "member": _member,
    "answer": _answer,
    "tail": _tail,
    "tails": _tails,
    "codes": _codes,
    "rule": _rule,
    "plain": _plain,
    "date": str,
    "yes_no": _yes_no,
    "integer": _integer,
    "number": _number(2),
    "number_0": _number(0),
    "number_1": _number(1),
    "number_3": _number(3),
    "number_4": _number(4),
    "percent": _percent(1),
    "percent_0": _percent(0),
    "percent_2": _percent(2),
    "percent_4": _percent(4),
    "bare_percent": _bare_percent(1),
    "bare_percent_2": _bare_percent(2),
    "difference": _difference(_number(2)),
    "difference_3": _difference(_number(3)),
    "difference_percent": _difference(_percent(1)),
    "difference_percent_0": _difference(_percent(0)),
    "p_value": _p_value,
    "digest": _short_digest,
}
