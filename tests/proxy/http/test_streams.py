"""What leaves when, and what never leaves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from tests.proxy.http.stage import CHAT, DISPUTE, Stage, openai_client, request_body, stage
from tests.proxy.http.upstream import says, streamed

from candor_guard.testing import FakeDetector, chat_stream
from candor_guard.wire.sse import Frame, frames_of
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio

CAVE, FINE = says("CAVE secretword", stream=True), says("It is 56.", stream=True)
EAGER = ProxyOptions(header_wait=0.05, keepalive_interval=0.05)


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """Return the parsed frames of a stream that must end with [DONE]."""
    frames = frames_of(body)
    assert frames[-1].data == b"[DONE]"
    return [json.loads(frame.data) for frame in frames[:-1] if frame.data is not None]


def comments_in(frames: list[Frame]) -> list[bytes]:
    return [frame.raw for frame in frames if frame.data is None]


async def test_nothing_of_a_replaced_stream_leaves() -> None:
    """A client gets the second reply's frames, one for one, with `candor` on the finish chunk."""
    second = chat_stream(["It ", "is ", "56."])
    async with stage(CAVE, streamed(second)) as on:
        response, body = await on.chat(stream=True)
    chunks = chunks_of(body)
    (candor,) = [chunk.pop("candor") for chunk in chunks if "candor" in chunk]
    assert b"CAVE" not in body
    assert b"secretword" not in body
    assert chunks == chunks_of(second)
    assert candor["action"] == "regenerate"
    assert candor["upstream_calls"] == 2
    assert response.headers["x-candor-delivered"] == "regenerated"
    assert "content-length" not in response.headers


async def test_candor_is_on_the_finish_chunk_only() -> None:
    """The object is where every client was seen to tolerate it: on the frame that finishes."""
    async with stage(CAVE, FINE) as on:
        _, body = await on.chat(stream=True)
    carriers = [chunk for chunk in chunks_of(body) if "candor" in chunk]
    assert [chunk["choices"][0]["finish_reason"] for chunk in carriers] == ["stop"]


