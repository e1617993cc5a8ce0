"""An upstream that speaks HTTP to any OpenAI-compatible server, over pooled connections.

Bytes go through as they are: no decompression, no re-quoting of paths, no redirects, no cookies,
no headers of our own. What aiohttp raises is translated in `broken` and nowhere else.
"""

from __future__ import annotations

import asyncio
import io
import math
import os
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final

import aiohttp
from typing_extensions import override
from yarl import URL

from candor_guard.errors import ClosedError
from candor_guard.upstreams import HOP_BY_HOP, Headers, UpstreamRequest, end_to_end
from candor_guard.upstreams.broken import after_answer, before_answer
from candor_guard.upstreams.pool import TRIP, Pool, Trip, never_arrived
from candor_guard.upstreams.target import BaseUrl, checked_key
from candor_guard.upstreams.upload import Upload

# Written by the HTTP client itself; `expect` would make it wait for an interim answer, although
# the body is already on its way.
_NOT_FORWARDED: Final = HOP_BY_HOP | {"host", "content-length", "expect"}
_NOT_ADDED: Final = frozenset({"user-agent", "accept", "accept-encoding", "content-type"})
_CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key"})
# Every request to Anthropic's API has it.
_ANTHROPIC: Final = "anthropic-version"
_MAX_HEADER_BYTES: Final = 64 * 1024

# HTTP has no others for an answer, and servers and clients that take one fail over it. A 101 is
# none: nobody asked for another protocol.
_STATUSES: Final = (200, 599)
# What the bytes of a body come in; of all else nothing but these bytes would be left.
_FRAMINGS: Final = ("", "chunked", "identity")

# What may not stand in a header, and what RFC 9110 §5.5 has a recipient put there instead: servers
# raise over it, and the whole reply would be lost.
_READABLE: Final = bytes(9 if c == 9 else 32 if c < 32 or c == 127 else c for c in range(256))

# The event loop takes a request of so many bytes at once, whether or not the server reads it.
_NEVER_WAITS: Final = 32 * 1024

# aiohttp warns that larger bytes objects block the loop; from a BytesIO it writes in pieces.
_WRITTEN_AT_ONCE: Final = 1 << 20

_FOREIGN: Final = (aiohttp.ClientError, OSError, ValueError)


