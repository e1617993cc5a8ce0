"""How `DirectUpstream` reuses, closes and loses connections."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from tests.upstreams.helpers import CHUNKED, KEY, post, read_all, upstream_for
from tests.upstreams.servers import Connection, Script, answer, head, replies, serve

from candor_guard.errors import (
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.upstreams.direct import DirectUpstream

pytestmark = pytest.mark.anyio


async def test_connection_is_reused_after_a_body_read_to_its_end() -> None:
    """Sequential requests share one connection."""
    async with upstream_for(replies(answer(b"1"), answer(b"2"), answer(b"3"))) as (
        upstream,
        server,
    ):
        for expected in (b"1", b"2", b"3"):
            response = await upstream.open(post())
            assert await read_all(response) == expected
            await response.aclose()
        assert server.connections == 1


async def stalled_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(CHUNKED + b"3\r\nabc\r\n")


async def stalled_head(connection: Connection) -> None:
    await connection.request()


async def stalled_upload(connection: Connection) -> None:
    connection.stop_reading()


def until_closed(script: Script, closed: asyncio.Event, ready: asyncio.Event) -> Script:
    async def wrapped(connection: Connection) -> None:
        await script(connection)
        ready.set()
        await connection.closed()
        closed.set()

    return wrapped


async def test_abandoned_body_closes_the_socket_within_100_ms() -> None:
    """`aclose` in the middle of a stream stops the server's work at once."""
    closed, ready = asyncio.Event(), asyncio.Event()
    async with upstream_for(until_closed(stalled_body, closed, ready)) as (upstream, _):
        response = await upstream.open(post())
        assert await response.read() == b"abc"

        start = time.perf_counter()
        await response.aclose()
        await asyncio.wait_for(closed.wait(), 1)
        assert time.perf_counter() - start < 0.1
        with pytest.raises(UpstreamInterruptedError):
            await response.read()


async def test_cancelled_open_closes_the_socket_within_100_ms() -> None:
    """A client that goes before the status line stops the server's work as well."""
    closed, ready = asyncio.Event(), asyncio.Event()
    async with upstream_for(until_closed(stalled_head, closed, ready)) as (upstream, _):
        opening = asyncio.create_task(upstream.open(post()))
        await ready.wait()

        start = time.perf_counter()
        opening.cancel()
        await asyncio.wait_for(closed.wait(), 1)
        assert time.perf_counter() - start < 0.1
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_cancelled_open_does_not_wait_for_an_upload_that_nobody_reads() -> None:
    """Bytes that the server has not taken yet are dropped with the connection."""
    sockets: list[socket.socket] = []
    ready, done = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        connection.stop_reading()
        sockets.append(connection._writer.get_extra_info("socket"))
        ready.set()
        await done.wait()

    async with upstream_for(script) as (upstream, _):
        opening = asyncio.create_task(upstream.open(post(bytes(32 << 20))))
        await ready.wait()
        await asyncio.sleep(0.05)
        opening.cancel()
        await asyncio.wait([opening])
        await asyncio.sleep(0.05)
        received = await asyncio.to_thread(drain, sockets[0].dup())
        done.set()
    assert received < 32 << 20


def drain(sock: socket.socket) -> int:
    """Read a socket to its end, as a server would that wakes up too late."""
    total = 0
    with sock:
        sock.setblocking(True)
        sock.settimeout(1)
        try:
            while data := sock.recv(1 << 20):
                total += len(data)
        except ConnectionResetError:
            pass
    return total


async def test_request_on_a_connection_closed_while_idle_is_repeated_once() -> None:
    """A server that hangs up just as we reuse its connection costs no failed request."""
    async with serve(closes_after_one_answer) as server:
        async with aclosing(DirectUpstream(server.url)) as upstream:
            await read_all(await upstream.open(post()))
            response = await upstream.open(post())
            assert await read_all(response) == b"ok"
        assert server.connections == 2


async def closes_after_one_answer(connection: Connection) -> None:
    """Answer once, then hang up at the next request without having read it."""
    await connection.request()
    await connection.send(answer(b"ok"))
    await connection._reader.read(1)


