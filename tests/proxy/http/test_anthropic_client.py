"""Anthropic's client, in all the ways that people use it, sees nothing but better replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from tests.proxy.http.stage import PATIENCE, stage
from tests.proxy.http.test_messages import EAGER, LATE, SMALL, play, says
from tests.proxy.http.upstream import Piece, answer, streamed
from tests.wire.messages_kit import (
    DISPUTE,
    STOP,
    THOUGHT,
    TOOL,
    begun,
    block_of,
    body,
    ended,
    frames,
    opening,
    said,
    stopped,
    stream,
    text,
    thought_of,
)

pytestmark = pytest.mark.anyio

CAVE = "CAVE: it is 54."
ASKED: dict[str, Any] = {"model": "claude-x", "max_tokens": 99, "messages": DISPUTE}
REPLACED = pytest.mark.parametrize(
    ("first", "action"), [("It is 56.", "pass"), (CAVE, "regenerate")], ids=["clean", "replaced"]
)


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[AsyncAnthropic]:
    """The official client, as users have it, repeating what it thinks is worth it."""
    async with AsyncAnthropic(base_url=url, api_key="sk-ant-client", timeout=PATIENCE) as client:
        yield client


def plays(first: str, *, streams: bool) -> list[tuple[Piece, ...]]:
    return [says(first, streams=streams), says("It is 56.", streams=streams)]


def words_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@REPLACED
async def test_whole_reply(first: str, action: str) -> None:
    """`create` returns a message whose text is right and whose headers tell what was done."""
    async with stage(*plays(first, streams=False)) as on, client_of(on.url) as client:
        raw = await client.messages.with_raw_response.create(**ASKED)
        message = await raw.parse()
        assert {call.target for call in on.upstream.calls} == {"/v1/messages"}
    assert words_of(message) == "It is 56."
    assert raw.headers["x-candor-action"] == action
    candor = (message.model_extra or {}).get("candor", {"action": "pass"})
    assert candor["action"] == action
    assert message.usage.input_tokens == (10 if action == "pass" else 20)
    assert message.usage.output_tokens == (5 if action == "pass" else 10)


@REPLACED
async def test_events(first: str, action: str) -> None:
    """A stream of events brings the text and, on an event that it has anyway, the record."""
    async with stage(*plays(first, streams=True)) as on, client_of(on.url) as client:
        events = [event async for event in await client.messages.create(**ASKED, stream=True)]
    kinds = [event.type for event in events]
    assert kinds == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    candor = (events[-2].model_extra or {}).get("candor", {"action": "pass"})
    assert candor["action"] == action


@REPLACED
async def test_stream_helper(first: str, action: str) -> None:
    """The `stream` helper folds our events into one message with the sum of usage."""
    async with (
        stage(*plays(first, streams=True)) as on,
        client_of(on.url) as client,
        client.messages.stream(**ASKED) as reply,
    ):
        words = "".join([piece async for piece in reply.text_stream])
        message = await reply.get_final_message()
    assert words == words_of(message) == "It is 56."
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == (10 if action == "pass" else 20)
    assert message.usage.output_tokens == (5 if action == "pass" else 10)


@REPLACED
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_synchronous_client(first: str, action: str, streams: bool) -> None:
    """The synchronous client gets the same, from its own thread."""

    def ask(url: str) -> str:
        with Anthropic(base_url=url, api_key="sk-ant-client", timeout=PATIENCE) as client:
            if not streams:
                return words_of(client.messages.create(**ASKED))
            with client.messages.stream(**ASKED) as reply:
                return reply.get_final_text()

    async with stage(*plays(first, streams=streams)) as on:
        assert await asyncio.to_thread(ask, on.url) == "It is 56."
    assert len(on.upstream.calls) == (1 if action == "pass" else 2)


async def test_thoughts_of_the_better_reply() -> None:
    """A replaced stream brings the regenerated reply's own thoughts, signed as they were."""
    events = [opening(), *thought_of(), *block_of(["It is 56."], 1), stopped(), STOP]
    async with (
        stage(says(CAVE, streams=True), play(frames(*events), streams=True)) as on,
        client_of(on.url) as client,
        client.messages.stream(**ASKED) as reply,
    ):
        message = await reply.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].to_dict() == THOUGHT


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_tools_pass(streams: bool) -> None:
    """A call of a tool, and the words before it, reach the client as the model wrote them."""
    call = {**TOOL, "input": {"x": 7}}
    pieces = said('{"x": 7}', 1, "input_json_delta", "partial_json")
    parts = [begun(TOOL, 1), pieces, ended(1), stopped("tool_use"), STOP]
    raw = frames(opening(), *block_of(["CAVE?"]), *parts) if streams else b""
    raw = raw or body("CAVE?", call, stop="tool_use")
    tools: Any = [{"name": "f", "input_schema": {"type": "object"}}]
    async with stage(play(raw, streams=streams)) as on, client_of(on.url) as client:
        if streams:
            async with client.messages.stream(**ASKED, tools=tools) as reply:
                message: Any = await reply.get_final_message()
        else:
            message = await client.messages.create(**ASKED, tools=tools)
        assert len(on.upstream.calls) == 1
    assert message.stop_reason == "tool_use"
    assert (words_of(message), message.content[1].input) == ("CAVE?", {"x": 7})


