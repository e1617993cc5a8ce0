"""The soak's arithmetic, and its proxy with narrow bounds from end to end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.soak import tables
from benchmarks.soak.bench import bench, conversation
from benchmarks.soak.parts import constant, growing, growth, overload

linux = pytest.mark.skipif(sys.platform != "linux", reason="pins processes and reads /proc")


def test_growth_ignores_the_warm_up() -> None:
    """Memory that rises by 12 MiB an hour after a jump at the start shows as 12 MiB an hour."""
    samples = [
        {"at_s": 360.0 * n, "rss_mib": 40.0 if n < 2 else 60.0 + 1.2 * n, "requests": 10}
        for n in range(10)
    ]
    found = growth(samples)
    assert found["growth_mib_per_hour"] == pytest.approx(12.0)
    assert found["rss_late_mib"] - found["rss_early_mib"] == pytest.approx(1.2 * 6)
    assert found["requests"] == 100


def test_flat_memory_is_flat_and_one_sample_says_nothing() -> None:
    """No growth where there is none, and no error where there is too little."""
    flat = [{"at_s": float(n), "rss_mib": 60.0, "requests": 1} for n in range(10)]
    assert growth(flat)["growth_mib_per_hour"] == pytest.approx(0.0)
    assert growth(flat[:1])["growth_mib_per_hour"] == 0.0


@pytest.mark.parametrize("turns", [3, 20, 200])
def test_conversations_have_their_length(turns: int) -> None:
    """About as many turns as asked for, the user's last, after one that carries the number."""
    found = conversation(turns, at_risk=True)
    assert abs(len(found) - 1 - turns) <= 1
    assert [m["role"] for m in (found[0], found[1], found[-1])] == ["system", "user", "user"]


@linux
def test_all_parts_run(tmp_path: Path) -> None:
    """Load, overload and growth give figures; what is too much is refused and nothing fails."""
    with bench("lexical") as running:
        report = {
            "setup": {"machine": "a machine", "python": "3", "load before": [0.0]},
            "constant load": constant(running, 0.02, 20.0),
            "overload": overload(running, 0.1),
            "growing texts": growing(running, 0.01, (3,), (182, 900)),
        }
    assert report["constant load"]["requests"] > 0
    assert report["overload"]["loads"]["4 x capacity"]["refused_share"] > 0
    assert set(report["growing texts"]) == {"turns", "words of the reply"}
    assert "capacity afterwards" in tables.render(report)
    assert tables.draw(tmp_path / "soak.svg", report) == (tmp_path / "soak.svg").exists()
