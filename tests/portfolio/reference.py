"""The rules of execution once more, in plain Python and exact to 50 digits; shares no code with the kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

from tests.portfolio.markets import Case

ZERO = Decimal(0)


@dataclass
class Line:
    session: int
    asset: int
    code: str
    side: int
    ordered: Decimal
    filled: Decimal = ZERO
    commission: Decimal = ZERO
    spread: Decimal = ZERO
    impact: Decimal = ZERO


@dataclass
class ExactBook:
    equity: list[Decimal] = field(default_factory=list)
    cash: list[Decimal] = field(default_factory=list)
    shares: list[list[Decimal]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


class Exact:
    """A bookkeeper with unlimited patience."""

    def __init__(self, case: Case) -> None:
        bars, costs = case.bars, case.costs
        self.open, self.mark = _exact(bars.open), _exact(bars.mark)
        self.tradable = bars.tradable.tolist()
        self.gone, self.sigma, self.adv = _exact(bars.delist_price), _exact(bars.sigma), _exact(bars.adv_units)
        self.gone_code = None if bars.delist_code is None else bars.delist_code.tolist()
        self.own_spread = None if bars.half_spread_bps is None else _exact(bars.half_spread_bps)
        self.targets = _exact(case.targets)
        self.terms = {name: Decimal(getattr(costs, name)) for name in costs.__slots__}
        self.book = ExactBook()
        self.cash = self.terms["capital"]
        self.shares = [ZERO] * bars.n_assets

    def run(self) -> ExactBook:
        orders: dict[int, Decimal] = {}
        for day in range(len(self.open)):
            if day:
                self.cash += max(self.cash, ZERO) * self.terms["cash_interest"] / 252
            self.delist(day)
            self.settle(day, {name: units for name, units in orders.items() if units < 0})
            self.settle(day, {name: units for name, units in orders.items() if units > 0})
            held = sum((n * p for n, p in zip(self.shares, self.mark[day], strict=True) if n), ZERO)
            self.book.equity.append(self.cash + held)
            self.book.cash.append(self.cash)
            self.book.shares.append(list(self.shares))
            orders = self.orders(day)
        return self.book

    def delist(self, day: int) -> None:
        for name, price in enumerate(self.gone[day]):
            if price is not None and self.shares[name]:
                assumed = self.gone_code is not None and self.gone_code[day][name] == 2
                code = "assumed_delisting" if assumed else "delisted"
                self.book.lines.append(Line(day, name, code, -1, self.shares[name], self.shares[name]))
                self.cash += self.shares[name] * price
                self.shares[name] = ZERO

    def settle(self, day: int, orders: dict[int, Decimal]) -> None:
        lines = [self.limited(day, name, units) for name, units in orders.items()]
        bill = sum((self.bill(day, line) for line in lines if line.side > 0), ZERO)
        if bill > max(self.cash, ZERO):
            share = max(self.cash, ZERO) / bill
            for line in lines:
                if line.code != "unfilled_not_tradable":
                    line.filled *= share if share > Decimal("1e-9") else ZERO
                    line.code = "partial_cash"
        for line in lines:
            self.charge(day, line)
            self.shares[line.asset] += line.side * line.filled
            if line.filled:
                value = line.filled * self.open[day][line.asset]
                self.cash -= line.side * value + line.commission + line.spread + line.impact
        self.book.lines.extend(lines)

    def limited(self, day: int, name: int, units: Decimal) -> Line:
        line = Line(day, name, "filled", 1 if units > 0 else -1, abs(units), abs(units))
        if not self.tradable[day][name] or self.gone[day][name] is not None:
            line.code, line.filled = "unfilled_not_tradable", ZERO
        elif self.adv[day - 1][name] is not None:
            most = self.terms["participation"] * self.adv[day - 1][name]
            if line.ordered > most:
                line.code, line.filled = "partial_participation", most
        return line

    def bill(self, day: int, line: Line) -> Decimal:
        self.charge(day, line)
        if not line.filled:
            return ZERO
        value: Decimal = line.filled * self.open[day][line.asset]
        return value + line.commission + line.spread + line.impact

    def charge(self, day: int, line: Line) -> None:
        line.commission = line.spread = line.impact = ZERO
        if not line.filled:
            return
        value = line.filled * self.open[day][line.asset]
        own = None if self.own_spread is None else self.own_spread[day - 1][line.asset]
        line.commission = value * self.terms["commission_bps"] / 10_000
        line.spread = value * (self.terms["half_spread_bps"] if own is None else own) / 10_000
        sigma, adv = self.sigma[day - 1][line.asset], self.adv[day - 1][line.asset]
        known = sigma is not None and adv is not None
        if known:
            line.impact = value * self.terms["impact"] * sigma * (line.filled / adv).sqrt()

    def orders(self, day: int) -> dict[int, Decimal]:
        equity, orders = self.book.equity[-1], {}
        for name, target in enumerate(self.targets[day]):
            mark, held = self.mark[day][name], self.shares[name]
            if target is None or mark is None or equity <= 0:
                continue
            change = target - held * mark / equity
            if target == 0 and held:
                orders[name] = -held
            elif target and change and abs(change) >= self.terms["min_trade"]:
                orders[name] = change * equity / mark
        return orders


def exact_book(case: Case) -> ExactBook:
    with localcontext() as context:
        context.prec = 50
        return Exact(case).run()


def _exact(values: Any) -> list[list[Any]]:
    return [[None if math.isnan(value) else Decimal(value) for value in row] for row in values.tolist()]
