"""What apps with Anthropic's client rely on holds in replies that were changed, too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel
from tests.proxy.http.stage import stage
from tests.proxy.http.test_anthropic_client import ASKED, CAVE, client_of, words_of
from tests.proxy.http.test_messages import EACH_WAY, LATE, SMALL, play, reply, says
from tests.proxy.http.upstream import answer, streamed
from tests.wire.messages_kit import (
    DISPUTE,
    STOP,
    THOUGHT,
    TOOL,
    USAGE,
    begun,
    block_of,
    body,
    ended,
    frames,
    opening,
    stopped,
    stream,
    text,
    thought_of,
)

pytestmark = pytest.mark.anyio

MARK = {"cache_control": {"type": "ephemeral"}}
BETTER = {"id": "msg_2", "usage": {**USAGE, "server_tool_use": {"web_search_requests": 1}}}


def thoughtful(words: str, *, streams: bool, **fields: Any) -> bytes:
    """A reply that thinks, and stops where the app told it to."""
    ends = {"stop_reason": "stop_sequence", "stop_sequence": "###"}
    if not streams:
        return body(THOUGHT, words, **ends, **fields)
    end = {**stopped(), "delta": ends}
    return frames(opening(**fields), *thought_of(), *block_of([words], 1), end, STOP)


async def got(client: Any, *, streams: bool, **fields: Any) -> Any:
    """Ask with the client and return the message, folded by its helper where it is a stream."""
    if not streams:
        return await client.messages.create(**{**ASKED, **fields})
    async with client.messages.stream(**{**ASKED, **fields}) as events:
        return await events.get_final_message()


@EACH_WAY
async def test_the_regenerated_message_is_whole(streams: bool) -> None:
    """Id, thoughts with their signature and the reason to stop are the regenerated reply's own."""
    better = thoughtful("It is 56.", streams=streams, id="msg_2")
    async with (
        stage(says(CAVE, streams=streams), play(better, streams=streams)) as on,
        client_of(on.url) as client,
    ):
        message = await got(client, streams=streams, stop_sequences=["###"])
        assert on.upstream.calls[1].json["stop_sequences"] == ["###"]
    assert message.id == "msg_2"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "###")
    assert [block.to_dict() for block in message.content] == [THOUGHT, text("It is 56.")]


@EACH_WAY
async def test_the_regenerated_message_can_be_sent_back(streams: bool) -> None:
    """The next request, with the reply in its history, reaches the upstream as the app wrote it."""
    better = play(thoughtful("It is 56.", streams=streams), streams=streams)
    last = says("You are welcome.", streams=streams)
    async with (
        stage(says(CAVE, streams=streams), better, last) as on,
        client_of(on.url) as client,
    ):
        message = await got(client, streams=streams)
        history = [*DISPUTE, {"role": "assistant", "content": message.content}]
        history.append({"role": "user", "content": "Thanks."})
        await got(client, streams=streams, messages=history)
        sent = on.upstream.calls[2].json["messages"]
    assert sent[3] == {"role": "assistant", "content": [THOUGHT, text("It is 56.")]}
    assert (sent[:3], sent[4]) == (DISPUTE, history[4])


