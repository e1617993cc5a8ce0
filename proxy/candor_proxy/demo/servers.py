"""Runs ASGI apps on the loopback interface, inside the running event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import uvicorn
from typing_extensions import override

from candor_guard.errors import CandorGuardError, ConfigurationError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_START_SECONDS = 20.0
_STOP_SECONDS = 2


class _Server(uvicorn.Server):
    """A server that leaves signals alone: several run in one loop, and the demo owns Ctrl-C.

    Attributes:
        settled: Set as soon as it either listens or has failed.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = asyncio.Event()

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()


@asynccontextmanager
async def serving(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve the app while the block runs; yields its address, such as ``http://127.0.0.1:8400``.

    Raises:
        ConfigurationError: If the address cannot be listened on.
        CandorGuardError: If the app does not start.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,
        access_log=False,
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    server = _Server(config)
    with _listen(host, port) as listener:
        task = asyncio.create_task(_run(server, listener))
        try:
            await _started(server, task)
            yield _address(listener)
        finally:
            server.should_exit = True
            await task


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The port as given: getaddrinfo takes one that is out of range modulo 65536.
        listener.bind((address[0], port, *address[2:]))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _run(server: _Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit as error:
        # Uvicorn leaves the whole process when an app does not start; a demo must not.
        raise CandorGuardError("the server did not start; its log says why") from error
    finally:
        server.settled.set()


async def _started(server: _Server, task: asyncio.Task[None]) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            await server.settled.wait()
    except TimeoutError as error:
        raise CandorGuardError("the server took too long to start") from error
    if not server.started:
        await task
        raise CandorGuardError("the server stopped before it was ready")
