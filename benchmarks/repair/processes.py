"""The servers of the benchmark, each a child process on loopback."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.loopback import free_port, wait_for
from benchmarks.repair.errors import BenchmarkError
from candor_proxy.replay import Pace

_STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the servers of the replay benchmark listen.

    Attributes:
        replay: The recorded model itself.
        floor: A bare pass-through in front of it.
        guard: The proxy in front of it.
    """

    replay: int
    floor: int
    guard: int


@contextmanager
def replay_servers(
    files: Sequence[Path], pace: Pace, guard_flags: Sequence[str]
) -> Iterator[Ports]:
    """Run the recorded model, a bare pass-through and the proxy while the block runs.

    Raises:
        BenchmarkError: If one does not start.
    """
    ports = Ports(free_port(), free_port(), free_port())
    upstream = f"http://127.0.0.1:{ports.replay}/v1"
    speed = ["--first-token-ms", str(pace.first * 1000), "--gap-ms", str(pace.gap * 1000)]
    recorded = [str(file) for file in files]
    with ExitStack() as stack:
        replay = ["candor_proxy.replay", *recorded, "--port", str(ports.replay), *speed]
        stack.enter_context(running(replay, ports.replay))
        floor = ["benchmarks.overhead.floor", str(ports.floor), upstream]
        stack.enter_context(running(floor, ports.floor))
        stack.enter_context(guard_server(upstream, ports.guard, guard_flags))
        yield ports


@contextmanager
def guard_server(upstream: str, port: int, flags: Sequence[str]) -> Iterator[None]:
    """Run the proxy in front of a base URL; every body that it may annotate is annotated.

    Raises:
        BenchmarkError: If it does not start.
    """
    serve = ["candor_proxy", "serve", "--upstream", upstream, "--port", str(port)]
    with running([*serve, "--annotate", "all", "--log-level", "error", *flags], port):
        yield


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[None]:
    """Run a Python module that listens on a port, while the block runs.

    Raises:
        BenchmarkError: If it does not start; with the last line that it wrote.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log)
        try:
            _await(process, port, command[0], log)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], port: int, name: str, log: IO[bytes]) -> None:
    for _ in range(40):
        try:
            wait_for(port, limit=0.5)
        except OSError:
            if process.poll() is None:
                continue
            break
        return
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    raise BenchmarkError(f"{name} did not start: {lines[-1] if lines else 'it says nothing'}")
