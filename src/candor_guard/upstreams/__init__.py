"""Upstreams: where replies come from.

An upstream is anything with the two methods of `Upstream`. `candor_guard.upstreams.direct` speaks
to any OpenAI-compatible server, `candor_guard.upstreams.litellm` to every provider LiteLLM knows,
and `candor_guard.testing.FakeUpstream` is the shipped fake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Protocol

Headers = tuple[tuple[str, str], ...]

# RFC 9110 §7.6.1: meant for one connection only, never forwarded.
HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
# They describe bytes that a rewritten body no longer has.
OF_THE_BYTES = frozenset({
    "content-length", "content-md5", "digest", "content-digest", "repr-digest", "etag",
})  # fmt: skip


def end_to_end(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return headers, with lower-case names, without those that are meant for one connection."""
    pairs = list(headers)
    dropped = HOP_BY_HOP
    if named := [value for name, value in pairs if name == "connection"]:
        dropped = HOP_BY_HOP.union(token.strip().lower() for token in ",".join(named).split(","))
    return tuple([pair for pair in pairs if pair[0] not in dropped])


def encoded(values: Iterable[str]) -> bool:
    """Say whether headers of a body, all its `content-encoding`, name a coding to be undone first."""
    codings = {coding.strip().lower() for coding in ",".join(values).split(",")}
    return not codings <= {"", "identity"}


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request on its way out.

    Attributes:
        method: Upper-case HTTP method.
        path: Path and query below the upstream's base URL, such as ``/chat/completions?x=1``.
        headers: Lower-case names; hop-by-hop headers, host and content-length are left out.
        body: Whole, or as it arrives.
        length: Of a body that arrives, in bytes, where the client stated it.
    """

    method: str
    path: str
    headers: Headers = field(repr=False)  # may hold a key
    body: bytes | AsyncIterator[bytes] = field(default=b"", repr=False)
    length: int | None = None


class UpstreamResponse(Protocol):
    """A response whose body has not been read yet.

    Attributes:
        status: HTTP status.
        headers: Lower-case names, hop-by-hop headers left out; the body is as encoded by the
            server (``content-encoding`` tells).
    """

    @property
    def status(self) -> int: ...  # noqa: D102 - documented above

    @property
    def headers(self) -> Headers: ...  # noqa: D102 - see the class

    async def read(self) -> bytes:
        """Return the next piece as soon as there is one; ``b""`` at the end.

        Cancelling a pending read loses nothing.

        Raises:
            UpstreamInterruptedError: If the body breaks off.
            UpstreamTimeoutError: If the upstream is silent for too long.
        """
        ...

    async def aclose(self) -> None:
        """Free the connection; closes it at once when the body was not read to its end."""
        ...


class Upstream(Protocol):
    """A model server."""

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request and return as soon as status and headers are there.

        Raises:
            UpstreamUnreachableError: If there is no connection.
            UpstreamTimeoutError: If there is one, but no answer in time.
            InvalidRequestError: If the upstream cannot express the request at all.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
