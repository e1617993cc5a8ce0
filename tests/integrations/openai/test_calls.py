"""The guard's own calls leave as the client's do: its context, its signature, its connections."""

from __future__ import annotations

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
    plays,
    said,
)

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
