"""Ports and server processes on the loopback interface, for benchmarks that start their own."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import pinned

_POLL = 0.005
_STOP_SECONDS = 5.0


class NotStartedError(Exception):
    """A server ended, or did not answer in time; the message holds the end of what it said."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, limit: float = 20.0) -> None:
    """Wait until somebody listens on a port.

    Raises:
        OSError: If nobody does within `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL)
        else:
            return


@contextmanager
def process(command: Sequence[str], core: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on one core; what it says goes to a file. It is stopped at the end."""
    with log.open("wb") as output:
        with pinned(core):
            running = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield running
        finally:
            end(running)


def end(running: subprocess.Popen[bytes]) -> None:
    """Stop a process, also one that is suspended."""
    running.send_signal(signal.SIGCONT)
    running.send_signal(signal.SIGTERM)
    try:
        running.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def until_ready(
    running: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path, limit: float
) -> float:
    """Wait until a process is ready; returns the seconds since this call.

    Args:
        running: Just started.
        ready: Whether it is; an `OSError` means that it is not yet.
        log: Where it writes.
        limit: Seconds.

    Raises:
        NotStartedError: If it ends before, or needs longer.
    """
    began = time.perf_counter()
    while True:
        try:
            if ready():
                return time.perf_counter() - began
        except OSError:
            pass
        if running.poll() is not None or time.perf_counter() - began > limit:
            said = log.read_text(encoding="utf-8", errors="replace").strip()[-600:]
            raise NotStartedError(f"{Path(str(running.args[0])).name} did not start: {said}")  # type: ignore[index]  # always a list here
        time.sleep(_POLL)
