"""Streams whose usage comes in a chunk of its own, without choices, before [DONE]."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.proxy.http.stage import DISPUTE, openai_client, stage
from tests.proxy.http.test_adaptive import CLEAN, LATE, SMALL
from tests.proxy.http.test_decisions import candor_in
from tests.proxy.http.test_paths import FALSE, HALF, KEEPS, SUPPORTED, graded
from tests.proxy.http.test_streams import chunks_of
from tests.proxy.http.upstream import Piece, streamed

from candor_guard.testing import FakeDetector, chat_stream

pytestmark = pytest.mark.anyio

ASKED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
CUTS = pytest.mark.parametrize("cut", ["at once", "by frame", "by byte", "late"])


def counted(*words: str, prompt: int = 10, said: int = 5) -> bytes:
    """A stream as OpenAI sends it: ``usage`` null in every chunk, the counts in the last one."""
    frames = chat_stream(words, usage=True).split(b"\n\n")
    bare = [frame.replace(b'"choices": [{', b'"usage": null, "choices": [{') for frame in frames]
    counts: dict[str, Any] = {
        "prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said,
        "completion_tokens_details": {"reasoning_tokens": said},
    }  # fmt: skip
    last = json.loads(bare[-3].removeprefix(b"data: ")) | {"usage": counts}
    assert last["choices"] == []
    return b"\n\n".join([*bare[:-3], b"data: " + json.dumps(last).encode(), *bare[-2:]])


def play(raw: bytes, cut: str) -> tuple[Piece, ...]:
    """The stream, cut in one of several ways; late: the counts, and then the end, take a while."""
    if cut == "at once":
        return streamed(raw)
    if cut == "by byte":
        return streamed(*(raw[i : i + 1] for i in range(len(raw))))
    frames = [frame + b"\n\n" for frame in raw.split(b"\n\n")[:-1]]
    if cut == "by frame":
        return streamed(*frames)
    return streamed(*frames[:-2], 0.05, frames[-2], 0.05, frames[-1])


def usages(body: bytes) -> list[Any]:
    """Every usage that is stated, checking that it is alone and that the stream ends once."""
    assert body.count(b"[DONE]") == 1
    assert body.endswith(b"data: [DONE]\n\n")
    chunks = chunks_of(body)
    stated = [chunk for chunk in chunks if chunk.get("usage")]
    assert [chunk["choices"] for chunk in stated] == [[]]
    assert stated == chunks[-1:]
    return [chunk["usage"] for chunk in stated]


def total(prompt: int, said: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said,
        "completion_tokens_details": {"reasoning_tokens": said},
    }  # fmt: skip


@CUTS
async def test_a_held_reply_that_passes(cut: str) -> None:
    """A held reply that is not flagged keeps its counts, byte for byte."""
    raw = counted("It ", "is ", "56.")
    async with stage(play(raw, cut)) as on:
        response, body = await on.chat(**ASKED)
    assert (response.headers["x-candor-evaluated"], body) == ("full", raw)
    assert usages(body) == [total(10, 5)]


@CUTS
async def test_a_held_reply_that_a_probe_clears(cut: str) -> None:
    """A held reply that took a probe states what both calls used, and is else as it was sent."""
    raw = counted("CAVE: ", "it ", "is ", "54.")
    async with stage(play(raw, cut), probes=(FALSE,), probe="uncertain") as on:
        response, body = await on.chat(**ASKED)
    assert response.headers["x-candor-action"] == "pass"
    (told,) = usages(body)
    assert told == {**total(20, 10), "completion_tokens_details": {"reasoning_tokens": 5}}
    assert chunks_of(body)[:-1] == chunks_of(raw)[:-1]


@CUTS
@pytest.mark.parametrize("probes", [0, 1, 2])
async def test_a_regenerated_reply(cut: str, probes: int) -> None:
    """A regenerated reply states the sum of all calls, probes included; `candor` splits it."""
    again = HALF.split(" ") if probes == 2 else ["It", "is", "56."]  # in doubt: asked about, too
    first = counted("CAVE: ", "it ", "is ", "54.", prompt=100, said=40)
    second = counted(*(f"{word} " for word in again), prompt=120, said=30)
    async with stage(
        play(first, cut), play(second, cut), probes=(SUPPORTED, KEEPS),
        detector=FakeDetector(scores=graded), probe="uncertain" if probes else "never",
    ) as on:  # fmt: skip
        response, body = await on.chat(**ASKED)
        calls = [call.json for call in on.upstream.calls]
    assert response.headers["x-candor-delivered"] == "regenerated"
    assert len(calls) == 2 + probes
    (told,) = usages(body)
    assert told == {
        **total(220 + 10 * probes, 70 + 5 * probes),
        "completion_tokens_details": {"reasoning_tokens": 70},
    }
    split = (candor_in(body) or {})["usage"]
    assert split["original"]["total_tokens"] == 140
    assert (split["probe"] or {}).get("total_tokens") == (15 * probes or None)
    assert split["regenerated"]["total_tokens"] == 150
    assert calls[-1 if probes < 2 else -2]["stream_options"] == {"include_usage": True}


@CUTS
async def test_a_reply_that_no_regeneration_improves(cut: str) -> None:
    """The original, delivered and flagged after all, states what the failed try used as well."""
    async with stage(
        play(counted("CAVE ", "one."), cut), play(counted("CAVE ", "two.", said=7), cut)
    ) as on:
        response, body = await on.chat(**ASKED)
    assert (response.headers["x-candor-action"], b"one." in body) == ("flag", True)
    assert usages(body) == [total(20, 12)]


@CUTS
async def test_a_corrected_reply(cut: str) -> None:
    """A released reply with a correction states the sum, after the correction."""
    plays = play(counted(*LATE), cut), play(counted("It ", "is ", "56."), cut)
    async with stage(*plays, after_release="correct", **SMALL) as on:
        _, body = await on.chat(**ASKED)
    assert b"Correction:" in body
    assert usages(body) == [total(20, 10)]


@CUTS
async def test_a_released_reply(cut: str) -> None:
    """A reply that is released before its end keeps its counts, byte for byte."""
    raw = counted(*CLEAN)
    async with stage(play(raw, cut), **SMALL) as on:
        response, body = await on.chat(**ASKED)
    assert (response.headers["x-candor-evaluated"], body) == ("deferred", raw)
    assert usages(body) == [total(10, 5)]


def of_two(raw: bytes) -> bytes:
    """The same stream with every choice a second time, as index 1."""
    frames = raw.split(b"\n\n")
    twice = [
        [frame, frame.replace(b'"index": 0', b'"index": 1')] if b'"index": 0' in frame else [frame]
        for frame in frames
    ]
    return b"\n\n".join(frame for pair in twice for frame in pair)


@CUTS
async def test_several_choices(cut: str) -> None:
    """With ``n`` = 2 nothing is held or asked: every byte, the counts included, is the upstream's."""
    raw = of_two(counted("CAVE ", "it ", "is."))
    async with stage(play(raw, cut), shipped=True) as on:
        response, body = await on.chat(n=2, **ASKED)
        assert len(on.upstream.calls) == 1
    assert body == raw
    assert usages(body) == [total(10, 5)]
    assert response.headers["x-candor-skipped"] == "n"


@CUTS
async def test_several_choices_that_nobody_asked_for(cut: str) -> None:
    """A held stream that turns out to have two choices is delivered as the upstream sent it."""
    raw = of_two(counted("CAVE ", "it ", "is."))
    async with stage(play(raw, cut)) as on:
        response, body = await on.chat(**ASKED)
        assert len(on.upstream.calls) == 1
    assert (body, response.headers["x-candor-skipped"]) == (raw, "n")


@pytest.mark.parametrize("first", [["CAVE"], ["It is 56."]], ids=["regenerated", "unflagged"])
async def test_the_official_client(first: list[str]) -> None:
    """The official client reads one usage, in the last chunk, and the sum where there were two calls."""
    plays = streamed(counted(*first)), streamed(counted("It is 56."))
    async with stage(*plays) as on, openai_client(f"{on.url}/v1") as client:
        stream = await client.chat.completions.create(
            model="m", messages=DISPUTE, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    told = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
    assert told == [30 if first == ["CAVE"] else 15]
    assert (chunks[-1].choices, chunks[-1].usage is not None) == ([], True)
