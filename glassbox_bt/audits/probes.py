"""Rows of a learned module, put to its final fit with inputs that were moved a little.

Every draw of every row becomes a name of its own in one made-up session, so that a module answers all of them in one call.
A module's rows do not see each other, or `stability` finds that the unmoved ones are not answered as recorded. Modules whose
answer to a name rests on the whole cross-section of its day cannot be asked in this way: `NOT_BY_ROWS` says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.audits.base import AuditSettings
from glassbox_bt.audits.ranges import range_of
from glassbox_bt.audits.subject import Walk
from glassbox_bt.decision.rules import Rules
from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import Span
from glassbox_bt.modules._attribution import RISKS
from glassbox_bt.modules._formulas import Thresholds
from glassbox_bt.types import AnyArray, FloatArray, IntArray
from glassbox_bt.walkforward.answers import ModuleAnswers

__all__ = ["NOT_BY_ROWS", "Drawn", "Probe", "answers_of_names", "drawn_rows", "moved", "probes"]

FAR = 0.02  # from every threshold
NOT_BY_ROWS = {
    "contagion": "its answer to a name rests on the returns of all names of the day, so its rows cannot be moved one by one",
    "regime": "its answer is one of the whole market, so its rows cannot be moved one by one",
    **dict.fromkeys(
        ("text_encoder", "sentiment", "news"), "it answers documents, so it has no rows of names that could be moved"
    ),
    "qualitative": "it reads documents, whose words cannot be moved by a little",
}
EFFECTS = tuple(f"log_effect_{group}" for group in ("garch", "recent", "embedding"))
THIRDS = tuple(f"regime_probs_{third}" for third in ("low", "medium", "high"))
Rows = Mapping[str, AnyArray]  # output to (n_rows,) or (n_rows, k)


@dataclass(frozen=True, slots=True)
class Probe:
    """What the explanation of a module is made of, which action it leads to, and how far a row is from every threshold."""

    phi: tuple[str, ...]  # one vector output, or several numbers
    signed: bool = False  # whether the sizes of ``phi`` decide who comes first
    action: Callable[[Rows], AnyArray] | None = None
    margin: Callable[[Rows], FloatArray] | None = None

    def explanation(self, rows: Rows) -> FloatArray:
        """The explanation of each row, (n_rows, k)."""
        parts = [np.asarray(rows[name], dtype=np.float64) for name in self.phi]
        return parts[0] if parts[0].ndim == 2 else np.stack(parts, axis=1)

    def driver(self, rows: Rows) -> IntArray:
        """Place of the first driver of each row."""
        phi = self.explanation(rows)
        return np.asarray((np.abs(phi) if self.signed else phi).argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows that were drawn: session and place in the store, (n_rows,) each."""

    days: IntArray
    assets: IntArray


def _far(rows: Rows, thresholds: Mapping[str, tuple[float, ...]]) -> FloatArray:
    """Distance of each row to the nearest of the thresholds of several outputs."""
    return np.asarray(np.min([np.abs(rows[name] - at) for name, values in thresholds.items() for at in values], axis=0))


def probes(rules: Rules) -> Mapping[str, Probe]:
    """By module; fusion's thresholds are those that the barrier holds its scores against."""
    own, trend = Thresholds(), (0.4, 0.6)  # where a trend is called bearish or bullish
    quantitative = {
        "risk_adjusted_quantitative_signal": (own.buy_signal, own.sell_signal),
        "quantitative_risk_score": (own.buy_risk, own.sell_risk),
        "quantitative_confidence": (own.min_confidence,),
    }
    fusion = {
        "learned_fusion_signal": (rules.min_signal, rules.sell_signal, 0.0),
        "learned_fusion_risk_score": (rules.quantitative_risk, rules.severe_risk),
        "learned_fusion_confidence": (rules.min_confidence,),
    }
    return {
        "temporal_encoder": Probe(("attention",)),
        "technical": Probe(
            ("attention",),
            action=lambda rows: np.digitize(rows["trend_score"], trend),
            margin=lambda rows: _far(rows, {"trend_score": trend}),
        ),
        "volatility": Probe(EFFECTS, signed=True, action=lambda rows: rows["regime_id"], margin=_ahead),
        "drawdown": Probe(
            EFFECTS,
            signed=True,
            action=lambda rows: rows["drawdown_risk_score"] >= rules.drawdown_risk,
            margin=lambda rows: _far(rows, {"drawdown_risk_score": (rules.drawdown_risk,)}),
        ),
        "quantitative": Probe(
            tuple(f"risk_attention_{risk}" for risk in RISKS),
            action=lambda rows: rows["quantitative_recommendation"],
            margin=lambda rows: _far(rows, quantitative),
        ),
        "fusion": Probe(
            ("quantitative_contribution", "qualitative_contribution", "other_contribution"),
            signed=True,
            action=lambda rows: rows["learned_recommendation"],
            margin=lambda rows: np.minimum(_far(rows, fusion), _undecided(rows)),
        ),
    }


