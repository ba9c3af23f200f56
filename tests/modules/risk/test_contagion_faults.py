"""Defects of the source's contagion model, planted: each is flagged, and the module as it is stays silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.market.view import Span
from glassbox_bt.modules._blocks import Batch, deterministic
from glassbox_bt.modules._contagion_calibration import average_precision, log_odds
from glassbox_bt.modules._contagion_fitted import NAME_OUTPUTS
from glassbox_bt.modules._contagion_network import ContagionNetwork, answered, tail_loss
from glassbox_bt.modules._contagion_rows import DayRows
from glassbox_bt.modules.base import FitContext
from glassbox_bt.modules.names import names_of
from glassbox_bt.modules.risk import contagion
from glassbox_bt.modules.risk.contagion import FittedContagion, StemGnnContagion
from glassbox_bt.types import Answers, AnyArray, FloatArray, IntArray
from tests.modules.risk.contagion_cases import CONTEXT, LATER, SMALL, TRAIN, fitted, span_of, tiny, train_of
from tests.modules.risk.contagion_cases import answered as asked

MODULE = StemGnnContagion(**SMALL)
Predict = Callable[[Span], Answers]


# D-STM-01: one score per ticker for a whole split


@dataclass(frozen=True)
class SplitMean:
    """The source's scores: the mean over the windows of the split, merged on the ticker alone."""

    inner: FittedContagion

    def predict_many(self, span: Span) -> Answers:
        answers = self.inner.predict_many(span)
        numbers = {name: values for name, values in answers.outputs.items() if name not in NAME_OUTPUTS}
        mean = {name: np.where(answers.known, np.nanmean(values, axis=0), np.nan) for name, values in numbers.items()}
        return replace(answers, outputs={**answers.outputs, **mean})


def each_day_has_its_score(predict: Predict) -> bool:
    """A ticker's score differs between days, and that of an early day does not rest on later ones."""
    short, long = (predict(span_of(tiny(), MODULE, LATER[:n])).outputs["contagion_20d_raw"] for n in (20, len(LATER)))
    varied = all(len(np.unique(one[np.isfinite(one)])) > 10 for one in long.T if np.isfinite(one).any())
    return varied and np.array_equal(short, long[:20], equal_nan=True)


@pytest.mark.parametrize("variant", ["anchored", "anchor", "network"])
def test_d_stm_01_a_score_averaged_over_the_split_is_caught(variant: str) -> None:
    assert each_day_has_its_score(fitted(variant).predict_many)
    assert not each_day_has_its_score(SplitMean(fitted(variant)).predict_many)


# D-STM-02: weights averaged over the batch


class BatchMean(ContagionNetwork):
    """The source's latent layer: one adjacency for all days of a batch."""

    def adjacency(self, window: Tensor, pairs: Tensor, allowed: Tensor, near: Tensor | None) -> Tensor:
        weights = super().adjacency(window, pairs, allowed, near)
        return weights.mean(dim=0, keepdim=True).expand_as(weights)


def batches_change_nothing(one: FittedContagion) -> bool:
    """Whatever days are asked together, in whatever blocks, a day's answers have the same bits."""
    together = one.predict_many(span_of(tiny(), MODULE))
    for rows in (np.arange(40, 41), np.arange(38, 44), np.array([3, 40, 60])):
        apart = one.predict_many(span_of(tiny(), MODULE, LATER[rows]))
        for name, values in apart.outputs.items():
            if not np.array_equal(values, together.outputs[name][rows], equal_nan=True):
                return False
    return True


def test_d_stm_02_weights_of_the_batch_are_caught() -> None:
    true = fitted("network")
    assert true.network is not None
    faulty = BatchMean(true.network.sizes)
    faulty.load_state_dict(true.network.state_dict())
    assert batches_change_nothing(true)
    assert not batches_change_nothing(replace(true, network=faulty.eval()))


# R16: a network that runs over the names in their order


class OverNames(ContagionNetwork):
    """The source's latent layer: a recurrent network over the names, so that a name's answer rests on its place."""

    def adjacency(self, window: Tensor, pairs: Tensor, allowed: Tensor, near: Tensor | None) -> Tensor:  # noqa: ARG002
        state, _ = self.recurrent(window[:, :, -1])
        scores = self.query(state) @ self.key(state).transpose(-1, -2) + pairs @ self.pair
        return torch.softmax(scores.masked_fill(~allowed, -1e9), dim=-1) * allowed


def renamed(span: Span) -> Span:
    """The same names under tickers that stand in another order."""
    return replace(span, tickers=tuple(f"R{(5 * place) % 8}" for place in range(len(span.tickers))))


