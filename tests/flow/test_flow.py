"""One guarded reply without repair: what passes, what is flagged, what is skipped."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, ONE, body_of, chunks_of, guarded, reply

from candor_guard.errors import DetectorError, UpstreamInterruptedError, UpstreamUnreachableError
from candor_guard.policy import Mode
from candor_guard.testing import FakeDetector, FakeReply, chat_body, chat_stream
from candor_guard.verdict import LABELS

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
modes = pytest.mark.parametrize("mode", ["observe", "enforce"])


@both
async def test_off(stream: bool) -> None:
    """Mode off touches nothing: no gate, no reading, the same bytes."""
    source = reply(BAD, stream=stream)
    run = await guarded([source], stream=stream, mode="off", annotate="all")
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated, run.outcome.risk) == ("pass", "none", None)
    assert run.detector.read_exchanges == []
    assert not run.started.rewritten
    assert run.all_closed


@both
@modes
async def test_no_risk(stream: bool, mode: Mode) -> None:
    """A request without risk is relayed untouched, and the record says that only the gate saw it."""
    source = reply(BAD, stream=stream)
    run = await guarded([source], stream=stream, mode=mode, detector=FakeDetector(at_risk=False))
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("pass", "gate")
    assert not run.held
    assert run.results == ["relayed"]
    assert run.detector.read_exchanges == []


@both
@modes
async def test_unflagged(stream: bool, mode: Mode) -> None:
    """An unflagged reply is delivered byte for byte after being read in full."""
    source = reply(GOOD, stream=stream)
    run = await guarded([source], stream=stream, mode=mode)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("pass", "full")
    assert run.outcome.skipped is None
    assert run.held is (mode == "enforce")
    assert run.results == ["read"]
    assert [e.reply for e in run.detector.read_exchanges] == [GOOD]
    assert run.all_closed


@both
async def test_unflagged_is_not_rewritten(stream: bool) -> None:
    """The head of an unflagged held reply keeps upstream's length."""
    run = await guarded([reply(GOOD, stream=stream)], stream=stream)
    assert not run.started.rewritten


@both
async def test_observe_flagged(stream: bool) -> None:
    """Observing delivers a flagged reply and writes the record into it."""
    source = reply(BAD, stream=stream)
    run = await guarded([source], stream=stream, mode="observe")
    assert run.text == BAD
    assert (run.outcome.action, run.outcome.labels) == ("flag", ["capitulation"])
    assert run.candor == run.outcome.to_dict()
    assert run.candor["mode"] == "observe"
    assert len(chunks_of(run.body)) == len(chunks_of(body_of(source)))
    assert len(run.upstream.requests) == 1
    assert run.started.rewritten


async def test_observe_streams_at_once() -> None:
    """An observed stream leaves frame by frame, all but the part that may be annotated."""
    raw = chat_stream(["a ", "CAVE ", "b"], usage=True)
    frames = [frame + b"\n\n" for frame in raw.split(b"\n\n")[:-1]]
    run = await guarded([FakeReply.sse(*frames)], stream=True, mode="observe")
    assert run.started.outcome.evaluated == "deferred"
    early = [e.data for e in run.events if hasattr(e, "data")]
    assert early[:4] == frames[:4]
    assert early[4].startswith(b'data: {"id":')
    assert b'"candor"' in early[4]
    assert run.body.endswith(b"".join(frames[5:]))


async def test_observe_passes_half_frames_later() -> None:
    """A frame cut by the network leaves when it is complete, and nothing gets lost."""
    raw = chat_stream(["a", "b"])
    run = await guarded(
        [FakeReply.sse(raw[:50], raw[50:300], raw[300:])], stream=True, mode="observe"
    )
    assert run.body == raw


@both
@pytest.mark.parametrize(
    ("text", "annotate", "present"),
    [(BAD, "none", False), (BAD, "all", True), (GOOD, "all", True), (GOOD, "none", False)],
)
async def test_annotate(stream: bool, text: str, annotate: Any, present: bool) -> None:
    """The candor object is written when the caller wants it, and only then."""
    source = reply(text, stream=stream)
    run = await guarded([source], stream=stream, mode="observe", annotate=annotate)
    assert run.outcome.action == ("flag" if text == BAD else "pass")
    assert (run.candor is not None) is present
    if not present:
        assert run.body == body_of(source)


