"""Attention that does not carry the answer is noted, and one that does is not; where nothing attends, nothing is judged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glassbox_bt.audits import text_explanations
from glassbox_bt.modules._news_explain import WithoutTopChunk


def asked_of(share: float, n: int, speaks: float) -> Any:
    """A news analyst of whose ``n`` documents a share shrinks without the top chunk, and no qualitative analyst."""
    after = np.where(np.arange(n) < share * n, 0.5, 1.5)
    dropped = WithoutTopChunk(np.arange(n), np.ones(n), after)
    fitted = SimpleNamespace(without_top_chunk=lambda *_: dropped)
    answers = SimpleNamespace(outputs={"network_speaks": np.array([speaks])}, known=np.array([True]))
    return lambda _walk, name: (fitted, None, answers, None) if name == "news" else None


@pytest.mark.parametrize(
    ("made_of", "passed"),
    [((0.8, 40, 1.0), True), ((0.5, 40, 1.0), False), ((0.5, 10, 1.0), None), ((0.5, 40, 0.0), None)],
)
def test_the_top_chunk_must_carry_the_answer(
    texty: Path, ask: Any, monkeypatch: pytest.MonkeyPatch, made_of: tuple[float, int, float], passed: bool | None
) -> None:
    monkeypatch.setattr(text_explanations, "_asked", asked_of(*made_of))
    result = ask("text_explanations", texty)
    (check,) = (one for one in result.checks if one.check == "without its top chunk")
    assert check.passed is passed
    assert not (check.hard and passed is not None)
    assert result.status == ("note" if passed is False else "pass" if passed else "not applicable")


def test_a_clean_run_tells_what_its_documents_carry(texty: Path, ask: Any) -> None:
    result = ask("text_explanations", texty)
    assert result.status in ("pass", "note", "not applicable")
    told = {one.metric: one.value for one in result.metrics}
    assert told["documents without their top chunk"] > 0
    assert told["days whose score moves against their strongest document, once it is gone"] > 0.5


def test_it_does_not_apply_without_text(run: Path, bare: Any, ask: Any) -> None:
    for place, words in ((run, "no module of this run reads text"), (bare(), "needs a run folder")):
        result = ask("text_explanations", place)
        assert result.status == "not applicable"
        assert words in result.reason