def names_do_not_matter(one: FittedContagion) -> bool:
    """Other tickers, and with them another order inside the module, change who is named and no number."""
    span = span_of(tiny(), MODULE)
    other = renamed(span)
    before, after = one.predict_many(span), one.predict_many(other)
    same = np.allclose(before.outputs["contagion_20d_raw"], after.outputs["contagion_20d_raw"], atol=3e-6, equal_nan=True)
    first = names_of(before.outputs["top_influencer_1"], span.tickers)
    alias = dict(zip(span.tickers, other.tickers, strict=True))
    said = np.vectorize(alias.get)(first[before.known])
    alike = (said == names_of(after.outputs["top_influencer_1"], other.tickers)[after.known]).mean()
    return bool(same and alike > 0.99)  # two equal weights may change places


def test_r16_a_network_that_knows_the_order_of_names_is_caught() -> None:
    true = fitted("network")
    assert true.network is not None
    faulty = OverNames(true.network.sizes)
    faulty.load_state_dict(true.network.state_dict())
    assert names_do_not_matter(true)
    assert not names_do_not_matter(replace(true, network=faulty.eval()))


def test_the_order_of_a_spans_names_changes_no_bit() -> None:
    span, order = span_of(tiny(), MODULE), np.random.default_rng(3).permutation(8)
    moved = replace(
        span,
        tickers=tuple(span.tickers[place] for place in order),
        member=span.member[:, order],
        blocks={name: block[:, order] if block.ndim == 2 else block for name, block in span.blocks.items()},
    )
    before, after = (fitted("network").predict_many(one) for one in (span, moved))
    for name, values in before.outputs.items():
        np.testing.assert_array_equal(values[:, order], after.outputs[name], err_msg=name)


# D-STM-04: too short a history is masked, not a negative


def rows_of(events: FloatArray) -> Batch:
    """Three names on two days, whose windows hold something."""
    rng = torch.Generator().manual_seed(0)
    return {
        "window": torch.randn(2, 3, 30, 3, generator=rng),
        "pairs": torch.zeros(2, 3, 3, 4),
        "allowed": ~torch.eye(3, dtype=torch.bool).expand(2, 3, 3),
        "anchor": torch.full((2, 3, 3), -2.0),
        "event": torch.from_numpy(events.astype(np.float32)),
    }


EVENTS = np.where(np.arange(18).reshape(2, 3, 3) % 5 == 0, 1.0, 0.0)
EVENTS[:, 2] = np.nan  # too young to have a bar


def as_negatives(network: nn.Module, batch: Batch) -> Tensor:
    """The source's loss: what is unknown counts as an event that did not come."""
    return tail_loss(network, {**batch, "event": torch.nan_to_num(batch["event"])})


def learns_from_known_only(loss: Callable[[nn.Module, Batch], Tensor]) -> bool:
    """What the anchor says of a name without an outcome does not move the loss."""
    network, batch = MODULE.network().eval(), rows_of(EVENTS)
    moved = {**batch, "anchor": batch["anchor"].clone()}
    moved["anchor"][:, 2] = 3.0
    with torch.no_grad():
        return bool(loss(network, batch) == loss(network, moved))


def test_d_stm_04_unknown_outcomes_taken_for_negatives_are_caught() -> None:
    assert learns_from_known_only(tail_loss)
    assert not learns_from_known_only(as_negatives)


def test_d_stm_04_unknown_outcomes_are_left_out_of_the_metric() -> None:
    event = np.array([1.0, 0.0, 0.0, np.nan])
    score = np.array([0.6, 0.3, 0.2, 0.9])
    assert average_precision(score, event) == 1.0
    assert average_precision(score, np.nan_to_num(event)) < 1.0  # the fault: the unknown row is a false alarm


def test_d_stm_04_the_fit_knows_no_more_negatives_than_outcomes() -> None:
    """The base rate is that of the known outcomes of the rows that were learned from."""
    labels = train_of(tiny(), MODULE).labels["tail_event_60d"]
    base = asked(fitted("anchor")).outputs["base_rate_60d"]
    known = np.nanmean(labels)
    assert np.nanmax(base) == pytest.approx(known, rel=0.35)
    assert np.nan_to_num(labels).mean() < 0.85 * known  # the fault would be told apart


# D-STM-05: windows of the earliest days only


