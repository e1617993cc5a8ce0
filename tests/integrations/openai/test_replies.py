"""In every way that people use the client, they get better replies and the record of each."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from pydantic import BaseModel
from tests.integrations.openai.kit import (
    CAVE,
    DISPUTE,
    KINDS,
    RIGHT,
    Kind,
    asking,
    bare,
    candor,
    fake_guard,
    made,
    plays,
    said,
)
from tests.proxy.http.upstream import says

from candor_guard.guard import Guard
from candor_guard.integrations.openai import guard, last_outcome
from candor_guard.outcome import Outcome
from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio
REPLACED = pytest.mark.parametrize(
    ("first", "action"), [(RIGHT, "pass"), (CAVE, "regenerate")], ids=["clean", "replaced"]
)


@KINDS
@REPLACED
async def test_whole_reply(kind: Kind, first: str, action: str) -> None:
    """`create` returns the better reply, with the record at `reply.candor`."""
    async with asking(kind, *plays(first)) as (asker, server):
        reply = await asker.create()
    assert reply.choices[0].message.content == RIGHT
    assert getattr(reply, "candor")["action"] == action  # noqa: B009 - the class is OpenAI's
    assert len(server.calls) == (1 if action == "pass" else 2)


@KINDS
@REPLACED
async def test_stream(kind: Kind, first: str, action: str) -> None:
    """A stream is the better reply's, with the record on its finish chunk and as the last outcome."""
    async with asking(kind, *plays(first, stream=True)) as (asker, _):
        chunks, outcome = await asker.chunks()
    assert said(chunks).strip() == RIGHT
    marked = [chunk for chunk in chunks if candor(chunk)]
    assert [chunk.choices[0].finish_reason for chunk in marked] == ["stop"]
    assert outcome is not None
    assert candor(marked[0])["action"] == outcome.action == action


@KINDS
async def test_without_annotation(kind: Kind) -> None:
    """`annotate="none"` leaves replies as the model's server wrote them."""
    async with asking(kind, *plays(RIGHT, stream=True), annotate="none") as (asker, _):
        guarded, _outcome = await asker.chunks()
    async with bare(kind, *plays(RIGHT, stream=True)) as (asker, _):
        plain, _outcome = await asker.chunks()
    assert guarded == plain


@KINDS
async def test_raw_response(kind: Kind) -> None:
    """Raw responses have headers that tell what was done, the server's own, and the parsed reply."""
    async with asking(kind, says(CAVE), says(RIGHT, "x-request-id: req_2")) as (asker, _):
        raw = await asker.run(
            lambda c: c.chat.completions.with_raw_response.create(model="m", messages=DISPUTE),
            lambda c: c.chat.completions.with_raw_response.create(model="m", messages=DISPUTE),
        )
    assert raw.headers["x-candor-action"] == "regenerate"
    assert raw.headers["x-candor-upstream-calls"] == "2"
    assert raw.request_id == "req_2"
    assert raw.parse().choices[0].message.content == RIGHT
    assert raw.elapsed.total_seconds() > 0
    assert raw.http_response.http_version == "HTTP/1.1"


@KINDS
async def test_streaming_response(kind: Kind) -> None:
    """Streaming responses give the body in pieces, and know how long they took once closed."""

    def lines(client: OpenAI) -> tuple[list[str], float]:
        ask = client.chat.completions.with_streaming_response
        with ask.create(model="m", messages=DISPUTE, stream=True) as response:
            read = list(response.iter_lines())
        return read, response.elapsed.total_seconds()

    async def alines(client: AsyncOpenAI) -> tuple[list[str], float]:
        ask = client.chat.completions.with_streaming_response
        async with ask.create(model="m", messages=DISPUTE, stream=True) as response:
            read = [line async for line in response.iter_lines()]
        return read, response.elapsed.total_seconds()

    async with asking(kind, *plays(CAVE, stream=True)) as (asker, _):
        read, elapsed = await asker.run(lines, alines)
    assert [line for line in read if line][-1] == "data: [DONE]"
    assert elapsed > 0


@KINDS
async def test_stream_helper(kind: Kind) -> None:
    """The `stream` helper folds the better reply; its record is the last outcome."""

    def fold(client: OpenAI) -> tuple[Any, Outcome | None]:
        with client.chat.completions.stream(model="m", messages=DISPUTE) as stream:
            reply = stream.get_final_completion()
        return reply, last_outcome(client)

    async def afold(client: AsyncOpenAI) -> tuple[Any, Outcome | None]:
        async with client.chat.completions.stream(model="m", messages=DISPUTE) as stream:
            reply = await stream.get_final_completion()
        return reply, last_outcome(client)

    async with asking(kind, *plays(CAVE, stream=True)) as (asker, _):
        reply, outcome = await asker.run(fold, afold)
    assert reply.choices[0].message.content.strip() == RIGHT
    assert outcome is not None
    assert outcome.action == "regenerate"