def _ahead(rows: Rows) -> FloatArray:
    """How much more probable the likeliest third of volatility is than the next."""
    ranked = np.sort(np.stack([rows[name] for name in THIRDS], axis=-1), axis=-1)
    return np.asarray(ranked[..., -1] - ranked[..., -2])


def _undecided(rows: Rows) -> FloatArray:
    """Distance from the tie of buying and selling, and from holding being likelier than both together."""
    tie = np.abs(rows["learned_buy_prob"] - rows["learned_sell_prob"])
    return np.asarray(np.minimum(tie, np.abs(rows["learned_hold_prob"] - 0.5)))


def answers_of_names(walk: Walk, name: str) -> ModuleAnswers:
    """The module's answers by day and name; whoever answers documents has no such rows to be moved."""
    given = walk.fitter.answers[name]
    if not isinstance(given, ModuleAnswers):
        raise ContractError(f"`{name}` answers documents, so it cannot be probed by rows of names. Name it in NOT_BY_ROWS.")
    return given


def drawn_rows(walk: Walk, name: str, probe: Probe, at_most: int, rng: np.random.Generator) -> Drawn:
    """Rows of the test years that the module knows and that lie far from every threshold, drawn without replacement."""
    given, test = answers_of_names(walk, name), walk.fitter.days.test
    day, column = np.nonzero(given.known[test - given.days[0]])
    rows = {output: np.asarray(values)[test - given.days[0]][day, column] for output, values in given.outputs.items()}
    if probe.margin is not None:
        far = probe.margin(rows) > FAR
        day, column = day[far], column[far]
    chosen = np.sort(rng.permutation(len(day))[:at_most])
    return Drawn(test[day[chosen]], given.assets[column[chosen]])


def moved(
    walk: Walk, name: str, rows: Drawn, settings: AuditSettings, rng: np.random.Generator
) -> tuple[dict[str, AnyArray], list[dict[str, AnyArray]], list[FloatArray]]:
    """Answers to the rows unmoved, to each draw, and the length of each draw's step in train standard deviations."""
    unmoved: list[dict[str, AnyArray]] = []
    draws: list[list[dict[str, AnyArray]]] = [[] for _ in range(settings.n_draws)]
    steps: list[list[FloatArray]] = [[] for _ in range(settings.n_draws)]
    order: list[IntArray] = []
    spreads = _train_spreads(walk, name)
    for group, span in _groups(walk, name, rows):
        n = len(group)
        blocks, lengths = _moved_blocks(span, spreads, settings, rng)
        answers = walk.fitter.fitted[name].predict_many(_as_names(span, blocks, n * (settings.n_draws + 1)))
        for at in range(settings.n_draws + 1):
            part = {output: values[0, at * n : (at + 1) * n] for output, values in answers.outputs.items()}
            (unmoved if at == 0 else draws[at - 1]).append(part)
        for at, length in enumerate(lengths):
            steps[at].append(length)
        order.append(group)
    back = np.argsort(np.concatenate(order), kind="stable")
    joined = [_joined(one, back) for one in (unmoved, *draws)]
    return joined[0], joined[1:], [np.concatenate(one)[back] for one in steps]