@EACH_WAY
async def test_counts(streams: bool) -> None:
    """Every count that is told is the sum over the calls; one that is told once stays."""
    fields = {"id": "msg_2", "usage": BETTER["usage"]}
    better = thoughtful("It is 56.", streams=streams, **fields)
    async with (
        stage(says(CAVE, streams=streams), play(better, streams=streams)) as on,
        client_of(on.url) as client,
    ):
        usage = (await got(client, streams=streams)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (20, 6)
    assert (usage.output_tokens, usage.cache_creation_input_tokens) == (10, 0)
    assert usage.server_tool_use.web_search_requests == 1


async def test_counts_of_a_corrected_stream() -> None:
    """The totals at the end of a corrected stream hold both calls."""
    plays = streamed(stream(LATE)), says("It is 56.", streams=True)
    async with (
        stage(*plays, after_release="correct", **SMALL) as on,
        client_of(on.url) as client,
    ):
        usage = (await got(client, streams=True)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (20, 6)
    assert (usage.output_tokens, usage.cache_creation_input_tokens) == (10, 0)


async def test_corrected_thoughts() -> None:
    """A correction behind a thought goes into the text; the thought keeps its signature."""
    raw = frames(opening(), *thought_of(), *block_of(LATE, 1), stopped(), STOP)
    async with (
        stage(
            streamed(raw), says("It is 56.", streams=True), after_release="correct", **SMALL
        ) as on,
        client_of(on.url) as client,
        client.messages.stream(**ASKED) as events,
    ):
        kinds = [(event.type, getattr(event, "index", None)) async for event in events]
        message = await events.get_final_message()
    whole = "".join(LATE) + "\n\nCorrection: It is 56."
    assert [block.to_dict() for block in message.content] == [THOUGHT, text(whole)]
    raws = [kind for kind in kinds if kind[0].startswith(("content_block", "message"))]
    assert raws[-3:] == [("content_block_stop", 1), ("message_delta", None), ("message_stop", None)]
    assert raws.count(("content_block_stop", 1)) == 1


async def test_cache_marks() -> None:
    """The regeneration has the marks of the request, where they were, and none of its own."""
    tools: Any = [{"name": "f", "input_schema": {"type": "object"}, **MARK}]
    system: Any = [{**text("Be kind."), **MARK}]
    last = {"role": "user", "content": [{**text("No, it is 54."), **MARK}]}
    async with (
        stage(says(CAVE, streams=False), says("It is 56.", streams=False)) as on,
        client_of(on.url) as client,
    ):
        await got(client, streams=False, system=system, tools=tools, messages=[*DISPUTE[:2], last])
        first, again = (call.json for call in on.upstream.calls)
    note = again["messages"][-1]["content"].pop()
    assert set(note) == {"type", "text"}
    assert again.pop("tool_choice") == {"type": "none"}
    assert again == first


async def test_conversation_with_tools() -> None:
    """An app that hands over a tool's result with the user's words gets a better reply to them."""
    said = [
        {"type": "tool_result", "tool_use_id": TOOL["id"], "content": "56"},
        text("No, it is 54. I am quite sure."),
    ]
    messages = [
        *DISPUTE[:1],
        {"role": "assistant", "content": [TOOL]},
        {"role": "user", "content": said},
    ]
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    async with (
        stage(says(CAVE, streams=True), says("It is 56.", streams=True)) as on,
        client_of(on.url) as client,
    ):
        message = await got(client, streams=True, messages=messages, tools=tools)
        again = on.upstream.calls[1].json["messages"][-1]["content"]
    assert words_of(message) == "It is 56."
    assert again[:2] == said
    assert len(again) == 3


class Product(BaseModel):
    """What `parse` asks for."""

    value: str


@EACH_WAY
async def test_parse(streams: bool) -> None:
    """The helpers for structured output read an object from the regenerated reply."""
    plays = [says(json.dumps({"value": value}), streams=streams) for value in ("CAVE", "56")]
    async with stage(*plays) as on, client_of(on.url) as client:
        if streams:
            async with client.messages.stream(**ASKED, output_format=Product) as events:
                message: Any = await events.get_final_message()
        else:
            message = await client.messages.parse(**ASKED, output_format=Product)
        assert len(on.upstream.calls) == 2
    assert message.parsed_output == Product(value="56")


@EACH_WAY
async def test_beta_client(streams: bool) -> None:
    """The client's beta methods, which ask with a header of their own, are guarded."""
    plays = says(CAVE, streams=streams), says("It is 56.", streams=streams)
    async with stage(*plays) as on, client_of(on.url) as client:
        if streams:
            async with client.beta.messages.stream(**ASKED, betas=["b-1"]) as events:
                message: Any = await events.get_final_message()
        else:
            message = await client.beta.messages.create(**ASKED, betas=["b-1"])
        assert [call.values("anthropic-beta") for call in on.upstream.calls] == [["b-1"]] * 2
    assert words_of(message) == "It is 56."


@EACH_WAY
async def test_id_of_the_request(streams: bool) -> None:
    """The client tells the id of the call whose reply it delivers."""
    raws = [reply(words, streams=streams) for words in (CAVE, "It is 56.")]
    if streams:
        plays = [streamed(raw, headers=(f"request-id: req_{n}",)) for n, raw in enumerate(raws, 1)]
    else:
        plays = [(answer(raw, f"request-id: req_{n}"),) for n, raw in enumerate(raws, 1)]
    async with stage(*plays) as on, client_of(on.url) as client:
        if streams:
            async with client.messages.stream(**ASKED) as events:
                assert events.request_id == "req_2"
        else:
            message = await client.messages.create(**ASKED)
            assert message._request_id == "req_2"


async def test_search_of_the_servers_passes() -> None:
    """A reply that a server's tool took part in reaches the client event for event."""
    search = {**TOOL, "type": "server_tool_use", "name": "web_search"}
    found = {"type": "web_search_tool_result", "tool_use_id": TOOL["id"], "content": []}
    blocks = [begun(search), ended(), begun(found, 1), ended(1), *block_of(["CAVE"], 2)]
    raw = frames(opening(), *blocks, stopped(), STOP)
    async with stage(streamed(raw)) as on, client_of(on.url) as client:
        message = await got(client, streams=True)
    assert [block.type for block in message.content] == [
        "server_tool_use", "web_search_tool_result", "text",
    ]  # fmt: skip
