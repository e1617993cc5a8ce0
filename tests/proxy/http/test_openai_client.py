"""The official client, in all the ways that people use it, sees nothing but better replies."""

from __future__ import annotations

import asyncio

import pytest
from openai import OpenAI
from tests.proxy.http.stage import DISPUTE, PATIENCE, openai_client, stage
from tests.proxy.http.upstream import Play, says

pytestmark = pytest.mark.anyio

CAVE = "CAVE: it is 54."
REPLACED = pytest.mark.parametrize(
    ("first", "action"), [("It is 56.", "pass"), (CAVE, "regenerate")], ids=["clean", "replaced"]
)


def plays(first: str, *, stream: bool) -> list[Play]:
    return [says(first, stream=stream), says("It is 56.", stream=stream)]


@REPLACED
async def test_whole_reply(first: str, action: str) -> None:
    """`create` returns a reply whose text is right and whose headers tell what was done."""
    async with stage(*plays(first, stream=False)) as on, openai_client(f"{on.url}/v1") as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="gpt-x",
            messages=DISPUTE,
        )
        reply = raw.parse()
    assert reply.choices[0].message.content == "It is 56."
    assert raw.headers["x-candor-action"] == action
    candor = (reply.model_extra or {}).get("candor", {"action": "pass"})
    assert candor["action"] == action


@REPLACED
async def test_stream_helper(first: str, action: str) -> None:
    """The `stream` helper, which folds chunks strictly, folds ours."""
    async with stage(*plays(first, stream=True)) as on, openai_client(f"{on.url}/v1") as client:
        request = client.chat.completions.stream(
            model="gpt-x",
            messages=DISPUTE,
        )
        async with request as stream:
            kinds = [event.type async for event in stream]
            reply = await stream.get_final_completion()
    assert reply.choices[0].message.content == "It is 56. "
    assert reply.choices[0].finish_reason == "stop"
    assert kinds.count("content.done") == 1
    assert len(on.upstream.calls) == (1 if action == "pass" else 2)


@REPLACED
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_synchronous_client(first: str, action: str, stream: bool) -> None:
    """The synchronous client gets the same, from its own thread."""

    def ask(base: str) -> str:
        with OpenAI(base_url=base, api_key="sk-client", timeout=PATIENCE) as client:
            chat = client.chat.completions
            if not stream:
                reply = chat.create(model="gpt-x", messages=DISPUTE)
                return reply.choices[0].message.content or ""
            chunks = chat.create(model="gpt-x", messages=DISPUTE, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip()

    async with stage(*plays(first, stream=stream)) as on:
        assert await asyncio.to_thread(ask, f"{on.url}/v1") == "It is 56."
    assert len(on.upstream.calls) == (1 if action == "pass" else 2)


async def test_twenty_at_once() -> None:
    """Requests side by side do not mix: each gets its own reply, read and replaced on its own."""
    async with stage(says("CAVE")) as on, openai_client(f"{on.url}/v1") as client:

        async def ask() -> str:
            reply = await client.chat.completions.create(
                model="gpt-x",
                messages=DISPUTE,
            )
            return str((reply.model_extra or {})["candor"]["request_id"])

        ids = await asyncio.gather(*[ask() for _ in range(20)])
    assert len(set(ids)) == 20
    assert len(on.upstream.calls) == 40
