"""The mounted app: called as if nothing were in front of it, whatever it does."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.integrations.asgi.kit import (
    CAVE,
    RIGHT,
    Model,
    both,
    guarding,
    scene,
    serving,
    starlette_app,
)
from tests.proxy.http.stage import CHAT, PATIENCE, raw_request, request_body

from candor_guard.errors import ConfigurationError
from candor_guard.guard import Guard
from candor_guard.integrations.asgi import ASGIApp, CandorMiddleware, Message, Receive, Scope, Send
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, chat_body

pytestmark = pytest.mark.anyio


class Recorder:
    """An app that notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Scope, Receive, Send]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note it."""
        self.calls.append((scope, receive, send))


async def nothing() -> Message:
    return {"type": "http.disconnect"}


async def nowhere(_message: Message) -> None:
    pass


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "lifespan"},
        {"type": "websocket", "path": CHAT},
        {"type": "http", "method": "GET", "path": CHAT},
        {"type": "http", "method": "POST", "path": "/v1/embeddings"},
        {"type": "http", "method": "POST", "path": "/v1/chat/completions/x"},
    ],
    ids=lambda scope: "-".join(str(scope.get(k, "")) for k in ("type", "method", "path")),
)
async def test_everything_else_is_untouched(scope: Scope) -> None:
    """The app gets the very objects that the server gave."""
    app = Recorder()
    await CandorMiddleware(app, policy=Policy())(scope, nothing, nowhere)
    ((got, receive, send),) = app.calls
    assert got is scope
    assert receive is nothing
    assert send is nowhere


async def test_a_policy_is_enough() -> None:
    """Without a guard the middleware makes one with the bundled detector, and closes it at the end."""
    app = CandorMiddleware(starlette_app(Model((RIGHT,))), policy=Policy(mode="observe"))
    async with (
        asyncio.timeout(PATIENCE),
        serving(app, lifespan="on") as url,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        response = await client.post(CHAT, content=request_body())
    assert response.headers["x-candor-action"] == "pass"


@pytest.mark.parametrize(
    "options",
    [
        {"guard": Guard(FakeDetector()), "policy": Policy()},
        {"paths": "/v1/chat/completions"},
        {"paths": ["v1/chat/completions"]},
        {"paths": ["/v1/chat/completions/"]},
        {"paths": []},
    ],
    ids=["guard and policy", "one string", "no slash", "final slash", "no paths"],
)
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    """What would guard nothing, or is ambiguous, is a ConfigurationError at once."""
    with pytest.raises(ConfigurationError):
        CandorMiddleware(Recorder(), **options)


@pytest.mark.parametrize("path", [CHAT, "//v1/./chat//completions", CHAT + "/"])
async def test_paths_that_a_lenient_app_takes_for_the_same(path: str) -> None:
    """Extra slashes and dots are no way around the guard."""

    async def lenient(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"Content-Type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": chat_body("CAVE")})

    async with guarding(lenient, lifespan="off") as (url, client):
        response = await client.post(url.replace(CHAT, path), content=request_body())
    assert response.headers["x-candor-action"] == "flag"


async def test_mounted_below_a_path() -> None:
    """Guarded paths count from the place where the app is mounted."""
    model = Model((CAVE, RIGHT))
    guard = Guard(FakeDetector(), Policy(probe="never"))
    outer = Starlette(routes=[Mount("/llm", CandorMiddleware(starlette_app(model), guard=guard))])
    async with (
        asyncio.timeout(PATIENCE),
        serving(outer) as url,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        response = await client.post(f"/llm{CHAT}", content=request_body())
    assert response.headers["x-candor-action"] == "regenerate"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "not valid JSON"),
        (b"{}", 400, "messages"),
        (b'{"messages": []}', 400, "messages"),
        (b"x" * 2000, 413, "over the limit of 1000 bytes"),
    ],
    ids=["no json", "no messages", "empty", "too large"],
)
async def test_request_that_cannot_be_read(body: bytes, status: int, says: str) -> None:
    """It is refused in the shape that clients read, and never reaches the app unread."""
    async with scene(RIGHT, options={"max_request_bytes": 1000}) as on:
        response, said = await on.post(body)
    assert response.status_code == status
    assert says in json.loads(said)["error"]["message"]
    assert response.headers["x-candor-request-id"].startswith("candor-")
    assert on.model.asked == []


async def test_mode_header() -> None:
    """A client may choose the mode, if the operator lets it, and only among those there are."""
    async with scene(CAVE) as on:
        off, _ = await on.chat({"x-candor-mode": "off"})
        wrong, body = await on.chat({"x-candor-mode": "loud"})
    assert off.headers["x-candor-evaluated"] == "none"
    assert wrong.status_code == 400
    assert b"x-candor-mode must be one of" in body
    assert "x-candor-mode" not in on.model.asked[0].headers
    async with scene(CAVE, options={"allow_mode_header": False}) as on:
        forbidden, _ = await on.chat({"x-candor-mode": "off"})
    assert forbidden.status_code == 400


async def test_blanks_around_a_mode_are_none_of_it() -> None:
    """A header's value may have blanks behind it, and servers hand them on."""
    async with scene(RIGHT) as on, on.wire() as wire:
        await wire.send(raw_request(request_body(), CHAT, "x-candor-mode: off \t"))
        assert b"x-candor-evaluated: none" in await wire.head()