class DirectUpstream:
    """An OpenAI-compatible server.

    The connections belong to the event loop in which the first request is made. Header text is
    Latin-1, as in ASGI: one character for each byte.

    Args:
        base_url: Everything before the path of a request, such as ``https://host/v1``.
        api_key: Sent instead of the client's own key, in the header that the client used. When it
            sent none, ``x-api-key`` beside ``anthropic-version``, else ``authorization: Bearer``. White space around it is dropped.
        connect_timeout: Seconds for a free slot in the pool, name lookup, TCP and TLS together;
            this and the next may be infinite.
        read_timeout: Seconds of silence that the server is allowed, before and between bytes.
        max_connections: Upper bound for connections that are open at the same time.
        proxy: URL of an HTTP proxy. The environment's proxies are never used.
        ssl_context: For servers with a certificate of a private authority.

    Raises:
        ConfigurationError: If the base URL is none, or the key cannot be sent in a header.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        connect_timeout: float = 10,
        read_timeout: float = 600,
        max_connections: int = 1000,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._base = BaseUrl.parse(base_url)
        self._server = self._base.server
        self._api_key = None if api_key is None else checked_key(api_key)
        connect, silence = _finite(connect_timeout), _finite(read_timeout)
        self._timeout = aiohttp.ClientTimeout(
            connect=connect, sock_connect=connect, sock_read=silence
        )
        # aiohttp's clock for silence starts when the body has been written; this one also ends
        # the wait for a server that accepts a connection and never reads.
        self._read_timeout = read_timeout
        self._patience = connect_timeout + 2 * read_timeout
        self._max_connections = max_connections
        self._proxy = proxy
        self._ssl: ssl.SSLContext | bool = True if ssl_context is None else ssl_context
        self._session: aiohttp.ClientSession | None = None
        self._inherited: aiohttp.BaseConnector | None = None
        self._pid = os.getpid()
        self._closed = False

    @override
    def __repr__(self) -> str:
        return f"DirectUpstream({self._base.url!r})"

    async def open(self, request: UpstreamRequest) -> DirectResponse:
        """Send a request and return as soon as status and headers are there.

        Raises:
            UpstreamUnreachableError: If there is no connection, or no HTTP on it.
            UpstreamTimeoutError: If there is one, but no answer in time.
            ClosedError: If the upstream was closed.
            InvalidRequestError: If the path leaves the base URL or a header cannot be sent.
        """
        url = self._base.join(request.path)
        headers = self._headers(request.headers)
        if isinstance(request.body, bytes):
            return await self._open_bytes(request.method, url, headers, request.body)
        if request.length is not None:
            headers.append(("content-length", str(request.length)))
        limit = asyncio.timeout(None)
        upload = Upload(request.body, limit, self._read_timeout)
        try:
            async with limit:
                return await self._send(request.method, url, headers, upload)
        except asyncio.CancelledError:
            upload.fail()
            raise
        except _FOREIGN as error:
            # The client's side broke, not the server: its own exception says best what happened.
            raise upload.fail(error) or before_answer(error, self._server) from None

    async def aclose(self) -> None:
        """Close all connections, those in use included."""
        self._closed = True
        if self._session is not None and self._pid == os.getpid():
            await self._session.close()

    async def _open_bytes(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: bytes
    ) -> DirectResponse:
        try:
            if len(body) + _size(headers) <= _NEVER_WAITS:  # then aiohttp's own clocks are enough
                return await self._send_safely(method, url, headers, body)
            async with asyncio.timeout(self._patience):
                return await self._send_safely(method, url, headers, body)
        except _FOREIGN as error:
            raise before_answer(error, self._server) from None

    async def _send_safely(
        self, method: str, url: URL, headers: list[tuple[str, str]], body: bytes
    ) -> DirectResponse:
        """Send a request, and once more when it crossed the end of its connection."""
        trip = Trip()
        TRIP.set(trip)
        try:
            return await self._send(method, url, headers, body)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if not never_arrived(error, trip):
                raise
        return await self._send(method, url, headers, body)

    async def _send(
        self,
        method: str,
        url: URL,
        headers: list[tuple[str, str]],
        body: bytes | Upload,
    ) -> DirectResponse:
        data: Any = body or None
        if isinstance(body, bytes) and len(body) > _WRITTEN_AT_ONCE:
            data = io.BytesIO(body)
        response = await self._ready().request(
            method,
            url,
            headers=headers,
            # Named only where needed: to leave any out costs aiohttp more than to add them.
            skip_auto_headers=_NOT_ADDED.difference(dict(headers)) or None,
            data=data,
            allow_redirects=False,
            proxy=self._proxy,
        )
        framing = ",".join(response.headers.getall("transfer-encoding", ())).strip().lower()
        if not _STATUSES[0] <= response.status <= _STATUSES[1] or framing not in _FRAMINGS:
            response.close()
            raise aiohttp.ClientResponseError(response.request_info, ())
        return DirectResponse(response, self._server, None if isinstance(body, bytes) else body)

    def _ready(self) -> aiohttp.ClientSession:
        """Return the session, made here because aiohttp binds it to the running loop.

        In a process that was forked it is made anew: loop and connections are the parent's.
        """
        if self._closed:
            raise ClosedError("this upstream is closed")
        if self._session is not None and self._pid != os.getpid():
            # Kept: a transport that is collected complains, and may touch the parent's loop.
            self._inherited = self._session.connector
            self._session.detach()
            self._session = None
        if self._session is None:
            self._pid = os.getpid()
            self._session = aiohttp.ClientSession(
                connector=Pool(limit=self._max_connections, ssl=self._ssl),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                response_class=_AbortingResponse,
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
            )
        return self._session

    def _headers(self, sent: Headers) -> list[tuple[str, str]]:
        kept = [(name, _as_utf8(value)) for name, value in sent if name not in _NOT_FORWARDED]
        if self._api_key is None:
            return kept
        names = {name for name, _ in kept}
        usual = "x-api-key" if _ANTHROPIC in names else "authorization"
        used = names & _CREDENTIALS or {usual}
        kept = [pair for pair in kept if pair[0] not in _CREDENTIALS]
        for name in sorted(used):
            key = f"Bearer {self._api_key}" if name == "authorization" else self._api_key
            kept.append((name, key))
        return kept


class DirectResponse:
    """An answer on a connection; see `candor_guard.upstreams.UpstreamResponse`."""

    __slots__ = ("_response", "_server", "_upload", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, server: str, upload: Upload | None
    ) -> None:
        self._response = response
        self._server = server
        self.status = response.status
        self.headers = end_to_end(_lower_case(response.raw_headers))
        self._upload = upload
        if upload is not None:
            upload.answered(response.close)
        _watch(response)

    @override
    def __repr__(self) -> str:
        return f"<DirectResponse [{self.status}] from {self._server}>"

    async def read(self) -> bytes:
        """Return the next piece as soon as there is one; ``b""`` at the end.

        A failure closes the connection. A request body that is still on its way may fail, too:
        its own exception then comes out here.

        Raises:
            UpstreamInterruptedError: If the body breaks off.
            UpstreamTimeoutError: If the upstream is silent for too long.
        """
        content = self._response.content
        # aiohttp reports a break before it hands out what had arrived until then; whether a
        # client sees those bytes must not depend on who was faster.
        if content.exception() is not None and (rest := content._read_nowait(-1)):  # noqa: SLF001 - no public way, see above
            return rest
        try:
            piece = await content.readany()
            if not piece and (overlooked := content.exception()) is not None:
                raise overlooked
        except _FOREIGN as error:
            await self.aclose()
            raise self._failure(error) from None
        return piece

    async def aclose(self) -> None:
        """Free the connection; closes it at once when the body was not read to its end."""
        self._response.close()

    def _failure(self, error: Exception) -> Exception:
        failure = None if self._upload is None else self._upload.fail(error)
        return failure or after_answer(error, self._server)


class _AbortingResponse(aiohttp.ClientResponse):
    """Closes its socket at once.

    aiohttp closes politely: it first waits until the rest of an upload is written and TLS has
    said goodbye on both sides, which a stuck server never lets happen. aiohttp calls `close`
    also when a request is cancelled before its answer; a body that was received whole has given
    its connection back to the pool by then, and nothing is closed.
    """

    @override
    def close(self) -> None:
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()


def _watch(response: aiohttp.ClientResponse) -> None:
    """Report two breaks of a body that aiohttp overlooks.

    When a chunk is no chunk, aiohttp closes the connection and leaves the reader waiting, without
    a timeout, for ever. And when nothing but the connection's end tells where the body ends, it
    takes a reset for an orderly end.
    """
    connection, content = response.connection, response.content
    if connection is None or connection.protocol is None or connection.protocol.closed is None:
        return
    framed = "content-length" in response.headers or "transfer-encoding" in response.headers

    def on_closed(closed: asyncio.Future[None]) -> None:
        whole = content.is_eof() and (framed or closed.exception() is None)
        if not whole and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("connection closed"))

    def forget() -> None:
        closed.remove_done_callback(on_closed)

    closed = connection.protocol.closed
    closed.add_done_callback(on_closed)
    content.on_eof(forget)
    # Once for each connection, however many answers it carries: asyncio complains about an
    # exception that nobody looked at.
    closed.remove_done_callback(_look_at)
    closed.add_done_callback(_look_at)


def _look_at(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()


def _lower_case(raw: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    return (
        (name.decode("latin-1").lower(), value.translate(_READABLE).decode("latin-1"))
        for name, value in raw
    )


def _finite(seconds: float) -> float | None:
    """Return a limit as aiohttp takes it, which fails over infinity."""
    return seconds if math.isfinite(seconds) else None


def _size(headers: Iterable[tuple[str, str]]) -> int:
    return sum([len(name) + len(value) for name, value in headers])


def _as_utf8(value: str) -> str:
    """Return the text that aiohttp, which writes UTF-8, sends as the bytes of Latin-1 `value`."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
