"""The pool of connections: which of them had been in use before, and whose process they are."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from typing_extensions import override

# A server that closed an idle connection says so within one round trip of our request, and few are
# further away than this. After that it may well have been working on it.
_STALE_WITHIN: Final = 0.3


@dataclass(slots=True)
class Trip:
    """Whether a request went out on a connection that had been idle in the pool, and when."""

    reused_at: float | None = None


# Of the request that the running task is about to send.
TRIP: Final[ContextVar[Trip | None]] = ContextVar("trip", default=None)


class Pool(aiohttp.TCPConnector):
    """A pool that tells whoever asks whether a connection had been in use before.

    aiohttp's own way to learn that, a trace, calls ten empty hooks for every request.
    """

    def __init__(self, *, limit: int, ssl: ssl.SSLContext | bool) -> None:
        super().__init__(limit=limit, ssl=ssl)
        self._used: WeakSet[Any] = WeakSet()
        self._pid = os.getpid()

    @override
    def __del__(self, *warnings: Any) -> None:
        # A forked process has copies of the sockets only. To close them by the loop, as aiohttp does
        # with what was left open, would stop the parent's loop from watching its own.
        if self._pid == os.getpid():
            super().__del__(*warnings)

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if connection.protocol in self._used:
            trip = TRIP.get()
            if trip is not None:
                trip.reused_at = asyncio.get_running_loop().time()
        else:
            self._used.add(connection.protocol)
        return connection


def never_arrived(error: aiohttp.ClientError, trip: Trip) -> bool:
    """Say whether the server had closed the connection before our request got there.

    aiohttp repeats idempotent requests by itself, but no POST, and every chat is a POST: without
    this, a server that closes idle connections fails some first request after each pause. To
    repeat one is safe only when it cannot have been processed. So: the connection came out of
    the pool, it was closed or reset (no timeout, no refused connect) before a byte of an answer,
    and as fast as a close that crossed our request on its way. The caller adds: the body is
    whole, so the second request is the same as the first; and there is no third.
    """
    if trip.reused_at is None or isinstance(error, aiohttp.ClientConnectorError):
        return False
    return asyncio.get_running_loop().time() - trip.reused_at < _STALE_WITHIN
