"""Responses with items beside their words: the words are judged, and the items stay as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.proxy.http.stage import openai_client, stage
from tests.proxy.http.test_adaptive import LATE, SMALL
from tests.proxy.http.test_responses import (
    CUTS,
    DISPUTE,
    EACH_WAY,
    RESPONSES,
    body_of,
    play,
    replies,
    whole,
)
from tests.wire.responses_kit import (
    BESIDE,
    CALL,
    CITED,
    REASONING,
    USAGE,
    done_by_the_provider,
    message,
    part,
    response,
    response_body,
    saying,
    thinking,
    written,
)

from candor_guard.testing import FakeDetector
from candor_guard.wire.sse import frames_of

pytestmark = pytest.mark.anyio

SEARCH: Any = {"type": "web_search"}
FUNCTION: Any = {"type": "function", "name": "f", "parameters": {}, "strict": False}


def reply(words: str, *names: str, stream: bool, name: str = "resp_1") -> bytes:
    """Return a reply: a thought, items that the provider makes, and a cited message behind them."""
    items = [BESIDE[each] for each in names]
    said = message({**part(words), "annotations": [CITED]}, name=f"msg_{name}")
    if not stream:
        return response_body(REASONING, *items, said, name=name)
    begun = response(name=name, status="in_progress", usage=None)
    place = len(items) + 1
    opening, content, *deltas, text, closed, done = saying(
        [f"{words[:1]}", words[1:]], place=place, name=f"msg_{name}"
    )
    at = {"item_id": f"msg_{name}", "output_index": place, "content_index": 0}
    noted = {
        "type": "response.output_text.annotation.added", **at, "annotation_index": 0,
        "annotation": CITED,
    }  # fmt: skip
    closed["part"] = said["content"][0]
    done["item"] = said
    return written(
        {"type": "response.created", "response": begun},
        *thinking(),
        *(done_by_the_provider(1, *names) if names else ()),
        opening, content, *deltas, noted, text, closed, done,
        {"type": "response.completed", "response": response(REASONING, *items, said, name=name)},
    )  # fmt: skip


@CUTS
@EACH_WAY
@pytest.mark.parametrize("name", BESIDE)
async def test_clean_words_beside_an_item_pass(name: str, stream: bool, size: int) -> None:
    """The words are read, alone, and the reply leaves as the upstream sent it."""
    sent = reply("It is 56.", name, stream=stream)
    detector = FakeDetector()
    async with stage(play(sent, stream=stream, size=size), detector=detector) as on:
        answered, body = await on.post(RESPONSES, body_of(stream=stream))
    assert [exchange.reply for exchange in detector.read_exchanges][-1] == "It is 56."
    assert answered.headers["x-candor-evaluated"] == "full"
    assert "x-candor-skipped" not in answered.headers
    assert body == sent


@CUTS
@EACH_WAY
async def test_flagged_words_beside_items(stream: bool, size: int) -> None:
    """A flagged reply that is delivered has all its items, in order, and the record."""
    sent = reply("So, CAVE.", *BESIDE, stream=stream)
    async with stage(play(sent, stream=stream, size=size), max_attempts=0) as on:
        answered, body = await on.post(RESPONSES, body_of(stream=stream))
    assert answered.headers["x-candor-action"] == "flag"
    told = whole(body, stream=stream)
    assert told.pop("candor")["labels"] == ["capitulation"]
    assert told == whole(sent, stream=stream)
    if stream:
        before, after = frames_of(sent), frames_of(body)
        assert [frame.raw for frame in before[:-1]] == [frame.raw for frame in after[:-1]]


@CUTS
@EACH_WAY
async def test_replaced_words_beside_items(stream: bool, size: int) -> None:
    """A replaced reply is the regenerated one: its items in its order, and none of the first's."""
    plays = [
        play(reply("CAVE.", *BESIDE, stream=stream), stream=stream, size=size),
        play(
            reply("It is 56.", "web_search", stream=stream, name="resp_2"), stream=stream, size=size
        ),
    ]
    async with stage(*plays) as on:
        answered, body = await on.post(RESPONSES, body_of(stream=stream, tools=[SEARCH]))
        again = on.upstream.calls[1].json
    assert answered.headers["x-candor-action"] == "regenerate"
    kinds = [item["type"] for item in whole(body, stream=stream)["output"]]
    assert kinds == ["reasoning", "web_search_call", "message"]
    assert again["tools"] == [SEARCH]
    assert "tool_choice" not in again


