"""What the tests of the LiteLLM upstream share: a scripted provider and its replies."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.upstreams.servers import Connection, Received, Script, head, serve

from candor_guard.upstreams import UpstreamRequest, UpstreamResponse
from candor_guard.upstreams.litellm import LiteLLMUpstream

INSTALLED = importlib.util.find_spec("litellm") is not None

needs_litellm = pytest.mark.skipif(not INSTALLED, reason="needs candor-guard[litellm]")

KEY = "sk-operator-secret"
JSON = "content-type: application/json"
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "x",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "h\u00e9"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


def chat(**more: Any) -> UpstreamRequest:
    body = {"model": "openai/x", "messages": [{"role": "user", "content": "q"}], **more}
    headers = (("authorization", "Bearer client-key"), ("x-client", "1"))
    return UpstreamRequest("POST", "/chat/completions", headers, json.dumps(body).encode())


def event(content: str | None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"role": "assistant", "content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    return framed(b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n")


def framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM_HEAD = head("content-type: text/event-stream", "transfer-encoding: chunked")
STREAM_END = event(None, "stop") + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def provider(*pieces: bytes, seen: list[Received] | None = None) -> Script:
    async def script(connection: Connection) -> None:
        request = await connection.request()
        if seen is not None:
            seen.append(request)
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0.02)

    return script


@asynccontextmanager
async def litellm_for(script: Script, **options: Any) -> AsyncIterator[LiteLLMUpstream]:
    """An upstream whose operator has pointed LiteLLM at a scripted server."""
    async with serve(script) as server:
        params = {"api_base": server.url, "api_key": KEY, **options.pop("litellm_params", {})}
        async with aclosing(LiteLLMUpstream(litellm_params=params, **options)) as upstream:
            yield upstream


async def read_all(response: UpstreamResponse) -> bytes:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    await response.aclose()
    return b"".join(pieces)


async def read_json(response: UpstreamResponse) -> Any:
    return json.loads(await read_all(response))
