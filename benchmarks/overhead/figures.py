"""From samples to figures, and from figures to the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.overhead.contenders import CONTENDERS, DIRECT, FLOOR, LITELLM, TENTH, UNGATED
from benchmarks.overhead.load import Sample
from benchmarks.overhead.measure import Cell, Cells
from benchmarks.overhead.stand import Running

Row = dict[str, float]
Times = Callable[[Sample], list[float]]
_MS = 1000.0


def rows(loads: Mapping[str, Cells]) -> dict[str, dict[str, Row]]:
    """Return the figures by load and contender; added: against the direct ones of that load."""
    return {
        load: {c.name: _row(cells[c.name], cells[DIRECT]) for c in CONTENDERS if c.name in cells}
        for load, cells in loads.items()
    }


def process_rows(running: Mapping[str, Running]) -> dict[str, Row]:
    """Return start time and memory of every server; loaded: now."""
    found = {}
    for name, server in running.items():
        loaded = server.memory()
        found[name] = {
            "start_to_ready_s": server.start,
            "rss_idle_mib": server.idle.rss,
            "rss_loaded_mib": loaded.rss,
            "pss_loaded_mib": loaded.pss,
        }
    return found


def _row(cell: Cell, base: Cell) -> Row:
    first = _pooled(cell, lambda sample: sample.first)
    last = _pooled(cell, lambda sample: sample.last)
    row: Row = {"n": len(last), "requests_per_s": _rate(cell), "cpu_ms": _cpu(cell)}
    for what, ours, theirs in (
        ("first", first, _pooled(base, lambda sample: sample.first)),
        ("last", last, _pooled(base, lambda sample: sample.last)),
    ):
        for share in (50, 95, 99):
            mine = quantile(ours, share / 100) * _MS
            row[f"{what}_p{share}_ms"] = mine
            row[f"added_{what}_p{share}_ms"] = mine - quantile(theirs, share / 100) * _MS
    low, high = _spread(cell, base)
    row["added_last_p50_low_ms"], row["added_last_p50_high_ms"] = low, high
    gaps = _pooled(cell, lambda sample: sample.gaps)
    if len(gaps) > len(last):
        row["gap_p50_ms"], row["gap_p99_ms"] = (quantile(gaps, q) * _MS for q in (0.5, 0.99))
    return row


def _spread(cell: Cell, base: Cell) -> tuple[float, float]:
    """Lowest and highest added median of the rounds, each against its own neighbour."""
    added = [
        (statistics.median(ours.last) - statistics.median(theirs.last)) * _MS
        for ours, theirs in zip(cell.samples, base.samples, strict=False)  # some skip rounds
        if ours.last and theirs.last
    ]
    return (min(added), max(added)) if added else (0.0, 0.0)


def _rate(cell: Cell) -> float:
    return statistics.median(sample.done / sample.window for sample in cell.samples)


def _cpu(cell: Cell) -> float:
    return statistics.median(cell.cpu) * _MS


def _pooled(cell: Cell, times: Times) -> list[float]:
    return sorted(value for sample in cell.samples for value in times(sample))


def quantile(values: list[float], share: float) -> float:
    """Return a quantile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


# -- targets --------------------------------------------------------------------------------------


def targets(report: Mapping[str, Any], connections: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return what was wanted beside what was measured; what was not measured is left out.

    Args:
        report: With ``whole replies``, ``streams`` and ``processes``.
        connections: As in the plan; the first is one, the last the most.
    """
    one, many = f"{connections[0]} connections", f"{connections[-1]} connections"
    calm, busy = report["whole replies"][one], report["whole replies"][many]
    paced, process = report["streams, paced"][one], report["processes"]["enforce"]
    found = (
        Target("ungated, 1 connection: added p50 / bare pass-through's", "≤", 1.6)
        .share(calm, UNGATED, FLOOR, "added_last_p50_ms"),
        Target("ungated, 1 connection: added p50 / LiteLLM proxy's", "≤", 1 / 25)
        .share(calm, UNGATED, LITELLM, "added_last_p50_ms"),
        Target("ungated, most connections: requests/s / bare pass-through's", "≥", 0.6)
        .share(busy, UNGATED, FLOOR, "requests_per_s"),
        Target("ungated, most connections: requests/s / LiteLLM proxy's", "≥", 30)
        .share(busy, UNGATED, LITELLM, "requests_per_s"),
        Target("10 % at risk, 1 connection: added p50 / LiteLLM proxy's", "≤", 1 / 20)
        .share(calm, TENTH, LITELLM, "added_last_p50_ms"),
        Target("10 % at risk, most connections: requests/s / LiteLLM proxy's", "≥", 5)
        .share(busy, TENTH, LITELLM, "requests_per_s"),
        Target("ungated stream, 1 connection: first token p50 - bare pass-through's, ms", "≤", 0.5)
        .difference(paced, UNGATED, FLOOR, "first_p50_ms"),
        Target("memory of a worker under load (RSS), MiB", "≤", 200)
        .reached(process["rss_loaded_mib"]),
        Target("start to ready, s", "≤", 1.5).reached(process["start_to_ready_s"]),
    )  # fmt: skip
    return [target for target in found if target is not None]


@dataclass(frozen=True, slots=True)
class Target:
    """What was wanted; its methods hold what was measured against it.

    Attributes:
        what: In words.
        sign: ``≤`` or ``≥``.
        wanted: The limit.
    """

    what: str
    sign: str
    wanted: float

    def reached(self, measured: float, **more: float) -> dict[str, Any]:
        """Return the row of a figure; more: what else a reader has to know of it."""
        met = measured <= self.wanted if self.sign == "≤" else measured >= self.wanted
        wanted = f"{self.sign} {self.wanted:.3g}"
        return {"what": self.what, "wanted": wanted, "measured": measured, "met": met, **more}

    def share(
        self, rows: Mapping[str, Row], ours: str, theirs: str, figure: str
    ) -> dict[str, Any] | None:
        """Return the row of a ratio, None where nobody measured the others.

        Against anybody but the bare pass-through it holds that one's own ratio, too: what a proxy
        that does nothing at all reaches.
        """
        if theirs not in rows or not rows[theirs][figure]:
            return None
        more: dict[str, float] = {"n": min(rows[ours]["n"], rows[theirs]["n"])}
        if theirs != FLOOR:
            more[FLOOR] = rows[FLOOR][figure] / rows[theirs][figure]
        return self.reached(rows[ours][figure] / rows[theirs][figure], **more)

    def difference(
        self, rows: Mapping[str, Row], ours: str, theirs: str, figure: str
    ) -> dict[str, Any]:
        """Return the row of a difference."""
        n = min(rows[ours]["n"], rows[theirs]["n"])
        return self.reached(rows[ours][figure] - rows[theirs][figure], n=n)