async def test_tools_of_the_client_stay_off() -> None:
    """The regeneration may search again where the request may, but call nothing of the client's."""
    async with stage(*replies("CAVE", "It is 56.", stream=False)) as on:
        await on.post(RESPONSES, body_of(tools=[FUNCTION, SEARCH]))
        again = on.upstream.calls[1].json
    assert again["tool_choice"] == {"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}
    assert again["tools"] == [FUNCTION, SEARCH]


AWAITED: dict[str, Any] = {
    "function call": CALL,
    "custom call": {"id": "c", "type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""},
    "MCP's call": {"id": "m", "type": "mcp_call", "name": "f", "arguments": "", "server_label": "s"},
    "approval": {
        "id": "a", "type": "mcp_approval_request", "name": "f", "arguments": "", "server_label": "s",
    },
    "computer": {"id": "c", "type": "computer_call", "call_id": "c", "status": "completed"},
    "shell": {"id": "s", "type": "local_shell_call", "call_id": "c", "status": "completed"},
}  # fmt: skip


@EACH_WAY
@pytest.mark.parametrize("item", AWAITED.values(), ids=AWAITED)
async def test_calls_that_somebody_acts_on_pass(item: Any, stream: bool) -> None:
    """A reply with a call that the client waits for, or that may have changed something, passes."""
    sent = response_body(BESIDE["web_search"], "CAVE", item)
    if stream:
        sent = written(
            *done_by_the_provider(0, "web_search"), *saying(["CAVE"], place=1),
            {"type": "response.output_item.added", "output_index": 2, "item": item},
            {"type": "response.output_item.done", "output_index": 2, "item": item},
            {"type": "response.completed", "response": json.loads(sent)},
        )  # fmt: skip
    async with stage(play(sent, stream=stream)) as on:
        answered, body = await on.post(RESPONSES, body_of(stream=stream, tools=[FUNCTION]))
        assert len(on.upstream.calls) == 1
    assert (answered.headers["x-candor-skipped"], body) == ("tool_calls", sent)


# -- the official client --------------------------------------------------------------------------


async def folded(on: Any, *, stream: bool, **fields: Any) -> tuple[Any, list[Any]]:
    """Return the response that the client ends up with, and the events that led there."""
    asked: dict[str, Any] = {"model": "m", "input": DISPUTE, **fields}
    async with openai_client(f"{on.url}/v1") as client:
        if not stream:
            return await client.responses.create(**asked), []
        async with client.responses.stream(**asked) as events:
            seen = [event async for event in events]
            return await events.get_final_response(), seen


@EACH_WAY
@pytest.mark.parametrize(
    ("first", "action"), [("It is 56.", "pass"), ("CAVE: 54.", "regenerate")],
    ids=["clean", "replaced"],
)  # fmt: skip
async def test_client_with_a_search(first: str, action: str, stream: bool) -> None:
    """The client folds items, citations, numbers, ids and usage of the one reply that it gets."""
    plays = [
        play(reply(first, "web_search", stream=stream), stream=stream),
        play(reply("It is 56.", "web_search", stream=stream, name="resp_2"), stream=stream),
    ]
    async with stage(*plays) as on:
        told, events = await folded(on, stream=stream, tools=[SEARCH])
    name, calls = ("resp_1", 1) if action == "pass" else ("resp_2", 2)
    assert (told.id, told.output_text) == (name, "It is 56.")
    assert [item.type for item in told.output] == ["reasoning", "web_search_call", "message"]
    search, said = told.output[1].to_dict(), told.output[2]
    assert search == BESIDE["web_search"]
    assert said.id == f"msg_{name}"
    assert [each.to_dict() for each in said.content[0].annotations] == [CITED]
    assert told.usage.total_tokens == calls * USAGE["total_tokens"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == (told.output_text if stream else "")


async def test_corrected_search() -> None:
    """A correction leaves items and citations alone, and the texts agree everywhere."""
    late = "".join(LATE)
    plays = [
        play(reply(late, *BESIDE, stream=True), stream=True),
        play(reply("It is 56.", stream=True, name="resp_2"), stream=True),
    ]
    async with stage(*plays, after_release="correct", **SMALL) as on:
        told, events = await folded(on, stream=True, tools=[SEARCH])
    expected = f"{late}\n\nCorrection: It is 56."
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == told.output_text == expected
    assert [event.text for event in events if event.type == "response.output_text.done"] == [
        expected
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    *items, said = told.output
    assert [item.to_dict() for item in items] == [REASONING, *BESIDE.values()]
    assert [each.to_dict() for each in said.content[0].annotations] == [CITED]
    assert told.id == "resp_1"


@EACH_WAY
async def test_next_response(stream: bool) -> None:
    """The id that a client goes on from is the delivered reply's, which the upstream knows."""
    last = replies("-", "-", "You are welcome.", stream=stream)[2]
    async with stage(*replies("CAVE", "It is 56.", stream=stream), last) as on:
        told, _ = await folded(on, stream=stream)
        again, _ = await folded(on, stream=stream, input="Thanks.", previous_response_id=told.id)
        sent = on.upstream.calls[2].json
    assert (sent["previous_response_id"], sent["input"]) == ("resp_2", "Thanks.")
    assert again.output_text == "You are welcome."


@EACH_WAY
async def test_items_can_be_sent_back(stream: bool) -> None:
    """A client that keeps its history itself sends the regenerated reply's items as they were."""
    plays = [
        play(reply("CAVE", "web_search", stream=stream), stream=stream),
        play(reply("It is 56.", "web_search", stream=stream, name="resp_2"), stream=stream),
        *replies("-", "-", "You are welcome.", stream=stream)[2:],
    ]
    async with stage(*plays) as on:
        told, _ = await folded(on, stream=stream, store=False)
        history = [*DISPUTE, *told.output, {"role": "user", "content": "Thanks."}]
        await folded(on, stream=stream, store=False, input=history)
        sent = on.upstream.calls[2].json["input"]
    assert sent[:4] == DISPUTE
    assert [item["type"] for item in sent[4:7]] == ["reasoning", "web_search_call", "message"]
    assert sent[6]["content"][0]["text"] == "It is 56."