@pytest.mark.parametrize("streamed", [False, True])
async def test_request_that_may_have_been_processed_is_not_repeated(streamed: bool) -> None:
    """On a fresh connection, or with a body that is used up, a lost request stays lost."""
    requests = 0

    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    async def script(connection: Connection) -> None:
        nonlocal requests
        requests += 1
        if streamed:
            await closes_after_one_answer(connection)
        else:
            await connection.request()

    async with upstream_for(script) as (upstream, _):
        if streamed:
            await read_all(await upstream.open(post()))
        with pytest.raises(UpstreamUnreachableError):
            await upstream.open(post(pieces() if streamed else b"{}"))
    assert requests == 1


async def test_closed_upstream_opens_nothing() -> None:
    """`aclose` is final and may be called without, or after, any request."""
    upstream = DirectUpstream("http://127.0.0.1:1/v1")
    await upstream.aclose()
    await upstream.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await upstream.open(post())


# --- failures


async def broken_before_status(connection: Connection) -> None:
    await connection.request()


async def reset_before_status(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def cut_in_head(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-")


async def unknown_status(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 999 Denied\r\ncontent-length: 2\r\n\r\n{}")


async def garbage(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def html_without_status(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"<html>not HTTP</html>\r\n\r\n")


NO_ANSWERS = (
    broken_before_status, reset_before_status, cut_in_head, garbage, html_without_status,
    unknown_status,
)  # fmt: skip


@pytest.mark.parametrize("script", NO_ANSWERS)
async def test_no_valid_answer_is_unreachable(script: Script) -> None:
    """Whatever is no HTTP answer is reported in one line that names the server only."""
    async with upstream_for(script, api_key=KEY) as (upstream, server):
        with pytest.raises(UpstreamUnreachableError) as caught:
            await upstream.open(post(b"content", path="/chat?query=1"))
    assert_discreet(caught.value, server.url)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid:80", "[::1]:1"])
async def test_no_connection_is_unreachable(host: str) -> None:
    """Refused connections and unknown names are told apart from answers."""
    async with aclosing(DirectUpstream(f"http://{host}/v1", api_key=KEY)) as upstream:
        with pytest.raises(UpstreamUnreachableError) as caught:
            await upstream.open(post(b"content", path="/chat?query=1"))
    assert_discreet(caught.value, f"http://{host}/v1")


async def test_plain_text_where_tls_is_expected_is_unreachable() -> None:
    """A TLS failure is a failure to connect."""
    async with serve(lambda connection: connection.send(answer())) as server:
        url = server.url.replace("http:", "https:")
        async with aclosing(DirectUpstream(url, api_key=KEY)) as upstream:
            with pytest.raises(UpstreamUnreachableError, match="TLS") as caught:
                await upstream.open(post())
    assert_discreet(caught.value, url)


async def test_full_pool_is_unreachable_after_the_connect_timeout() -> None:
    """Waiting for a free connection ends, too."""
    closed, ready = asyncio.Event(), asyncio.Event()
    script = until_closed(stalled_body, closed, ready)
    async with upstream_for(script, max_connections=1, connect_timeout=0.1) as (upstream, _):
        held = await upstream.open(post())
        with pytest.raises(UpstreamUnreachableError, match="in time"):
            await upstream.open(post())
        await held.aclose()


def assert_discreet(error: Exception, url: str) -> None:
    """Assert that the error names the server and nothing that is confidential."""
    text = str(error)
    assert url.split("/")[2] in text
    assert "\n" not in text
    for secret in (KEY, "query", "content", "Bearer"):
        assert secret not in text
    assert error.__suppress_context__


@pytest.mark.parametrize(
    ("script", "body"),
    [(stalled_head, b"{}"), (stalled_upload, bytes(32 << 20))],
)
async def test_silence_before_the_answer_is_a_timeout(script: Script, body: bytes) -> None:
    """A server that accepts and then neither answers nor reads does not hold us for ever."""
    closed, ready = asyncio.Event(), asyncio.Event()

    async def never_returns(connection: Connection) -> None:
        await script(connection)
        await ready.wait()

    options = {"connect_timeout": 0.2, "read_timeout": 0.1}
    async with upstream_for(never_returns, api_key=KEY, **options) as (upstream, server):
        with pytest.raises(UpstreamTimeoutError) as caught:
            await asyncio.wait_for(upstream.open(post(body)), 2)
    assert not closed.is_set()
    assert_discreet(caught.value, server.url)


async def test_upload_that_is_not_taken_is_a_timeout_but_a_slow_client_is_none() -> None:
    """A server that stops reading a streamed upload is given up; a client may take its time."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    async def slow() -> AsyncIterator[bytes]:
        for piece in (b"{", b"}"):
            await asyncio.sleep(0.3)
            yield piece

    async def deaf(connection: Connection) -> None:
        connection.stop_reading()
        await asyncio.sleep(1)

    async def answering(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with upstream_for(deaf, read_timeout=0.2) as (upstream, _):
        with pytest.raises(UpstreamTimeoutError):
            await asyncio.wait_for(upstream.open(post(endless())), 2)
    async with upstream_for(answering, read_timeout=0.2) as (upstream, _):
        response = await asyncio.wait_for(upstream.open(post(slow())), 2)
        assert response.status == 200
        await response.aclose()


async def test_silence_within_the_body_is_a_timeout() -> None:
    """What came before the silence is delivered first."""
    closed, ready = asyncio.Event(), asyncio.Event()
    script = until_closed(stalled_body, closed, ready)
    async with upstream_for(script, read_timeout=0.1) as (upstream, server):
        response = await upstream.open(post())
        assert await response.read() == b"abc"
        with pytest.raises(UpstreamTimeoutError) as caught:
            await response.read()
        await response.aclose()
        await asyncio.wait_for(closed.wait(), 1)
    assert_discreet(caught.value, server.url)


async def test_pauses_shorter_than_the_timeout_are_fine() -> None:
    """The timeout is about silence, not about the whole answer."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        for _ in range(6):
            await asyncio.sleep(0.05)
            await connection.send(b"1\r\nx\r\n")
        await connection.send(b"0\r\n\r\n")

    async with upstream_for(script, read_timeout=0.2) as (upstream, _):
        assert await read_all(await upstream.open(post())) == b"xxxxxx"


CUT = {
    "content-length": (head("content-length: 10") + b"abc", b""),
    "between chunks": (CHUNKED + b"3\r\nabc\r\n", b""),
    "within a chunk": (CHUNKED + b"9\r\nabc", b""),
    "no chunk": (CHUNKED + b"3\r\nabc\r\n", b"zz\r\n"),
}


@pytest.mark.parametrize("how", CUT)
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "late"])
async def test_body_cut_short_is_interrupted(how: str, late: bool) -> None:
    """A truncated body is never mistaken for a whole one, and what arrived is delivered first."""

    async def script(connection: Connection) -> None:
        await connection.request()
        for piece in CUT[how]:
            await connection.send(piece)
            await asyncio.sleep(0.02)

    async with upstream_for(script, api_key=KEY) as (upstream, server):
        response = await upstream.open(post())
        if late:
            await asyncio.sleep(0.05)  # the break is known before the first read
        assert await response.read() == b"abc"
        with pytest.raises(UpstreamInterruptedError) as caught:
            await response.read()
        await response.aclose()
    assert_discreet(caught.value, server.url)


@pytest.mark.parametrize("framing", ["content-length: 10", "transfer-encoding: chunked", "x: y"])
async def test_connection_reset_within_the_body_is_interrupted(framing: str) -> None:
    """A reset is a break, even where only the end of the connection ends the body."""

    async def script(connection: Connection) -> None:
        await connection.request()
        piece = b"3\r\nabc\r\n" if "chunked" in framing else b"abc"
        await connection.send(head(framing) + piece)
        await asyncio.sleep(0.05)
        connection.reset()

    async with upstream_for(script) as (upstream, _):
        response = await upstream.open(post())
        assert await response.read() == b"abc"
        with pytest.raises(UpstreamInterruptedError):
            await response.read()


async def test_body_without_framing_ends_with_the_connection() -> None:
    """HTTP/1.0 style answers are whole when the server closes in good order."""
    async with upstream_for(replies(head("x: y") + b"abc")) as (upstream, _):
        assert await read_all(await upstream.open(post())) == b"abc"
