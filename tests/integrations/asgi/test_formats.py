"""Apps that serve Anthropic's Messages or OpenAI's Responses: each path is read in its own format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.integrations.asgi.kit import CAVE, RIGHT, both, serving
from tests.proxy.http.stage import CHAT, PATIENCE, openai_client
from tests.wire import messages_kit, responses_kit

from candor_guard.guard import Guard
from candor_guard.integrations.asgi import CandorMiddleware, Patience
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, chat_body, chat_stream

pytestmark = pytest.mark.anyio

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
# One app may serve them below prefixes of its own; the end tells the format.
PATHS = (CHAT, MESSAGES, RESPONSES, "/anthropic/v1/messages", "/openai/responses")
DISPUTE = messages_kit.DISPUTE
FORMATS = pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
REPLACED = pytest.mark.parametrize(
    ("first", "action"), [(RIGHT, "pass"), (CAVE, "regenerate")], ids=["clean", "replaced"]
)
EAGER = Patience(0.02, 0.02)


@dataclass(slots=True)
class Server:
    """A model that plays texts in order, the last one over and over, in the format of each path.

    Attributes:
        texts: What it says.
        pause: Seconds before a stream's first frame that has text.
        asked: The bodies that it got.
    """

    texts: tuple[str, ...]
    pause: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        """Serve a POST on any of the paths."""
        body = json.loads(await request.body())
        text = self.texts[min(len(self.asked), len(self.texts) - 1)]
        self.asked.append(body)
        path = request.url.path
        if not body.get("stream"):
            return Response(whole(path, text), media_type="application/json")
        return StreamingResponse(self._frames(path, text), media_type="text/event-stream")

    async def _frames(self, path: str, text: str) -> AsyncIterator[bytes]:
        first, *rest = streamed(path, text).split(b"\n\n")[:-1]
        yield first + b"\n\n"
        await asyncio.sleep(self.pause)
        for frame in rest:
            yield frame + b"\n\n"


def whole(path: str, text: str) -> bytes:
    """A whole reply in the format of a path."""
    if path.endswith("messages"):
        return messages_kit.body(text)
    return responses_kit.response_body(text) if path.endswith("responses") else chat_body(text)


def streamed(path: str, text: str) -> bytes:
    """A stream in the format of a path, a word in each piece."""
    head, *rest = text.split(" ")
    pieces = [head, *(f" {word}" for word in rest)]
    if path.endswith("messages"):
        return messages_kit.stream(pieces)
    if path.endswith("responses"):
        return responses_kit.response_stream(pieces)
    return chat_stream(pieces)


def asked(path: str, **fields: Any) -> bytes:
    """A disputed turn in the format of a path."""
    turns = "input" if path.endswith("responses") else "messages"
    return json.dumps({"model": "m", "max_tokens": 99, turns: DISPUTE, **fields}).encode()


@asynccontextmanager
async def mounted(
    *texts: str, pause: float = 0.0, options: dict[str, Any] | None = None, **policy: Any
) -> AsyncIterator[tuple[str, Server, httpx2.AsyncClient]]:
    """Serve the model with the middleware in front; yields the address, the model and a client."""
    model = Server(texts, pause)
    app = Starlette(routes=[Route(path, model.answer, methods=["POST"]) for path in PATHS])
    guard = Guard(FakeDetector(), Policy(**{"probe": "never", **policy}))
    guarded = CandorMiddleware(app, guard=guard, paths=PATHS, **(options or {}))
    async with (
        asyncio.timeout(PATIENCE),
        serving(guarded) as url,
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        yield url, model, client
    await guard.aclose()


def assert_error(path: str, response: httpx2.Response, status: int, kind: str, code: Any) -> Any:
    """The whole error in the shape of a path's clients; returns what stands beside it."""
    assert response.status_code == status
    told = response.json()
    error = told.pop("error")
    assert error.pop("message")
    if path == MESSAGES:
        assert (told.pop("type"), error.pop("type")) == ("error", kind)
        assert told.pop("request_id") == response.headers["x-candor-request-id"]
        assert error == ({} if code is None else {"details": {"error_code": code}})
    else:
        assert error["code"] == code
        assert set(error) == {"type", "param", "code"}
    return told


