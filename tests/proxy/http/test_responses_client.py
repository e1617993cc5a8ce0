"""The official client's `responses`, in all the ways that people use it, sees better replies only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import ResponseErrorEvent
from pydantic import BaseModel
from tests.proxy.http.stage import PATIENCE, Stage, openai_client, stage
from tests.proxy.http.test_adaptive import EARLY, LATE, SMALL
from tests.proxy.http.test_responses import (
    DISPUTE,
    DOUBLED,
    RESPONSES,
    body_of,
    play,
    raw,
    replies,
)
from tests.proxy.http.test_streams import EAGER
from tests.proxy.http.upstream import answer, streamed
from tests.wire.responses_kit import CALL, response_body, response_stream

from candor_guard.testing import finding_text
from candor_guard.wire.sse import frames_of

pytestmark = pytest.mark.anyio

REPLACED = pytest.mark.parametrize(
    ("first", "action"), [("It is 56.", "pass"), ("CAVE: 54.", "regenerate")],
    ids=["clean", "replaced"],
)  # fmt: skip


def candor_of(reply: Any) -> dict[str, Any]:
    found: dict[str, Any] = (reply.model_extra or {}).get("candor", {"action": "pass"})
    return found


@REPLACED
async def test_whole_reply(first: str, action: str) -> None:
    """`create` returns a response whose text is right and whose headers tell what was done."""
    plays = replies(first, "It is 56.", stream=False)
    async with stage(*plays) as on, openai_client(f"{on.url}/v1") as client:
        told = await client.responses.with_raw_response.create(model="m", input=DISPUTE)
        reply = told.parse()
    assert reply.output_text == "It is 56."
    assert told.headers["x-candor-action"] == action
    assert candor_of(reply)["action"] == action
    if action == "regenerate":
        assert reply.id == "resp_2"
        assert reply.usage is not None
        assert reply.usage.model_dump(exclude_none=True) == DOUBLED


@REPLACED
async def test_stream(first: str, action: str) -> None:
    """`create(stream=True)` brings one response under one id; the last event has the record."""
    plays = replies(first, "It is 56.", stream=True)
    async with stage(*plays) as on, openai_client(f"{on.url}/v1") as client:
        stream = await client.responses.create(model="m", input=DISPUTE, stream=True)
        events = [event async for event in stream]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "It is 56."
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "It is 56."
    assert candor_of(last.response)["action"] == action
    whole = [event.response.id for event in events if hasattr(event, "response")]
    assert len(set(whole)) == 1
    assert [event.sequence_number for event in events] == list(range(len(events)))


@REPLACED
async def test_stream_helper(first: str, action: str) -> None:
    """The `stream` helper, which folds events strictly, folds ours."""
    plays = replies(first, "It is 56.", stream=True)
    async with (
        stage(*plays) as on,
        openai_client(f"{on.url}/v1") as client,
        client.responses.stream(model="m", input=DISPUTE) as stream,
    ):
        kinds = [event.type async for event in stream]
        reply = await stream.get_final_response()
    assert reply.output_text == "It is 56."
    assert kinds.count("response.completed") == 1
    assert len(on.upstream.calls) == (1 if action == "pass" else 2)


@REPLACED
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_synchronous_client(first: str, action: str, stream: bool) -> None:
    """The synchronous client gets the same, from its own thread."""

    def ask(base: str) -> str:
        with OpenAI(base_url=base, api_key="sk-client", timeout=PATIENCE) as client:
            if not stream:
                return client.responses.create(model="m", input="No, it is 54.").output_text
            with client.responses.stream(model="m", input="No, it is 54.") as events:
                return events.get_final_response().output_text

    async with stage(*replies(first, "It is 56.", stream=stream)) as on:
        assert await asyncio.to_thread(ask, f"{on.url}/v1") == "It is 56."
    assert len(on.upstream.calls) == (1 if action == "pass" else 2)


class Product(BaseModel):
    """What `parse` asks for."""

    value: str


async def test_parse() -> None:
    """`parse` gets an object of the client's class from the regenerated reply."""
    plays = replies('{"value": "CAVE"}', '{"value": "56"}', stream=False)
    async with stage(*plays) as on, openai_client(f"{on.url}/v1") as client:
        reply = await client.responses.parse(model="m", input=DISPUTE, text_format=Product)
    assert reply.output_parsed == Product(value="56")
    assert candor_of(reply)["action"] == "regenerate"


