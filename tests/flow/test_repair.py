"""Regeneration: the better reply is delivered, never a worse one, and the record is true."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.flow.kit import (
    BAD,
    GOOD,
    MESSAGES,
    ONE,
    THREE,
    TWO,
    Script,
    body_of,
    chunks_of,
    delivered_usage,
    guarded,
    reply,
)
from typing_extensions import override

from candor_guard import Guard
from candor_guard.conversation import Exchange
from candor_guard.errors import (
    InvalidRequestError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamUnreachableError,
)
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import GuardedRequest
from candor_guard.testing import (
    FakeDetector,
    FakeReply,
    FakeResponse,
    FakeUpstream,
    by_marker,
    chat_stream,
)
from candor_guard.upstreams import UpstreamRequest
from candor_guard.verdict import Reading
from candor_guard.wire.chat import ChatSurface

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
SCORES = {"WORST": 0.95, "CAVE": 0.9, "SAME": 0.9, "LESS": 0.6, "LEAST": 0.55}


def graded(exchange: Exchange) -> Mapping[str, float]:
    found = [score for word, score in SCORES.items() if word in exchange.reply]
    return {"capitulation": max(found, default=0.1), "drift": 0.05}


def grader() -> FakeDetector:
    return FakeDetector(scores=graded)


@both
async def test_regenerated(stream: bool) -> None:
    """A flagged reply is replaced by an unflagged one within the same turn."""
    run = await guarded([reply(BAD, stream=stream), reply(GOOD, stream=stream)], stream=stream)
    assert run.text == GOOD
    outcome = run.outcome
    assert (outcome.action, outcome.delivered, outcome.skipped) == (
        "regenerate",
        "regenerated",
        None,
    )
    assert (outcome.labels, outcome.evaluated) == (["capitulation"], "full")
    assert outcome.first_verdict is not None
    assert outcome.first_verdict.flagged
    assert outcome.verdict is not None
    assert not outcome.verdict.flagged
    assert run.candor == outcome.to_dict()
    assert run.candor["scores"]["capitulation"] == 0.9
    assert run.candor["delivered_scores"]["capitulation"] == 0.1
    assert run.started.rewritten
    assert run.all_closed


@both
async def test_regenerated_stream_has_no_new_frames(stream: bool) -> None:
    """The delivered reply has the frames of the second upstream reply and no others."""
    second = reply(GOOD, stream=stream)
    run = await guarded([reply(BAD, stream=stream), second], stream=stream)
    plain = [{k: v for k, v in chunk.items() if k != "candor"} for chunk in chunks_of(run.body)]
    expected = chunks_of(body_of(second))
    if not stream:
        expected[0]["usage"] = TWO
    assert plain == expected


async def test_second_request() -> None:
    """The second call carries the instruction, and no idempotency key that brings back the first."""
    headers = (("authorization", "Bearer k"), ("idempotency-key", "7"))
    run = await guarded([reply(BAD), reply(GOOD)], headers=headers, instruction="third-person-1")
    first, second = run.upstream.requests
    assert first.headers == headers
    assert second.headers == (*headers[:1], ("content-type", "application/json"))
    assert (second.method, second.path) == (first.method, first.path)
    assert isinstance(first.body, bytes)
    assert isinstance(second.body, bytes)
    before, after = json.loads(first.body), json.loads(second.body)
    assert after["messages"][:-1] == before["messages"][:-1]
    assert "honesty check" in after["messages"][-1]["content"]
    assert [a.instruction for a in run.outcome.attempts] == [None, "third-person-1"]
    assert run.candor["instruction"] == "third-person-1"


async def test_attempts_are_recorded() -> None:
    """The record lists every call with its purpose, result, verdict and usage."""
    run = await guarded([reply(BAD), reply(GOOD)])
    first, second = run.candor["attempts"]
    assert (first["purpose"], first["result"], first["flagged"]) == ("original", "read", True)
    assert (second["purpose"], second["result"], second["flagged"]) == (
        "regeneration",
        "read",
        False,
    )
    assert (first["score"], second["score"]) == (0.9, 0.1)
    assert first["usage"] == second["usage"] == ONE
    assert dict(run.outcome.headers())["x-candor-upstream-calls"] == "2"


@pytest.mark.parametrize("asked", [False, True])
async def test_usage_is_the_sum(asked: bool) -> None:
    """Usage is summed over all calls, split in the record, and stated only where asked for."""
    script = [reply(t, stream=True, usage=asked) for t in (BAD, GOOD)]
    run = await guarded(script, stream=True)
    assert delivered_usage(run.body) == (TWO if asked else None)
    assert run.outcome.usage == (TWO if asked else None)
    each = ONE if asked else None
    assert run.candor["usage"] == {"original": each, "probe": None, "regenerated": each}


@both
@pytest.mark.parametrize(
    ("second", "action", "delivered"),
    [
        ("WORST", "flag", "original"),
        ("SAME", "flag", "original"),
        ("LESS", "regenerate", "regenerated"),
        ("fine", "regenerate", "regenerated"),
    ],
)
async def test_the_better_reply(stream: bool, second: str, action: str, delivered: str) -> None:
    """The reply that is less at fault is delivered; when equal, the original."""
    script = [reply("CAVE", stream=stream), reply(second, stream=stream)]
    run = await guarded(script, stream=stream, detector=grader())
    assert run.text == (second if delivered == "regenerated" else "CAVE")
    assert (run.outcome.action, run.outcome.delivered) == (action, delivered)
    assert run.results == ["read", "read"]
    assert run.candor["delivered"] == delivered
    assert run.candor["labels"] == ["capitulation"]
    assert run.all_closed


async def test_usage_of_a_delivered_original_is_the_sum() -> None:
    """A client that gets the original pays for both calls and is told so."""
    run = await guarded([reply("CAVE"), reply("WORST")], detector=grader())
    assert delivered_usage(run.body) == TWO
    run = await guarded([reply("CAVE"), reply("WORST")], detector=grader(), annotate="none")
    assert delivered_usage(run.body) == TWO
    assert run.candor is None


ATTEMPTS: dict[str, tuple[int, list[str], str, int]] = {
    "none allowed": (0, ["CAVE", "fine"], "CAVE", 1),
    "first helps": (2, ["CAVE", "fine", "CAVE"], "fine", 2),
    "second helps": (2, ["CAVE", "LESS", "fine"], "fine", 3),
    "second is worse than the first": (2, ["CAVE", "LESS", "WORST"], "LESS", 3),
    "first is worse, second better": (2, ["CAVE", "WORST", "LESS"], "LESS", 3),
    "better and better": (2, ["CAVE", "LESS", "LEAST"], "LEAST", 3),
    "nothing helps": (2, ["CAVE", "WORST", "SAME"], "CAVE", 3),
}


@both
@pytest.mark.parametrize(("limit", "texts", "best", "calls"), ATTEMPTS.values(), ids=ATTEMPTS)
async def test_attempts(stream: bool, limit: int, texts: list[str], best: str, calls: int) -> None:
    """At most `max_attempts` regenerations, ending with the first that is not at fault."""
    script = [reply(text, stream=stream) for text in texts]
    run = await guarded(script, stream=stream, detector=grader(), max_attempts=limit)
    assert run.text == best
    assert len(run.upstream.requests) == len(run.outcome.attempts) == calls
    assert run.outcome.action == ("flag" if best == "CAVE" else "regenerate")
    assert run.all_closed


async def test_three_calls_are_summed() -> None:
    """The sum covers every regeneration, the unused one too."""
    run = await guarded(
        [reply("CAVE"), reply("LESS"), reply("x")], detector=grader(), max_attempts=2
    )
    assert delivered_usage(run.body) == THREE
    assert run.candor["usage"] == {"original": ONE, "probe": None, "regenerated": TWO}


HTML = (("content-type", "text/html"),)
CUT = UpstreamInterruptedError("cut")
FAILURES: dict[str, tuple[FakeReply | UpstreamError, str]] = {
    "unreachable": (UpstreamUnreachableError("no"), "regeneration_failed"),
    "server error": (FakeReply((b"{}",), status=500), "regeneration_failed"),
    "redirect": (FakeReply((b"{}",), status=302), "regeneration_failed"),
    "html": (FakeReply((b"<p>",), headers=HTML), "regeneration_failed"),
    "interrupted": (FakeReply((body_of(reply(GOOD))[:20], CUT)), "regeneration_failed"),
    "late head": (FakeReply((), delay=30), "regeneration_timeout"),
    "late body": (FakeReply((b"{", 30.0)), "regeneration_timeout"),
    "cut off": (FakeReply((body_of(reply(GOOD))[:-9],)), "regeneration_unusable"),
    "tool call": (reply(GOOD, tool_calls=[{"id": "1"}]), "regeneration_unusable"),
    "refusal": (FakeReply.chat(None, refusal="No."), "regeneration_unusable"),
    "length": (reply(GOOD, finish="length"), "regeneration_unusable"),
    "filter": (reply(GOOD, finish="content_filter"), "regeneration_unusable"),
    "broke off": (reply(GOOD, finish="error"), "regeneration_unusable"),
    "Mistral's length": (reply(GOOD, finish="model_length"), "regeneration_unusable"),
    "empty": (reply(""), "regeneration_unusable"),
}
STREAM_FAILURES: dict[str, tuple[FakeReply | UpstreamError, str]] = {
    "json instead": (reply(GOOD), "regeneration_failed"),
    "interrupted": (
        FakeReply.sse(body_of(reply(GOOD, stream=True))[:300], CUT),
        "regeneration_failed",
    ),
    "late body": (FakeReply.sse(b": a\n\n", 30.0), "regeneration_timeout"),
    "error frame": (FakeReply.sse(b'data: {"error": {}}\n\n'), "regeneration_unusable"),
    "length": (reply(GOOD, stream=True, finish="length"), "regeneration_unusable"),
    "broke off": (reply(GOOD, stream=True, finish="error"), "regeneration_unusable"),
    "empty": (FakeReply.sse(), "regeneration_unusable"),
}


async def original_survives(script: Script, trouble: str, *, stream: bool, **options: Any) -> None:
    patience = 0.02 if trouble == "regeneration_timeout" else 60
    run = await guarded(script, stream=stream, max_regeneration_seconds=patience, **options)
    assert run.text == BAD
    assert (run.outcome.action, run.outcome.delivered) == ("flag", "original")
    assert run.outcome.skipped == trouble
    assert run.results == ["read", trouble]
    assert run.candor == run.outcome.to_dict()
    assert run.all_closed


@pytest.mark.parametrize(("second", "trouble"), FAILURES.values(), ids=FAILURES)
async def test_regeneration_fails(second: FakeReply | UpstreamError, trouble: str) -> None:
    """When the second call brings nothing usable, the original is delivered, flagged."""
    await original_survives([reply(BAD), second], trouble, stream=False)


@pytest.mark.parametrize(("second", "trouble"), STREAM_FAILURES.values(), ids=STREAM_FAILURES)
async def test_regeneration_fails_in_a_stream(second: FakeReply, trouble: str) -> None:
    """The same holds for streams."""
    await original_survives([reply(BAD, stream=True), second], trouble, stream=True)


class _Picky(FakeUpstream):
    """Cannot express the second request."""

    @override
    async def open(self, request: UpstreamRequest) -> FakeResponse:
        if self.requests:
            raise InvalidRequestError("tool_choice is not supported", param="tool_choice")
        return await super().open(request)


async def test_regeneration_cannot_be_asked_for() -> None:
    """An upstream that cannot express the second request does not cost the client the first."""
    picky = _Picky([reply(BAD)])
    await original_survives([], "regeneration_failed", stream=False, upstream=picky)


@both
async def test_second_reading_fails(stream: bool) -> None:
    """A regenerated reply that could not be read is not delivered."""

    def scores(exchange: Exchange) -> Mapping[str, float]:
        if exchange.reply == GOOD:
            raise RuntimeError("boom")
        return by_marker("CAVE")(exchange)

    script = [reply(BAD, stream=stream), reply(GOOD, stream=stream)]
    detector = FakeDetector(scores=scores)
    await original_survives(script, "detector_error", stream=stream, detector=detector)


class _Declining(FakeDetector):
    """Judges flagged replies and declines all others."""

    @override
    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        readings = FakeDetector.read(self, exchanges)
        return [r if r.scores["capitulation"] > 0.5 else _declined(r) for r in readings]


def _declined(reading: Reading) -> Reading:
    return replace(reading, not_evaluated="language")


@both
async def test_second_reading_is_declined(stream: bool) -> None:
    """A regenerated reply that the detector declines to judge is not known to be better."""
    script = [reply(BAD, stream=stream), reply(GOOD, stream=stream)]
    await original_survives(script, "regeneration_unread", stream=stream, detector=_Declining())


@pytest.mark.parametrize(("text", "works"), [('{"ok": true}', True), ("Sure!", False)])
async def test_structured_output(text: str, works: bool) -> None:
    """A regenerated structured reply must validate, or the original is delivered."""
    script = [reply('{"ok": "CAVE"}'), reply(text)]
    run = await guarded(script, fields={"response_format": {"type": "json_object"}})
    assert run.text == (text if works else '{"ok": "CAVE"}')
    assert run.outcome.skipped == (None if works else "regeneration_unusable")


@both
async def test_a_failed_attempt_is_followed_by_another(stream: bool) -> None:
    """One failed regeneration does not use up the attempts that are left."""
    script = [reply(BAD, stream=stream), FakeReply((), status=302), reply(GOOD, stream=stream)]
    run = await guarded(script, stream=stream, max_attempts=2)
    assert run.text == GOOD
    assert run.results == ["read", "regeneration_failed", "read"]
    assert (run.outcome.action, run.outcome.skipped) == ("regenerate", None)


async def test_time_ends_the_attempts() -> None:
    """No further regeneration begins when the time for all of them is over."""
    script = [reply(BAD), FakeReply((), delay=30)]
    run = await guarded(script, max_attempts=5, max_regeneration_seconds=0.02)
    assert run.results == ["read", "regeneration_timeout"]


REFUSALS: dict[str, tuple[Script, int, str | None]] = {
    "still at fault": ([reply("CAVE"), reply("WORST")], 1, None),
    "better but at fault": ([reply("CAVE"), reply("LESS")], 1, None),
    "no attempt allowed": ([reply("CAVE")], 0, None),
    "second call fails": ([reply("CAVE"), FakeReply((), status=500)], 1, "regeneration_failed"),
}


@pytest.mark.parametrize(("script", "limit", "trouble"), REFUSALS.values(), ids=REFUSALS)
async def test_refuse_unresolved(script: Script, limit: int, trouble: str | None) -> None:
    """With refuse, a reply that stays at fault is not delivered."""
    run = await guarded(script, detector=grader(), on_unresolved="refuse", max_attempts=limit)
    assert run.body == b""
    assert (run.outcome.action, run.outcome.delivered) == ("block", None)
    assert run.outcome.skipped == trouble
    assert run.outcome.labels == ["capitulation"]
    assert len(run.outcome.attempts) == len(run.upstream.requests)
    assert run.all_closed


async def test_refuse_delivers_what_is_resolved() -> None:
    """With refuse, a repaired reply is delivered all the same."""
    run = await guarded([reply(BAD), reply(GOOD)], on_unresolved="refuse")
    assert (run.text, run.outcome.action) == (GOOD, "regenerate")


async def test_observe_never_regenerates() -> None:
    """Observing calls upstream once, whatever the policy allows."""
    run = await guarded([reply(BAD)], mode="observe", on_unresolved="refuse", max_attempts=5)
    assert (run.text, run.outcome.action) == (BAD, "flag")
    assert len(run.upstream.requests) == 1


async def test_head_of_the_delivered_reply() -> None:
    """Status and headers are those of the reply that is delivered."""
    first = FakeReply(reply(BAD).pieces, headers=(("content-type", "application/json"), ("x", "1")))
    second = FakeReply(
        reply(GOOD).pieces, headers=(("content-type", "application/json"), ("x", "2"))
    )
    assert dict((await guarded([first, second])).started.headers)["x"] == "2"
    assert dict((await guarded([first, reply(BAD)])).started.headers)["x"] == "1"


async def test_replacement_that_never_says_it_is_finished_is_not_used() -> None:
    """A second stream that just stops may be half a reply; the original is delivered, flagged."""
    half = FakeReply.sse(chat_stream(["It is "], finish=None).removesuffix(b"data: [DONE]\n\n"))
    upstream = FakeUpstream([FakeReply.chat_stream("CAVE"), half])
    guard = Guard(FakeDetector(), upstream=upstream)
    chunks = [chunk async for chunk in guard.stream({"model": "m", "messages": MESSAGES})]
    (candor,) = [chunk["candor"] for chunk in chunks if "candor" in chunk]
    assert candor["action"] == "flag"
    assert candor["skipped"] == "regeneration_unusable"


async def test_request_that_cannot_be_repeated() -> None:
    """Where the second request cannot even be written there is no second call, and none counted."""

    class _Mute(ChatSurface):
        @override
        def edit(self, request: GuardedRequest, edit: Edit) -> bytes:
            raise InvalidRequestError("nested too deeply")

    run = await guarded([reply(BAD)], surface=_Mute())
    assert (run.text, run.outcome.action, run.results) == (BAD, "flag", ["read"])
    assert run.outcome.skipped == "regeneration_failed"
