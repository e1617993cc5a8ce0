"""The guard's own calls leave as the client's do: its context, its signature, its connections."""

from __future__ import annotations

import asyncio
import importlib
from contextvars import ContextVar
from typing import Any

import pytest
from openai import OpenAI
from tests.integrations.openai.kit import (
    CAVE,
    KINDS,
    RIGHT,
    Kind,
    asking,
    fake_guard,
    plays,
    said,
)
from tests.proxy.http.upstream import Play, says, streamed
from typing_extensions import override

from candor_guard.testing import chat_stream

pytestmark = pytest.mark.anyio

HTTP: Any = importlib.import_module(
    type(OpenAI(api_key="k")._client).__mro__[2].__module__.partition(".")[0]
)
REQUEST: ContextVar[str] = ContextVar("request", default="none")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_callers_context(stream: bool) -> None:
    """Hooks of a blocking client see the caller's context variables in every call of the guard."""
    seen: list[str] = []
    hooks = {
        "request": [lambda _: seen.append(REQUEST.get())],
        "response": [lambda _: seen.append(REQUEST.get())],
    }
    inner = HTTP.Client(event_hooks=hooks)
    REQUEST.set("r-1")
    async with asking("sync", *plays(CAVE, stream=stream), http_client=inner) as (asker, _):
        await (asker.chunks() if stream else asker.create())
    assert seen == ["r-1"] * 4


@KINDS
async def test_few_connections(kind: Kind) -> None:
    """A held stream gives its connection back at its end, so that one is enough for every call."""
    limits = HTTP.Limits(max_connections=1)
    inner = (HTTP.Client if kind == "sync" else HTTP.AsyncClient)(limits=limits)
    script = plays(CAVE, stream=True)
    async with asking(kind, *script, http_client=inner, timeout=60) as (asker, _):
        chunks, outcome = await asker.chunks()
    assert said(chunks).strip() == RIGHT
    assert outcome is not None
    assert outcome.action == "regenerate"


class Shared(HTTP.HTTPTransport):  # type: ignore[misc]  # which class depends on what is installed
    """Connections that say that they are shared, as those of HTTP/2 are."""

    @override
    def handle_request(self, request: Any) -> Any:
        response = super().handle_request(request)
        response.extensions["http_version"] = b"HTTP/2"
        return response


async def test_a_shared_connection() -> None:
    """A call that is given up does not end a connection that other requests are on."""
    goes_on = asyncio.Event()
    frames = [frame + b"\n\n" for frame in chat_stream(["It ", "is "]).split(b"\n\n")[:2]]
    stalling: Play = (*streamed(*frames)[:-1], goes_on, *streamed(*frames)[-1:])
    inner = HTTP.Client(transport=Shared())
    using = fake_guard(max_regeneration_seconds=0.3)
    script = [says(CAVE, stream=True), stalling]
    async with asking("sync", *script, using=using, http_client=inner) as (asker, server):
        chunks, outcome = await asker.chunks()
        assert said(chunks).strip() == CAVE
        assert outcome is not None
        assert outcome.skipped == "regeneration_timeout"
        await asyncio.sleep(0.2)
        assert not server.calls[1].left.is_set()
        goes_on.set()