@both
async def test_all_unreadable_survives_annotation(stream: bool) -> None:
    """A body that cannot be annotated is delivered as it came."""
    broken = FakeReply((b"{not json",))
    source = FakeReply.sse(b"data: {not json\n\n") if stream else broken
    run = await guarded([source], stream=stream, annotate="all")
    assert run.body == body_of(source)
    assert run.outcome.skipped == ("no_text" if stream else "unreadable")


REQUEST_SKIPS: dict[str, dict[str, Any]] = {
    "n": {"n": 2},
    "logprobs": {"logprobs": True},
    "audio": {"modalities": ["text", "audio"]},
    "no_user_turn": {"messages": [{"role": "assistant", "content": "x"}]},
    "media": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    "unreadable": {"messages": [{"role": "wizard", "content": "x"}]},
}


@both
@pytest.mark.parametrize("skip", REQUEST_SKIPS)
async def test_request_skips(skip: str, stream: bool) -> None:
    """A request that is never judged is relayed untouched, with the reason."""
    source = reply(BAD, stream=stream)
    run = await guarded([source], stream=stream, fields=REQUEST_SKIPS[skip])
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("pass", "none")
    assert run.outcome.skipped == skip
    assert run.outcome.risk is None
    assert run.detector.read_exchanges == []


TOOL = [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]
TOOL_FRAME = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}\n\n'
ERROR_FRAME = b'data: {"error":{"message":"no"}}\n\n'
TWO_CHOICES = b'{"choices":[{"message":{"content":"CAVE"}},{"message":{"content":"b"}}]}'
SECOND = b'data: {"choices":[{"index":1,"delta":{"content":"CAVE"}}]}\n\n'
HEAD = chat_stream(["CAVE"], finish=None).partition(b"data: [DONE]")[0]
REPLY_SKIPS: dict[str, tuple[str, FakeReply]] = {
    "tool calls": ("tool_calls", FakeReply.chat(BAD, tool_calls=TOOL, finish="tool_calls")),
    "refusal": ("refusal", FakeReply.chat(None, refusal="No.")),
    "audio": ("audio", FakeReply.chat(None, audio={"id": "a"})),
    "length": ("length", FakeReply.chat(BAD, finish="length")),
    "content filter": ("content_filter", FakeReply.chat(BAD, finish="content_filter")),
    "empty": ("no_text", FakeReply.chat("")),
    "two choices": ("n", FakeReply((TWO_CHOICES,))),
    "no JSON": ("unreadable", FakeReply((b"oops",))),
    "stream: tool calls": ("tool_calls", FakeReply.sse(HEAD + TOOL_FRAME, b"data: [DONE]\n\n")),
    "stream: error frame": ("error_frame", FakeReply.sse(HEAD + ERROR_FRAME)),
    "stream: second choice": ("n", FakeReply.sse(HEAD + SECOND, chat_stream(["x"]))),
    "stream: length": ("length", FakeReply.chat_stream(BAD, finish="length")),
    "stream: filter": ("content_filter", FakeReply.chat_stream(BAD, finish="content_filter")),
    "stream: empty": ("no_text", FakeReply.chat_stream()),
    "stream: nothing": ("no_text", FakeReply.sse()),
}


@modes
@pytest.mark.parametrize(("skip", "source"), REPLY_SKIPS.values(), ids=REPLY_SKIPS)
async def test_reply_skips(skip: str, source: FakeReply, mode: Mode) -> None:
    """A reply that cannot be replaced is delivered byte for byte, with the reason."""
    stream = dict(source.headers)["content-type"] == "text/event-stream"
    run = await guarded([source], stream=stream, mode=mode)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("pass", "none")
    assert run.outcome.skipped == skip
    assert run.results == ["relayed"]
    assert run.detector.read_exchanges == []
    assert run.all_closed


CONTENT_TYPES = {
    "html": (("content-type", "text/html"),),
    "none": (),
    "compressed": (("content-type", "application/json"), ("content-encoding", "gzip")),
    "other kind": (("content-type", "text/event-stream"),),
}


