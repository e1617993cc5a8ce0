"""A scripted model behind a real server, with the middleware in front of it in the same process."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.proxy.http.stage import CHAT, PATIENCE, Wire, request_body
from typing_extensions import override

from candor_guard.guard import Guard
from candor_guard.integrations.asgi import ASGIApp, CandorMiddleware
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, chat_body, chat_stream

CAVE = "CAVE: it is 54."
RIGHT = "It is 56."
FASTAPI = importlib.util.find_spec("fastapi") is not None

frameworks = pytest.mark.parametrize(
    "framework",
    [
        "starlette",
        pytest.param("fastapi", marks=pytest.mark.skipif(not FASTAPI, reason="needs fastapi")),
    ],
)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@dataclass(slots=True)
class Asked:
    """One call of the scripted model.

    Attributes:
        body: As the app read it.
        headers: Names in lower case.
        left: Set when the app learned that its client has gone, or was cancelled.
    """

    body: bytes
    headers: dict[str, str]
    left: asyncio.Event = field(default_factory=asyncio.Event)
    left_at: float = 0.0

    def leave(self) -> None:
        """Note the moment."""
        self.left_at = asyncio.get_running_loop().time()
        self.left.set()


@dataclass(slots=True)
class Model:
    """Plays texts in order, the last one over and over; a number waits, an error is raised."""

    plays: tuple[str | float | Exception, ...]
    asked: list[Asked] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def called(self, number: int) -> Asked:
        """Wait for the call of that number, from 1 on."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.asked) >= number)
        return self.asked[number - 1]

    async def answer(self, request: Request) -> Response:
        """Serve ``POST /v1/chat/completions``."""
        asked = Asked(await request.body(), dict(request.headers))
        play = self.plays[min(len(self.asked), len(self.plays) - 1)]
        self.asked.append(asked)
        async with self.came:
            self.came.notify_all()
        if isinstance(play, Exception):
            raise play
        if isinstance(play, float):
            await wait_for_disconnect(request, asked)
        if json.loads(asked.body).get("stream"):
            return StreamingResponse(self._frames(play, asked), media_type="text/event-stream")
        return Response(chat_body(str(play)), media_type="application/json")

    async def _frames(self, play: str | float | Exception, asked: Asked) -> AsyncIterator[bytes]:
        words = [word + " " for word in str(play).split(" ")]
        for frame in chat_stream(words).split(b"\n\n")[:-1]:
            if b"STALL" in frame:
                try:
                    await asyncio.sleep(PATIENCE)
                finally:
                    asked.leave()
            yield frame + b"\n\n"
            await asyncio.sleep(0)


async def wait_for_disconnect(request: Request, asked: Asked) -> None:
    """Do what an app does that thinks for a long time but watches its client."""
    message = await request.receive()
    assert message["type"] == "http.disconnect"
    asked.leave()


def starlette_app(model: Model) -> ASGIApp:
    """The model as a Starlette app."""
    return Starlette(routes=[Route(CHAT, model.answer, methods=["POST"])])


def fastapi_app(model: Model) -> ASGIApp:
    """The model as a FastAPI app."""
    fastapi: Any = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    app.add_api_route(CHAT, model.answer, methods=["POST"], response_model=None)
    return app  # type: ignore[no-any-return]  # fastapi is not installed where types are checked


APPS: dict[str, Callable[[Model], ASGIApp]] = {"starlette": starlette_app, "fastapi": fastapi_app}


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
async def serving(app: ASGIApp, **options: Any) -> AsyncIterator[str]:
    """Serve an app with uvicorn; yields its address."""
    config = uvicorn.Config(
        app,
        log_config=None,
        ws="none",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
        **options,
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
class Scene:
    """What a test plays on.

    Attributes:
        url: The server's address.
        model: The scripted model.
        client: Talks to the server; raises for nothing, decodes nothing.
    """

    url: str
    model: Model
    client: httpx2.AsyncClient

    async def chat(
        self, headers: dict[str, str] | None = None, **fields: Any
    ) -> tuple[httpx2.Response, bytes]:
        """Post a disputed turn; returns the response and its body as it came off the wire."""
        return await self.post(request_body(**fields), headers)

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = CHAT
    ) -> tuple[httpx2.Response, bytes]:
        """Post bytes; returns the response and its body as it came off the wire."""
        given = {"content-type": "application/json"} | (headers or {})
        request = self.client.build_request("POST", path, content=body, headers=given)
        response = await self.client.send(request, stream=True)
        async with aclosing(response):
            return response, b"".join([piece async for piece in response.aiter_raw()])

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        """A bare connection to the server."""
        host, port = self.url.removeprefix("http://").split(":")
        wire = Wire(*await asyncio.open_connection(host, int(port)))
        try:
            yield wire
        finally:
            wire.leave()
            await asyncio.sleep(0)


@asynccontextmanager
async def scene(
    *plays: str | float | Exception,
    framework: str = "starlette",
    detector: FakeDetector | None = None,
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    options: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **policy: Any,
) -> AsyncIterator[Scene]:
    """Set up everything; a test that outlasts `PATIENCE` has hung and fails.

    Args:
        plays: What the model does with each call.
        framework: Of the mounted app.
        detector: Default: one that holds everything and flags ``CAVE``.
        wrap: What goes around the mounted app, inside of the middleware.
        options: Of the middleware.
        server: Of uvicorn.
        policy: Fields of the policy; it asks no questions of its own unless told to.
    """
    model = Model(plays)
    guard = Guard(detector or FakeDetector(), Policy(**{"probe": "never", **policy}))
    app = CandorMiddleware(wrap(APPS[framework](model)), guard=guard, **(options or {}))
    async with (
        asyncio.timeout(PATIENCE),
        serving(app, **(server or {})) as url,
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        yield Scene(url, model, client)
    await guard.aclose()


@asynccontextmanager
async def guarding(
    app: ASGIApp, detector: FakeDetector | None = None, **server: Any
) -> AsyncIterator[tuple[str, httpx2.AsyncClient]]:
    """Serve any app with the middleware in front; yields the guarded URL and a client."""
    guard = Guard(detector or FakeDetector(), Policy(probe="never"))
    async with (
        asyncio.timeout(PATIENCE),
        serving(CandorMiddleware(app, guard=guard), **server) as url,
        httpx2.AsyncClient(timeout=PATIENCE) as client,
    ):
        yield url + CHAT, client
    await guard.aclose()
