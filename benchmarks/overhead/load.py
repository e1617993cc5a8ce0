"""The load generator: HTTP/1.1 over kept-alive loopback connections, no library in the way.

Closed loop: every connection sends its next request when it has its last answer. That measures
capacity, and latency at that many clients; a slow answer delays the next question, so rare stalls
count once and not once for everybody who would have come meanwhile (coordinated omission). Open
loop: requests leave by the clock whatever the answers do, and latency counts from the moment when
a request was due; that has no such gap.
"""

from __future__ import annotations

import asyncio
import gc
import random
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

from typing_extensions import override

from benchmarks.overhead.traffic import Request

_TOKEN = re.compile(rb'"content":\s?"[^"]')
_LAST_CHUNK = b"0\r\n\r\n"
_PATIENCE = 60.0
_WARM = 8


class AnswerError(Exception):
    """An answer is not what the benchmark claims to measure; the message shows its head."""


@dataclass(slots=True)
class Sample:
    """What one stretch of load showed; times in seconds.

    Attributes:
        first: Of each request, to its first token (of a whole reply: its first body byte).
        last: Of each request, to its last byte.
        gaps: Between the arrivals of a stream, after the first token.
        done: Requests that were served.
        window: From the first request to the last answer.
        sent: All requests, warm-up included.
        shed: Requests that were answered with 503.
    """

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    done: int = 0
    window: float = 0.0
    sent: int = 0
    shed: int = 0


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on it.

    Args:
        on_done: Called after every answer, with this connection.
        shedding: Take a 503 for an answer.
    """

    def __init__(self, on_done: Callable[[Connection], None], *, shedding: bool = False) -> None:
        self._on_done = on_done
        self._shedding = shedding
        self._request: Request | None = None
        self._head = b""
        self._left: int | None = None
        self._tail = b""
        self.began = 0.0
        self.first: float | None = None
        self.ended = 0.0
        self.gaps: list[float] = []
        self.shed = False
        self.failure: Exception | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # TCP clients get these

    def send(self, request: Request, due: float | None = None) -> None:
        """Send a request; `due` is when it should have left, if that is not now."""
        self._request = request
        self._head, self._left, self._tail = b"", None, b""
        self.first, self.gaps, self.shed = None, [], False
        self._arrived = 0.0
        self._transport.write(request.data)
        self.began = perf_counter() if due is None else due

    def close(self) -> None:
        """Close the connection."""
        self._transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._request is not None:
            self._fail(AnswerError(f"connection closed in the middle of an answer ({exc})"))

    @override
    def data_received(self, data: bytes) -> None:
        if self._request is None:
            self._fail(AnswerError("bytes after the end of an answer"))
            return
        now = perf_counter()
        if self._left is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            try:
                self._left = self._open(head)
            except AnswerError as error:
                self._fail(error)
                return
        self._mark(now, data)
        self._count(now, data)

    def _open(self, head: bytes) -> int:
        """Check a head; returns the length of its body, or -1 when it comes in chunks."""
        request = cast("Request", self._request)
        self.shed = self._shedding and head.startswith(b"HTTP/1.1 503")
        if not self.shed and not head.startswith(b"HTTP/1.1 200"):
            raise AnswerError(head.decode(errors="replace"))
        if not self.shed and request.expected.search(head) is None:
            raise AnswerError(f"{request.expected.pattern!r} not in {head!r}")
        lower = head.lower()
        start = lower.find(b"\r\ncontent-length:")
        if start < 0:
            return -1
        line_end = lower.find(b"\r\n", start + 2)
        return int(lower[start + 17 : line_end if line_end > 0 else None])

    def _mark(self, now: float, data: bytes) -> None:
        if self.first is not None:
            self.gaps.append(now - self._arrived)
        elif data and (self._left != -1 or _TOKEN.search(self._tail + data)):
            self.first = now
        self._arrived = now

    def _count(self, now: float, data: bytes) -> None:
        if self._left == -1:
            self._tail = (self._tail + data)[-64:]
            over = self._tail.endswith(_LAST_CHUNK)
        else:
            self._left = cast("int", self._left) - len(data)
            over = self._left <= 0
        if over:
            self._request = None
            self.ended = now
            self.first = now if self.first is None else self.first
            self._on_done(self)

    def _fail(self, error: Exception) -> None:
        self._request = None
        self.failure = error
        self._on_done(self)


class _Crowd:
    """Some connections to one port, and what their answers amount to."""

    def __init__(self, port: int, traffic: Callable[[], Request], *, shedding: bool) -> None:
        self._port = port
        self._shedding = shedding
        self._over = asyncio.Event()
        self._busy = 0
        self._failure: Exception | None = None
        self.traffic = traffic
        self.sample = Sample()
        self.recording = False
        self.then: Callable[[Connection], bool] = lambda _: False

    async def connect(self, count: int) -> list[Connection]:
        """Open that many connections."""
        loop = asyncio.get_running_loop()
        made = []
        for _ in range(count):
            _, connection = await loop.create_connection(
                lambda: Connection(self._take, shedding=self._shedding), "127.0.0.1", self._port
            )
            made.append(connection)
        return made

    def send(self, connection: Connection, due: float | None = None) -> None:
        """Send the next request on an idle connection."""
        self._busy += 1
        self._over.clear()
        self.sample.sent += 1
        connection.send(self.traffic(), due)

    async def idle(self) -> None:
        """Wait until nothing is under way.

        Raises:
            AnswerError: If an answer was wrong, or did not come.
        """
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._over.wait()
        except TimeoutError:
            raise AnswerError(f"no answer within {_PATIENCE:.0f} s") from None
        if self._failure is not None:
            raise self._failure

    def _take(self, connection: Connection) -> None:
        self._busy -= 1
        self._failure = self._failure or connection.failure
        if self.recording and connection.failure is None:
            self._record(connection)
        again = self._failure is None and self.then(connection)
        if not again and (self._busy == 0 or self._failure is not None):
            self._over.set()

    def _record(self, connection: Connection) -> None:
        if connection.shed:
            self.sample.shed += 1
            return
        first = connection.ended if connection.first is None else connection.first
        self.sample.first.append(first - connection.began)
        self.sample.last.append(connection.ended - connection.began)
        self.sample.gaps += connection.gaps


async def closed_loop(
    port: int, traffic: Callable[[], Request], connections: int, seconds: float,
    *, shedding: bool = False,
) -> Sample:  # fmt: skip
    """Keep that many requests under way for a while, after a few to warm up.

    Raises:
        AnswerError: If an answer is not what the traffic expects.
    """
    crowd = _Crowd(port, traffic, shedding=shedding)
    made = await crowd.connect(connections)
    try:
        for connection in made[:_WARM]:
            crowd.send(connection)
        await crowd.idle()
        with _quiet():
            began = perf_counter()
            until = began + seconds

            def then(connection: Connection) -> bool:
                crowd.sample.done += 1
                crowd.sample.window = connection.ended - began
                if connection.ended >= until:
                    return False
                crowd.send(connection)
                return True

            crowd.then, crowd.recording = then, True
            for connection in made:
                crowd.send(connection)
            await crowd.idle()
    finally:
        _close(made)
    return crowd.sample


async def open_loop(
    port: int, traffic: Callable[[], Request], rate: float, seconds: float,
    *, connections: int = 256, shedding: bool = False,
) -> Sample:  # fmt: skip
    """Send requests at random moments, `rate` a second on average; latency counts from when due.

    Raises:
        AnswerError: If an answer is not what the traffic expects.
    """
    crowd = _Crowd(port, traffic, shedding=shedding)
    made = await crowd.connect(connections)
    free, waiting = deque(made), deque[float]()

    def then(connection: Connection) -> bool:
        crowd.sample.done += not connection.shed
        if not waiting:
            free.append(connection)
            return False
        crowd.send(connection, waiting.popleft())
        return True

    crowd.then, crowd.recording = then, True
    try:
        with _quiet():
            began = perf_counter()
            await _by_the_clock(crowd, free, waiting, _moments(rate, seconds))
            crowd.sample.window = perf_counter() - began
    finally:
        _close(made)
    return crowd.sample


async def _by_the_clock(
    crowd: _Crowd, free: deque[Connection], waiting: deque[float], moments: Sequence[float]
) -> None:
    began = perf_counter()
    for moment in moments:
        due = began + moment
        await asyncio.sleep(max(0.0, due - perf_counter()))  # also when late: answers come in
        if free:
            crowd.send(free.popleft(), due)
        else:
            waiting.append(due)
    await crowd.idle()


def _moments(rate: float, seconds: float) -> list[float]:
    dice, moments, moment = random.Random(2), list[float](), 0.0
    while (moment := moment + dice.expovariate(rate)) < seconds:
        moments.append(moment)
    return moments or [0.0]


@contextmanager
def _quiet() -> Iterator[None]:
    """No garbage collection of ours in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _close(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()
