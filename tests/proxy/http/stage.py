"""The real proxy between a real client and a scripted upstream, all in the test's own loop."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import uvicorn
from openai import AsyncOpenAI
from tests.proxy.http.upstream import Piece, Play, ScriptedUpstream, playing
from typing_extensions import override

from candor_guard.detectors import Detector
from candor_guard.guard import Guard
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy.admission import Bounds
from candor_proxy.app import create_app
from candor_proxy.corked import CorkedProtocol
from candor_proxy.options import ProxyOptions

PATIENCE = 10.0
CHAT = "/v1/chat/completions"
DISPUTE: list[Any] = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54. I am quite sure."},
]


class _Server(uvicorn.Server):
    """A server that leaves the signals to pytest, and stops without waiting for its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.stop.wait()


@asynccontextmanager
async def served(
    guard: Guard, options: ProxyOptions, bounds: Bounds | None = None, keep_alive: int = 5
) -> AsyncIterator[str]:
    """Serve the app with uvicorn; yields its address."""
    config = uvicorn.Config(
        create_app(guard, options, bounds),
        http=CorkedProtocol,
        log_config=None,
        ws="none",
        server_header=False,
        date_header=False,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.001)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            await asyncio.sleep(0.005)  # connections that clients just closed need no waiting for
            server.stop.set()
            await task


@dataclass(slots=True)
class Stage:
    """What a test plays on.

    Attributes:
        url: The proxy's address.
        upstream: The scripted model server.
        client: Talks to the proxy; raises for nothing, decodes nothing, follows nothing.
    """

    url: str
    upstream: ScriptedUpstream
    client: httpx2.AsyncClient

    async def chat(
        self, headers: dict[str, str] | None = None, **fields: Any
    ) -> tuple[httpx2.Response, bytes]:
        """Post a disputed turn; returns the response and its body as it came off the wire."""
        return await self.post(CHAT, request_body(**fields), headers)

    async def post(
        self, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> tuple[httpx2.Response, bytes]:
        """Post bytes; returns the response and its body as it came off the wire."""
        request = self.client.build_request(
            "POST",
            path,
            content=body,
            headers={"content-type": "application/json"} | (headers or {}),
        )
        response = await self.client.send(request, stream=True)
        async with aclosing(response):
            return response, b"".join([piece async for piece in response.aiter_raw()])

    async def counts(self) -> dict[str, float]:
        """Return the proxy's metrics by name and labels."""
        text = (await self.client.get("/metrics")).text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines)}

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """A bare connection to the proxy."""
        host, port = self.url.removeprefix("http://").split(":")
        wire = Wire(*await asyncio.open_connection(host, int(port)))
        try:
            yield wire
        finally:
            wire.leave()
            await asyncio.sleep(0)


@dataclass(slots=True)
class Wire:
    """A client that sends exactly the bytes that it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Write these bytes now."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """Read a response up to its body."""
        return await self.reader.readuntil(b"\r\n\r\n")

    def leave(self) -> float:
        """Cut the connection; returns the loop's time."""
        self.writer.transport.abort()
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def stage(
    *plays: Play,
    detector: Detector | None = None,
    options: ProxyOptions | None = None,
    bounds: Bounds | None = None,
    upstream: dict[str, Any] | None = None,
    probes: tuple[tuple[Piece, ...], ...] = (),
    shipped: bool = False,
    keep_alive: int = 5,
    **policy: Any,
) -> AsyncIterator[Stage]:
    """Set up everything; a test that outlasts `PATIENCE` has hung and fails.

    Args:
        plays: What the upstream does with each request.
        detector: Default: one that holds everything and flags ``CAVE``.
        options: Of the proxy's app.
        bounds: Of the proxy's app.
        upstream: Of `DirectUpstream`; may also replace its ``base_url``.
        probes: What the upstream does with each probe.
        shipped: Whether the policy's defaults are the shipped ones; otherwise no probe is asked
            unless the policy says so.
        keep_alive: Seconds that the proxy leaves an idle connection open.
        policy: Fields of the policy.
    """
    async with asyncio.timeout(PATIENCE), playing(*plays, probes=probes) as scripted:
        direct = DirectUpstream(**{"base_url": scripted.url, **(upstream or {})})
        # What a probe does is the matter of its own tests; the others play without one.
        wish = policy if shipped else {"probe": "never", **policy}
        guard = Guard(detector or FakeDetector(), Policy(**wish), upstream=direct)
        limits = httpx2.Timeout(PATIENCE)
        async with (
            served(guard, options or ProxyOptions(), bounds, keep_alive) as url,
            httpx2.AsyncClient(base_url=url, timeout=limits, verify=False) as client,
        ):
            yield Stage(url, scripted, client)


@asynccontextmanager
async def openai_client(base: str) -> AsyncIterator[AsyncOpenAI]:
    """The official client, as users have it, repeating what it thinks is worth it."""
    async with AsyncOpenAI(base_url=base, api_key="sk-client", timeout=PATIENCE) as client:
        yield client


def request_body(**fields: Any) -> bytes:
    """Return a request body, with spaces and an order that no serializer of ours would write."""
    payload = {"model": "gpt-x", "messages": DISPUTE, "x_unknown": {"kept": [1, 2.50, None]}}
    return json.dumps({**payload, **fields}, indent=1).encode()


def raw_request(body: bytes, path: str = CHAT, *headers: str) -> bytes:
    """Return a POST as bytes."""
    lines = [f"POST {path} HTTP/1.1", "host: proxy", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