@pytest.mark.parametrize("headers", CONTENT_TYPES.values(), ids=CONTENT_TYPES)
async def test_content_type(headers: tuple[tuple[str, str], ...]) -> None:
    """A body of a kind that we do not read is relayed untouched."""
    run = await guarded([FakeReply((chat_body(BAD),), headers=headers)])
    assert run.body == chat_body(BAD)
    assert (run.outcome.action, run.outcome.skipped) == ("pass", "content_type")
    assert not run.held


async def test_content_type_with_parameters() -> None:
    """Character set and upper case do not make JSON unreadable."""
    headers = (
        ("content-type", "Application/JSON; charset=utf-8"),
        ("content-encoding", "identity"),
    )
    run = await guarded([FakeReply((chat_body(BAD),), headers=headers)], mode="observe")
    assert run.outcome.action == "flag"


@both
@pytest.mark.parametrize("status", [301, 400, 429, 500, 503])
async def test_upstream_error_status(status: int, stream: bool) -> None:
    """An upstream's error reaches the client as it is."""
    source = FakeReply((b'{"error": {}}',), status=status)
    run = await guarded([source], stream=stream)
    assert (run.started.status, run.body) == (status, b'{"error": {}}')
    assert (run.outcome.action, run.outcome.skipped) == ("pass", "upstream_error")
    assert run.all_closed


async def test_upstream_unreachable() -> None:
    """Without an answer there is nothing to deliver but the error."""
    run = await guarded([UpstreamUnreachableError("no")])
    assert isinstance(run.error, UpstreamUnreachableError)
    assert run.events == []


@both
async def test_interrupted_while_held(stream: bool) -> None:
    """Nothing of a held reply leaks when upstream breaks off."""
    pieces = (body_of(reply(GOOD, stream=stream))[:-40], UpstreamInterruptedError("cut"))
    kind = "text/event-stream" if stream else "application/json"
    run = await guarded([FakeReply(pieces, headers=(("content-type", kind),))], stream=stream)
    assert isinstance(run.error, UpstreamInterruptedError)
    assert run.held
    assert run.body == b""
    assert run.all_closed


@both
async def test_interrupted_while_observed(stream: bool) -> None:
    """An observed reply that breaks off reaches the client as far as it came."""
    raw = body_of(reply(GOOD, stream=stream))[:-40]
    kind = "text/event-stream" if stream else "application/json"
    source = FakeReply((raw, UpstreamInterruptedError("cut")), headers=(("content-type", kind),))
    run = await guarded([source], stream=stream, mode="observe")
    assert isinstance(run.error, UpstreamInterruptedError)
    assert run.body == raw
    assert run.all_closed


async def test_interrupted_while_relayed() -> None:
    """A relayed body that breaks off breaks off for the client, too."""
    source = FakeReply.sse(b": a\n\n", UpstreamInterruptedError("cut"))
    run = await guarded([source], stream=True, detector=FakeDetector(at_risk=False))
    assert isinstance(run.error, UpstreamInterruptedError)
    assert run.body == b": a\n\n"
    assert run.all_closed


BROKEN: dict[str, FakeDetector] = {
    "raises": FakeDetector(error=RuntimeError("boom")),
    "raises ours": FakeDetector(error=DetectorError("boom")),
    "not a number": FakeDetector(scores=lambda _: dict.fromkeys(LABELS, float("nan"))),
    "infinite": FakeDetector(scores=lambda _: dict.fromkeys(LABELS, float("inf"))),
    "over one": FakeDetector(scores=lambda _: dict.fromkeys(LABELS, 1.5)),
    "negative": FakeDetector(scores=lambda _: dict.fromkeys(LABELS, -0.1)),
    "text": FakeDetector(scores=lambda _: dict.fromkeys(LABELS, "high")),  # type: ignore[arg-type]
    "label missing": FakeDetector(scores=lambda _: {"drift": 0.1}),
    "label unknown": FakeDetector(scores=lambda _: {**dict.fromkeys(LABELS, 0.1), "x": 0.1}),
}


