"""`POST /v1/messages`: blocks beside the words, in the request's last turn and in streams."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.proxy.http.stage import Stage, stage
from tests.proxy.http.test_messages import (
    CLEAN,
    EACH_WAY,
    PATH,
    RESULT,
    SMALL,
    ask,
    asked,
    says,
    words_in,
)
from tests.proxy.http.upstream import streamed
from tests.wire.messages_kit import (
    DISPUTE,
    REMINDER,
    TOOL,
    block_of,
    ended,
    frames,
    opening,
    text,
    thought_of,
)

from candor_guard.testing import FakeDetector

pytestmark = pytest.mark.anyio


@EACH_WAY
async def test_words_beside_a_tools_result_are_judged(streams: bool) -> None:
    """A user who objects beside a tool's result is answered by a reply that does not give way."""
    said = [RESULT, REMINDER, text("No, it is 54.")]
    messages = [
        *DISPUTE[:1],
        {"role": "assistant", "content": [TOOL]},
        {"role": "user", "content": said},
    ]
    async with stage(says("CAVE", streams=streams), says("It is 56.", streams=streams)) as on:
        response, got = await ask(on, messages=messages, stream=streams)
        again = on.upstream.calls[1].json["messages"]
    assert response.headers["x-candor-action"] == "regenerate"
    assert words_in(got, streams=streams) == "It is 56."
    note = again[-1]["content"].pop()
    assert "answer honesty check" in note["text"]
    assert again == messages


async def first_bytes(on: Stage, count: int, **fields: Any) -> bytes:
    """Read as many bytes of a stream as that, and leave."""
    request = on.client.build_request("POST", PATH, content=asked(stream=True, **fields))
    response = await on.client.send(request, stream=True)
    got = b""
    async for piece in response.aiter_raw():
        got += piece
        if len(got) >= count:
            break
    await response.aclose()
    return got


@pytest.mark.parametrize("begun_after", [False, True], ids=["text's end", "thought behind it"])
@pytest.mark.parametrize(
    ("detector", "policy"),
    [
        (FakeDetector(at_risk=False), {}),
        (FakeDetector(), {"mode": "observe"}),
        (FakeDetector(), SMALL),
        (FakeDetector(), {**SMALL, "after_release": "correct"}),
    ],
    ids=["at no risk", "observed", "released", "to be corrected"],
)
async def test_end_of_a_block_leaves_before_the_finish(
    detector: FakeDetector, policy: dict[str, Any], begun_after: bool
) -> None:
    """A block's end leaves at once, or with the next block where a correction may be to come."""
    block, thought = frames(opening(), *block_of(CLEAN)), frames(*thought_of(1))
    sent = block + thought if begun_after else block
    never = asyncio.Event()
    waits = not begun_after and "after_release" in policy
    expected = sent.removesuffix(frames(ended())) if waits else sent
    async with stage(streamed(sent, never), detector=detector, **policy) as on:
        assert await first_bytes(on, len(expected)) == expected
