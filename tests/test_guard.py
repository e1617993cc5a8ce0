"""`Guard`: reading without a network, and the whole loop, with one clear error for each misuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, MESSAGES, TWO, reply

from candor_guard import Guard, Outcome, Policy
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.errors import (
    ConfigurationError,
    DetectorError,
    InvalidRequestError,
    ReplyRefusedError,
    UpstreamError,
    UpstreamUnreachableError,
)
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream, chat_stream

pytestmark = pytest.mark.anyio
REQUEST = {"model": "m", "messages": MESSAGES}


def guard(*script: FakeReply | UpstreamError, **policy: Any) -> Guard:
    """A guard whose scripted upstream answers no probes; they have tests of their own."""
    wish = {"probe": "never", **policy}
    return Guard(FakeDetector(), Policy(**wish), upstream=FakeUpstream(script))


def test_check() -> None:
    """A reply is judged from the messages and its text."""
    assert guard().check(MESSAGES, BAD).labels == {"capitulation"}
    assert not guard().check(MESSAGES, GOOD).flagged
    assert guard().check(MESSAGES, BAD).detector == "fake@1"


def test_check_many() -> None:
    """A batch is judged in order, in one call; an empty one without any."""
    checker = guard()
    batch = [{"messages": MESSAGES, "reply": text} for text in (GOOD, BAD, GOOD)]
    assert [v.flagged for v in checker.check_many(iter(batch))] == [False, True, False]
    assert checker.check_many([]) == []
    assert checker.check_many(batch[1:2]) == [checker.check(MESSAGES, BAD)]


async def test_reading_off_the_loop() -> None:
    """`acheck` and `agate` say what `check` and `gate` say; a closed guard reads no more."""
    async with Guard(LexicalDetector()) as inline, Guard() as lent:
        for one in (inline, lent):
            assert await one.acheck(MESSAGES, BAD) == one.check(MESSAGES, BAD)
            assert await one.agate(MESSAGES) == one.gate(MESSAGES)
    with pytest.raises(DetectorError, match="closed"):
        await lent.acheck(MESSAGES, BAD)


async def test_a_guard_closes_at_the_end_of_its_block() -> None:
    """`async with` closes the upstream, also where the block fails."""
    upstream = FakeUpstream([])
    with pytest.raises(KeyError):
        async with Guard(FakeDetector(), upstream=upstream):
            raise KeyError
    assert upstream.closed


def test_gate() -> None:
    """The gate sees the messages alone."""
    assert guard().gate(MESSAGES).at_risk
    assert not Guard(FakeDetector(at_risk=False)).gate(MESSAGES).at_risk


def test_thresholds_come_from_the_policy() -> None:
    """The policy's thresholds decide what is flagged."""
    assert not guard(thresholds={"capitulation": 0.95}).check(MESSAGES, BAD).flagged
    assert guard(thresholds={"drift": 0.01}).check(MESSAGES, GOOD).labels == {"drift"}


def test_the_default_detector_works() -> None:
    """A guard without arguments judges, offline."""
    verdict = Guard().check(MESSAGES, YIELDING)
    assert set(verdict.scores) == {"capitulation", "drift"}
    assert all(YIELDING[s.start : s.end] == s.text for s in verdict.evidence)


YIELDING = "You're absolutely right, I apologize, 7 is not prime."
MISUSES: dict[str, tuple[Callable[[Guard], object], str, str | None]] = {
    "no list": (lambda g: g.check("hi", GOOD), "list, not str", "messages"),
    "empty list": (lambda g: g.check([], GOOD), "not be empty", "messages"),
    "bad role": (lambda g: g.check([{"role": "x"}], GOOD), "known roles", "messages.0.role"),
    "reply missing": (lambda g: g.check(MESSAGES, None), "text: it is missing", "reply"),  # type: ignore[arg-type]  # the mistake
    "reply is bytes": (lambda g: g.check(MESSAGES, b"x"), "not bytes", "reply"),  # type: ignore[arg-type]
    "gate": (lambda g: g.gate(None), "messages is missing", "messages"),
    "batch entry": (lambda g: g.check_many([7]), "exchange 0: .* not int", None),  # type: ignore[list-item]
    "batch reply": (
        lambda g: g.check_many([{"messages": MESSAGES, "reply": "x"}, {"messages": MESSAGES}]),
        "exchange 1: reply must be text: it is missing",
        "reply",
    ),
    "batch messages": (
        lambda g: g.check_many([{"reply": "x"}]),
        "exchange 0: messages",
        "messages",
    ),
}


@pytest.mark.parametrize(("misuse", "message", "param"), MISUSES.values(), ids=MISUSES)
def test_misuse(misuse: Callable[[Guard], object], message: str, param: str | None) -> None:
    """Bad input is one error that says what and where."""
    with pytest.raises(InvalidRequestError, match=message) as caught:
        misuse(guard())
    assert caught.value.param == param


CONFIGURATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "operating point": ({"operating_point": "lax"}, "balanced, recall, sensitive, strict"),
    "probe point": ({"probe_point": "lax"}, "balanced, recall, sensitive, strict"),
    "instruction": ({"instruction": "shout-1"}, "known: .*reconsider-1"),
    "instruction with a finding": ({"instruction": "grounded-1"}, "strategy 'grounded'"),
}


@pytest.mark.parametrize(("policy", "message"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_configuration(policy: dict[str, Any], message: str) -> None:
    """A policy that names what does not exist is refused when the guard is made."""
    with pytest.raises(ConfigurationError, match=message):
        guard(**policy)


async def test_with_upstream() -> None:
    """A guard with another upstream is a full one and shares budget and observers with the first."""
    outcomes: list[Outcome] = []
    first = Guard(
        FakeDetector(),
        Policy(probe="never", max_extra_calls_per_minute=1),
        upstream=FakeUpstream([reply("never asked")]),
        observers=[outcomes.append],
    )
    answers = []
    for _ in range(2):
        bound = first.with_upstream(FakeUpstream([reply(BAD), reply(GOOD)]))
        assert type(bound) is type(first)
        body = await bound.complete(REQUEST)
        answers.append(body["choices"][0]["message"]["content"])
    assert answers == [GOOD, BAD]
    assert [outcome.skipped for outcome in outcomes] == [None, "budget"]
    assert (await first.complete(REQUEST))["choices"][0]["message"]["content"] == "never asked"


def test_with_upstream_keeps_the_class() -> None:
    """A subclass's guard stays one, with what it has set."""

    class _Named(Guard):
        title = ""

    named = _Named(FakeDetector())
    named.title = "mine"
    bound = named.with_upstream(FakeUpstream([]))
    assert isinstance(bound, _Named)
    assert (bound.title, named.upstream) == ("mine", None)


def test_a_failing_detector_is_one_error() -> None:
    """A detector's own exception comes out as ours."""
    broken = Guard(FakeDetector(error=KeyError("x"), gate_error=KeyError("x")))
    with pytest.raises(DetectorError, match="raised KeyError"):
        broken.check(MESSAGES, GOOD)
    with pytest.raises(DetectorError, match="raised KeyError"):
        broken.gate(MESSAGES)


async def chunks(source: Guard, request: Any = REQUEST) -> list[dict[str, Any]]:
    return [chunk async for chunk in source.stream(request)]


def said(parts: list[dict[str, Any]]) -> str:
    choices = [choice for part in parts for choice in part["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


async def test_complete() -> None:
    """A flagged reply is replaced, and the body says so."""
    body = await guard(reply(BAD), reply(GOOD)).complete(REQUEST)
    assert body["choices"][0]["message"]["content"] == GOOD
    assert body["candor"]["action"] == "regenerate"
    assert body["usage"] == TWO
    assert "candor" not in await guard(reply(GOOD)).complete(REQUEST)


async def test_stream() -> None:
    """A stream is the same, chunk by chunk, with the record on the finish chunk."""
    source = guard(reply(BAD, stream=True), reply(GOOD, stream=True))
    parts = await chunks(source)
    assert said(parts) == GOOD
    assert [part["choices"][0]["finish_reason"] for part in parts if "candor" in part] == ["stop"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
async def test_stream_without_a_closing_line(end: str) -> None:
    """The last chunk is handed out even when upstream does not close its frame."""
    raw = chat_stream(["a", "b"]).partition(b"data: [DONE]")[0].rstrip()
    parts = await chunks(guard(FakeReply.sse(raw.replace(b"\n", end.encode()))))
    assert said(parts) == "ab"
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"


async def test_the_request_says_what_is_wanted() -> None:
    """`complete` and `stream` set the request's stream flag and leave the rest alone."""
    upstream = FakeUpstream([reply(GOOD), reply(GOOD, stream=True)])
    source = Guard(FakeDetector(), upstream=upstream)
    request = {**REQUEST, "temperature": 0, "stream": True}
    await source.complete(request)
    await chunks(source, {**request, "stream": False})
    assert [b'"stream":true' in bytes(r.body) for r in upstream.requests] == [False, True]  # type: ignore[arg-type]
    assert request["stream"] is True
    assert all(r.path == "/chat/completions" for r in upstream.requests)


LOOP_ERRORS: dict[str, tuple[Guard, type[Exception], str]] = {
    "no upstream": (Guard(FakeDetector()), ConfigurationError, r"Guard\(upstream=...\)"),
    "unreachable": (guard(UpstreamUnreachableError("no")), UpstreamUnreachableError, "no"),
    "error status": (guard(FakeReply((b"{}",), status=429)), UpstreamError, "status 429"),
    "refused": (
        guard(FakeReply.sse(chat_stream(["CAVE"])), max_attempts=0, on_unresolved="refuse"),
        ReplyRefusedError, "unresolved",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "kind", "message"), LOOP_ERRORS.values(), ids=LOOP_ERRORS)
async def test_loop_errors(source: Guard, kind: type[Exception], message: str) -> None:
    """Each failure of the loop is one exception of ours."""
    with pytest.raises(kind, match=message):
        await chunks(source)
    if kind is not ReplyRefusedError:
        with pytest.raises(kind, match=message):
            await source.complete(REQUEST)


UNREADABLE = {
    "html": FakeReply((b"<p>",), headers=(("content-type", "text/html"),)),
    "no object": FakeReply((b"[]",)),
    "redirect": FakeReply((b"",), status=302),
}


@pytest.mark.parametrize("source", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_answers_are_the_upstreams_fault(source: FakeReply) -> None:
    """An answer that is no JSON object is blamed on the upstream, not on the caller."""
    with pytest.raises(UpstreamError, match="unreadable"):
        await guard(source).complete(REQUEST)


NO_STREAMS = {
    **UNREADABLE,
    "whole reply": reply(GOOD),
    "empty stream": FakeReply.sse(),
    "comments": FakeReply.sse(b": hi\n\n: hi"),
}


@pytest.mark.parametrize("source", NO_STREAMS.values(), ids=NO_STREAMS)
async def test_a_stream_of_nothing_is_the_upstreams_fault(source: FakeReply) -> None:
    """Where a stream was asked for, an answer that is none is an error and not an empty reply."""
    with pytest.raises(UpstreamError, match="no event stream"):
        await chunks(guard(source))


async def test_a_stream_that_says_nothing_is_one() -> None:
    """A stream that only tells its end, or is called otherwise, is read as it is."""
    assert await chunks(guard(FakeReply.sse(b"data: [DONE]\n\n"))) == []
    plain = (("content-type", "text/plain"),)
    assert said(await chunks(guard(FakeReply((chat_stream(["a"]),), headers=plain)))) == "a"


async def test_unreadable_chunks_are_the_upstreams_fault() -> None:
    """A chunk that is no JSON object is blamed on the upstream, not on the caller."""
    with pytest.raises(UpstreamError, match="unreadable"):
        await chunks(guard(FakeReply.sse(b"data: {oops\n\n")))


def _endless() -> dict[str, Any]:
    request: dict[str, Any] = dict(REQUEST)
    request["metadata"] = request
    return request


BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"model": "m"}, "messages"),
    "messages text": ({"messages": "hi"}, "messages"),
    "not JSON": ({**REQUEST, "x": b"bytes"}, "written as JSON: .*bytes"),
    "endless": (_endless(), "written as JSON"),
}


@pytest.mark.parametrize(("request_", "message"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_bad_requests(request_: dict[str, Any], message: str) -> None:
    """A request that cannot be sent is one error, before any upstream is called."""
    with pytest.raises(InvalidRequestError, match=message):
        await guard(reply(GOOD)).complete(request_)
    with pytest.raises(InvalidRequestError, match=message):
        await chunks(guard(reply(GOOD)), request_)


REFUSALS: dict[str, tuple[Guard, str]] = {
    "unresolved": (guard(reply(BAD), max_attempts=0, on_unresolved="refuse"), "unresolved"),
    "second reading fails": (
        Guard(FakeDetector(scores=lambda e: _second_fails(e.reply)),
              Policy(on_unresolved="refuse"), upstream=FakeUpstream([reply(BAD), reply(GOOD)])),
        "unresolved",
    ),
    "reading fails": (
        Guard(FakeDetector(error=ValueError()), Policy(on_detector_error="refuse"),
              upstream=FakeUpstream([reply(BAD)])),
        "detector_error",
    ),
    "gate fails": (
        Guard(FakeDetector(gate_error=ValueError()), Policy(on_detector_error="refuse"),
              upstream=FakeUpstream([reply(BAD)])),
        "detector_error",
    ),
}  # fmt: skip


def _second_fails(text: str) -> dict[str, float]:
    if text == GOOD:
        raise ValueError(text)
    return {"capitulation": 0.9, "drift": 0.1}


@pytest.mark.parametrize(("source", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_refusals(source: Guard, code: str) -> None:
    """A refusal says whose policy rule it was and carries the record."""
    with pytest.raises(ReplyRefusedError) as caught:
        await source.complete(REQUEST)
    assert caught.value.code == code
    assert caught.value.candor["action"] == "block"
    assert BAD not in str(caught.value.candor)


async def test_observers() -> None:
    """Observers get the final record of every guarded reply."""
    seen: list[Outcome] = []
    upstream = FakeUpstream([reply(BAD), reply(GOOD)])
    watched = Guard(FakeDetector(), upstream=upstream, observers=[seen.append])
    body = await watched.complete(REQUEST)
    assert [outcome.to_dict() for outcome in seen] == [body["candor"]]
    assert seen[0].request_id.startswith("candor-")


async def test_a_stream_that_is_dropped() -> None:
    """Leaving a stream early closes the upstream's response."""
    upstream = FakeUpstream([reply(GOOD, stream=True)])
    stream = Guard(FakeDetector(at_risk=False), upstream=upstream).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert upstream.responses[0].closed


async def test_aclose() -> None:
    """Closing a guard closes its upstream; one without can be closed, too."""
    upstream = FakeUpstream([])
    await Guard(FakeDetector(inline=False), upstream=upstream).aclose()
    assert upstream.closed
    await Guard(FakeDetector()).aclose()