@both
@REPLACED
async def test_messages_for_the_official_client(stream: bool, first: str, action: str) -> None:
    """Anthropic's client gets the right text, whole and as a stream."""
    call: dict[str, Any] = {"model": "m", "max_tokens": 99, "messages": DISPUTE}
    async with (
        mounted(first, RIGHT) as (url, model, _),
        AsyncAnthropic(base_url=url, api_key="k", timeout=PATIENCE) as client,
    ):
        if stream:
            async with client.messages.stream(**call) as events:
                message = await events.get_final_message()
        else:
            message = await client.messages.create(**call)
    (block,) = message.content
    assert block.type == "text"
    assert block.text == RIGHT
    assert len(model.asked) == (1 if action == "pass" else 2)


@both
@REPLACED
async def test_responses_for_the_official_client(stream: bool, first: str, action: str) -> None:
    """OpenAI's client gets the right text of `responses`, whole and as a stream."""
    call: dict[str, Any] = {"model": "m", "input": DISPUTE}
    async with mounted(first, RIGHT) as (url, model, _), openai_client(f"{url}/v1") as client:
        if stream:
            async with client.responses.stream(**call) as events:
                reply = await events.get_final_response()
        else:
            reply = await client.responses.create(**call)
    assert reply.output_text == RIGHT
    assert (reply.model_extra or {}).get("candor", {"action": "pass"})["action"] == action
    assert len(model.asked) == (1 if action == "pass" else 2)


@both
@pytest.mark.parametrize("path", PATHS)
async def test_the_end_of_a_path_tells_the_format(path: str, stream: bool) -> None:
    """Below any prefix a reply at fault is replaced, and a clean one has the app's own bytes."""
    async with mounted(CAVE, RIGHT) as (_, model, client):
        replaced = await client.post(path, content=asked(path, stream=stream))
        clean = await client.post(path, content=asked(path, stream=stream))
    assert replaced.headers["x-candor-evaluated"] != "none"
    assert b"CAVE" not in replaced.content
    assert clean.content == (streamed(path, RIGHT) if stream else whole(path, RIGHT))
    assert clean.headers["x-candor-action"] == "pass"
    assert "x-candor-skipped" not in clean.headers
    assert len(model.asked) == 3


BAD: dict[str, tuple[bytes, dict[str, str]]] = {
    "no JSON": (b"{", {}),
    "unknown mode": (asked(MESSAGES), {"x-candor-mode": "maybe"}),
}


@FORMATS
@pytest.mark.parametrize("case", BAD)
async def test_bad_request(path: str, case: str) -> None:
    """What cannot be read is a 400 in the shape of the path's clients; the app never sees it."""
    body, headers = BAD[case]
    async with mounted(RIGHT) as (_, model, client):
        response = await client.post(path, content=body, headers=headers)
    assert_error(path, response, 400, "invalid_request_error", None)
    assert model.asked == []


@FORMATS
async def test_too_large(path: str) -> None:
    """A body over the limit is a 413 in the shape of the path's clients."""
    async with mounted(RIGHT, options={"max_request_bytes": 10}) as (_, _model, client):
        response = await client.post(path, content=asked(path))
    assert_error(path, response, 413, "request_too_large", "too_large")


@both
@FORMATS
async def test_refused_reply(path: str, stream: bool) -> None:
    """A refused reply is a 422 in the shape of the path's clients, with the record beside it."""
    async with mounted(CAVE, on_unresolved="refuse") as (_, _model, client):
        response = await client.post(path, content=asked(path, stream=stream))
    beside = assert_error(path, response, 422, "invalid_request_error", "unresolved")
    assert beside["candor"]["action"] == "block"
    assert response.headers["x-should-retry"] == "false"


@FORMATS
async def test_refusal_after_keepalives(path: str) -> None:
    """Once a held stream's headers are out, a refusal is an error event that its clients read."""
    options = {"patience": EAGER}
    held = mounted(CAVE, pause=0.2, options=options, on_unresolved="refuse")
    async with held as (_, _model, client):
        response = await client.post(path, content=asked(path, stream=True))
    assert response.status_code == 200
    *before, last = response.content.rstrip().split(b"\n\n")
    assert before
    name, data = last.split(b"\n")
    assert name == b"event: error"
    told = json.loads(data.removeprefix(b"data: "))
    code = told["error"]["details"]["error_code"] if path == MESSAGES else told["code"]
    assert (told["type"], code) == ("error", "unresolved")
    assert b"CAVE" not in b"".join(before)