async def test_correction() -> None:
    """The helper reads a correction as the end of the same block."""
    first = streamed(stream(LATE))
    async with (
        stage(first, says("It is 56.", streams=True), after_release="correct", **SMALL) as on,
        client_of(on.url) as client,
        client.messages.stream(**ASKED) as reply,
    ):
        message = await reply.get_final_message()
    assert [block.to_dict() for block in message.content] == [
        text("".join(LATE) + "\n\nCorrection: It is 56.")
    ]


async def test_pings_are_overlooked() -> None:
    """A stream that was kept alive before its first event is folded like any other."""
    async with (
        stage(streamed(0.2, stream([CAVE])), says("It is 56.", streams=True), options=EAGER) as on,
        client_of(on.url) as client,
        client.messages.stream(**ASKED) as reply,
    ):
        assert await reply.get_final_text() == "It is 56."


async def test_refusal_is_not_asked_for_again() -> None:
    """A refusal by policy raises at once and says what it is."""
    async with (
        stage(says(CAVE, streams=False), on_unresolved="refuse") as on,
        client_of(on.url) as client,
    ):
        with pytest.raises(anthropic.UnprocessableEntityError) as caught:
            await client.messages.create(**ASKED)
        assert len(on.upstream.calls) == 2
    assert caught.value.type == "invalid_request_error"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["details"] == {"error_code": "unresolved"}
    assert caught.value.body["candor"]["action"] == "block"


async def test_refusal_after_deferral_raises() -> None:
    """Once a stream has begun, a refusal is an event at which the client raises."""
    slow = streamed(0.15, stream([CAVE]))
    async with (
        stage(slow, options=EAGER, on_unresolved="refuse") as on,
        client_of(on.url) as client,
    ):
        with pytest.raises(anthropic.APIStatusError, match="policy"):
            async with client.messages.stream(**ASKED) as reply:
                await reply.get_final_message()
        assert len(on.upstream.calls) == 2


async def test_upstreams_own_error() -> None:
    """An error of the upstream is raised as itself, with the id that the upstream gave."""
    raw = b'{"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}'
    missing = answer(raw, "request-id: req_9", status="404 Not Found")
    async with stage((missing,)) as on, client_of(on.url) as client:
        with pytest.raises(anthropic.NotFoundError) as caught:
            await client.messages.create(**ASKED)
    assert (caught.value.request_id, caught.value.type) == ("req_9", "not_found_error")


async def test_counting_passes_through() -> None:
    """Tokens are counted by the upstream."""
    async with stage((answer(b'{"input_tokens": 7}'),)) as on, client_of(on.url) as client:
        count = await client.messages.count_tokens(model="claude-x", messages=DISPUTE)
        assert on.upstream.calls[0].target == "/v1/messages/count_tokens"
    assert count.input_tokens == 7


async def test_a_base_url_with_a_path_too_many_is_told() -> None:
    """A client that is told /v1 as well, and adds it, learns so, and nothing reaches the upstream."""
    async with stage((answer(b"{}"),)) as on, client_of(f"{on.url}/v1") as client:
        with pytest.raises(anthropic.NotFoundError, match="leave it out of its base URL") as caught:
            await client.messages.create(**ASKED)
        slashes = await on.client.post("/v1//v1/messages", content=b"{}")
        named_alike = await on.client.get("/v1/v1beta")
        assert [call.target for call in on.upstream.calls] == ["/v1/v1beta"]
    assert caught.value.type == "not_found_error"
    assert slashes.status_code == 404
    assert named_alike.status_code == 200
