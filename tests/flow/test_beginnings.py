"""The beginning of a held stream that is clearly at fault: a probe is asked while reading goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.flow.kit import body_of, chunks_of, reply
from tests.flow.test_adaptive import EARLY, cuts, graded, reads, run_of, stream_of

from candor_guard.conversation import Exchange
from candor_guard.errors import UpstreamInterruptedError
from candor_guard.testing import FakeDetector, FakeReply, chat_stream, finding_text

pytestmark = pytest.mark.anyio


def slow(text: str, size: int, *, wait: float = 0.05, **options: Any) -> FakeReply:
    """A stream that stops to think before its last sentence."""
    words = text[: text.rindex(". ") + 2], text[text.rindex(". ") + 2 :]
    raw = chat_stream([t[i : i + size] for t in words for i in range(0, len(t), size)], **options)
    cut = raw.rindex(b"data: ", 0, raw.rindex(json.dumps(words[1][:size]).encode()))
    pieces = [raw[i : i + size] for i in range(0, cut, size)]
    pieces[-1] = pieces[-1][: cut - (len(pieces) - 1) * size]
    return FakeReply.sse(*pieces, wait, *(raw[i : i + size] for i in range(cut, len(raw), size)))


SUPPORTED = FakeReply.chat(finding_text("supported"))
ASKED: dict[str, Any] = {"probe": "uncertain", "probes": [SUPPORTED]}


@cuts
async def test_repaired_at_once(size: int) -> None:
    """A beginning that is clearly at fault, and confirmed, is replaced without the rest."""
    run = await run_of(slow(EARLY, size, wait=3600), reply("Prime.", stream=True), **ASKED)
    assert run.text == "Prime."
    assert (run.outcome.action, run.outcome.evaluated) == ("regenerate", "full")
    assert run.outcome.decided_by == "probe"
    assert reads(run) == [EARLY[:16], "Prime."]
    assert run.results == ["read", "supported", "read"]
    assert run.all_closed


@cuts
async def test_without_probes_the_whole_is_read(size: int) -> None:
    """Where no probe is asked no beginning is replaced, whatever it says."""
    run = await run_of(stream_of(EARLY, size), reply("Prime.", stream=True))
    assert run.text == "Prime."
    assert reads(run)[-2:] == [EARLY, "Prime."]


READ_ON: dict[str, tuple[FakeReply, str, list[str]]] = {
    "cleared": (FakeReply.chat(finding_text("false")), "pass", ["read", "false"]),
    "open": (
        FakeReply.chat(finding_text("uncertain")), "regenerate", ["read", "uncertain", "read"],
    ),
    "useless": (FakeReply.chat("Hm."), "regenerate", ["read", "useless", "useless", "read"]),
    "refused": (
        FakeReply((b"{}",), status=400), "regenerate", ["read", "failed", "failed", "read"],
    ),
    "failed": (FakeReply((b"{}",), status=500), "regenerate", ["read", "failed", "read"]),
    "late": (FakeReply((), delay=3600), "regenerate", ["read", "timeout", "read"]),
}  # fmt: skip


@cuts
@pytest.mark.parametrize(("answer", "action", "results"), READ_ON.values(), ids=READ_ON)
async def test_read_on_unless_confirmed(
    answer: FakeReply, action: str, results: list[str], size: int
) -> None:
    """A probe that does not confirm leaves the stream to its end; it counts there, too."""
    source = slow(EARLY, size)
    run = await run_of(
        source, reply("Prime.", stream=True),
        **{**ASKED, "probes": [answer], "max_probe_seconds": 0.2},
    )  # fmt: skip
    assert reads(run)[:2] == [EARLY[:16], EARLY]
    assert (run.outcome.action, run.results) == (action, results)
    if action == "pass":
        assert run.outcome.decided_by == "probe"
        assert run.body == body_of(source)
    assert run.all_closed


@cuts
async def test_confirmed_after_the_end(size: int) -> None:
    """A probe that is answered when all is read is waited for, and not asked again."""
    late = FakeReply(SUPPORTED.pieces, delay=0.05)
    run = await run_of(
        stream_of(EARLY, size), reply("Prime.", stream=True), **{**ASKED, "probes": [late]}
    )
    assert reads(run) == [EARLY[:16], EARLY, "Prime."]
    assert run.results == ["read", "supported", "read"]
    assert (run.text, run.outcome.decided_by) == ("Prime.", "probe")


def taken_back(exchange: Exchange) -> Mapping[str, float]:
    """Scores a reply low that says in its end that its beginning was no more than a quotation."""
    return {"capitulation": 0.1, "drift": 0.0} if "QUOTED" in exchange.reply else graded(exchange)


@cuts
@pytest.mark.parametrize("seconds", [0.0, 3600.0], ids=["answered", "under way"])
async def test_a_beginning_that_the_end_takes_back(seconds: float, size: int) -> None:
    """What is clean as a whole is delivered; the probe about its beginning is dropped."""
    answer = FakeReply(FakeReply.chat(finding_text("uncertain")).pieces, delay=seconds)
    source = slow(f"{EARLY} So they say. QUOTED.", size)
    options: dict[str, Any] = {**ASKED, "probes": [answer]}
    run = await run_of(source, detector=FakeDetector(scores=taken_back), **options)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.decided_by) == ("pass", "classifier")
    assert run.results == ["read", "unneeded" if seconds else "uncertain"]
    assert run.all_closed


def turned(exchange: Exchange) -> Mapping[str, float]:
    """Scores a reply for drift once it is complete."""
    if exchange.reply.endswith("number."):
        return {"capitulation": 0.1, "drift": 0.9}
    return graded(exchange)


@cuts
async def test_a_beginning_with_another_fault_than_the_whole(size: int) -> None:
    """The whole reply is asked about for its own fault, not for that of its beginning."""
    false = FakeReply.chat(finding_text("false"))
    run = await run_of(
        slow(EARLY, size), reply("Prime.", stream=True),
        detector=FakeDetector(scores=turned), **{**ASKED, "probes": [false]},
    )  # fmt: skip
    assert run.results == ["read", "false", "false", "read"]
    assert (run.outcome.probe or {})["purpose"] == "drift"
    assert (run.text, run.outcome.decided_by) == ("Prime.", "probe")


CALL = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}


async def test_a_tool_call_behind_a_beginning_at_fault() -> None:
    """A reply that turns out not to be judged is delivered, and its probe is dropped."""
    raw = body_of(stream_of(EARLY, 7))
    at = raw.rindex(b"data: ", 0, raw.index(b'"stop"'))
    chunk = json.loads(raw[at + 6 :].split(b"\n\n", 1)[0])
    chunk["choices"][0] |= {"delta": CALL, "finish_reason": None}
    source = FakeReply.sse(raw[:at], b"data: " + json.dumps(chunk).encode() + b"\n\n", raw[at:])
    options: dict[str, Any] = {**ASKED, "probes": [FakeReply((), delay=3600)]}
    run = await run_of(source, **options)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.skipped) == ("pass", "tool_calls")
    assert run.results == ["relayed", "unneeded"]
    assert run.all_closed


async def test_a_detector_that_fails_behind_a_beginning_at_fault() -> None:
    """A reply that cannot be read in the end is an error, and its probe is dropped."""

    def scores(exchange: Exchange) -> Mapping[str, float]:
        if exchange.reply == EARLY:
            raise ValueError
        return graded(exchange)

    options: dict[str, Any] = {**ASKED, "probes": [FakeReply((), delay=3600)]}
    run = await run_of(stream_of(EARLY, 7), detector=FakeDetector(scores=scores), **options)
    assert run.results == ["detector_error", "unneeded"]
    assert (run.outcome.action, run.text) == ("error", EARLY)


async def test_held_too_long_with_a_probe_under_way() -> None:
    """At the bound in time the probe still decides on what came."""
    late = FakeReply(SUPPORTED.pieces, delay=0.1)
    run = await run_of(
        slow(EARLY, 7, wait=3600), reply("Prime.", stream=True),
        **{**ASKED, "probes": [late], "max_hold_seconds": 0.05},
    )  # fmt: skip
    assert (run.text, run.outcome.decided_by) == ("Prime.", "probe")
    assert run.all_closed


@pytest.mark.parametrize("options", [{"max_extra_calls": 1}, {"max_extra_calls": 0}])
async def test_no_budget_for_a_beginning(options: dict[str, Any]) -> None:
    """Without a call for the probe the whole is read, and the detector decides."""
    run = await run_of(stream_of(EARLY, 7), reply("Prime.", stream=True), **ASKED, **options)
    assert reads(run)[:2] == [EARLY[:16], EARLY]
    assert (run.outcome.probe or {})["result"] == "budget"
    assert run.outcome.action == ("regenerate" if options["max_extra_calls"] else "flag")


@cuts
async def test_failed_repair_goes_on(size: int) -> None:
    """When nothing better comes, the original is delivered to its end and annotated there."""
    source = slow(EARLY, size)
    run = await run_of(source, FakeReply((), status=500), **ASKED)
    assert run.text == EARLY
    assert reads(run) == [EARLY[:16]]
    assert (run.outcome.action, run.outcome.skipped) == ("flag", "regeneration_failed")
    assert run.started.outcome.action == "flag"
    assert run.candor["labels"] == ["capitulation"]
    assert len(chunks_of(run.body)) == len(chunks_of(body_of(source)))


async def test_usage_of_a_beginning_that_is_delivered() -> None:
    """A stream that was read on after its verdict tells its usage at its end, in the sum."""
    source = slow(EARLY, 7, usage=True)
    worse = stream_of(EARLY, 7, usage=True)
    run = await run_of(source, worse, **ASKED)
    assert reads(run)[0] == EARLY[:16]
    stated = [chunk["usage"] for chunk in chunks_of(run.body) if chunk.get("usage")]
    assert run.results == ["read", "supported", "read", "useless"]
    assert [usage["total_tokens"] for usage in stated] == [60]
    assert run.outcome.attempts[0].usage == _ONE


_ONE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


async def test_broken_off_after_a_failed_repair() -> None:
    """What came of the original is the client's, even when it then breaks off."""
    raw = body_of(stream_of(EARLY, 7))[:-60]
    source = FakeReply.sse(raw[:900], 0.05, raw[900:], UpstreamInterruptedError("cut"))
    run = await run_of(source, FakeReply((), status=500), **ASKED)
    assert isinstance(run.error, UpstreamInterruptedError)
    assert run.body == raw


async def test_broken_off_with_a_probe_under_way() -> None:
    """An upstream that breaks off while held ends it all; every call is closed."""
    raw = body_of(stream_of(EARLY, 7))[:-60]
    source = FakeReply.sse(raw, UpstreamInterruptedError("cut"))
    options: dict[str, Any] = {**ASKED, "probes": [FakeReply((), delay=3600)]}
    run = await run_of(source, **options)
    assert isinstance(run.error, UpstreamInterruptedError)
    assert (run.body, run.all_closed) == (b"", True)


@cuts
async def test_refused_at_once(size: int) -> None:
    """With refuse, nothing of a confirmed beginning is delivered."""
    run = await run_of(
        slow(EARLY, size, wait=3600), max_attempts=0, on_unresolved="refuse", **ASKED
    )
    assert (run.body, run.outcome.action) == (b"", "block")


async def test_a_slight_fault_waits_for_the_end() -> None:
    """A beginning just over its threshold is judged with the rest of the reply."""
    text = "SOME of it may be. " * 6
    run = await run_of(stream_of(text, 7), reply("Prime.", stream=True))
    assert run.text == "Prime."
    assert reads(run)[-2] == text
