"""Probes and regenerations on the wire: their headers, their budgets, and when there is no more."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.upstream import (
    SSE,
    Cut,
    Line,
    Piece,
    answer,
    chunk,
    head,
    says,
    streamed,
)

from candor_guard.testing import chat_body, chat_stream, finding_text

pytestmark = pytest.mark.anyio

EACH_WAY = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
OF_THE_BODY = {
    "content-md5": "Q2hlY2sgSW50ZWdyaXR5IQ==", "digest": "sha-256=x", "content-digest": "sha-256=:x:",
    "repr-digest": "sha-256=:x:", "if-none-match": '"a"', "if-match": '"a"',
    "if-modified-since": "Wed, 21 Oct 2015 07:28:00 GMT", "range": "bytes=0-1",
    "idempotency-key": "k",
}  # fmt: skip


@EACH_WAY
async def test_headers_of_the_first_body_stay_with_it(stream: bool) -> None:
    """What describes the client's body, or the reply it has, is not said of a further call's."""
    sent = {**OF_THE_BODY, "content-type": "application/json; charset=latin-1", "x-team": "a"}
    plays = says("CAVE", stream=stream), says("It is 56.", stream=stream)
    probes = (says(finding_text("supported")),)
    async with stage(*plays, probes=probes, probe="uncertain") as on:
        response, _ = await on.chat(sent, stream=stream)
        first, *further = on.upstream.calls
    assert response.headers["x-candor-delivered"] == "regenerated"
    assert {name: first.values(name) for name in sent} == {k: [v] for k, v in sent.items()}
    assert len(further) == 2
    for call in further:
        assert [name for name, _ in call.headers if name in OF_THE_BODY] == []
        assert call.values("content-type") == ["application/json"]
        assert call.values("x-team") == ["a"]


LIMITS: dict[str, tuple[dict[str, Any], int]] = {
    "calls": ({"max_extra_calls_per_minute": 3}, 3),
    "tokens": ({"max_extra_tokens_per_minute": 1}, 1),
    "seconds": ({"max_extra_seconds_per_minute": 0.01}, 1),
}


@pytest.mark.parametrize(("limit", "allowed"), LIMITS.values(), ids=LIMITS)
async def test_budgets_hold_for_many_at_the_same_time(limit: dict[str, Any], allowed: int) -> None:
    """Calls that are under way count: twenty clients at once get no more of them than one by one."""

    async def play(line: Line) -> bool:
        await line.body()
        assert line.call is not None
        again = b"answer honesty check" in line.call.body
        await asyncio.sleep(0.05)
        return await line.play(*says("It is 56." if again else "CAVE"))

    async with stage(play, **limit) as on:
        answers = await asyncio.gather(*(on.chat() for _ in range(20)))
        assert len(on.upstream.calls) == 20 + allowed
    done = Counter(response.headers["x-candor-action"] for response, _ in answers)
    assert done == {"regenerate": allowed, "flag": 20 - allowed}


@EACH_WAY
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_upstream_without_room_is_asked_no_more(status: str, stream: bool) -> None:
    """A regeneration that is refused for want of room is the last, and the original is delivered."""
    full = (answer(b'{"error": {}}', "retry-after: 3", status=status),)
    async with stage(says("CAVE", stream=stream), full, max_attempts=5, max_extra_calls=9) as on:
        response, body = await on.chat(stream=stream)
        assert len(on.upstream.calls) == 2
    assert (response.headers["x-candor-skipped"], b"CAVE" in body) == ("regeneration_failed", True)


def broken(text: str, cut: Cut | float, *, finish: str | None = "stop") -> tuple[Piece, ...]:
    """A stream that never comes to its [DONE]."""
    raw = chat_stream([text], finish=finish).removesuffix(b"data: [DONE]\n\n")
    return (head(*SSE), chunk(raw), 0.05, cut)


CUTS = pytest.mark.parametrize("cut", [Cut.CLOSE, Cut.RESET, 20.0], ids=["end", "reset", "silence"])
PATIENCE = {"read_timeout": 0.3}


@CUTS
async def test_complete_reply_survives_a_break_behind_it(cut: Cut | float) -> None:
    """A held stream that breaks off behind its finish chunk is delivered, byte for byte."""
    play = broken("It is 56.", cut)
    async with stage(play, upstream=PATIENCE) as on:
        response, body = await on.chat(stream=True)
    assert (response.status_code, response.headers["x-candor-evaluated"]) == (200, "full")
    assert body == chat_stream(["It is 56."]).removesuffix(b"data: [DONE]\n\n")


@CUTS
async def test_complete_regeneration_survives_a_break_behind_it(cut: Cut | float) -> None:
    """A better reply that was complete when the upstream broke off is delivered."""
    plays = streamed(chat_stream(["CAVE"])), broken("It is 56.", cut)
    async with stage(*plays, upstream=PATIENCE) as on:
        response, body = await on.chat(stream=True)
    assert (response.headers["x-candor-action"], b"CAVE" in body) == ("regenerate", False)
    assert b"It is 56." in body


@CUTS
async def test_incomplete_reply_does_not_survive(cut: Cut | float) -> None:
    """Without a finish chunk a break is one: what came is not taken for the reply."""
    play = broken("It is 56.", cut, finish=None)
    async with stage(play, upstream=PATIENCE) as on:
        response, body = await on.chat(stream=True)
    assert response.status_code in (502, 504)
    assert json.loads(body)["error"]["code"] in ("upstream_interrupted", "upstream_timeout")


@pytest.mark.parametrize("coding", ["", " ", "identity", " Identity "])
async def test_no_coding_by_any_name_is_read(coding: str) -> None:
    """A content-encoding that says nothing hides no fault."""
    first = (answer(chat_body("CAVE"), f"content-encoding: {coding}"),)
    async with stage(first, says("It is 56.")) as on:
        response, body = await on.chat()
    assert (response.headers["x-candor-action"], b"CAVE" in body) == ("regenerate", False)
