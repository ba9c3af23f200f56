"""The faults of spec §28, D-DRW-01 and 03, planted and found (02 lies in the labels: tests/market/test_labels.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from glassbox_bt.audits.module_tables import table_faults
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import FittedModule
from glassbox_bt.modules.risk.drawdown import Drawdown
from glassbox_bt.types import Answers, FloatArray, Reason
from glassbox_bt.walkforward.tables import answers_table
from tests.modules.risk.risk_market import LATER, context, given_below, market, span_of, train_view_of

MODULE = Drawdown(cell="gru", hidden=4, attention=4, epochs=2, batch_size=128)
LAST = LATER[-40:]  # up to the last session of the store


@dataclass(frozen=True)
class OnlyWhereLabelled:
    """The fault: a name is answered only on days whose outcome is known, as if it were a training set."""

    inner: FittedModule
    store: MarketStore

    def predict_many(self, span: Span) -> Answers:
        said = self.inner.predict_many(span)
        columns = [self.store.tickers.index(name) for name in span.tickers]
        labelled = np.isfinite(self.store.labels["forward_drawdown_30d"].values[span.days][:, columns])
        known = said.known & labelled
        reason = np.where(said.known & ~labelled, np.int8(Reason.INPUT_MISSING), said.reason)
        outputs = {
            name: np.where(known if one.ndim == 2 else known[..., None], one, np.nan) for name, one in said.outputs.items()
        }
        return replace(said, known=known, reason=reason, outputs=outputs)


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return market()


@pytest.fixture(scope="module")
def below(store: MarketStore) -> dict[str, AnswerColumn]:
    return given_below(store, MODULE.reads)


@pytest.fixture(scope="module")
def drawdown(store: MarketStore, below: dict[str, AnswerColumn]) -> FittedModule:
    return MODULE.fit(train_view_of(store, MODULE, below), context(MODULE))[0].fitted


def has_a_hole(said: Answers, span: Span) -> bool:
    """Whether some member is not answered although everything that is read of it is there."""
    present = np.isfinite(span.windows("temporal_encoder.embedding")[..., 0]).sum(axis=1) >= MODULE.min_sessions
    eligible = span.member & present & np.isfinite(span.today("temporal_encoder.embedding")[..., 0])
    return bool((eligible & np.isfinite(span.today("vol_21d")) & ~said.known).any())


def test_d_drw_01_the_last_month_of_a_split_is_answered(
    store: MarketStore, below: dict[str, AnswerColumn], drawdown: FittedModule
) -> None:
    span = span_of(store, MODULE, below, LAST)
    faulty, honest = OnlyWhereLabelled(drawdown, store).predict_many(span), drawdown.predict_many(span)
    assert has_a_hole(faulty, span)
    assert not has_a_hole(honest, span)
    assert not faulty.known[-30:].any()


def test_d_drw_01_a_table_without_its_last_month_is_refused(
    store: MarketStore, below: dict[str, AnswerColumn], drawdown: FittedModule
) -> None:
    span = span_of(store, MODULE, below, LAST)
    said = drawdown.predict_many(span)
    table = answers_table(MODULE, span, said, drawdown.explain(span, said), store)
    assert not list(table_faults(table, store, LAST))
    cut = table[table["date"] < store.dates[LAST[-30]]]
    assert any("members have no row" in fault for fault in table_faults(cut, store, LAST))


def is_a_transform(confidence: FloatArray, risk: FloatArray) -> bool:
    """Whether confidence follows from the distance of the risk from one half, whatever the curve: ranks agree throughout."""
    return bool(abs(spearmanr(confidence, np.abs(risk - 0.5)).statistic) > 0.98)


@pytest.mark.parametrize("horizon", [10, 30])
def test_d_drw_03_confidence_is_no_second_name_for_the_risk(
    store: MarketStore, below: dict[str, AnswerColumn], drawdown: FittedModule, horizon: int
) -> None:
    said = drawdown.predict_many(span_of(store, MODULE, below, LATER))
    risk, confidence = (said.outputs[f"{name}_{horizon}d"][said.known] for name in ("drawdown_risk", "confidence"))
    assert is_a_transform(2.0 * np.abs(risk - 0.5), risk)
    assert is_a_transform(np.tanh(np.abs(risk - 0.5)), risk)
    assert not is_a_transform(confidence, risk)
    assert confidence.std() > 0.0
