from __future__ import annotations

import asyncio
import gzip
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.upstreams.helpers import CHUNKED, KEY, post, read_all, upstream_for
from tests.upstreams.servers import (
    Connection,
    Received,
    answer,
    head,
    replies,
)

from candor_guard.errors import (
    ConfigurationError,
    InvalidRequestError,
)
from candor_guard.upstreams import Headers, UpstreamRequest
from candor_guard.upstreams.direct import DirectResponse, DirectUpstream
from candor_guard.upstreams.target import BaseUrl

pytestmark = pytest.mark.anyio


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


@pytest.mark.parametrize("limit", ["connect_timeout", "read_timeout"])
@pytest.mark.parametrize("size", [1, 100_000])
async def test_an_infinite_limit_is_none(limit: str, size: int) -> None:
    """Whoever wants no limit can say so, for bodies of any size and those that arrive."""

    async def arriving() -> AsyncIterator[bytes]:
        yield b"a" * size

    for body in (b"a" * size, arriving()):
        async with upstream_for(replies(answer(b"{}")), **{limit: math.inf}) as (upstream, _):
            opened = await upstream.open(UpstreamRequest("POST", "/x", (), body))
            assert await read_all(opened) == b"{}"
            await opened.aclose()


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
async def test_path_and_query_arrive_byte_for_byte(path: str) -> None:
    """No decoding, re-quoting or normalising happens between client and server."""
    received = await sent(UpstreamRequest("GET", path, ()))

    assert received.line == f"GET /v1{path} HTTP/1.1"


@pytest.mark.parametrize(
    "path",
    [
        "", "models", "?q=1", "//evil.example/x", "http://evil.example/x", "@evil.example",
        "/..", "/../admin", "/x/../../admin", "/./x", "/%2e%2e/admin", "/.%2E/admin",
        "/%252e%252e/admin", "/x/..%2f..%2fadmin", "/..%5cadmin", "/..\\admin", "/..;/admin",
        "/..;a=b/x", "/%25252525252e./x", "/x#fragment", "/x y", "/x\r\nx-injected: 1", "/x\x00", "/é",
    ],
)  # fmt: skip
async def test_path_that_may_leave_the_base_is_refused_unsent(path: str) -> None:
    """Dot segments in any spelling, other hosts and control characters never reach a server."""
    upstream = DirectUpstream("http://127.0.0.1:1/v1")

    with pytest.raises(InvalidRequestError):
        await upstream.open(UpstreamRequest("GET", path, ()))


def test_a_path_of_many_layers_takes_no_time() -> None:
    """A path that was encoded a thousand times over is refused at once, and not unwrapped."""
    began = time.perf_counter()
    with pytest.raises(InvalidRequestError, match="however encoded"):
        BaseUrl.parse("http://127.0.0.1:1/v1").join("/%" + "25" * 30_000 + "2e")
    assert time.perf_counter() - began < 0.1


async def test_only_host_and_length_are_added() -> None:
    """A client that sends no user-agent, accept or content-type appears without them."""
    received = await sent(post(b'{"a": 1}'))

    assert [name.lower() for name, _ in received.headers] == ["host", "content-length"]
    assert received.all("Content-Length") == ["8"]
    assert received.body == b'{"a": 1}'


async def test_headers_are_forwarded_in_order_and_repeated_ones_kept() -> None:
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


async def test_text_that_http_forbids_in_a_header_is_refused() -> None:
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
        ((("anthropic-version", "2023-06-01"),), {"x-api-key": [KEY]}),
        ((("api-key", "theirs"), ("api-key", "again")), {"api-key": [KEY]}),
    ],
)
async def test_own_key_replaces_the_clients_key(
    headers: Headers, expected: dict[str, list[str]]
) -> None:
    """With `api_key`, no key of the client reaches the server, whichever header it used."""
    received = await sent(post(headers=headers), api_key=KEY)

    names = ("authorization", "x-api-key", "api-key")
    assert {name: received.all(name) for name in names if received.all(name)} == expected


async def test_white_space_around_the_own_key_is_dropped() -> None:
    """The key of a file that ends with a newline can be sent."""
    received = await sent(post(), api_key=f" {KEY}\r\n")

    assert received.all("authorization") == [f"Bearer {KEY}"]


@pytest.mark.parametrize("key", ["", "\n", "sk-a\nb", "sk-\u00e4", "sk\x00"])
def test_key_that_cannot_be_sent_is_refused_at_once(key: str) -> None:
    """Not at the first request, and without showing it."""
    with pytest.raises(ConfigurationError, match="the key") as caught:
        DirectUpstream("http://host/v1", api_key=key)
    assert "sk" not in str(caught.value)


async def test_streamed_upload_arrives_piece_by_piece() -> None:
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


async def test_upload_that_fails_raises_its_own_error_and_closes() -> None:
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


async def test_body_of_several_megabytes_arrives_whole() -> None:
    """Bodies beyond aiohttp's limit for plain bytes (images in a chat) pass without a warning."""
    body = bytes(range(256)) * 12_000

    received = await sent(post(body))

    assert received.body == body


# --- what the client gets


async def test_compressed_body_stays_compressed() -> None:
    """The body is what the server sent; `content-encoding` still describes it."""
    packed = gzip.compress(b'{"a": 1}' * 50)

    response, body = await exchange(answer(packed, "Content-Encoding: gzip"))

    assert body == packed
    assert ("content-encoding", "gzip") in response.headers


async def test_response_headers_are_kept_except_those_of_the_connection() -> None:
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


async def test_what_no_header_may_hold_is_a_space() -> None:
    """A careless server's control characters cost no reply: those who send it on would raise."""
    response, body = await exchange(answer(b"x", "x-model: a\x01b\x7fc\td"))

    assert body == b"x"
    assert ("x-model", "a b c\td") in response.headers


@pytest.mark.parametrize("status", ["404 Not Found", "429 Too Many Requests", "500 Oops", "599 X"])
async def test_error_status_is_an_answer_not_an_exception(status: str) -> None:
    """HTML or whatever else the server says goes to the client as it is."""
    page = b"<html>busy</html>"

    response, body = await exchange(answer(page, "content-type: text/html", status=status))

    assert (response.status, body) == (int(status[:3]), page)
    assert ("content-type", "text/html") in response.headers


async def test_redirect_is_not_followed() -> None:
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
async def test_answer_without_body_ends_at_once(method: str, raw: bytes) -> None:
    """HEAD and 204 have an end although nothing says so in the body."""
    _, body = await exchange(raw, method)

    assert body == b""


async def test_piece_is_delivered_before_the_next_one_exists() -> None:
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


async def test_cancelled_read_loses_nothing() -> None:
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


# --- configuration


@pytest.mark.parametrize(
    "url",
    [
        "", "host/v1", "ftp://host", "http://", "http://user:hunter2@host/v1", "http://host/v1?q=1",
        "http://host/v1#f", "http://host:99999", "http://host/../x", "http://host/a b",
    ],
)  # fmt: skip
def test_base_url_that_makes_no_sense_is_refused(url: str) -> None:
    """The message does not repeat the URL, which may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        DirectUpstream(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://host:8000/v1", "http://host:8000/v1/"])
async def test_key_is_in_no_representation(url: str) -> None:
    """Objects can be logged."""
    upstream = DirectUpstream(url, api_key=KEY)

    assert repr(upstream) == "DirectUpstream('http://host:8000/v1')"
    response, _ = await exchange(answer())
    assert "200" in repr(response)
