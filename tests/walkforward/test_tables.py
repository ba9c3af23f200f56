"""Which text engine the rows of the branch of text name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.walkforward.tables import _stamped, engine_behind

READER = {"engine": "reader", "digest": "aa", "knowledge_cutoff": "2018-10-31", "licence": "not told"}
TAUGHT = {"engine": "taught", "digest": "bb", "knowledge_cutoff": "2019-12-31"}


def engine(name: str, digest: str, cutoff: str) -> dict[str, str]:
    return {"engine": name, "engine_digest": digest, "knowledge_cutoff": cutoff}


@pytest.mark.parametrize("module", ["text_encoder", "sentiment", "news", "qualitative"])
def test_the_branch_names_the_encoders_engine(module: str) -> None:
    assert engine_behind(module, {"text_encoder": READER, "sentiment": {}}) == engine("reader", "aa", "2018-10-31")


@pytest.mark.parametrize("module", ["fusion", "regime"])
def test_who_is_not_of_the_branch_names_none(module: str) -> None:
    assert engine_behind(module, {"text_encoder": READER, "sentiment": TAUGHT}) == {}


def test_nobody_names_an_engine_that_did_not_read() -> None:
    assert engine_behind("news", {"text_encoder": {}}) == engine_behind("news", {}) == {}


def test_sentiment_with_an_engine_of_its_own_keeps_it_and_who_reads_both_names_both() -> None:
    given = {"text_encoder": READER, "sentiment": TAUGHT}
    assert engine_behind("sentiment", given) == engine("taught", "bb", "2019-12-31")
    assert engine_behind("news", given) == engine("reader", "aa", "2018-10-31")
    assert engine_behind("qualitative", given) == engine("reader | taught", "aa | bb", "2019-12-31")
    assert engine_behind("qualitative", {"text_encoder": READER, "sentiment": READER})["engine"] == "reader"


@pytest.mark.parametrize(("cutoffs", "latest"), [("none 2018-10-31", "2018-10-31"), ("2018-10-31 unknown", "unknown")])
def test_the_later_knowledge_counts(cutoffs: str, latest: str) -> None:
    one, two = cutoffs.split()
    for first, second in ((one, two), (two, one)):
        given = {"text_encoder": READER | {"knowledge_cutoff": first}, "sentiment": TAUGHT | {"knowledge_cutoff": second}}
        assert engine_behind("qualitative", given)["knowledge_cutoff"] == latest


@pytest.mark.parametrize(
    ("cutoff", "stamps"),
    [
        ("2019-01-03", ["knowledge_contaminated", "knowledge_contaminated", "clean"]),
        ("none", ["clean"] * 3),
        ("unknown", ["unknown"] * 3),
    ],
)
def test_each_row_is_stamped_by_its_own_day(cutoff: str, stamps: list[Any]) -> None:
    table = pd.DataFrame({"date": np.array(["2019-01-02", "2019-01-03", "2019-01-04"], dtype="datetime64[ns]")})
    assert _stamped(table, engine("reader", "aa", cutoff))["knowledge"].tolist() == stamps
