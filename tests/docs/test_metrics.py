"""The page about the HTTP surface lists the metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

from candor_proxy.metrics import Metrics

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


def test_every_metric_is_listed() -> None:
    """The table has each metric once, by the name that a scrape shows, and no other."""
    shown = re.findall(r"^# TYPE (candor_\w+) ", Metrics().render().decode(), re.MULTILINE)
    listed = re.findall(r"^\| `(candor_\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {name for name in shown if not name.endswith("_created")}
