"""The three parts: constant load, too much load, growing texts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.overhead.figures import quantile
from benchmarks.overhead.load import Sample, closed_loop, open_loop
from benchmarks.overhead.measure import order
from benchmarks.overhead.stand import Running
from benchmarks.overhead.traffic import Traffic
from benchmarks.soak.bench import CONCURRENT, READ, WAITING, Bench, kinds, played

TURNS = (3, 20, 50, 100, 200)
WORDS = (182, 900, 3_600, 7_200)  # about 200, 1,000, 4,000 and 8,000 tokens
_OVERLOADS = (0.5, 1.0, 2.0, 4.0)
_CLIENTS = 512
_WARM = 0.2  # of the samples: caches and the allocator's arenas fill at first
_AT_RISK = 10
_TRIES = 5


def constant(bench: Bench, minutes: float, rate: float) -> dict[str, Any]:
    """Keep up a load; memory, latency and CPU a request over time.

    Args:
        bench: What runs.
        minutes: How long.
        rate: Requests a second; every twentieth stretch is of streams.
    """
    piece = max(1.0, min(10.0, minutes * 60 / 20))
    samples: list[dict[str, float]] = []
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < minutes * 60:
        stream = len(samples) % 4 == 3
        traffic = Traffic(kinds(), _AT_RISK, stream=stream)
        wanted = rate / 4 if stream else rate  # a stream of 200 frames costs about as much as four
        before = bench.proxy.cpu()
        sample = played(open_loop(bench.proxy.port, traffic, wanted, piece, connections=64))
        samples.append({
            "at_s": passed,
            "rss_mib": bench.proxy.memory().rss,
            "requests": len(sample.last),
            "stream": stream,
            "p50_ms": quantile(sample.last, 0.5) * 1000,
            "p99_ms": quantile(sample.last, 0.99) * 1000,
            "cpu_ms": (bench.proxy.cpu() - before) * 1000 / max(1, sample.sent),
        })  # fmt: skip
    return {"rate": rate, "minutes": minutes, **growth(samples), "samples": samples}


def growth(samples: list[dict[str, float]]) -> dict[str, float]:
    """Memory at the end against memory after the warm-up, and the slope between."""
    kept = samples[int(len(samples) * _WARM) :]
    third = max(1, len(kept) // 3)
    early = statistics.median(sample["rss_mib"] for sample in kept[:third])
    late = statistics.median(sample["rss_mib"] for sample in kept[-third:])
    hours = (kept[-1]["at_s"] - kept[0]["at_s"]) / 3600
    growth = 0.0
    if len(kept) > 1 and hours:
        times = [sample["at_s"] / 3600 for sample in kept]
        sizes = [sample["rss_mib"] for sample in kept]
        growth = statistics.linear_regression(times, sizes).slope
    return {
        "requests": sum(sample["requests"] for sample in samples),
        "rss_early_mib": early,
        "rss_late_mib": late,
        "growth_mib_per_hour": growth,
    }


def overload(bench: Bench, seconds: float) -> dict[str, Any]:
    """Ask the bounded proxy for more than it can do; what it still does, and how it refuses."""
    traffic = Traffic(kinds(), _AT_RISK)
    full = played(closed_loop(bench.bounded.port, traffic, CONCURRENT, seconds))
    capacity = full.done / full.window
    rows = {
        f"{share:g} x capacity": _overloaded(bench.bounded, share * capacity, seconds)
        for share in _OVERLOADS
    }
    most = rows[f"{_OVERLOADS[-1]:g} x capacity"]
    after = played(closed_loop(bench.bounded.port, traffic, CONCURRENT, seconds))
    return {
        "bounds": {"max_concurrent": CONCURRENT, "max_waiting": WAITING},
        "capacity_per_s": capacity,
        "loads": rows,
        "kept_at_most": most["served_per_s"] / capacity if capacity else 0.0,
        "capacity_afterwards": after.done / after.window / capacity if capacity else 0.0,
    }


def _overloaded(proxy: Running, rate: float, seconds: float) -> dict[str, float]:
    traffic = Traffic(kinds(), _AT_RISK)
    sample = played(
        open_loop(proxy.port, traffic, rate, seconds, connections=_CLIENTS, shedding=True)
    )
    return {
        "asked_per_s": rate,
        "served_per_s": sample.done / sample.window,
        "refused_share": sample.shed / max(1, sample.shed + len(sample.last)),
        "p50_ms": quantile(sample.last, 0.5) * 1000,
        "p99_ms": quantile(sample.last, 0.99) * 1000,
    }


def growing(
    bench: Bench,
    seconds: float,
    turns: Sequence[int] = TURNS,
    words: Sequence[int] = WORDS,
) -> dict[str, Any]:
    """Cost of a request that is held and read, as its conversation or its reply grows.

    The bare pass-through moves the same bytes; what the proxy takes beyond it is its own cost.
    """
    by_turns = {str(n): _cost(bench, kinds_of=n, seconds=seconds) for n in turns}
    by_words = {}
    for count in words:
        order(bench.mock.port, "words", count)
        by_words[str(count)] = _cost(bench, kinds_of=TURNS[0], seconds=seconds)
        by_words[str(count)]["stream_added_cpu_ms"] = _cost(
            bench, kinds_of=TURNS[0], seconds=seconds, stream=True
        )["added_cpu_ms"]
    order(bench.mock.port, "words", WORDS[0])
    return {"turns": by_turns, "words of the reply": by_words}


def _cost(bench: Bench, *, kinds_of: int, seconds: float, stream: bool = False) -> dict[str, float]:
    found: dict[str, list[float]] = {"floor": [], "proxy": []}
    last: dict[str, list[float]] = {"floor": [], "proxy": []}
    for _ in range(_TRIES):
        for name, server in (("floor", bench.floor), ("proxy", bench.proxy)):
            sample, cpu = _tried(server, kinds_of, seconds / _TRIES, stream=stream)
            found[name].append(cpu)
            last[name] += sample.last
    floor, proxy = statistics.median(found["floor"]), statistics.median(found["proxy"])
    return {
        "floor_cpu_ms": floor,
        "proxy_cpu_ms": proxy,
        "added_cpu_ms": proxy - floor,
        "added_p50_ms": (quantile(last["proxy"], 0.5) - quantile(last["floor"], 0.5)) * 1000,
    }


def _tried(server: Running, turns: int, seconds: float, *, stream: bool) -> tuple[Sample, float]:
    proxied = server.server.name == "proxy" and not stream
    traffic = (
        Traffic(kinds(turns), 100, stream=stream, expected=lambda _: READ)
        if proxied
        else Traffic(kinds(turns), 100, stream=stream)
    )
    before = server.cpu()
    sample = played(closed_loop(server.port, traffic, 1, seconds))
    return sample, (server.cpu() - before) * 1000 / max(1, sample.sent)