def drawn_days(monkeypatch: pytest.MonkeyPatch) -> IntArray:
    """Sessions whose windows the network was trained on."""
    seen: list[IntArray] = []
    take = DayRows.take

    def spy(self: DayRows, rows: IntArray, rng: np.random.Generator) -> Any:
        seen.append(self.panel.days[self.picked[rows]])
        return take(self, rows, rng)

    monkeypatch.setattr(DayRows, "take", spy)
    module = replace(MODULE, variant="network", rows_share=0.3)
    module.fit(train_of(tiny(), module), CONTEXT)
    days = np.concatenate(seen)
    early: IntArray = days[days < TRAIN[0] + 0.8 * len(TRAIN)]  # the rest is the hold-out
    return early


def from_everywhere(days: IntArray) -> bool:
    """Each quarter of the learning part has its share of the windows."""
    last = TRAIN[0] + 0.65 * len(TRAIN)
    share = np.histogram(days, bins=np.linspace(TRAIN[0], last, 5))[0] / len(days)
    return bool(share.min() > 0.12)


class Earliest:
    """A generator that draws the first rows, as ``windows[:500]`` does."""

    def permutation(self, n: int) -> IntArray:
        return np.arange(n, dtype=np.int64)


def test_d_stm_05_windows_of_the_earliest_days_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_everywhere(drawn_days(monkeypatch))
    rng = FitContext.rng
    monkeypatch.setattr(FitContext, "rng", lambda self, *key: Earliest() if key[0] == "rows" else rng(self, *key))
    assert not from_everywhere(drawn_days(monkeypatch))


# D-STM-06: probabilities inflated by positive weights


def weighted(network: nn.Module, batch: Batch) -> Tensor:
    """The source's loss: an event weighs 50 times as much."""
    residual, _ = answered(network, batch)
    known = torch.isfinite(batch["event"])
    said, wanted = torch.where(known, batch["anchor"] + residual, 0.0), torch.where(known, batch["event"], 0.0)
    losses = functional.binary_cross_entropy_with_logits(said, wanted, pos_weight=torch.tensor(50.0), reduction="none")
    return (losses * known).sum() / known.sum()


def inflated(one: FittedContagion, what: str) -> bool:
    """Whether three times the events that came are expected on the days after train."""
    said, event = asked(one).outputs[what], tiny().labels["tail_event_5d"].values[LATER]
    both = np.isfinite(said) & np.isfinite(event)
    return bool(said[both].mean() > 3.0 * np.maximum(event[both].mean(), 0.01))


def test_d_stm_06_positive_weights_are_caught_and_calibration_takes_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**SMALL, "variant": "network", "epochs": 6, "learning_rate": 3e-2, "calibration": "isotonic"}
    module = StemGnnContagion(**settings)
    with deterministic("cpu"):
        honest = module.fit(train_of(tiny(), module), CONTEXT)[0].fitted
        monkeypatch.setattr(contagion, "tail_loss", weighted)
        faulty = module.fit(train_of(tiny(), module), CONTEXT)[0].fitted
    assert isinstance(honest, FittedContagion)
    assert isinstance(faulty, FittedContagion)
    assert not inflated(honest, "contagion_5d_raw")
    assert inflated(faulty, "contagion_5d_raw")
    assert not inflated(faulty, "contagion_5d")


def test_d_stm_06_answers_are_put_right_on_their_out_of_fold_outcomes() -> None:
    """`with_outcomes` is what the walk calls with the answers of train and what came of them; thresholds meet the rank."""
    one, days = fitted("anchor"), TRAIN[150:]
    oof, labels = asked(one, days), train_of(tiny(), MODULE, days).labels
    louder = {name: shifted(values) if name.endswith("5d_raw") else values for name, values in oof.outputs.items()}
    known, reason = np.tile(oof.known, (8, 1)), np.tile(oof.reason, (8, 1))  # as many days as a walk answers
    walk = replace(oof, days=np.arange(len(known)), outputs=repeated(louder), known=known, reason=reason)
    put = one.with_outcomes(walk, repeated(labels))
    given, event = louder["contagion_5d_raw"][oof.known], labels["tail_event_5d"][oof.known]
    assert given.mean() > 3.0 * np.nanmean(event)
    assert put.maps[0].apply(given).mean() < 1.5 * np.nanmean(event)
    np.testing.assert_array_equal(asked(put).outputs["contagion_risk_score"], asked(one).outputs["contagion_risk_score"])


def shifted(probability: AnyArray) -> FloatArray:
    """With 50 times the odds."""
    odds: FloatArray = 1.0 / (1.0 + np.exp(-(log_odds(probability) + np.log(50.0))))
    return odds


def repeated(values: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {name: np.tile(one, (8, 1)) for name, one in values.items()}
