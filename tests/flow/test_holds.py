"""Bounds: every hold ends, by bytes or by time, and nothing gets lost then."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest
from tests.flow.kit import MESSAGES, Run, body_of, guarded, reply

from candor_guard import Guard, Policy
from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream, chat_body, chat_stream

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])

FAULTY = "CAVE, you are right about that, of course you are."
CLEAN = "Seven is prime, as I said before, and remains so."
LATE = "Seven is prime, as I said before, but then again: CAVE."
SLOW: dict[str, Any] = {"max_hold_seconds": 0.03}
SHORT: dict[str, Any] = {"max_hold_bytes": 20}


def slow(text: str) -> FakeReply:
    """A stream that falls silent for longer than it may be held, and then goes on."""
    raw = chat_stream([text, " And", " more."], usage=True)
    cut = raw.index(b'{"content": " And"}')
    return FakeReply.sse(raw[:cut], 0.1, raw[cut:])


def long(text: str, *, stream: bool) -> FakeReply:
    """A reply with more text than may be held; a stream in small pieces."""
    if not stream:
        return FakeReply((chat_body(text),))
    raw = chat_stream(text[i : i + 10] for i in range(0, len(text), 10))
    return FakeReply.sse(*(raw[i : i + 100] for i in range(0, len(raw), 100)))


def record(run: Run) -> tuple[str, str, str | None]:
    return run.outcome.action, run.outcome.evaluated, run.outcome.skipped


@both
async def test_bytes_unflagged(stream: bool) -> None:
    """A long reply whose beginning is unflagged is released whole, recorded as not judged."""
    source = long(CLEAN, stream=stream)
    run = await guarded([source], stream=stream, **SHORT)
    assert run.body == body_of(source)
    assert record(run) == ("pass", "none", "hold_bytes")
    assert [e.reply for e in run.detector.read_exchanges] == [CLEAN[:20]]


@both
async def test_bytes_fault_after_the_bound(stream: bool) -> None:
    """Text after the bound is not judged, in no format, and the record does not claim it was."""
    source = long(LATE, stream=stream)
    run = await guarded([source], stream=stream, **SHORT)
    assert run.body == body_of(source)
    assert record(run) == ("pass", "none", "hold_bytes")


@both
async def test_bytes_flagged(stream: bool) -> None:
    """A long reply whose beginning is flagged is regenerated."""
    script = [long(FAULTY, stream=stream), reply("Yes, prime.", stream=stream)]
    run = await guarded(script, stream=stream, **SHORT)
    assert run.text == "Yes, prime."
    assert record(run) == ("regenerate", "full", None)
    assert run.all_closed


@both
async def test_bytes_regeneration_too_long(stream: bool) -> None:
    """A regenerated reply that cannot be judged whole is not delivered; the original is, whole."""
    script = [long(FAULTY, stream=stream), long(CLEAN, stream=stream)]
    run = await guarded(script, stream=stream, **SHORT)
    assert run.text == FAULTY
    assert record(run) == ("flag", "full", "regeneration_unusable")
    assert run.results == ["read", "regeneration_unusable"]


@both
async def test_bytes_failed_regeneration(stream: bool) -> None:
    """When regeneration fails after a bound, what was held and the rest are delivered."""
    source = long(FAULTY, stream=stream)
    run = await guarded([source, FakeReply((), status=500)], stream=stream, **SHORT)
    assert run.text == FAULTY
    assert record(run) == ("flag", "full", "regeneration_failed")
    if stream:
        assert run.body == body_of(source)
    assert run.all_closed


@both
async def test_bytes_observe(stream: bool) -> None:
    """Observing reads as far as the bound and delivers everything."""
    source = long(FAULTY, stream=stream)
    run = await guarded([source], stream=stream, mode="observe", **SHORT)
    assert run.text == FAULTY
    assert record(run) == ("flag", "full", "hold_bytes")


@pytest.mark.parametrize("extra", [0, 1])
async def test_bytes_exact(extra: int) -> None:
    """A reply of exactly the allowed length is judged whole; one more byte is a bound."""
    text = "x" * (20 + extra)
    run = await guarded([long(text, stream=True)], stream=True, **SHORT)
    assert record(run) == (("pass", "none", "hold_bytes") if extra else ("pass", "full", None))


async def test_raw_bytes() -> None:
    """Wire bytes without text are bounded, too."""
    raw = b": padding\n\n" * 800 + chat_stream(["CAVE"])
    source = FakeReply.sse(*(raw[i : i + 50] for i in range(0, len(raw), 50)))
    run = await guarded([source], stream=True, **SHORT)
    assert run.body == raw
    assert record(run) == ("pass", "none", "hold_bytes")


async def test_time_unflagged() -> None:
    """A slow reply whose beginning is unflagged is released and the rest relayed as it comes."""
    source = slow("Seven is prime.")
    run = await guarded([source], stream=True, **SLOW)
    assert run.body == body_of(source)
    assert record(run) == ("pass", "none", "hold_time")
    assert not run.started.rewritten
    assert run.all_closed


async def test_time_flagged() -> None:
    """A slow reply whose beginning is flagged is regenerated without waiting for its end."""
    run = await guarded([slow("CAVE."), reply("Prime.", stream=True)], stream=True, **SLOW)
    assert run.text == "Prime."
    assert record(run) == ("regenerate", "full", None)
    assert run.upstream.responses[0].pieces != []
    assert run.all_closed


@pytest.mark.parametrize("second", [FakeReply((), status=500), FakeReply.chat_stream("CAVE")])
async def test_time_failed_regeneration(second: FakeReply) -> None:
    """After a time bound and a failed regeneration the original is delivered to its end."""
    source = slow("CAVE.")
    run = await guarded([source, second], stream=True, **SLOW)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.delivered) == ("flag", "original")


async def test_time_before_any_text() -> None:
    """A JSON body that takes longer than it may be held is relayed unread."""
    raw = chat_body("CAVE")
    run = await guarded([FakeReply((raw[:40], 0.1, raw[40:]))], **SLOW)
    assert run.body == raw
    assert record(run) == ("pass", "none", "hold_time")


async def test_time_does_not_bound_observing() -> None:
    """Observing holds nothing, so a slow stream is read to its end."""
    run = await guarded([slow("CAVE.")], stream=True, mode="observe", **SLOW)
    assert record(run) == ("flag", "full", None)
    assert run.candor is not None


@pytest.mark.parametrize(("limits", "stream"), [(SLOW, True), (SHORT, True), (SHORT, False)])
async def test_refused_after_a_bound(limits: dict[str, Any], stream: bool) -> None:
    """A flagged beginning can be refused, and then nothing was delivered."""
    source = slow("CAVE.") if limits is SLOW else long(FAULTY, stream=stream)
    run = await guarded([source], stream=stream, max_attempts=0, on_unresolved="refuse", **limits)
    assert run.body == b""
    assert run.outcome.action == "block"
    assert run.all_closed


def _slowly(_: object) -> dict[str, float]:
    time.sleep(0.1)
    return {"capitulation": 0.1, "drift": 0.1}


async def test_slow_detector() -> None:
    """A reading that takes too long releases the reply as an error."""
    detector = FakeDetector(scores=_slowly, inline=False)
    run = await guarded([reply("CAVE")], detector=detector, detector_timeout=0.02)
    assert run.text == "CAVE"
    assert record(run) == ("error", "none", "detector_error")


# -- readings of the beginning --------------------------------------------------------------------

MANY = "It is HALF so, some would say. " * 40  # neither released nor flagged at any place
BEGINNINGS: dict[str, Any] = {"min_prefix_chars": 10, "max_hold_seconds": 0.12}


def slow_detector(*, inline: bool) -> FakeDetector:
    """Takes 50 ms for every reading, on the event loop or in its thread; says nothing clear."""

    def scores(_exchange: Exchange) -> dict[str, float]:
        time.sleep(0.05)
        return {"capitulation": 0.3, "drift": 0.05}

    return FakeDetector(scores=scores, inline=inline)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "thread"])
async def test_readings_of_beginnings_count_into_the_time(inline: bool) -> None:
    """No reading of a beginning begins after the bound in time, however much text is there."""
    source = reply(MANY, stream=True)
    run = await guarded([source], detector=slow_detector(inline=inline), stream=True, **BEGINNINGS)
    lengths = [len(exchange.reply) for exchange in run.detector.read_exchanges]
    assert 2 <= len(lengths) <= 4  # of eleven places, and the whole
    assert lengths[-1] == len(MANY)
    assert run.body == body_of(source)
    assert record(run) == ("pass", "full", None)  # all of it had come, so all of it was judged


async def test_a_beginning_in_the_queue_gives_up_at_the_bound() -> None:
    """A hold does not wait for the turn of a beginning when its time is over."""
    detector = slow_detector(inline=False)
    busy = asyncio.Event()
    loop = asyncio.get_running_loop()

    def scores(exchange: Exchange) -> dict[str, float]:
        if exchange.reply == "other":
            loop.call_soon_threadsafe(busy.set)
            time.sleep(0.4)
        return {"capitulation": 0.01, "drift": 0.01}

    detector.scores = scores
    raw = chat_stream([CLEAN + " Yes. ", "It is."])
    source = FakeReply.sse(raw[: raw.index(b'{"content": "It is."}')], 3600.0)
    policy = Policy(probe="never", min_prefix_chars=10, min_release_chars=10, max_hold_seconds=0.1)
    guard = Guard(detector, policy, upstream=FakeUpstream([FakeReply.chat("other"), source]))
    other = asyncio.ensure_future(guard.complete({"model": "m", "messages": MESSAGES}))
    await busy.wait()
    async with aclosing(guard.stream({"model": "m", "messages": MESSAGES})) as chunks:
        assert (await anext(chunks))["choices"]
    await other
    read = [exchange.reply for exchange in detector.read_exchanges]
    assert read == ["other", CLEAN + " Yes. "]  # not its beginning: the bound came first
    await guard.aclose()