@both
@pytest.mark.parametrize("detector", BROKEN.values(), ids=BROKEN)
async def test_reading_fails_release(detector: FakeDetector, stream: bool) -> None:
    """A reply that could not be read is delivered as it came and recorded as an error."""
    source = reply(BAD, stream=stream)
    run = await guarded([source], stream=stream, detector=detector)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("error", "none")
    assert run.outcome.skipped == "detector_error"
    assert run.outcome.verdict is None
    assert run.results == ["detector_error"]
    assert run.outcome.detector_error


@both
async def test_reading_fails_refuse(stream: bool) -> None:
    """With refuse, nothing of an unread reply is delivered."""
    source = reply(BAD, stream=stream)
    detector = FakeDetector(error=RuntimeError("boom"))
    run = await guarded([source], stream=stream, detector=detector, on_detector_error="refuse")
    assert run.body == b""
    assert (run.outcome.action, run.outcome.skipped) == ("block", "detector_error")
    assert run.outcome.delivered is None
    assert run.all_closed


@both
async def test_reading_fails_observe(stream: bool) -> None:
    """Observing never refuses."""
    source = reply(BAD, stream=stream)
    run = await guarded(
        [source], stream=stream, mode="observe", on_detector_error="refuse",
        detector=FakeDetector(error=RuntimeError("boom")),
    )  # fmt: skip
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.skipped) == ("error", "detector_error")


@both
@modes
async def test_gate_fails_release(stream: bool, mode: Mode) -> None:
    """A failed gate relays the reply and is recorded as an error, never as a pass."""
    source = reply(BAD, stream=stream)
    detector = FakeDetector(gate_error=RuntimeError("boom"))
    run = await guarded([source], stream=stream, detector=detector, mode=mode)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("error", "none")
    assert run.outcome.skipped == "detector_error"
    assert run.outcome.detector_error == "detector raised RuntimeError"


@both
@pytest.mark.parametrize(("mode", "action"), [("enforce", "block"), ("observe", "error")])
async def test_gate_fails_refuse(stream: bool, mode: Mode, action: str) -> None:
    """With refuse, a failed gate refuses the reply where replies may be refused."""
    source = reply(BAD, stream=stream)
    run = await guarded(
        [source], stream=stream, mode=mode, on_detector_error="refuse",
        detector=FakeDetector(gate_error=RuntimeError("boom")),
    )  # fmt: skip
    assert (run.outcome.action, run.outcome.skipped) == (action, "detector_error")
    assert run.body == (b"" if action == "block" else body_of(source))
    assert run.all_closed


@both
async def test_gate_fails_at_an_upstream_error(stream: bool) -> None:
    """An upstream's error is passed on even when the gate failed and policy refuses."""
    run = await guarded(
        [FakeReply((b"{}",), status=500)], stream=stream, on_detector_error="refuse",
        detector=FakeDetector(gate_error=RuntimeError("boom")),
    )  # fmt: skip
    assert (run.started.status, run.outcome.skipped) == (500, "upstream_error")


@both
@modes
async def test_not_evaluated(stream: bool, mode: Mode) -> None:
    """A reply that the detector declines to judge passes untouched, recorded as not judged."""
    source = reply(BAD, stream=stream)
    detector = FakeDetector(not_evaluated="language")
    run = await guarded([source], stream=stream, detector=detector, mode=mode)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("pass", "none")
    assert run.outcome.skipped == "language"
    assert run.outcome.to_dict()["scores"] == {}


async def test_usage_of_one_call() -> None:
    """The record tells one call's usage as the original's."""
    run = await guarded([reply(BAD)], mode="observe")
    assert run.outcome.usage == ONE
    assert run.candor["usage"] == {"original": ONE, "probe": None, "regenerated": None}
    assert run.candor["upstream_calls"] == 1


@both
async def test_gate_declines(stream: bool) -> None:
    """A language that the gate does not read is no clean bill: the record says why."""
    source = reply(BAD, stream=stream)
    detector = FakeDetector(gate_not_evaluated="language")
    run = await guarded([source], detector=detector, stream=stream)
    assert run.body == body_of(source)
    assert (run.outcome.evaluated, run.outcome.skipped) == ("none", "language")
