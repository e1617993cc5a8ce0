"""A real client of either kind, guarded, in front of a scripted server on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.proxy.http.upstream import Play, ScriptedUpstream, playing, says

from candor_guard.guard import Guard
from candor_guard.integrations.openai import guard, last_outcome
from candor_guard.outcome import Outcome
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector

PATIENCE = 10.0
DISPUTE: list[Any] = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54. I am quite sure."},
]
CAVE, RIGHT = "CAVE: it is 54.", "It is 56."
Kind = Literal["sync", "async"]
KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


def plays(first: str, *, stream: bool = False) -> list[Play]:
    """What a server says that corrects itself when it is asked again."""
    return [says(first, stream=stream), says(RIGHT, stream=stream)]


def fake_guard(**policy: Any) -> Guard:
    """A guard that holds everything and flags ``CAVE``; sends no probe."""
    never = {"probe": "never"} if "probe" in Policy.model_fields else {}
    return Guard(FakeDetector(), Policy(**{**never, **policy}))


def made(kind: Kind, base: str, **options: Any) -> OpenAI | AsyncOpenAI:
    """A bare client."""
    given = {"base_url": base, "api_key": "sk-client", "timeout": PATIENCE, **options}
    return OpenAI(**given) if kind == "sync" else AsyncOpenAI(**given)


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks through a client of either kind, from wherever such a client is used."""

    client: OpenAI | AsyncOpenAI

    async def run(self, call: Callable[[OpenAI], Any], acall: Callable[[AsyncOpenAI], Any]) -> Any:
        """Run `call` in a thread or `acall` here; what comes out is the same."""
        async with asyncio.timeout(PATIENCE):
            if isinstance(self.client, OpenAI):
                return await asyncio.to_thread(call, self.client)
            result = acall(self.client)
            return await result if isinstance(result, Awaitable) else result

    async def create(self, **fields: Any) -> ChatCompletion:
        """A whole reply."""
        asked = {"model": "gpt-x", "messages": DISPUTE, **fields}
        reply = await self.run(
            lambda c: c.chat.completions.create(**asked),
            lambda c: c.chat.completions.create(**asked),
        )
        assert isinstance(reply, ChatCompletion)
        return reply

    async def chunks(self, **fields: Any) -> tuple[list[ChatCompletionChunk], Outcome | None]:
        """A stream, read to its end, and the record that whoever read it finds."""
        asked = {"model": "gpt-x", "messages": DISPUTE, "stream": True, **fields}

        def here(client: OpenAI) -> tuple[list[ChatCompletionChunk], Outcome | None]:
            return list(client.chat.completions.create(**asked)), record(client)

        async def there(client: AsyncOpenAI) -> tuple[list[ChatCompletionChunk], Outcome | None]:
            stream = await client.chat.completions.create(**asked)
            return [chunk async for chunk in stream], record(client)

        found: tuple[list[ChatCompletionChunk], Outcome | None] = await self.run(here, there)
        return found


def record(client: OpenAI | AsyncOpenAI) -> Outcome | None:
    """The last record of a client; None when it is not guarded."""
    return last_outcome(client) if hasattr(client._client, "candor") else None


async def close(client: OpenAI | AsyncOpenAI) -> None:
    """Close a client of either kind."""
    if isinstance(client, OpenAI):
        await asyncio.to_thread(client.close)
    else:
        await client.close()


@asynccontextmanager
async def asking(
    kind: Kind,
    *script: Play,
    using: Guard | None = None,
    annotate: Any = "all",
    **options: Any,
) -> AsyncIterator[tuple[Asker, ScriptedUpstream]]:
    """A guarded client in front of a server that plays the script."""
    async with playing(*script) as server:
        client = made(kind, server.url, **options)
        asker = Asker(guard(client, using or fake_guard(), annotate=annotate))
        try:
            yield asker, server
        finally:
            await close(asker.client)


@asynccontextmanager
async def bare(
    kind: Kind, *script: Play, **options: Any
) -> AsyncIterator[tuple[Asker, ScriptedUpstream]]:
    """The same without the guard."""
    async with playing(*script) as server:
        asker = Asker(made(kind, server.url, **options))
        try:
            yield asker, server
        finally:
            await close(asker.client)


def said(chunks: list[ChatCompletionChunk]) -> str:
    """The text of a stream."""
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def candor(piece: ChatCompletion | ChatCompletionChunk) -> Any:
    """The record that a reply or chunk carries, or None."""
    return (piece.model_extra or {}).get("candor")