async def test_tool_call_passes() -> None:
    """A call of a tool reaches the client as the upstream made it."""
    tool: Any = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    async with (
        stage((answer(response_body(CALL)),)) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        reply = await client.responses.create(model="m", input=DISPUTE, tools=[tool])
    assert reply.output[0].type == "function_call"
    assert candor_of(reply) == {"action": "pass"}


async def test_replaced_before_the_end() -> None:
    """A beginning at fault that a probe confirms is replaced though the upstream never ends."""
    sent = response_stream(EARLY)
    begin = sent[: sent.index(b"event: response.output_text.done")]
    never = asyncio.Event()
    probe = (answer(response_body(finding_text("supported"))),)
    plays = [streamed(begin, never), *replies("-", "It is 56.", stream=True)[1:]]
    async with (
        stage(*plays, probes=(probe,), probe="uncertain", **SMALL) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        async with client.responses.stream(model="m", input=DISPUTE) as stream:
            reply = await stream.get_final_response()
        await on.upstream.calls[0].left.wait()
    assert reply.output_text == "It is 56."
    attempts = candor_of(reply)["attempts"]
    assert [attempt.get("response_id") for attempt in attempts] == ["resp_1", None, "resp_2"]


async def test_corrected() -> None:
    """The client reads a correction as the end of the same text, everywhere that it is told."""
    plays = [streamed(response_stream(LATE)), *replies("-", "It is 56.", stream=True)[1:]]
    async with (
        stage(*plays, after_release="correct", **SMALL) as on,
        openai_client(f"{on.url}/v1") as client,
        client.responses.stream(model="m", input=DISPUTE) as stream,
    ):
        events = [event async for event in stream]
        reply = await stream.get_final_response()
    expected = "".join(LATE) + "\n\nCorrection: It is 56."
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == reply.output_text == expected
    assert [e.text for e in events if e.type == "response.output_text.done"] == [expected]
    assert reply.id == "resp_1"
    assert candor_of(reply)["corrected"] is True


async def refused(on: Stage, *, stream: bool) -> openai.APIError:
    """Ask with the official client and return what it raises."""
    async with openai_client(f"{on.url}/v1") as client:
        with pytest.raises(openai.APIError) as caught:
            await _drain(client, stream=stream)
    return caught.value


async def _drain(client: AsyncOpenAI, *, stream: bool) -> None:
    reply: Any = await client.responses.create(model="m", input=DISPUTE, stream=stream)
    async for _ in reply:
        pass


@pytest.mark.parametrize("stream", [False, True])
async def test_refusal_is_not_retried(stream: bool) -> None:
    """A refusal is a 422 that the client raises once: two upstream calls, not six."""
    async with stage(*replies("CAVE", "CAVE", stream=stream), on_unresolved="refuse") as on:
        error = await refused(on, stream=stream)
        assert isinstance(error, openai.UnprocessableEntityError)
        assert error.code == "unresolved"
        assert len(on.upstream.calls) == 2


async def test_refusal_after_deferral_is_an_error_event() -> None:
    """The client raises at the event, and does not ask again."""
    sent = raw("CAVE", stream=True)
    slow = streamed(0.15, sent)
    plays = [slow, play(sent, stream=True)]
    async with stage(*plays, options=EAGER, on_unresolved="refuse") as on:
        error = await refused(on, stream=True)
        assert error.code == "unresolved"
        assert len(on.upstream.calls) == 2


async def test_error_event() -> None:
    """The event tells the error flat, as OpenAI's own does, and as an object that clients raise."""
    sent = raw("CAVE", stream=True)
    plays = [streamed(0.15, sent), play(sent, stream=True)]
    async with stage(*plays, options=EAGER, on_unresolved="refuse") as on:
        _, body = await on.post(RESPONSES, body_of(stream=True))
    last = frames_of(body)[-1]
    assert last.raw.startswith(b"event: error\ndata: ")
    told = json.loads(last.data or b"")
    event = ResponseErrorEvent.model_validate(told)
    assert (event.type, event.code, event.param) == ("error", "unresolved", None)
    assert event.sequence_number == 0
    assert told["error"]["message"] == event.message
    assert told["candor"]["action"] == "block"


async def test_upstream_failure_after_deferral_is_an_error_event() -> None:
    """An upstream that dies during a hold ends in an error that the client raises."""
    dying = (*streamed(raw("It is", stream=True)[:80])[:-1], 0.15)
    async with stage((*dying, b"no chunk\r\n"), options=EAGER) as on:
        error = await refused(on, stream=True)
    assert error.code == "upstream_interrupted"


async def test_upstream_error_keeps_its_shape() -> None:
    """An error of the upstream reaches the client with its own words."""
    body = b'{"error": {"message": "no such model", "type": "x", "param": null, "code": "nope"}}'
    async with stage((answer(body, status="404 Not Found"),)) as on:
        error = await refused(on, stream=False)
    assert isinstance(error, openai.NotFoundError)
    assert error.code == "nope"