class Product(BaseModel):
    """What a structured reply is parsed into."""

    value: int
    note: str = ""


@KINDS
async def test_parse(kind: Kind) -> None:
    """`parse` gets a regenerated reply that keeps to the schema, with the record beside it."""
    script = [says('{"value": 54, "note": "CAVE"}'), says('{"value": 56, "note": ""}')]
    async with asking(kind, *script) as (asker, _):
        asked: Any = {"model": "m", "messages": DISPUTE, "response_format": Product}
        reply = await asker.run(
            lambda c: c.chat.completions.parse(**asked), lambda c: c.chat.completions.parse(**asked)
        )
    assert reply.choices[0].message.parsed == Product(value=56)
    assert reply.candor["action"] == "regenerate"


async def test_azure() -> None:
    """Azure's client, whose paths and key headers are its own, is guarded like any other."""
    async with asking("sync", *plays(CAVE)) as (_, server):
        azure = AzureOpenAI(
            azure_endpoint=server.url.removesuffix("/v1"),
            api_key="sk-azure",
            api_version="2025-01-01",
        )
        client = guard(azure, fake_guard())
        reply = await asyncio.to_thread(
            client.chat.completions.create, model="my-deployment", messages=DISPUTE
        )
        await asyncio.to_thread(client.close)
    assert reply.choices[0].message.content == RIGHT
    target = "/openai/deployments/my-deployment/chat/completions?api-version=2025-01-01"
    assert [call.target for call in server.calls] == [target, target]
    assert [call.values("api-key") for call in server.calls] == [["sk-azure"], ["sk-azure"]]


@KINDS
async def test_not_at_risk(kind: Kind) -> None:
    """A turn that is not at risk is one call whose reply has no record, only the last outcome has."""
    calm = Guard(FakeDetector(at_risk=False))
    async with asking(kind, says("CAVE", stream=True), using=calm) as (asker, server):
        chunks, outcome = await asker.chunks()
    assert [candor(chunk) for chunk in chunks if candor(chunk)] == []
    assert outcome is not None
    assert (outcome.action, outcome.evaluated) == ("pass", "gate")
    assert len(server.calls) == 1


async def test_twenty_tasks() -> None:
    """Asynchronous requests side by side do not mix, and each task knows its own record."""
    async with asking("async", says(CAVE)) as (asker, server):

        async def ask() -> tuple[str, str]:
            reply = await asker.create()
            assert isinstance(asker.client, AsyncOpenAI)
            outcome = last_outcome(asker.client)
            assert outcome is not None
            return candor(reply)["request_id"], outcome.request_id

        ids = await asyncio.gather(*[ask() for _ in range(20)])
        assert last_outcome(asker.client) is None
    assert all(told == known for told, known in ids)
    assert len(set(ids)) == 20
    assert len(server.calls) == 40


async def test_twenty_threads() -> None:
    """One blocking client serves many threads at once, and each thread knows its own record."""
    async with asking("sync", says(CAVE, stream=True)) as (asker, server):

        def ask(client: OpenAI) -> tuple[str, str]:
            asked: Any = {"model": "m", "messages": DISPUTE, "stream": True}
            chunks = list(client.chat.completions.create(**asked))
            outcome = last_outcome(client)
            assert outcome is not None
            return next(candor(c)["request_id"] for c in chunks if candor(c)), outcome.request_id

        client = asker.client
        assert isinstance(client, OpenAI)
        ids = await asyncio.gather(*[asyncio.to_thread(ask, client) for _ in range(20)])
    assert all(told == known for told, known in ids)
    assert len(set(ids)) == 20
    assert len(server.calls) == 40


def test_types() -> None:
    """The guarded client has the original's class, for people and for type checkers."""
    client = guard(OpenAI(api_key="k"))
    aclient = guard(AsyncOpenAI(api_key="k"))
    assert_type(client, OpenAI)
    assert_type(aclient, AsyncOpenAI)
    assert type(client) is OpenAI
    assert type(aclient) is AsyncOpenAI
    client.close()


def test_options_survive() -> None:
    """Key, address, timeout, retries and headers of the original client are the copy's."""
    options: Any = {
        "timeout": 7.0, "max_retries": 5, "default_headers": {"x-team": "a"},
        "organization": "org", "project": "proj", "default_query": {"v": "1"},
    }  # fmt: skip
    for kind in ("sync", "async"):
        bare_client = made(kind, "http://127.0.0.1:9/v1", **options)
        copy = guard(bare_client)
        names = ("api_key", "base_url", "timeout", "max_retries", "organization", "project")
        assert all(getattr(copy, name) == getattr(bare_client, name) for name in names)
        assert copy.default_headers == bare_client.default_headers
        assert copy.default_query == bare_client.default_query
        later = copy.with_options(max_retries=1)
        assert last_outcome(later) is None  # a copy of the copy is guarded as well