async def test_openai_client_reads_a_replaced_stream() -> None:
    """The official client gets one reply, one finish, no usage that it did not ask for."""
    async with stage(CAVE, FINE) as on, openai_client(f"{on.url}/v1") as client:
        stream = await client.chat.completions.create(
            model="gpt-x",
            messages=DISPUTE,
            stream=True,
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "It is 56. "
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["candor"]["labels"] == ["capitulation"]


async def test_asked_usage_is_summed_over_both_calls() -> None:
    """`include_usage` brings one usage chunk, with the sum; `candor.usage` splits it."""
    plays = [says(text, stream=True, usage=True) for text in ("CAVE", "It is 56.")]
    async with stage(*plays) as on:
        _, body = await on.chat(stream=True, stream_options={"include_usage": True})
    chunks = chunks_of(body)
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert usages == [{"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}]
    (candor,) = [chunk["candor"] for chunk in chunks if "candor" in chunk]
    assert [candor["usage"][k]["total_tokens"] for k in ("original", "regenerated")] == [15, 15]


async def test_usage_of_a_whole_reply_is_summed() -> None:
    """The JSON body's usage counts both calls."""
    async with stage(says("CAVE"), says("It is 56.")) as on:
        _, body = await on.chat()
    assert json.loads(body)["usage"]["total_tokens"] == 30


@pytest.mark.parametrize(
    ("at_risk", "mode"), [(False, "enforce"), (True, "observe"), (True, "off")]
)
async def test_stream_that_is_not_held_leaves_at_once(at_risk: bool, mode: str) -> None:
    """The first piece arrives before the upstream has sent its second."""
    whole = chat_stream(["It ", "is ", "56."])
    cut = whole.index(b"\n\n") + 2
    go = asyncio.Event()
    detector = FakeDetector(at_risk=at_risk)
    async with stage(streamed(whole[:cut], go, whole[cut:]), detector=detector) as on:
        request = on.client.build_request(
            "POST", CHAT, content=request_body(stream=True), headers={"x-candor-mode": mode}
        )
        response = await on.client.send(request, stream=True)
        pieces = response.aiter_raw()
        body = await anext(pieces)
        assert body == whole[:cut]
        go.set()
        body += b"".join([piece async for piece in pieces])
        await response.aclose()
    assert body == whole


async def test_observed_stream_is_annotated_while_it_runs() -> None:
    """Observing holds nothing but the finish chunk, which then tells the verdict."""
    whole = chat_stream(["CAVE ", "in."])
    async with stage(streamed(whole), mode="observe") as on:
        response, body = await on.chat(stream=True)
    chunks = chunks_of(body)
    (candor,) = [chunk.pop("candor") for chunk in chunks if "candor" in chunk]
    assert chunks == chunks_of(whole)
    assert (candor["action"], candor["delivered"]) == ("flag", "original")
    assert response.headers["x-candor-evaluated"] == "deferred"
    assert "x-candor-action" not in response.headers


async def test_held_stream_waits_then_defers_and_keeps_alive() -> None:
    """Headers wait for the decision; then they leave as deferred, and comments follow."""
    whole = chat_stream(["It ", "is ", "56."])
    go = asyncio.Event()
    play = streamed(whole[:50], go, whole[50:], headers=("x-request-id: req_1",))
    began = asyncio.get_running_loop().time()
    async with stage(play, options=EAGER) as on:
        request = on.client.build_request("POST", CHAT, content=request_body(stream=True))
        response = await on.client.send(request, stream=True)
        assert asyncio.get_running_loop().time() - began >= EAGER.header_wait
        assert response.headers["x-candor-evaluated"] == "deferred"
        assert response.headers["x-request-id"] == "req_1"
        assert "x-candor-action" not in response.headers
        pieces = response.aiter_raw()
        body = b"".join([await anext(pieces) for _ in range(3)])
        assert comments_in(frames_of(body)) == [f.raw for f in frames_of(body)]
        go.set()
        body += b"".join([piece async for piece in pieces])
        await response.aclose()
    frames = frames_of(body)
    assert len(comments_in(frames)) >= 3
    assert b"".join(frame.raw for frame in frames if frame.data is not None) == whole


async def test_decision_within_header_wait_is_in_the_headers() -> None:
    """A hold that ends in time shows no trace of keepalive."""
    async with stage(streamed(0.05, chat_stream(["It is 56."]))) as on:
        response, body = await on.chat(stream=True)
    assert response.headers["x-candor-evaluated"] == "full"
    assert comments_in(frames_of(body)) == []


async def test_replacement_after_deferral_arrives_whole() -> None:
    """Deferred headers do not stop a regeneration."""
    slow = streamed(0.15, chat_stream(["CAVE"]))
    async with stage(slow, FINE, options=EAGER) as on, openai_client(f"{on.url}/v1") as client:
        stream = await client.chat.completions.create(
            model="gpt-x",
            messages=DISPUTE,
            stream=True,
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "It is 56. "


async def refused(on: Stage, *, stream: bool) -> openai.APIError:
    """Ask with the official client and return what it raises."""
    async with openai_client(f"{on.url}/v1") as client:

        async def ask() -> None:
            reply: Any = await client.chat.completions.create(
                model="gpt-x",
                messages=DISPUTE,
                stream=stream,
            )
            async for _ in reply:
                pass

        with pytest.raises(openai.APIError) as caught:
            await ask()
    return caught.value


async def test_refusal_after_deferral_is_an_error_frame() -> None:
    """The official client raises at the frame, and does not ask again."""
    slow = streamed(0.15, chat_stream(["CAVE"]))
    async with stage(slow, CAVE, options=EAGER, on_unresolved="refuse") as on:
        error = await refused(on, stream=True)
        assert error.code == "unresolved"
        assert len(on.upstream.calls) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_refusal_is_not_retried(stream: bool) -> None:
    """A refusal is a 422 that the official client raises once: two upstream calls, not six."""
    async with stage(says("CAVE", stream=stream), on_unresolved="refuse") as on:
        error = await refused(on, stream=stream)
        assert isinstance(error, openai.UnprocessableEntityError)
        assert error.response.headers["x-should-retry"] == "false"
        assert len(on.upstream.calls) == 2


async def test_upstream_failure_after_deferral_is_an_error_frame() -> None:
    """An upstream that dies during a hold ends in an error that clients read."""
    dying = (*streamed(chat_stream(["It"])[:80])[:-1], 0.15)
    async with stage((*dying, b"no chunk\r\n"), options=EAGER) as on:
        error = await refused(on, stream=True)
        assert error.code == "upstream_interrupted"


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_cuts_of_the_upstream_change_nothing(size: int) -> None:
    """However the upstream cuts its stream into pieces, the delivered bytes are the same."""
    whole = chat_stream(["CA", "VE"]), chat_stream(["Näh, 56."], usage=True)
    plays = [streamed(*[w[i : i + size] for i in range(0, len(w), size)]) for w in whole]
    async with stage(*plays) as on:
        _, body = await on.chat(stream=True)
    chunks = chunks_of(body)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == "Näh, 56."


async def test_held_reply_over_its_bounds_is_let_go() -> None:
    """A bound on time or bytes ends a hold; what was not read whole is not called read."""
    whole = chat_stream(["It is 56. " * 20, "And so on."])
    cut = whole.index(b"And so on")
    bounds: dict[str, dict[str, Any]] = {
        "hold_time": {"max_hold_seconds": 0.1},
        "hold_bytes": {"max_hold_bytes": 50},
    }
    for bound, limits in bounds.items():
        async with stage(streamed(whole[:cut], 0.3, whole[cut:]), **limits) as on:
            response, body = await on.chat(stream=True)
        assert body == whole
        assert response.headers["x-candor-skipped"] == bound
        assert response.headers["x-candor-evaluated"] == "none"
