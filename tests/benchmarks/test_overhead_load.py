"""The load generator tells the truth about servers whose times are known."""

from __future__ import annotations

import asyncio
import re
import socket
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from benchmarks.overhead.load import AnswerError, closed_loop, open_loop
from benchmarks.overhead.mock_upstream import Script, serve
from benchmarks.overhead.traffic import Kinds, Request, Traffic, conversations, request_bytes

pytestmark = pytest.mark.anyio

_PARTING = 0.02  # until both sides of a connection have noticed its end
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
TURNS = ({"role": "system", "content": "Chat 00000000."}, {"role": "user", "content": "Hello?"})
KINDS = Kinds((TURNS,), ((*TURNS, {"role": "user", "content": "No."}),))


def asking(*, stream: bool = False, head: bytes = b"") -> Callable[[], Request]:
    data = request_bytes(TURNS, stream=stream)
    return lambda: Request(data, re.compile(re.escape(head)))


@asynccontextmanager
async def mock(gap: float = 0.0) -> AsyncIterator[tuple[int, Script]]:
    """The mock upstream, in this loop."""
    script = Script(gap)
    server = await serve(0, script)
    async with server:
        yield server.sockets[0].getsockname()[1], script
        await asyncio.sleep(_PARTING)


@asynccontextmanager
async def answering(*answers: bytes, delay: float = 0.0) -> AsyncIterator[int]:
    """A server that gives these answers in turn, over and over, each after a while."""
    given = 0

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        while head := await reader.readuntil(b"\r\n\r\n"):
            found = re.search(rb"content-length: (\d+)", head)
            await reader.readexactly(int(found[1]) if found else 0)
            await asyncio.sleep(delay)
            writer.write(answers[given % len(answers)])
            given += 1

    async def forgiving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve_one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(forgiving, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.sleep(_PARTING)


async def test_closed_loop_counts_every_answer() -> None:
    """Four clients of a server that takes 20 ms get four answers every 20 ms, and no faster."""
    async with answering(OK, delay=0.02) as port:
        sample = await closed_loop(port, asking(), 4, 0.2)
    assert 8 <= sample.done <= 40
    assert min(sample.last) >= 0.0199
    assert sample.sent == len(sample.last) + 4  # a warm-up for each
    assert sample.done == len(sample.last)
    assert 0.2 <= sample.window < 1.0


async def test_open_loop_counts_from_when_a_request_was_due() -> None:
    """A server that is too slow shows waits that grow, although each answer takes the same."""
    async with answering(OK, delay=0.02) as port:
        sample = await open_loop(port, asking(), 200, 0.3, connections=1)
    waits = sample.last
    assert statistics.median(waits[-10:]) > 0.3
    assert sample.done == len(waits)
    assert sample.window > 0.6


async def test_first_token_is_the_first_word_of_a_stream() -> None:
    """The head and the empty first chunk are no token; gaps are those between arrivals."""
    async with mock(gap=0.01) as (port, script):
        script.say(8)
        sample = await closed_loop(port, asking(stream=True), 1, 0.01)
    assert all(0.009 <= first < last for first, last in zip(sample.first, sample.last, strict=True))
    assert min(sample.last) >= 0.08
    assert 0.004 < statistics.median(sample.gaps) < 0.03


async def test_mock_says_what_it_is_told() -> None:
    """Gap and length are set over HTTP, and hold for whole replies and streams."""
    script = Script(0.0)
    usual = len(script.chunks)
    script.obey(b"/words/20")
    script.obey(b"/gap/5")
    assert (script.gap, len(script.chunks)) == (0.005, usual - 162)
    assert script.whole.count(b" ") < 200


async def test_wrong_answers_are_no_figures() -> None:
    """An error status, a head without what it must show, and a broken connection end the run."""
    async with answering(BUSY) as port:
        with pytest.raises(AnswerError, match="503"):
            await closed_loop(port, asking(), 1, 0.05)
    async with answering(OK) as port:
        with pytest.raises(AnswerError, match="evaluated"):
            await closed_loop(port, asking(head=b"x-candor-evaluated: gate"), 1, 0.05)
    async with answering(OK[:-1]) as port:
        task = asyncio.create_task(closed_loop(port, asking(), 1, 0.05))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_refusals_are_counted_apart() -> None:
    """Where shedding is expected a 503 is counted, and is no served request."""
    async with answering(OK, BUSY) as port:
        sample = await open_loop(port, asking(), 200, 0.1, connections=4, shedding=True)
    assert abs(sample.shed - len(sample.last)) <= 1
    assert sample.done == len(sample.last)


async def test_nobody_listens() -> None:
    """A port without a server is an error at once."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    with pytest.raises(OSError, match="onnect"):
        await closed_loop(port, asking(), 1, 0.05)


def test_traffic_keeps_its_mix_and_repeats_nothing() -> None:
    """One in ten is at risk, and no two requests are the same."""
    traffic = Traffic(KINDS, 10)
    requests = [traffic().data for _ in range(200)]
    assert sum(b'"No."' in data for data in requests) == 20
    assert len(set(requests)) == 200
    lengths = {
        (int(data.split(b"content-length: ")[1].split(b"\r")[0]), len(data.split(b"\r\n\r\n")[1]))
        for data in requests
    }
    assert all(told == true for told, true in lengths)


def test_conversations_are_numbered_questions() -> None:
    """Every conversation ends with its user's turn, and has room for a number."""
    found = conversations()
    assert len(found) > 10
    assert all(turns[-1]["role"] == "user" and "00000000" in turns[0]["content"] for turns in found)
