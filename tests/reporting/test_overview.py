from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from glassbox_bt.reporting import write_overview
from tests.reporting.fake_run import write_fake_run


def test_the_picture_is_whole_and_the_same_twice(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run")
    first = write_overview(run).read_bytes()
    assert write_overview(run).read_bytes() == first
    root = ElementTree.fromstring(first)
    assert root.tag.endswith("svg")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 20
