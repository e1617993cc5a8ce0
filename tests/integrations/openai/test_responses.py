"""`client.responses` is guarded as `client.chat.completions` is, in its own format."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel
from tests.integrations.openai.kit import (
    CAVE,
    KINDS,
    RIGHT,
    Asker,
    Kind,
    asking,
    bare,
    close,
    fake_guard,
    made,
    record,
)
from tests.proxy.http.stage import stage
from tests.proxy.http.test_responses import DISPUTE, DOUBLED, raw, replies
from tests.proxy.http.upstream import answer, streamed
from tests.wire.responses_kit import CALL, response_body

from candor_guard.guard import Guard
from candor_guard.integrations.openai import guard
from candor_guard.outcome import Outcome
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
REPLACED = pytest.mark.parametrize(
    ("first", "action"), [(RIGHT, "pass"), (CAVE, "regenerate")], ids=["clean", "replaced"]
)
ASKED: dict[str, Any] = {"model": "m", "input": DISPUTE}


async def whole(asker: Asker, **fields: Any) -> tuple[Response, Outcome | None]:
    """A whole response, and the record that whoever asked finds."""
    asked = {**ASKED, **fields}

    def here(client: OpenAI) -> tuple[Response, Outcome | None]:
        return client.responses.create(**asked), record(client)

    async def there(client: AsyncOpenAI) -> tuple[Response, Outcome | None]:
        return await client.responses.create(**asked), record(client)

    found: tuple[Response, Outcome | None] = await asker.run(here, there)
    return found


async def events(asker: Asker, **fields: Any) -> tuple[list[Any], Outcome | None]:
    """The events of a stream, read to its end, and the record that whoever read it finds."""
    asked = {**ASKED, "stream": True, **fields}

    def here(client: OpenAI) -> tuple[list[Any], Outcome | None]:
        return list(client.responses.create(**asked)), record(client)

    async def there(client: AsyncOpenAI) -> tuple[list[Any], Outcome | None]:
        stream = await client.responses.create(**asked)
        return [event async for event in stream], record(client)

    found: tuple[list[Any], Outcome | None] = await asker.run(here, there)
    return found


def candor(response: Response) -> Any:
    """The record that a response carries, or None."""
    return (response.model_extra or {}).get("candor")


@KINDS
@REPLACED
async def test_whole(kind: Kind, first: str, action: str) -> None:
    """`create` returns the better response, with the record at `candor` and both calls in `usage`."""
    async with asking(kind, *replies(first, RIGHT, stream=False)) as (asker, server):
        reply, outcome = await whole(asker)
    assert reply.output_text == RIGHT
    assert outcome is not None
    assert candor(reply)["action"] == outcome.action == action
    assert [call.target for call in server.calls] == ["/v1/responses"] * len(server.calls)
    assert len(server.calls) == (1 if action == "pass" else 2)
    if action == "regenerate":
        assert reply.usage is not None
        assert reply.usage.model_dump(exclude_none=True) == DOUBLED


@KINDS
@REPLACED
async def test_stream(kind: Kind, first: str, action: str) -> None:
    """A stream is one response under one id; the one in its last event has the record."""
    async with asking(kind, *replies(first, RIGHT, stream=True)) as (asker, _):
        got, outcome = await events(asker)
    deltas = [event.delta for event in got if event.type == "response.output_text.delta"]
    assert "".join(deltas) == RIGHT
    assert got[-1].type == "response.completed"
    assert outcome is not None
    assert candor(got[-1].response)["action"] == outcome.action == action
    assert len({event.response.id for event in got if hasattr(event, "response")}) == 1
    assert [event.sequence_number for event in got] == list(range(len(got)))


@KINDS
async def test_stream_helper(kind: Kind) -> None:
    """The `stream` helper, which folds events strictly, folds the better response."""

    def fold(client: OpenAI) -> tuple[str, Outcome | None]:
        with client.responses.stream(**ASKED) as stream:
            reply = stream.get_final_response()
        return reply.output_text, record(client)

    async def afold(client: AsyncOpenAI) -> tuple[str, Outcome | None]:
        async with client.responses.stream(**ASKED) as stream:
            reply = await stream.get_final_response()
        return reply.output_text, record(client)

    async with asking(kind, *replies(CAVE, RIGHT, stream=True)) as (asker, _):
        text, outcome = await asker.run(fold, afold)
    assert text == RIGHT
    assert outcome is not None
    assert outcome.action == "regenerate"


class Product(BaseModel):
    """What a structured reply is parsed into."""

    value: int
    note: str = ""


@KINDS
async def test_parse(kind: Kind) -> None:
    """`parse` gets a regenerated response that keeps to the schema."""
    texts = '{"value": 54, "note": "CAVE"}', '{"value": 56, "note": ""}'
    async with asking(kind, *replies(*texts, stream=False)) as (asker, _):
        asked: Any = {**ASKED, "text_format": Product}
        reply = await asker.run(
            lambda c: c.responses.parse(**asked), lambda c: c.responses.parse(**asked)
        )
    assert reply.output_parsed == Product(value=56)
    assert candor(reply)["action"] == "regenerate"


@KINDS
async def test_raw_response(kind: Kind) -> None:
    """Raw responses have headers that tell what was done."""
    async with asking(kind, *replies(CAVE, RIGHT, stream=False)) as (asker, _):
        told = await asker.run(
            lambda c: c.responses.with_raw_response.create(**ASKED),
            lambda c: c.responses.with_raw_response.create(**ASKED),
        )
    assert told.headers["x-candor-action"] == "regenerate"
    assert told.headers["x-candor-upstream-calls"] == "2"
    assert told.parse().output_text == RIGHT


@KINDS
@BOTH
async def test_refused(kind: Kind, stream: bool) -> None:
    """A response that the policy refuses is an error of the client's own, asked for once only."""
    refusing = fake_guard(on_unresolved="refuse")
    async with asking(kind, *replies(CAVE, stream=stream), using=refusing) as (asker, server):
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await (events if stream else whole)(asker)
    assert caught.value.code == "unresolved"
    assert len(server.calls) == 1 + refusing.policy.max_attempts


