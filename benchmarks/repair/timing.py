"""Time to the first token: direct, through a bare pass-through, through the guard. One run.

The contenders are asked in shuffled turns over kept-alive connections, one request at a time, so
there is no queue and differences within the run are meaningful.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.overhead.client import Client
from benchmarks.repair.cases import Case
from benchmarks.repair.errors import BenchmarkError
from benchmarks.repair.play import MODEL, Played
from benchmarks.repair.processes import Ports
from benchmarks.repair.spread import median_difference, quantile

_GATED_AT_MOST = 24
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
Samples = dict[str, list[float]]


def time_first_tokens(
    ports: Ports, played: Sequence[Played], rounds: int
) -> dict[str, dict[str, Any]]:
    """Time streams of ungated and of gated turns.

    Args:
        ports: Of the servers.
        played: What was played; it tells which turns the gate lets through.
        rounds: How often every turn is asked of every contender; the first round warms up.

    Raises:
        BenchmarkError: If a response is not what the run is about.
    """
    # Sorted into two by what was seen, so that a figure never mixes the two paths.
    seen = {entry.case.id: entry for entry in played if entry.stream and not entry.error}
    ungated = [e.case for e in seen.values() if e.guarded.evaluated == "gate"]
    gated = [e.case for e in seen.values() if e.guarded.evaluated in ("full", "deferred")]
    chosen = random.Random(0).sample(gated, min(_GATED_AT_MOST, len(gated)))
    report = {}
    for name, cases in (("ungated", ungated), ("gated", chosen)):
        if cases:
            expected = b"x-candor-evaluated: gate" if name == "ungated" else b""
            report[name] = summary(_measure(ports, cases, rounds, expected))
            report[name]["turns"] = len(cases)
    return report


def summary(samples: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the distribution and what was added, in milliseconds, by contender."""
    direct, floor = samples["direct"], samples["bare pass-through"]
    return {
        name: {
            "n": len(times),
            "first_p50_ms": round(statistics.median(times), 3),
            "first_p95_ms": round(quantile(times, 0.95), 3),
            "first_ms": {f"p{100 * x:g}": round(quantile(times, x), 3) for x in _SHARES},
            "added_to_direct_p50_ms": median_difference(times, direct).to_dict(3),
            "added_to_bare_p50_ms": median_difference(times, floor).to_dict(3),
        }
        for name, times in samples.items()
    }


def _measure(ports: Ports, cases: Sequence[Case], rounds: int, expected: bytes) -> Samples:
    contenders = {
        "direct": Client(ports.replay),
        "bare pass-through": Client(ports.floor),
        "guard": Client(ports.guard, expected),
    }
    samples: Samples = {name: [] for name in contenders}
    shuffle = random.Random(0)
    try:
        for number in range(rounds + 1):
            for case in cases:
                for name in shuffle.sample(list(contenders), len(contenders)):
                    timing = contenders[name].request(_payload(case))
                    if number:
                        samples[name].append(timing.first * 1000)
    except (OSError, RuntimeError) as error:
        raise BenchmarkError(f"timing: {' '.join(str(error).split())[:200]}") from None
    finally:
        for client in contenders.values():
            client.close()
    return samples


def _payload(case: Case) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": list(case.messages),
        "stream": True,
        "metadata": {"replay_id": case.id},
    }
