from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.upstreams.servers import (
    Connection,
    Received,
    Script,
    Server,
    answer,
    head,
    replies,
    serve,
)

from candor_guard.errors import (
    ConfigurationError,
    InvalidRequestError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from candor_guard.upstreams import Headers, UpstreamRequest, UpstreamResponse
from candor_guard.upstreams.direct import DirectResponse, DirectUpstream

pytestmark = pytest.mark.anyio

KEY = "sk-operator-secret"
CHUNKED = head("transfer-encoding: chunked")


def post(
    body: bytes | AsyncIterator[bytes] = b"{}",
    headers: Headers = (),
    path: str = "/chat/completions",
) -> UpstreamRequest:
    return UpstreamRequest("POST", path, headers, body)


@asynccontextmanager
async def upstream_for(
    script: Script, **options: Any
) -> AsyncIterator[tuple[DirectUpstream, Server]]:
    async with serve(script) as server, aclosing(DirectUpstream(server.url, **options)) as upstream:
        yield upstream, server


async def read_all(response: UpstreamResponse) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return b"".join(pieces)


async def sent(request: UpstreamRequest, **options: Any) -> Received:
    """Send a request and return it as the server saw it."""
    seen: list[Received] = []

    async def script(connection: Connection) -> None:
        seen.append(await connection.request())
        await connection.send(answer())

    async with upstream_for(script, **options) as (upstream, _):
        response = await upstream.open(request)
        await read_all(response)
        await response.aclose()
    return seen[0]


async def exchange(response: bytes, method: str = "POST") -> tuple[DirectResponse, bytes]:
    """Return the upstream's view of a scripted response."""
    async with upstream_for(replies(response)) as (upstream, _):
        opened = await upstream.open(UpstreamRequest(method, "/x", ()))
        body = await read_all(opened)
        await opened.aclose()
        return opened, body


# --- what the server gets


@pytest.mark.parametrize(
    "path",
    [
        "/models",
        "/files/a%2fb%2Fc/%7Euser/%c3%A9",
        "/x?q=%20+a&&b=&c;d=~%7e",
        "/a//b/",
        "/models/org:name@rev,v=1!$'()*",
        "/x?url=http://other/../y",
        "/v1.5/..a/a../...",
    ],
)
async def test_path_and_query_arrive_byte_for_byte(path: str):
    """No decoding, re-quoting or normalising happens between client and server."""
    received = await sent(UpstreamRequest("GET", path, ()))

    assert received.line == f"GET /v1{path} HTTP/1.1"


@pytest.mark.parametrize(
    "path",
    [
        "", "models", "?q=1", "//evil.example/x", "http://evil.example/x", "@evil.example",
        "/..", "/../admin", "/x/../../admin", "/./x", "/%2e%2e/admin", "/.%2E/admin",
        "/%252e%252e/admin", "/x/..%2f..%2fadmin", "/..%5cadmin", "/..\\admin", "/..;/admin",
        "/..;a=b/x", "/x#fragment", "/x y", "/x\r\nx-injected: 1", "/x\x00", "/é",
    ],
)  # fmt: skip
async def test_path_that_may_leave_the_base_is_refused_unsent(path: str):
    """Dot segments in any spelling, other hosts and control characters never reach a server."""
    upstream = DirectUpstream("http://127.0.0.1:1/v1")

    with pytest.raises(InvalidRequestError):
        await upstream.open(UpstreamRequest("GET", path, ()))


async def test_only_host_and_length_are_added():
    """A client that sends no user-agent, accept or content-type appears without them."""
    received = await sent(post(b'{"a": 1}'))

    assert [name.lower() for name, _ in received.headers] == ["host", "content-length"]
    assert received.all("Content-Length") == ["8"]
    assert received.body == b'{"a": 1}'


async def test_headers_are_forwarded_in_order_and_repeated_ones_kept():
    """The client's own headers arrive as sent; what belongs to one connection does not."""
    headers = (
        ("user-agent", "client/1"),
        ("x-tag", "one"),
        ("accept", "text/event-stream"),
        ("x-tag", "two"),
        ("cookie", "a=1; b=2"),
        ("x-name", "caf\u00c3\u00a9"),  # the UTF-8 bytes of an é, read as Latin-1
        ("authorization", "Bearer client"),
    )
    own = (("connection", "close"), ("host", "evil"), ("content-length", "9"), ("te", "x"))

    received = await sent(post(b"{}", headers + own + (("expect", "100-continue"),)))

    forwarded = [pair for pair in received.headers if pair[0] not in {"Host", "Content-Length"}]
    assert tuple(forwarded) == headers


async def test_text_that_http_forbids_in_a_header_is_refused():
    """A line break in a value cannot become a second header."""
    async with upstream_for(replies()) as (upstream, _):
        with pytest.raises(InvalidRequestError):
            await upstream.open(post(headers=(("x-a", "1\r\nx-injected: 1"),)))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), {"authorization": [f"Bearer {KEY}"]}),
        ((("authorization", "Bearer theirs"),), {"authorization": [f"Bearer {KEY}"]}),
        ((("x-api-key", "theirs"),), {"x-api-key": [KEY]}),
        ((("api-key", "theirs"), ("api-key", "again")), {"api-key": [KEY]}),
    ],
)
async def test_own_key_replaces_the_clients_key(headers: Headers, expected: dict[str, list[str]]):
    """With `api_key`, no key of the client reaches the server, whichever header it used."""
    received = await sent(post(headers=headers), api_key=KEY)

    names = ("authorization", "x-api-key", "api-key")
    assert {name: received.all(name) for name in names if received.all(name)} == expected