def _joined(parts: list[dict[str, AnyArray]], back: IntArray) -> dict[str, AnyArray]:
    return {output: np.concatenate([part[output] for part in parts])[back] for output in parts[0]}


def _groups(walk: Walk, name: str, rows: Drawn) -> Iterator[tuple[IntArray, Span]]:
    """Places of rows that can be asked together, and their windows, one name each, ending on one session.

    Market-wide inputs are the same for all names of a session, so a module that reads one is asked day by day.
    """
    fitter = walk.fitter
    assets = fitter.assets
    span = fitter.span(fitter.stack[name], np.unique(rows.days), fitter.days.last)
    market_wide = any(block.ndim == 1 for block in span.blocks.values())
    day, column = np.searchsorted(span.days, rows.days), np.searchsorted(assets, rows.assets)
    everything = np.arange(len(rows.days), dtype=np.int64)
    groups = [everything[day == one] for one in np.unique(day)] if market_wide else [everything]
    for group in groups:
        blocks = {read: _ending_on(span, read, day[group], column[group]) for read in span.reads}
        yield group, dataclasses.replace(span, blocks=blocks)


def _ending_on(span: Span, read: str, day: IntArray, column: IntArray) -> AnyArray:
    """One window per row: (sessions, n_rows[, k]), or (sessions,) for a market-wide input of a single day."""
    windows = span.windows(read)
    if windows.ndim == 2:
        return np.array(windows[day[0]])
    return np.moveaxis(windows[day, :, column], 0, 1)


def _train_spreads(walk: Walk, name: str) -> dict[str, FloatArray | None]:
    """Standard deviation of each input among the members of the train days; None for inputs of whole values."""
    fitter = walk.fitter
    span = fitter.span(fitter.stack[name], fitter.days.train, int(fitter.days.train[-1]))
    spreads: dict[str, FloatArray | None] = {}
    for read in span.reads:
        today = np.asarray(span.today(read), dtype=np.float64)
        values = today if today.ndim == 1 else today[span.member]
        seen = np.isfinite(values)
        if np.all(values[seen] == np.round(values[seen])):
            spreads[read] = None
        else:
            spreads[read] = np.asarray(np.nanstd(np.where(seen, values, np.nan), axis=0), dtype=np.float64)
    return spreads


def _moved_blocks(
    span: Span, spreads: Mapping[str, FloatArray | None], settings: AuditSettings, rng: np.random.Generator
) -> tuple[dict[str, AnyArray], list[FloatArray]]:
    """Blocks with the unmoved rows first, then each draw; and the length of each draw's step, (n_rows,)."""
    parts = {read: [block] for read, block in span.blocks.items()}
    lengths: list[FloatArray] = []
    n = next((block.shape[1] for block in span.blocks.values() if block.ndim > 1), 1)
    for _ in range(settings.n_draws):
        squared = np.zeros(n)
        for read, block in span.blocks.items():
            spread = spreads[read]
            if spread is None or block.ndim == 1:
                parts[read].append(block)
                continue
            legal = range_of(read.rpartition(".")[2]) or (-np.inf, np.inf)
            step = settings.sigma * spread * rng.standard_normal(block.shape)
            new = np.clip(block + step, *legal).astype(block.dtype)
            gone = np.divide(new - block, spread, out=np.zeros(block.shape), where=(spread > 0.0) & np.isfinite(block))
            squared += (gone**2).sum(axis=tuple(axis for axis in range(block.ndim) if axis != 1))
            parts[read].append(new)
        lengths.append(np.sqrt(squared))
    joined = {read: some[0] if some[0].ndim == 1 else np.concatenate(some, axis=1) for read, some in parts.items()}
    return joined, lengths


def _as_names(span: Span, blocks: Mapping[str, AnyArray], n: int) -> Span:
    """One session in which every row is a member of its own."""
    return Span(
        days=span.days[:1],
        dates=span.dates[:1],
        as_of=span.as_of[:1],
        tickers=tuple(str(i) for i in range(n)),
        member=np.ones((1, n), dtype=bool),
        reads=span.reads,
        blocks=blocks,
    )
