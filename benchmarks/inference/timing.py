"""How calls are timed: often, in turns, garbage collection off."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping
from time import perf_counter

Call = Callable[[], object]
_ROUNDS = 5


def timed(calls: Mapping[str, Call], seconds: float) -> dict[str, dict[str, float]]:
    """Time calls in turns; returns p50, p99 and the least of each, in milliseconds.

    Args:
        calls: By name.
        seconds: For each call, in five turns between those of the others: what disturbs the
            machine for a while disturbs all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    gc.collect()
    gc.disable()
    try:
        for _ in range(_ROUNDS):
            for name, call in calls.items():
                times[name] += _turn(call, seconds / _ROUNDS)
    finally:
        gc.enable()
    return {name: _row(found) for name, found in times.items()}


def _turn(call: Call, seconds: float) -> list[float]:
    found = list[float]()
    until = perf_counter() + seconds
    while True:
        began = perf_counter()
        call()
        ended = perf_counter()
        found.append((ended - began) * 1000)
        if ended >= until:
            return found


def _row(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "n": len(ordered),
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
        "min_ms": ordered[0],
    }
