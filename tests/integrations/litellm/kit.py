"""LiteLLM, loaded so that it stays offline, and a scripted provider that notes what it is asked."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from candor_guard.guard import Guard
from candor_guard.integrations.asgi import Message, Receive, Scope, Send
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, chat_body, chat_stream
from candor_guard.upstreams.litellm import LiteLLMUpstream
from candor_proxy.demo.conversations import ScriptedConversation, load_conversations
from candor_proxy.demo.scripted import MARKER, make_scripted_app
from candor_proxy.demo.servers import serving

if importlib.util.find_spec("litellm") is None:
    pytest.skip("needs candor-guard[litellm]", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # LiteLLM's imports warn on their own
    LiteLLMUpstream()  # loads it without a look at the network
    import litellm

    import candor_guard.integrations.litellm as integration

KEY = "sk-operator-secret"
PATIENCE = 20.0
SCRIPT = load_conversations()
# The bluntest of them: flagged without a probe, whichever of our detectors reads it.
CAVING = next(entry for entry in SCRIPT if entry.id == "medical-two-painkillers")
CLEAN = next(entry for entry in SCRIPT if entry.expect == "pass")
TOOLS: list[Any] = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
TOOL_CALL = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"x": 1}'},
}

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def messages(entry: ScriptedConversation) -> list[Any]:
    """Return a conversation as OpenAI's list."""
    return [{"role": role, "content": text} for role, text in entry.turns]


def expected(entry: ScriptedConversation) -> str:
    """Return what a guarded client gets."""
    return entry.honest if entry.expect == "regenerate" else entry.pleasing


def guarding(**policy: Any) -> Guard:
    """A guard that holds everything, flags what a people-pleaser says, and asks no questions."""
    pleasing = {entry.pleasing for entry in SCRIPT if entry.expect == "regenerate"}

    def scores(exchange: Any) -> dict[str, float]:
        return {"capitulation": 0.9 if exchange.reply.strip() in pleasing else 0.1, "drift": 0.05}

    return Guard(FakeDetector(scores), Policy(**{"probe": "never", **policy}))


@dataclass(slots=True)
class Provider:
    """The demo's people-pleasing model, with faults to order.

    Attributes:
        url: Its address, to be LiteLLM's ``api_base``.
        bodies: What it was asked, parsed.
        keys: The ``authorization`` of each request.
        left: Set when the client of a stalling reply has gone.
        repeats: What to do with a request that carries an honesty instruction: answer it, fail
            with status 500, or please all the same.
        breaks: Break every stream off in its middle.
        stalls: Stop every stream in its middle.
        status: Answer everything with this status.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    repeats: str = "answer"
    breaks: bool = False
    stalls: bool = False
    status: int = 200

    def reset(self) -> None:
        """Forget what was asked and do no more wrong."""
        fresh = Provider(self.url)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await _SCRIPTED(scope, receive, send)
            return
        body = await _body(receive)
        payload = json.loads(body)
        self.bodies.append(payload)
        self.keys.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        marked = MARKER in json.dumps(payload["messages"][-1]).lower()
        if self.status != 200 or (marked and self.repeats == "fail"):
            status = self.status if self.status != 200 else 500
            await _answer(send, status, b'{"error": {"message": "no", "type": "x", "code": "y"}}')
        elif payload.get("tools") and not marked:
            await _tool_call(send, stream=payload.get("stream") is True)
        elif self.breaks or self.stalls:
            await self._half(send, receive)
        else:
            if marked and self.repeats == "please":
                payload["messages"] = payload["messages"][:-1] + messages(CAVING)[-1:]
                body = json.dumps(payload).encode()
            await _SCRIPTED(scope, _given(body, receive), send)

    async def _half(self, send: Send, receive: Receive) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        frames = chat_stream(["a ", "b ", "c "]).split(b"\n\n")[:3]
        for frame in frames:
            await send({"type": "http.response.body", "body": frame + b"\n\n", "more_body": True})
        if self.stalls:
            message = await receive()
            assert message["type"] == "http.disconnect"
            self.left.set()
        # Returning here makes the server cut the connection.


_SCRIPTED: Any = make_scripted_app()


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _given(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return waiting.pop() if waiting else await receive()

    return read


async def _answer(send: Send, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _tool_call(send: Send, *, stream: bool) -> None:
    if not stream:
        body = chat_body(None, finish="tool_calls", tool_calls=[TOOL_CALL])
        await _answer(send, 200, body)
        return
    frames = chat_stream([], finish="tool_calls").split(b"\n\n")
    head = json.loads(frames[0].removeprefix(b"data: "))
    head["choices"][0]["delta"] = {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}
    frames[0] = b"data: " + json.dumps(head).encode()
    await _answer(send, 200, b"\n\n".join(frames), b"text/event-stream")


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    """Run the provider while the block runs."""
    provider = Provider()
    async with serving(provider) as url:
        provider.url = f"{url}/v1"
        yield provider


__all__ = ["integration", "litellm"]
