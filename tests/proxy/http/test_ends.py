"""Where a reply ends: the format's end, the connection's end, and a break in between."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from tests.proxy.http.stage import CHAT, DISPUTE, openai_client, request_body, stage
from tests.proxy.http.upstream import Cut, head, says

from candor_guard.testing import chat_stream

pytestmark = pytest.mark.anyio

EVENTS = head("content-type: text/event-stream", "connection: close")


async def test_verdict_does_not_wait_for_an_upstream_that_lingers_after_done() -> None:
    """A held stream is delivered at its [DONE], not when the upstream gets round to hanging up."""
    stream = chat_stream(["It is 56."])
    hang_up = asyncio.Event()
    async with (
        stage((EVENTS, stream, hang_up, Cut.CLOSE)) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        async with asyncio.timeout(5):
            chunks = await client.chat.completions.create(model="m", messages=DISPUTE, stream=True)
            text = "".join([c.choices[0].delta.content or "" async for c in chunks])
        hang_up.set()
    assert text == "It is 56."


async def test_regeneration_starts_at_done_and_abandons_the_lingering_call() -> None:
    """A caving stream is replaced at its [DONE]; its open connection is closed."""
    never = asyncio.Event()
    async with stage((EVENTS, chat_stream(["CAVE"]), never), says("56.", stream=True)) as on:
        async with asyncio.timeout(5):
            _, body = await on.chat(stream=True)
            await on.upstream.calls[0].left.wait()
    assert b"CAVE" not in body
    assert b"56." in body


async def test_bytes_after_done_are_delivered_too() -> None:
    """Whatever an upstream sends after [DONE] belongs to an unflagged body as well."""
    stream = chat_stream(["It is 56."])
    async with stage((EVENTS, stream, 0.02, b": bye\n\n", Cut.CLOSE)) as on:
        _, body = await on.chat(stream=True)
    assert body == stream + b": bye\n\n"


async def test_observing_loses_no_byte_when_the_upstream_breaks_off() -> None:
    """In observe mode a broken stream reaches the client as far as it came, half a frame included."""
    stream = chat_stream(["CAVE"], finish=None).removesuffix(b"[DONE]\n\n")
    chunked = head("content-type: text/event-stream", "transfer-encoding: chunked")
    framed = b"%x\r\n%s\r\n" % (len(stream), stream)
    async with stage((chunked, framed, 0.05, Cut.RESET)) as on:
        received = bytearray()
        observe = {"x-candor-mode": "observe"}
        body = request_body(stream=True)
        stream_call = on.client.stream("POST", CHAT, content=body, headers=observe)
        async with stream_call as response:
            with pytest.raises(httpx2.RemoteProtocolError):
                await _collect(response, received)
    assert bytes(received) == stream


async def test_observing_reads_what_was_complete_when_the_upstream_broke_off() -> None:
    """In observe mode a reply that breaks off behind its finish chunk is read, and carries the record."""
    stream = chat_stream(["CAVE"]).removesuffix(b"data: [DONE]\n\n")
    chunked = head("content-type: text/event-stream", "transfer-encoding: chunked")
    framed = b"%x\r\n%s\r\n" % (len(stream), stream)
    async with stage((chunked, framed, 0.05, Cut.RESET), mode="observe") as on:
        _, body = await on.chat(stream=True)
    kept, finish = (raw.rstrip().rpartition(b"\n\n")[::2] for raw in (stream, body))
    assert kept[0] == finish[0]
    assert b'"action":"flag"' in finish[1]


async def _collect(response: httpx2.Response, received: bytearray) -> None:
    async for piece in response.aiter_raw():
        received += piece


GUARDED, REFUSED = b"x-candor-action: regenerate", b"HTTP/1.1 400"
SPELLINGS = [
    (f"{CHAT}/", GUARDED),
    ("/v1/chat%2Fcompletions", GUARDED),
    ("/v1//chat/completions", REFUSED),
    ("/v1/./chat/completions", REFUSED),
]


@pytest.mark.parametrize(("path", "expected"), SPELLINGS)
async def test_no_spelling_of_a_guarded_path_slips_past(path: str, expected: bytes) -> None:
    """What a lenient upstream would take for the guarded path is guarded, or refused."""
    async with stage(says("CAVE"), says("56.")) as on, on.wire() as wire:
        body = request_body()
        start = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        await wire.send(start.encode() + body)
        assert expected in await wire.head()


async def test_upload_keeps_its_stated_length() -> None:
    """A streamed upload whose length the client stated is not re-framed as chunks."""
    async with stage((head("content-length: 0"),)) as on:
        await on.client.post("/v1/files", content=bytes(5000))
    call = on.upstream.calls[0]
    assert call.values("content-length") == ["5000"]
    assert call.values("transfer-encoding") == []
    assert bytes(call.body) == bytes(5000)