async def test_streamed_upload_arrives_piece_by_piece():
    """An upload is not collected first: the server has piece one before piece two exists."""
    first_arrived = asyncio.Event()
    seen: list[bytes] = []

    async def script(connection: Connection) -> None:
        seen.append(await connection._reader.readuntil(b"one\r\n"))
        first_arrived.set()
        seen.append(await connection._reader.readuntil(b"0\r\n\r\n"))
        await connection.send(answer(b"ok"))

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await first_arrived.wait()
        yield b"two"

    async with upstream_for(script) as (upstream, _):
        response = await upstream.open(post(pieces()))
        assert await read_all(response) == b"ok"
    assert b"3\r\ntwo\r\n" in seen[1]


async def test_upload_that_fails_raises_its_own_error_and_closes():
    """When the client goes away in mid-upload, that is not reported as the server's fault."""
    closed = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.closed()
        closed.set()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise EOFError("client has gone")

    async with upstream_for(script) as (upstream, _):
        with pytest.raises(EOFError, match="client has gone"):
            await upstream.open(post(pieces()))
        await asyncio.wait_for(closed.wait(), 1)


async def test_body_of_several_megabytes_arrives_whole():
    """Bodies beyond aiohttp's limit for plain bytes (images in a chat) pass without a warning."""
    body = bytes(range(256)) * 12_000

    received = await sent(post(body))

    assert received.body == body


# --- what the client gets


async def test_compressed_body_stays_compressed():
    """The body is what the server sent; `content-encoding` still describes it."""
    packed = gzip.compress(b'{"a": 1}' * 50)

    response, body = await exchange(answer(packed, "Content-Encoding: gzip"))

    assert body == packed
    assert ("content-encoding", "gzip") in response.headers


async def test_response_headers_are_kept_except_those_of_the_connection():
    """Lower case, repeated ones kept in order; hop-by-hop and Connection-named ones gone."""
    response, _ = await exchange(
        answer(
            b"x",
            "X-Request-Id: r1",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "X-Name: caf\u00e9",
            "Connection: close, X-Private",
            "X-Private: 1",
            "Keep-Alive: timeout=5",
            "Proxy-Authenticate: Basic",
        )
    )

    assert response.headers == (
        ("content-length", "1"),
        ("x-request-id", "r1"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-name", "caf\u00e9"),
    )


@pytest.mark.parametrize("status", ["404 Not Found", "429 Too Many Requests", "500 Oops", "599 X"])
async def test_error_status_is_an_answer_not_an_exception(status: str):
    """HTML or whatever else the server says goes to the client as it is."""
    page = b"<html>busy</html>"

    response, body = await exchange(answer(page, "content-type: text/html", status=status))

    assert (response.status, body) == (int(status[:3]), page)
    assert ("content-type", "text/html") in response.headers


async def test_redirect_is_not_followed():
    """The server cannot send us, and the operator's key, elsewhere."""
    response, body = await exchange(
        answer(b"moved", "location: http://127.0.0.1:1/", status="307 Temporary Redirect")
    )

    assert (response.status, body) == (307, b"moved")
    assert ("location", "http://127.0.0.1:1/") in response.headers


@pytest.mark.parametrize(
    ("method", "raw"),
    [("HEAD", head("content-length: 5")), ("GET", head(status="204 No Content"))],
)
async def test_answer_without_body_ends_at_once(method: str, raw: bytes):
    """HEAD and 204 have an end although nothing says so in the body."""
    _, body = await exchange(raw, method)

    assert body == b""


async def test_piece_is_delivered_before_the_next_one_exists():
    """Server-sent events flow: the first is read while the server still waits to send more."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED + b"9\r\ndata: 1\n\n\r\n")
        await go_on.wait()
        await connection.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with upstream_for(script) as (upstream, _):
        response = await upstream.open(post())
        assert await asyncio.wait_for(response.read(), 1) == b"data: 1\n\n"
        go_on.set()
        assert [await response.read(), await response.read()] == [b"data: 2\n\n", b""]


async def test_cancelled_read_loses_nothing():
    """The piece that arrives after a cancelled read is returned by the next one."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        await go_on.wait()
        await connection.send(b"3\r\nabc\r\n0\r\n\r\n")

    async with upstream_for(script) as (upstream, _):
        response = await upstream.open(post())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), 0.05)
        go_on.set()
        assert await read_all(response) == b"abc"


