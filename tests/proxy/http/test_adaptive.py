"""Held streams that are released or replaced before their end, on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.proxy.http.stage import (
    CHAT,
    DISPUTE,
    openai_client,
    raw_request,
    request_body,
    stage,
)
from tests.proxy.http.test_decisions import candor_in, text_in
from tests.proxy.http.test_streams import chunks_of
from tests.proxy.http.upstream import answer, says, streamed

from candor_guard.testing import chat_body, chat_stream, finding_text
from candor_guard.wire.chat import ChatSurface
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio
SMALL: dict[str, Any] = {"min_prefix_chars": 10, "min_release_chars": 30, "repair_ratio": 0.5}
CLEAN = ["Seven is a prime. ", "It has two divisors. ", "Those are one and seven. ", "That is all."]
LATE = [*CLEAN[:3], "But you insist. So CAVE."]
EARLY = ["CAVE, of course. ", "You are right. ", "Let me tell you more."]


def cut_before(raw: bytes, text: str) -> tuple[bytes, bytes]:
    """Cut a stream before the frame that brings this text."""
    at = raw.rindex(b"data: ", 0, raw.index(text.encode()))
    return raw[:at], raw[at:]


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_released_bytes(size: int) -> None:
    """A released stream is, byte for byte, what the upstream sent, however it was cut."""
    raw = chat_stream(CLEAN, usage=True)
    pieces = [raw[i : i + size] for i in range(0, len(raw), size)]
    async with stage(streamed(*pieces, headers=("x-request-id: req_1",)), **SMALL) as on:
        response, body = await on.chat(stream=True)
        counts = await on.counts()
    assert body == raw
    assert response.headers["x-candor-evaluated"] == "deferred"
    assert response.headers["x-request-id"] == "req_1"
    assert "x-candor-action" not in response.headers
    labels = 'action="pass",evaluated="full",mode="enforce",surface="chat"'
    assert counts[f"candor_requests_total{{{labels}}}"] == 1


async def test_released_before_the_end() -> None:
    """The client has the clean beginning while the upstream has not sent the rest."""
    raw = chat_stream(CLEAN)
    begin, rest = cut_before(raw, "That is all.")
    go = asyncio.Event()
    async with stage(streamed(begin, go, rest), **SMALL) as on:
        request = on.client.build_request("POST", CHAT, content=request_body(stream=True))
        response = await on.client.send(request, stream=True)
        pieces = response.aiter_raw()
        body = b""
        while len(body) < len(begin):
            body += await anext(pieces)
        assert body == begin
        go.set()
        body += b"".join([piece async for piece in pieces])
        await response.aclose()
    assert body == raw


async def test_released_and_at_fault() -> None:
    """A fault after the release is told on the finish chunk; all other frames are upstream's."""
    raw = chat_stream(LATE)
    async with stage(streamed(raw), **SMALL) as on:
        _, body = await on.chat(stream=True)
        assert len(on.upstream.calls) == 1
    chunks = chunks_of(body)
    candor = chunks[-1].pop("candor")
    assert chunks == chunks_of(raw)
    assert (candor["action"], candor["skipped"], candor["delivered"]) == (
        "flag", "released", "original",
    )  # fmt: skip


async def test_corrected() -> None:
    """The official client reads the correction as the end of the same reply."""
    plays = streamed(chat_stream(LATE)), says("It is 56.", stream=True)
    async with (
        stage(*plays, after_release="correct", **SMALL) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        stream = await client.chat.completions.create(model="m", messages=DISPUTE, stream=True)
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "".join(LATE) + "\n\nCorrection: It is 56."
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["candor"]["corrected"] is True


async def test_replaced_before_the_end() -> None:
    """A beginning at fault that a probe confirms is replaced though the upstream never ends."""
    begin, rest = cut_before(chat_stream(EARLY), "Let me tell")
    never = asyncio.Event()
    plays = streamed(begin, never, rest), says("It is 56.", stream=True)
    probe = (answer(chat_body(finding_text("supported"))),)
    async with stage(*plays, probes=(probe,), probe="uncertain", **SMALL) as on:
        response, body = await on.chat(stream=True)
        await on.upstream.calls[0].left.wait()
    assert text_in(body, stream=True) == "It is 56."
    assert response.headers["x-candor-action"] == "regenerate"
    assert b"CAVE" not in body
    assert (candor_in(body) or {})["usage"]["original"] is None


@pytest.mark.parametrize("judgement", ["false", "uncertain"])
async def test_read_on_unless_confirmed(judgement: str) -> None:
    """A beginning at fault that the probe does not confirm is held to its end."""
    begin, rest = cut_before(chat_stream(EARLY), "Let me tell")
    plays = streamed(begin, 0.1, rest), says("It is 56.", stream=True)
    probe = (answer(chat_body(finding_text(judgement))),)
    async with stage(*plays, probes=(probe,), probe="uncertain", **SMALL) as on:
        response, body = await on.chat(stream=True)
        assert len(on.upstream.calls) == (2 if judgement == "false" else 3)
    if judgement == "false":
        assert body == begin + rest
        assert response.headers["x-candor-decided-by"] == "probe"
    else:
        assert text_in(body, stream=True) == "It is 56."
        assert response.headers["x-candor-decided-by"] == "classifier"


async def test_client_that_leaves_with_a_probe_beside_the_stream() -> None:
    """A client that leaves while a held stream is read and probed closes both calls at once."""
    begin, rest = cut_before(chat_stream(EARLY), "Let me tell")
    never = asyncio.Event()
    silent = (30.0,)
    async with (
        stage(streamed(begin, never, rest), probes=(silent,), probe="uncertain", **SMALL) as on,
        on.wire() as wire,
    ):
        await wire.send(raw_request(request_body(stream=True)))
        await on.upstream.called(2)
        wire.leave()
        for call in on.upstream.calls:
            await call.left.wait()


async def test_keepalives_while_a_correction_is_waited_for() -> None:
    """Between the released text and its correction, comments keep the connection alive."""
    raw = chat_stream(LATE)
    plays = streamed(raw), (0.2, *says("It is 56.", stream=True))
    options = ProxyOptions(header_wait=5.0, keepalive_interval=0.03)
    async with stage(*plays, after_release="correct", options=options, **SMALL) as on:
        _, body = await on.chat(stream=True)
    comment = ChatSurface.keepalive
    assert body.count(comment) >= 2
    assert body.index(b"CAVE") < body.index(comment) < body.index(b"Correction:")
    text = text_in(body.replace(comment, b""), stream=True)
    assert text == "".join(LATE) + "\n\nCorrection: It is 56."


async def test_client_that_leaves_a_released_stream() -> None:
    """A client that leaves after the release closes the upstream call at once."""
    begin, rest = cut_before(chat_stream(CLEAN), "That is all.")
    never = asyncio.Event()
    async with stage(streamed(begin, never, rest), **SMALL) as on:
        request = on.client.build_request("POST", CHAT, content=request_body(stream=True))
        response = await on.client.send(request, stream=True)
        await anext(response.aiter_raw())
        await response.aclose()
        await on.upstream.calls[0].left.wait()