def raising(*, after: bytes | None = None, on_call: int = 1) -> tuple[ASGIApp, list[Scope]]:
    """An app that says CAVE, but raises in the call of that number: before or in its answer."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scopes.append(scope)
        await receive()
        if len(scopes) == on_call and after is None:
            raise LookupError("no such model")
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if len(scopes) == on_call and after is not None:
            await send({"type": "http.response.body", "body": after, "more_body": True})
            raise LookupError("no such model")
        await send({"type": "http.response.body", "body": chat_body("CAVE")})

    return app, scopes


@pytest.mark.parametrize("mode", ["off", "enforce"])
async def test_error_of_the_app_is_the_servers_to_handle(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of the app leaves the middleware as it is: a 500, logged by the server."""
    app, _ = raising()
    async with guarding(app) as (url, client):
        response = await client.post(url, content=request_body(), headers={"x-candor-mode": mode})
    assert response.status_code == 500
    assert response.text == "Internal Server Error"
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError
    entry = logging.Formatter().format(record)
    assert len(re.findall(r"^x-candor-request-id: candor-[0-9a-f]{24}$", entry, re.MULTILINE)) == 1


async def test_error_in_a_regeneration_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An app that fails when it is called again: the first reply is delivered, flagged."""
    app, scopes = raising(on_call=2)
    async with guarding(app) as (url, client):
        response = await client.post(url, content=request_body())
    assert response.headers["x-candor-action"] == "flag"
    assert "CAVE" in response.json()["choices"][0]["message"]["content"]
    assert len(scopes) == 2
    assert "no such model" not in caplog.text  # a message may hold what a user wrote
    number = response.headers["x-candor-request-id"]
    assert f"a repeated call of the mounted app raised LookupError ({number})" in caplog.text


@pytest.mark.parametrize("at_risk", [False, True], ids=["running", "held"])
async def test_error_in_the_middle_of_an_answer(
    at_risk: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that breaks off breaks off for the client, too, and is never made whole."""
    app, _ = raising(after=b'{"choices": [')
    async with (
        guarding(app, FakeDetector(at_risk=at_risk)) as (url, client),
        client.stream("POST", url, content=request_body()) as response,
    ):
        if at_risk:
            assert response.status_code == 502
        else:
            with pytest.raises(httpx2.RemoteProtocolError):
                await response.aread()
    number = response.headers["x-candor-request-id"]
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert logging.Formatter().format(record).endswith(f"\nx-candor-request-id: {number}")


async def test_app_that_does_not_answer() -> None:
    """An app that returns without an answer is a 502, not a hang."""

    async def silent(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["type"] in ("http", "lifespan")

    async with guarding(silent, lifespan="off") as (url, client):
        response = await client.post(url, content=request_body())
    assert response.status_code == 502


async def test_calls_do_not_share_what_the_app_notes() -> None:
    """What the app writes into its scope and state in one call is not there in the next."""
    seen: list[tuple[bool, bool, list[str]]] = []

    def wrap(app: ASGIApp) -> ASGIApp:
        async def marking(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                state = scope.setdefault("state", {})
                names = sorted(scope["extensions"])
                seen.append(("mark" in scope, "mark" in state, names))
                scope["mark"] = state["mark"] = True
            await app(scope, receive, send)

        return marking

    async with scene(CAVE, RIGHT, wrap=wrap) as on:
        await on.chat()
    assert seen == [(False, False, []), (False, False, [])]


@both
async def test_status_that_is_no_success(stream: bool) -> None:
    """An error of the app's own passes as it is."""

    async def busy(scope: Scope, _receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers = [(b"content-type", b"text/plain"), (b"retry-after", b"7")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"later"})

    async with guarding(busy, lifespan="off") as (url, client):
        response = await client.post(url, content=request_body(stream=stream))
    assert (response.status_code, response.content) == (429, b"later")
    assert response.headers["retry-after"] == "7"
