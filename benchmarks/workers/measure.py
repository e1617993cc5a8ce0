"""Both ways to start the workers, loaded one after the other, and read."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.loopback import NotStartedError, free_port, process, until_ready
from benchmarks.machine import cores, cpu_seconds, memory, pinned
from benchmarks.overhead.client import answered
from benchmarks.overhead.contenders import PORT, Server, mock_server, python_server
from benchmarks.overhead.load import closed_loop
from benchmarks.overhead.stand import Running, sort_conversations
from benchmarks.overhead.traffic import Kinds, Traffic, request_bytes
from benchmarks.soak.bench import READ, played
from benchmarks.workers.processes import WORKER, Process, busy, processes
from candor_guard.detectors.lexical import LexicalDetector

AS_IT_IS, FORKED = "as it is", "loaded before the workers are forked"
_GATED = re.compile(rb"\nx-candor-evaluated: gate\r")
_AT_RISK = 20
_CONNECTIONS = 16  # for each worker
_PIECE, _FEWEST_PIECES = 1.0, 4
_START_SECONDS = 60.0
_IDLE, _LOOK = 0.05, 0.5
# Less than this of the busiest one's processor time is no share of the load.
_LEAST_SHARE = 0.1


class UnevenLoadError(Exception):
    """A worker had next to nothing to do, so that its memory says nothing."""


def measured(detector: str, workers: int, seconds: float) -> dict[str, Any]:
    """Return the processes of both ways after their load, and what they hold together.

    A conversation at risk is one whose reply the proxy reads and finds clean without a probe.

    Args:
        detector: Name or folder.
        workers: How many.
        seconds: Of load for each way, in stretches with connections of their own.

    Raises:
        NotStartedError: If a server does not answer, or lacks workers.
        UnevenLoadError: If a worker had next to nothing to do.
    """
    report, kinds = {}, None
    with _upstream() as (upstream, folder):
        for way in (AS_IT_IS, FORKED):
            with _served(way, upstream, detector, workers, folder) as running:
                kinds = kinds or _sorted(running)
                found = _settled(running, workers)
                before = busy(found)
                requests = _load(running.port, kinds, workers, seconds)
                used = {pid: spent - before[pid] for pid, spent in busy(found).items()}
                need_even(used)
                report[way] = {
                    "conversations": {"plain": len(kinds.plain), "at risk": len(kinds.at_risk)},
                    "requests": requests,
                    **_sizes(found, used),
                }
    return report


@contextmanager
def _upstream() -> Iterator[tuple[str, Path]]:
    """Start the mock upstream on this process's core."""
    _, client_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="workers-")))
        stack.enter_context(pinned(client_core))
        mock = mock_server(free_port())
        log = folder / "mock.log"
        popen = stack.enter_context(process(mock.command, client_core, log))
        _ready(popen, mock, log)
        yield f"http://127.0.0.1:{mock.port}/v1", folder


@contextmanager
def _served(
    way: str, upstream: str, detector: str, workers: int, folder: Path
) -> Iterator[Running]:
    """Start the proxy with its workers, all on the servers' core."""
    count = str(workers)
    arguments = {
        AS_IT_IS: ("candor_proxy", "serve", "--upstream", upstream, "--port", PORT,
                   "--detector", detector, "--workers", count),
        FORKED: ("benchmarks.workers.forked", upstream, PORT, count, detector),
    }  # fmt: skip
    server = python_server(free_port, way, *arguments[way])
    log = folder / f"{server.port}.log"
    with process(server.command, cores()[0], log) as popen:
        start = _ready(popen, server, log)
        yield Running(server, popen, start, memory(popen.pid))


def _ready(popen: Any, server: Server, log: Path) -> float:
    probe = request_bytes([{"role": "user", "content": "How long does bread bake?"}])
    return until_ready(
        popen,
        lambda: answered(server.port, probe).startswith(b"HTTP/1.1 200"),
        log,
        _START_SECONDS,
    )


def _sorted(running: Running) -> Kinds:
    # The lexical detector leaves all sorting to the proxy, and maps none of the model's pages here.
    kinds = sort_conversations(running, LexicalDetector())
    running.wake()
    return kinds


def _settled(running: Running, workers: int) -> list[Process]:
    """Wait until all workers are there and none is busy loading."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        before = cpu_seconds(running.popen.pid)
        time.sleep(_LOOK)
        found = processes(running.popen.pid)
        there = sum(each.role == WORKER for each in found) == workers
        if there and cpu_seconds(running.popen.pid) - before < _IDLE:
            return found
    raise NotStartedError(f"{running.server.name}: no {workers} workers that have settled")


def _load(port: int, kinds: Kinds, workers: int, seconds: float) -> int:
    """Ask for whole replies, and every fourth time for streams; returns the number of requests."""
    whole = Traffic(kinds, _AT_RISK, expected=lambda risky: READ if risky else _GATED)
    streams = Traffic(kinds, _AT_RISK, stream=True)
    pieces = max(_FEWEST_PIECES, round(seconds / _PIECE))
    requests = 0
    for number in range(pieces):
        traffic = streams if number % 4 == 3 else whole
        count = _CONNECTIONS * workers
        requests += played(closed_loop(port, traffic, count, seconds / pieces)).sent
    return requests


def need_even(used: Mapping[int, float]) -> None:
    """Make sure that all workers had their share of the load.

    Args:
        used: Processor seconds of each worker.

    Raises:
        UnevenLoadError: If one of them had next to nothing to do.
    """
    least, most = min(used.values()), max(used.values())
    if least < _LEAST_SHARE * most:
        raise UnevenLoadError(
            f"one worker used {least:.2f} s of processor time, another {most:.2f}; run it again"
        )


def _sizes(found: list[Process], used: dict[int, float]) -> dict[str, Any]:
    rows = [
        {"role": each.role, **asdict(each.sizes()), "cpu_s": used.get(each.pid)} for each in found
    ]
    return {"processes": rows, "pss_together": sum(row["pss"] for row in rows)}
