"""Measure what the proxy adds: python -m benchmarks.overhead [--rounds 12] [--json FILE].

A mock upstream and this client share one core, the server under test has the other. Contenders
run in their own processes and are asked in turn, round after round, one request at a time over a
kept-alive connection: no queue, so no coordinated omission. Ratios and differences within one run
are meaningful; absolute times differ from machine to machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.loopback import free_port, wait_for
from benchmarks.overhead.client import Client, Timing

_QUESTION = {"role": "user", "content": "And how long do I knead it?"}
_HISTORY = [
    {"role": "user", "content": "Give me two recipes for a simple bread, please."},
    {"role": "assistant", "content": "Here are two: a soda bread and a no-knead loaf. " * 8},
]
_PRESSURE = {
    "role": "user",
    "content": "No, that's wrong. I'm sure there is only one. Check again.",
}
_UNGATED = {"model": "mock", "messages": [*_HISTORY, _QUESTION]}
_GATED = {"model": "mock", "messages": [*_HISTORY, _PRESSURE]}

# name: (server, payload, what the response must say); the mock's reply never caves, so a reply at
# risk is read and passed
_CONTENDERS = {
    "direct": ("direct", _UNGATED, b""),
    "bare pass-through": ("floor", _UNGATED, b""),
    "guard, mode off": ("off", _UNGATED, b"x-candor-evaluated: none"),
    "guard, ungated": ("enforce", _UNGATED, b"x-candor-evaluated: gate"),
    "guard, at risk and held": ("enforce", _GATED, b"x-candor-evaluated: full"),
}
_Samples = dict[str, list[Timing]]


def main() -> None:
    """Run the whole comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12, help="interleaved rounds (default 12)")
    parser.add_argument("--requests", type=int, default=100, help="requests a round (default 100)")
    parser.add_argument("--json", type=Path, help="write the raw figures to this file")
    args = parser.parse_args()
    with _servers(gap_ms=0.0) as ports:
        whole = _measure(ports, {"stream": False}, args.rounds, args.requests)
        burst = _measure(ports, {"stream": True}, args.rounds, max(10, args.requests // 4))
    with _servers(gap_ms=2.0) as ports:
        paced = _measure(ports, {"stream": True}, args.rounds, max(3, args.requests // 25))
    report = {
        "setup": _setup(args.rounds, args.requests),
        "whole replies": _summary(whole),
        "streams, 200 chunks at once": _summary(burst),
        "streams, 200 chunks 2 ms apart": _summary(paced),
    }
    _print(report)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _servers(gap_ms: float) -> Iterator[dict[str, int]]:
    """Start everything, each in its own process, pinned; yields ports by server."""
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    os.sched_setaffinity(0, {client_core})
    ports = {name: free_port() for name in ("direct", "floor", "off", "enforce")}
    upstream = f"http://127.0.0.1:{ports['direct']}/v1"
    serve = ["-m", "candor_proxy", "serve", "--upstream", upstream, "--port"]
    commands = {
        "direct": ["-m", "benchmarks.overhead.mock_upstream", str(ports["direct"]), str(gap_ms)],
        "floor": ["-m", "benchmarks.overhead.floor", str(ports["floor"]), upstream],
        "off": [*serve, str(ports["off"]), "--mode", "off"],
        "enforce": [*serve, str(ports["enforce"]), "--mode", "enforce"],
    }
    with ExitStack() as stack:
        for name, command in commands.items():
            core = client_core if name == "direct" else server_core
            stack.enter_context(_process(command, core))
        for port in ports.values():
            wait_for(port)
        yield ports
    os.sched_setaffinity(0, set(cores))


@contextmanager
def _process(command: list[str], core: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, {core})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _measure(
    ports: dict[str, int], options: dict[str, Any], rounds: int, requests: int
) -> _Samples:
    samples: _Samples = {name: [] for name in _CONTENDERS}
    order = list(_CONTENDERS)
    shuffle = random.Random(0)
    for round_number in range(rounds + 1):
        shuffle.shuffle(order)
        for name in order:
            server, payload, expected = _CONTENDERS[name]
            client = Client(ports[server], expected)
            timings = [client.request({**payload, **options}) for _ in range(requests)]
            client.close()
            if round_number:  # the first round warms up
                samples[name] += timings
    return samples


def _summary(samples: _Samples) -> dict[str, dict[str, float]]:
    base = samples["direct"]
    return {name: _row(timings, base) for name, timings in samples.items()}


def _row(timings: list[Timing], base: list[Timing]) -> dict[str, float]:
    first, last = [t.first * 1000 for t in timings], [t.last * 1000 for t in timings]
    low, high = _interval(first, [t.first * 1000 for t in base])
    return {
        "n": len(timings),
        "first_p50_ms": statistics.median(first),
        "first_p99_ms": _quantile(first, 0.99),
        "last_p50_ms": statistics.median(last),
        "last_p99_ms": _quantile(last, 0.99),
        "added_first_p50_ms": statistics.median(first)
        - statistics.median(t.first * 1000 for t in base),
        "added_first_p50_low_ms": low,
        "added_first_p50_high_ms": high,
        "added_last_p50_ms": statistics.median(last)
        - statistics.median(t.last * 1000 for t in base),
    }


def _interval(ours: list[float], base: list[float], draws: int = 400) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of medians."""
    dice = random.Random(1)
    differences = sorted(
        statistics.median(dice.choices(ours, k=len(ours)))
        - statistics.median(dice.choices(base, k=len(base)))
        for _ in range(draws)
    )
    return differences[int(0.025 * draws)], differences[int(0.975 * draws) - 1]


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _setup(rounds: int, requests: int) -> dict[str, Any]:
    packages = ("candor-guard", "starlette", "uvicorn", "aiohttp", "uvloop", "httptools")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "rounds": rounds,
        "requests": requests,
        "seed": 0,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def _print(report: dict[str, Any]) -> None:
    print(report["setup"]["machine"], "Python", report["setup"]["python"])
    for title, rows in report.items():
        if title == "setup":
            continue
        print(f"\n{title}: ms; added = difference of medians to direct, 95 % interval")
        print(
            f"{'':26}{'n':>6}{'first p50':>11}{'p99':>8}{'last p50':>10}{'p99':>9}   added to first"
        )
        for name, row in rows.items():
            print(
                f"{name:26}{row['n']:6.0f}{row['first_p50_ms']:11.3f}{row['first_p99_ms']:8.3f}"
                f"{row['last_p50_ms']:10.3f}{row['last_p99_ms']:9.3f}   "
                f"{row['added_first_p50_ms']:.3f} [{row['added_first_p50_low_ms']:.3f}, "
                f"{row['added_first_p50_high_ms']:.3f}]"
            )


if __name__ == "__main__":
    main()
