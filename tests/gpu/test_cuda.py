"""Training on a CUDA device: same start, an answer on the CPU that agrees, a whole stack on a bare machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.modules.base import FitContext, Module
from glassbox_bt.modules.encoders.temporal import TemporalEncoder
from tests.builders import tiny_store
from tests.gpu.test_bare import bare

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
RAW = {
    "temporal_encoder": ("reconstruction_error",),
    "technical": ("trend_raw", "momentum_raw", "timing_raw"),
    "quantitative": ("risk_adjusted_quantitative_signal_raw", "quantitative_risk_prob"),
    "fusion": ("learned_fusion_signal_raw", "learned_fusion_risk_prob"),
}
ENCODER = TemporalEncoder(
    width=8, layers=1, heads=2, feed_forward=16, dropout=0.0, attention_dropout=0.0, epochs=2, learning_rate=1e-3
)


def fitted_on(device: str, module: Module) -> tuple[Any, Any]:
    """The candidate of a fit on ``device`` and what it says about four later days."""
    store = tiny_store(n_sessions=320, n_assets=5, seed=3)
    assets = np.arange(store.n_assets, dtype=np.int64)
    train = store.train_view(np.arange(60, 280, dtype=np.int64), module.reads, module.learns_from, assets, {})
    candidate = module.select(module.fit(train, FitContext(7, module.name, 1, 0, device=device)), None)
    span = store.span(np.arange(300, 304, dtype=np.int64), module.reads, assets, {})
    return candidate, span


def test_a_fit_on_the_device_restores_on_the_cpu() -> None:
    candidate, span = fitted_on("cuda", ENCODER)
    said = candidate.fitted.predict_many(span)
    again = ENCODER.restore(candidate.fitted.state()).predict_many(span)
    assert said.known.any()
    for name, values in said.outputs.items():
        np.testing.assert_allclose(again.outputs[name], values, atol=1e-4)


def test_both_devices_start_alike_and_learn_alike() -> None:
    (cpu, span), (cuda, _) = (fitted_on(device, replace(ENCODER, rows_share=0.5)) for device in ("cpu", "cuda"))
    assert cuda.summary["holdout_loss_untrained"] == pytest.approx(cpu.summary["holdout_loss_untrained"], rel=1e-5)
    assert cuda.summary["holdout_loss"] == pytest.approx(cpu.summary["holdout_loss"], rel=1e-2)
    one, other = (fit.fitted.predict_many(span).outputs["embedding"] for fit in (cpu, cuda))
    np.testing.assert_allclose(one, other, atol=1e-2)


def test_a_fit_on_the_device_repeats_itself() -> None:
    (first, span), (second, _) = (fitted_on("cuda", ENCODER) for _ in range(2))
    one, other = (fit.fitted.predict_many(span).outputs["embedding"] for fit in (first, second))
    np.testing.assert_array_equal(one, other)


def test_a_bare_machine_runs_the_stack_on_the_device(tmp_path: Path) -> None:
    cuda, cpu = (bare(device, tmp_path / device) for device in ("cuda", "cpu"))
    assert cuda["modules"] == cpu["modules"]
    assert cuda["unwanted"] == []
    for name, columns in RAW.items():
        one, other = (pd.read_parquet(tmp_path / device / f"{name}.parquet") for device in ("cuda", "cpu"))
        assert one["known"].equals(other["known"])
        for column in columns:
            gap = (one[column] - other[column]).abs().max()
            assert gap < 1e-2, (name, column, float(gap))  # one epoch apart in rounding alone
    for path in cuda["frozen"]:
        json.loads((Path(path) / "frozen.json").read_text(encoding="utf-8"))