@KINDS
@BOTH
async def test_not_at_risk(kind: Kind, stream: bool) -> None:
    """A turn that is not at risk is one call, its response as the server wrote it."""
    calm = Guard(FakeDetector(at_risk=False))
    ask = events if stream else whole
    async with asking(kind, *replies(CAVE, stream=stream), using=calm) as (asker, server):
        guarded, outcome = await ask(asker)
    async with bare(kind, *replies(CAVE, stream=stream)) as (asker, unguarded):
        plain, nothing = await ask(asker)
    assert guarded == plain
    assert nothing is None
    assert outcome is not None
    assert (outcome.action, outcome.evaluated) == ("pass", "gate")
    assert [call.body for call in server.calls] == [call.body for call in unguarded.calls]


@KINDS
async def test_what_cannot_be_judged(kind: Kind) -> None:
    """Responses that call a tool or continue a stored one pass unread, and say why."""
    calls_tool = (answer(response_body(CALL)),)
    async with asking(kind, calls_tool) as (asker, _):
        _, tool = await whole(asker)
        _, stored = await whole(asker, previous_response_id="resp_0")
    assert tool is not None
    assert stored is not None
    assert (tool.action, tool.skipped) == ("pass", "tool_calls")
    assert (stored.action, stored.skipped) == ("pass", "no_history")


@KINDS
async def test_neighbours(kind: Kind) -> None:
    """What else there is below `responses` is left alone."""
    detector = FakeDetector()
    play = (answer(response_body(CAVE)),)
    async with asking(kind, play, using=Guard(detector)) as (asker, server):
        await asker.run(lambda c: c.responses.retrieve("r"), lambda c: c.responses.retrieve("r"))
        await asker.run(lambda c: c.responses.cancel("r"), lambda c: c.responses.cancel("r"))
        assert record(asker.client) is None
    assert [call.target for call in server.calls] == ["/v1/responses/r", "/v1/responses/r/cancel"]
    assert detector.read_exchanges == []


async def test_azure() -> None:
    """Azure's client is guarded in its `responses`, too."""
    async with asking("sync", *replies(CAVE, RIGHT, stream=False)) as (_, server):
        azure = AzureOpenAI(
            azure_endpoint=server.url.removesuffix("/v1"),
            api_key="sk-azure",
            api_version="2025-04-01-preview",
        )
        client = guard(azure, fake_guard())
        reply, _ = await whole(Asker(client))
        await asyncio.to_thread(client.close)
    assert reply.output_text == RIGHT
    target = "/openai/responses?api-version=2025-04-01-preview"
    assert [call.target for call in server.calls] == [target, target]


@KINDS
async def test_the_proxy_guards_already(kind: Kind) -> None:
    """Responses of candor-guard's own proxy are not guarded twice."""
    detector = FakeDetector()
    async with stage(*replies(CAVE, stream=False), mode="observe") as on:
        client = guard(made(kind, f"{on.url}/v1"), Guard(detector))
        reply, outcome = await whole(Asker(client))
        await close(client)
    assert candor(reply)["action"] == "flag"
    assert outcome is None
    assert len(on.upstream.calls) == 1
    assert detector.read_exchanges == []


@KINDS
@BOTH
async def test_failed_regeneration(kind: Kind, stream: bool) -> None:
    """When the further call fails, the first response is delivered, flagged."""
    first = raw(CAVE, stream=stream)
    play = streamed(first) if stream else (answer(first),)
    busy = (answer(b"{}", status="500 Internal Server Error"),)
    async with asking(kind, play, busy) as (asker, _):
        if stream:
            got, outcome = await events(asker)
            reply = got[-1].response
        else:
            reply, outcome = await whole(asker)
    assert reply.output_text == CAVE
    assert outcome is not None
    assert candor(reply)["action"] == outcome.action == "flag"
