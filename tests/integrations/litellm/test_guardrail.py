"""The guardrail's hooks, called as LiteLLM's proxy calls them, with LiteLLM's own objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from tests.integrations.litellm.kit import (
    CAVING,
    CLEAN,
    PATIENCE,
    guarding,
    integration,
    litellm,
    messages,
)

from candor_guard.errors import ConfigurationError
from candor_guard.integrations.litellm.lent import Lent
from candor_guard.policy import Policy

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore")]


def guardrail(**options: Any) -> Any:
    """A guardrail as the proxy's configuration makes it."""
    named = {"guardrail_name": "candor", "event_hook": "post_call", "default_on": True}
    return integration.CandorGuardrail(**{"guard": guarding(), **named, **options})


def data(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": messages(CAVING), "metadata": {}, **more}


async def chunks(*texts: str, closed: list[bool], stall: bool = False) -> AsyncGenerator[Any, None]:
    """A stream of LiteLLM's chunks that notes when it is closed."""
    try:
        for text in texts:
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            yield litellm.ModelResponseStream(choices=[choice], model="m")
            await asyncio.sleep(0)
        if stall:
            await asyncio.sleep(PATIENCE)
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        yield litellm.ModelResponseStream(choices=[choice], model="m")
    finally:
        closed.append(True)


async def _drained(hook: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in hook]


async def through(hook_of: Any, source: AsyncIterator[Any], **more: Any) -> list[Any]:
    hook = hook_of.async_post_call_streaming_iterator_hook(None, source, data(stream=True, **more))
    return [item async for item in hook]


@pytest.mark.parametrize("response", [{"type": "message"}, litellm.EmbeddingResponse(), None])
async def test_other_replies_pass(response: Any) -> None:
    """A reply in another format is left alone."""
    assert await guardrail().async_post_call_success_hook(data(), None, response) is None


@pytest.mark.parametrize("items", [[b"event: x\n\n", b"data: 1\n\n"], ["a"], []])
async def test_other_streams_pass(items: list[Any]) -> None:
    """A stream in another format passes item by item."""

    async def source() -> AsyncIterator[Any]:
        for item in items:
            yield item

    assert await through(guardrail(), source()) == items


async def test_clean_chunks_are_the_very_objects() -> None:
    """What is not flagged comes out as the objects that went in, and the stream is closed."""
    seen: list[Any] = []
    closed: list[bool] = []

    async def source() -> AsyncIterator[Any]:
        async for chunk in chunks("It ", "is ", "fine.", closed=closed):
            seen.append(chunk)
            yield chunk

    out = await through(guardrail(), source())
    assert [id(chunk) for chunk in out] == [id(chunk) for chunk in seen]
    assert closed == [True]


@pytest.mark.parametrize("held", [False, True])
async def test_leaving_closes_the_stream(held: bool) -> None:
    """A client that leaves ends the model's stream, whether it is held or running."""
    closed: list[bool] = []
    mode = "enforce" if held else "observe"
    rail = guardrail(guard=guarding(mode=mode))
    source = chunks("It ", "is ", closed=closed, stall=True)
    hook = rail.async_post_call_streaming_iterator_hook(None, source, data(stream=True))
    async with aclosing(hook):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_drained(hook), 0.1)
    assert closed == [True]


async def test_error_of_the_stream_is_its_own() -> None:
    """A stream that breaks off breaks off with its own exception."""

    async def source() -> AsyncIterator[Any]:
        async for chunk in chunks("It ", closed=[]):
            yield chunk
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await through(guardrail(), source())


async def test_assembled_stream_is_not_read_again() -> None:
    """LiteLLM may show a streamed reply once more when it is delivered; nothing is asked then."""
    reply = litellm.ModelResponse(
        choices=[{"message": {"role": "assistant", "content": CAVING.pleasing}}]
    )
    hook = guardrail().async_post_call_success_hook
    assert await hook(data(stream=True), None, reply) is None


async def test_headers_of_a_reply_and_of_a_stream() -> None:
    """A reply has its headers; a stream's say that the decision comes later."""
    rail = guardrail()
    reply = litellm.ModelResponse(
        choices=[{"message": {"role": "assistant", "content": CLEAN.pleasing}}]
    )
    out = await rail.async_post_call_success_hook(data(), None, reply)
    headers = await rail.async_post_call_response_headers_hook(data(), None, out, None)
    assert headers["x-candor-action"] == "pass"
    deferred = await rail.async_post_call_response_headers_hook(data(stream=True), None, None)
    assert deferred == {"x-candor-evaluated": "deferred"}
    off = guardrail(default_on=False)
    assert await off.async_post_call_response_headers_hook(data(stream=True), None, None) is None


def test_subclass_keeps_the_hooks() -> None:
    """LiteLLM looks into the class itself; a subclass that changes nothing works all the same."""

    class Own(integration.CandorGuardrail):
        pass

    assert "async_post_call_streaming_iterator_hook" in vars(Own)


async def test_annotation_can_be_chosen() -> None:
    """With `annotate: all` in the configuration, a reply that is fine has its record, too."""
    for annotate, told in (("all", True), ("flagged", False)):
        reply = litellm.ModelResponse(
            choices=[{"message": {"role": "assistant", "content": CLEAN.pleasing}}]
        )
        rail = guardrail(annotate=annotate)
        out = await rail.async_post_call_success_hook(data(), None, reply)
        assert hasattr(out, "candor") is told


def test_policy_from_a_configuration() -> None:
    """A policy may be given as its fields; one that makes no sense says which field is wrong."""
    assert guardrail(guard=None, policy={"mode": "observe", "probe": "never"})
    assert guardrail(guard=None, policy=Policy())
    with pytest.raises(ConfigurationError, match="max_attempts"):
        guardrail(guard=None, policy={"max_attempts": -1})


async def test_lent_stream_loses_nothing() -> None:
    """A cancelled wait, and a wish to close that is taken back, cost no chunk."""

    async def source() -> AsyncIterator[int]:
        for number in range(2, 6):
            await asyncio.sleep(0.02)
            yield number

    lent = Lent(1, source())
    got = [await anext(lent)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.005):
            await anext(lent)
    await lent.aclose()
    lent.keep()
    await asyncio.sleep(0.08)
    got += [item async for item in lent]
    await lent.end()
    assert got == [1, 2, 3, 4, 5]


async def test_lent_stream_is_closed_in_a_moment() -> None:
    """A wish to close that is not taken back is granted."""
    closed: list[bool] = []
    lent = Lent(0, chunks("a", "b", closed=closed, stall=True))
    assert [await anext(lent), (await anext(lent)).choices[0].delta.content] == [0, "a"]
    await lent.aclose()
    async with asyncio.timeout(1):
        while not closed:  # noqa: ASYNC110 - a list is all that a generator can tell
            await asyncio.sleep(0.01)