# --- connections


async def test_connection_is_reused_after_a_body_read_to_its_end():
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


async def test_abandoned_body_closes_the_socket_within_100_ms():
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


async def test_cancelled_open_closes_the_socket_within_100_ms():
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


async def test_cancelled_open_does_not_wait_for_an_upload_that_nobody_reads():
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


async def test_request_on_a_connection_closed_while_idle_is_repeated_once():
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
async def test_request_that_may_have_been_processed_is_not_repeated(streamed: bool):
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


async def test_closed_upstream_opens_nothing():
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


async def garbage(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def html_without_status(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"<html>not HTTP</html>\r\n\r\n")


@pytest.mark.parametrize(
    "script",
    [broken_before_status, reset_before_status, cut_in_head, garbage, html_without_status],
)
async def test_no_valid_answer_is_unreachable(script: Script):
    """Whatever is no HTTP answer is reported in one line that names the server only."""
    async with upstream_for(script, api_key=KEY) as (upstream, server):
        with pytest.raises(UpstreamUnreachableError) as caught:
            await upstream.open(post(b"content", path="/chat?query=1"))
    assert_discreet(caught.value, server.url)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "no-such-host.invalid:80", "[::1]:1"])
async def test_no_connection_is_unreachable(host: str):
    """Refused connections and unknown names are told apart from answers."""
    async with aclosing(DirectUpstream(f"http://{host}/v1", api_key=KEY)) as upstream:
        with pytest.raises(UpstreamUnreachableError) as caught:
            await upstream.open(post(b"content", path="/chat?query=1"))
    assert_discreet(caught.value, f"http://{host}/v1")


async def test_plain_text_where_tls_is_expected_is_unreachable():
    """A TLS failure is a failure to connect."""
    async with serve(lambda connection: connection.send(answer())) as server:
        url = server.url.replace("http:", "https:")
        async with aclosing(DirectUpstream(url, api_key=KEY)) as upstream:
            with pytest.raises(UpstreamUnreachableError, match="TLS") as caught:
                await upstream.open(post())
    assert_discreet(caught.value, url)


async def test_full_pool_is_unreachable_after_the_connect_timeout():
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
async def test_silence_before_the_answer_is_a_timeout(script: Script, body: bytes):
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


async def test_silence_within_the_body_is_a_timeout():
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


async def test_pauses_shorter_than_the_timeout_are_fine():
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
async def test_body_cut_short_is_interrupted(how: str, late: bool):
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
async def test_connection_reset_within_the_body_is_interrupted(framing: str):
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


async def test_body_without_framing_ends_with_the_connection():
    """HTTP/1.0 style answers are whole when the server closes in good order."""
    _, body = await exchange(head("x: y") + b"abc")

    assert body == b"abc"


# --- configuration


@pytest.mark.parametrize(
    "url",
    [
        "", "host/v1", "ftp://host", "http://", "http://user:hunter2@host/v1", "http://host/v1?q=1",
        "http://host/v1#f", "http://host:99999", "http://host/../x", "http://host/a b",
    ],
)  # fmt: skip
def test_base_url_that_makes_no_sense_is_refused(url: str):
    """The message does not repeat the URL, which may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        DirectUpstream(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://host:8000/v1", "http://host:8000/v1/"])
async def test_key_is_in_no_representation(url: str):
    """Objects can be logged."""
    upstream = DirectUpstream(url, api_key=KEY)

    assert repr(upstream) == "DirectUpstream('http://host:8000/v1')"
    response, _ = await exchange(answer())
    assert "200" in repr(response)
