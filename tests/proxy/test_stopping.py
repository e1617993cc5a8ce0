"""How a served proxy stops while a request is under way."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import pytest
from tests.proxy.serving import PATIENCE, Proxy, command, serving

REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SECOND = 1.0


@dataclass
class Slow:
    """An upstream that answers one request when it is told to.

    Attributes:
        url: Base URL.
        asked: Set when the request is there.
        go: Set to have it answered.
    """

    url: str
    asked: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def answer(self, listener: socket.socket) -> None:
        """Answer one request, or leave it with the test's end."""
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            self.asked.set()
            self.go.wait(PATIENCE)
            connection.sendall(REPLY)


Answer = Future[tuple[HTTPResponse, bytes]]


@contextmanager
def under_way(cwd: Path, *flags: str) -> Iterator[tuple[Proxy, Slow, Answer]]:
    """A proxy whose one request waits for the upstream."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        slow = Slow(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        threads.submit(slow.answer, listener)
        with serving("--upstream", slow.url, *flags, cwd=cwd) as proxy:
            answer = threads.submit(proxy.ask, "GET", "/v1/models")
            try:
                assert slow.asked.wait(PATIENCE)
                yield proxy, slow, answer
            finally:
                slow.go.set()


def closed(port: int) -> bool:
    """Whether the port is closed within a while, and does not just leave its callers waiting."""
    end = time.monotonic() + 5 * SECOND
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=SECOND).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.05)
    return False


def test_workers_that_drain_leave_no_port_open(tmp_path: Path) -> None:
    """While workers let a reply end, new clients are refused and need not wait for nobody."""
    with under_way(tmp_path, "--workers", "2") as (proxy, slow, answer):
        proxy.process.send_signal(signal.SIGTERM)
        refused = closed(proxy.port)
        slow.go.set()
        response, body = answer.result(PATIENCE)
        assert proxy.process.wait(PATIENCE) == 0
    assert refused
    assert (response.status, body) == (200, b"{}")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_interrupt_does_not_wait(tmp_path: Path, workers: str) -> None:
    """Ctrl-C twice ends replies that are under way, at once and without a traceback."""
    with under_way(tmp_path, "--workers", workers) as (proxy, _, answer):
        proxy.process.send_signal(signal.SIGINT)
        assert closed(proxy.port)
        began = time.monotonic()
        ended = proxy.stop(signal.SIGINT)
        assert time.monotonic() - began < 5 * SECOND
        with suppress(HTTPException, OSError):  # a 503, where there is time for one
            answer.result(PATIENCE)
    assert ended == (130, "")


def test_interrupted_workers_let_replies_end(tmp_path: Path) -> None:
    """One Ctrl-C is an orderly stop of several workers, and tells of itself as of one."""
    with under_way(tmp_path, "--workers", "2") as (proxy, slow, answer):
        proxy.process.send_signal(signal.SIGINT)
        assert closed(proxy.port)
        slow.go.set()
        assert answer.result(PATIENCE)[0].status == 200
        assert proxy.process.wait(PATIENCE) == 130


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stop_before_the_start_is_in_order_and_leaves_no_process(tmp_path: Path) -> None:
    """What tries the settings of several workers, in a process apart, ends with its parent."""
    flags = ("--port", "0", "--upstream", "http://127.0.0.1:9/v1", "--workers", "2")
    with subprocess.Popen(command(*flags), cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while len(children := listed.read_text().split()) < 2:  # one is Python's own, for its locks
            time.sleep(0.05)
        time.sleep(0.3)  # in the middle of its birth nothing could be handed over to it
        process.terminate()
        assert process.wait(PATIENCE) == 0
    end = time.monotonic() + 5 * SECOND
    while left := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.05)
