"""The adaptive hold: a stream leaves early when it is clearly clean, never depending on its pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.flow.kit import Run, body_of, chunks_of, guarded, reply
from tests.flow.test_chunking import pieces_of
from typing_extensions import override

from candor_guard.conversation import Exchange
from candor_guard.driver import Data, Started
from candor_guard.errors import UpstreamInterruptedError
from candor_guard.flow.milestones import GROWTH, Milestones
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream, chat_stream, finding_text
from candor_guard.verdict import Reading

pytestmark = pytest.mark.anyio
cuts = pytest.mark.parametrize("size", [10**6, 7, 1], ids=["whole", "pieces", "characters"])
# Small enough for short texts: the first place from 10 characters on, released from 30 on.
SMALL: dict[str, Any] = {"min_prefix_chars": 10, "min_release_chars": 30, "repair_ratio": 0.5}
CLEAN = "Seven is a prime. It has two divisors. Those are one and seven. That is all there is."
LATE = CLEAN + " But you insist. So CAVE, have it your way."
EARLY = "CAVE, of course. You are right about it. Let me tell you more about that number."
HALF = "It is HALF so. Some might say it is. " + "Others would doubt it. " * 5
SCORES = {"CAVE": 0.9, "HALF": 0.4, "SOME": 0.6}


def graded(exchange: Exchange) -> Mapping[str, float]:
    found = [score for word, score in SCORES.items() if word in exchange.reply]
    return {"capitulation": max(found, default=0.1), "drift": 0.05}


def stream_of(text: str, size: int, **options: Any) -> FakeReply:
    """A stream whose text and whose bytes both come in pieces of that size."""
    raw = chat_stream([text[i : i + size] for i in range(0, len(text), size)], **options)
    return FakeReply.sse(*(raw[i : i + size] for i in range(0, len(raw), size)))


async def run_of(*script: FakeReply, **options: Any) -> Run:
    wish = {**SMALL, "detector": FakeDetector(scores=graded), **options}
    return await guarded(script, stream=True, **wish)


def reads(run: Run) -> list[str]:
    return [exchange.reply for exchange in run.detector.read_exchanges]


# -- places ---------------------------------------------------------------------------------------


def places_of(
    text: str, pieces: Sequence[str], first: int = 10, growth: float = GROWTH
) -> list[tuple[int, int]]:
    """All places of a text that arrives in pieces."""
    watch, known, found = Milestones(first, growth), "", []
    for piece in pieces:
        known += piece
        while (place := watch.next(known)) is not None:
            found.append(place)
    assert known == text
    return found


WORDS = st.sampled_from([
    "Yes", ".", "!", "?", " ", "\n", '."', "')", "…", "。", "no ", "e.g.", "1.", ". ", "\r\n", "ü. ",
    "x" * 9,
])  # fmt: skip


@given(st.lists(WORDS, max_size=60).map("".join), st.lists(st.integers(0, 40), max_size=20))
@example("One two three.) Four five six.", [14, 1])
@example("One two three.\n\nFour five six seven.\n", [14, 1, 1])
def test_places_do_not_depend_on_pieces(text: str, sizes: list[int]) -> None:
    """A text has the same places whole, in any pieces, and a character at a time."""
    whole = places_of(text, [text])
    assert places_of(text, pieces_of(text, tuple(sizes))) == whole
    assert places_of(text, list(text)) == whole


def test_places_are_sentence_ends() -> None:
    """A place is behind an end mark and its closing quotes, or at the end of a line."""
    text = 'He said: "It is so." Then he left - 3.14 of it\nand that (truly!) was it. End'
    places = places_of(text, [text], first=1, growth=1.5)
    assert [text[:place][-6:] for place, _ in places] == ['s so."', " of it", "as it."]
    # "(truly!)" ends a sentence, too, but not far enough behind the place before it.
    assert [count for _, count in places] == [1, 2, 4]


def test_places_are_few() -> None:
    """The number of readings grows with the logarithm of the length, and ends at a bound."""
    text = "It is so. " * 100_000
    places = places_of(text, [text], first=80)
    assert len(places) < 16
    assert places[-1][0] <= 16_384
    assert sum(place for place, _ in places) < 2 * 16_384


# -- released -------------------------------------------------------------------------------------


@cuts
async def test_released(size: int) -> None:
    """A stream whose beginning is clearly clean leaves before its end, byte for byte."""
    source = stream_of(CLEAN, size, usage=True)
    run = await run_of(source)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.evaluated) == ("pass", "full")
    assert run.outcome.skipped is None
    assert run.started.outcome.evaluated == "deferred"
    assert reads(run) == [CLEAN[:17], CLEAN[:38], CLEAN]
    assert run.outcome.verdict is not None
    assert run.all_closed


async def test_released_before_the_end() -> None:
    """The first bytes reach the client while the upstream is still writing."""
    source = stream_of(CLEAN, 7)
    run = await run_of(source)
    kinds = [type(event) for event in run.events]
    assert kinds.index(Started) < kinds.index(Data)
    assert kinds.count(Data) > 5


@cuts
@pytest.mark.parametrize("annotate", ["flagged", "none"])
async def test_released_and_at_fault(size: int, annotate: Any) -> None:
    """A fault after the release is told on the finish chunk, and changes nothing else."""
    source = stream_of(LATE, size)
    run = await run_of(source, annotate=annotate)
    assert run.text == LATE
    assert (run.outcome.action, run.outcome.skipped) == ("flag", "released")
    assert (run.outcome.evaluated, run.outcome.labels) == ("full", ["capitulation"])
    assert len(run.upstream.requests) == 1
    if annotate == "none":
        assert run.body == body_of(source)
    else:
        assert run.candor == run.outcome.to_dict()
        assert len(chunks_of(run.body)) == len(chunks_of(body_of(source)))


@cuts
async def test_not_released_when_unclear(size: int) -> None:
    """A beginning that is neither clearly clean nor clearly at fault is held to its end."""
    run = await run_of(stream_of(HALF, size))
    assert run.started.outcome.evaluated == "full"
    assert run.outcome.action == "pass"
    assert run.body == body_of(stream_of(HALF, size))


@cuts
async def test_not_released_when_uncertain(size: int) -> None:
    """A beginning about which a probe would ask is not released, however generous the ratio."""
    options: dict[str, Any] = {
        "release_ratio": 0.9,
        "probes": [FakeReply.chat(finding_text("supported", answer="keeps"))],
    }
    free = await run_of(stream_of(HALF, size), **options)
    asked = await run_of(stream_of(HALF, size), probe="uncertain", **options)
    assert free.started.outcome.evaluated == "deferred"
    assert asked.started.outcome.evaluated == "full"
    assert asked.outcome.decided_by == "probe"


@pytest.mark.parametrize(
    "options",
    [{"hold": "whole"}, {"min_release_chars": 10_000}, {"probe": "always"}],
    ids=["whole", "too short", "probe always"],
)
async def test_held_to_the_end(options: dict[str, Any]) -> None:
    """`whole` holds every stream; so does a text too short to tell, and a probe about everything."""
    probes = [FakeReply.chat(finding_text("uncertain"))]
    run = await run_of(stream_of(CLEAN, 7), probes=probes, **options)
    assert run.started.outcome.evaluated == "full"


async def test_one_sentence_is_not_enough() -> None:
    """However long its first sentence, a stream is not released for that alone."""
    run = await run_of(stream_of("It is, " * 30 + "so. And then there is more", 7))
    assert run.started.outcome.evaluated == "full"


async def test_whole_replies_are_not_read_in_parts() -> None:
    """A reply that is no stream is read once."""
    run = await guarded([reply(CLEAN)], detector=FakeDetector(scores=graded), **SMALL)
    assert reads(run) == [CLEAN]


async def test_released_and_broken_off() -> None:
    """A released stream that breaks off reaches the client as far as it came."""
    raw = body_of(stream_of(CLEAN, 7))[:-60]
    run = await run_of(FakeReply.sse(raw, UpstreamInterruptedError("cut")))
    assert isinstance(run.error, UpstreamInterruptedError)
    assert run.body == raw
    assert run.all_closed


@cuts
async def test_released_and_cut_off(size: int) -> None:
    """What is never judged at its end is not judged because it was released."""
    source = stream_of(LATE, size, finish="length")
    run = await run_of(source)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.skipped) == ("pass", "length")


@cuts
async def test_released_and_too_long(size: int) -> None:
    """Past the bound on bytes a released stream goes on unread, and the record says so."""
    source = stream_of(LATE, size)
    run = await run_of(source, max_hold_bytes=60)
    assert run.body == body_of(source)
    assert (run.outcome.evaluated, run.outcome.skipped) == ("none", "hold_bytes")


async def test_released_is_not_bound_in_time() -> None:
    """Once released, a stream may take as long as it likes and is still read to its end."""
    raw = chat_stream([LATE[:60], LATE[60:]])
    cut = raw.index(json.dumps(LATE[60:]).encode()) - 12
    run = await run_of(FakeReply.sse(raw[:cut], 0.1, raw[cut:]), max_hold_seconds=0.05)
    assert (run.outcome.action, run.outcome.skipped) == ("flag", "released")


class _Declining(FakeDetector):
    """Declines whatever it reads."""

    @override
    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        self.read_exchanges.extend(exchanges)
        return [Reading({}, {}, not_evaluated="language") for _ in exchanges]


async def test_declined_beginnings_decide_nothing() -> None:
    """A beginning that the detector declines to judge is no reason to let it go."""
    run = await run_of(stream_of(CLEAN, 7), detector=_Declining())
    assert run.started.outcome.evaluated == "none"
    assert run.outcome.skipped == "language"


async def test_unreadable_beginnings_decide_nothing() -> None:
    """A reading of a beginning that fails is neither a release nor the end of the hold."""

    def scores(exchange: Exchange) -> Mapping[str, float]:
        if exchange.reply != CLEAN:
            raise ValueError
        return graded(exchange)

    run = await run_of(stream_of(CLEAN, 7), detector=FakeDetector(scores=scores))
    assert (run.outcome.action, run.started.outcome.evaluated) == ("pass", "full")
    assert reads(run) == [CLEAN[:17], CLEAN]


# -- corrected ------------------------------------------------------------------------------------

CORRECT: dict[str, Any] = {"after_release": "correct"}


@cuts
async def test_corrected(size: int) -> None:
    """A released stream at fault gets one more content chunk before its finish, marked as such."""
    source = stream_of(LATE, size)
    run = await run_of(source, reply("Seven stays prime.", stream=True), **CORRECT)
    assert run.text == f"{LATE}\n\nCorrection: Seven stays prime."
    assert (run.outcome.action, run.outcome.skipped) == ("flag", "released")
    assert run.outcome.corrected
    assert run.candor["corrected"] is True
    before, after = chunks_of(body_of(source)), chunks_of(run.body)
    assert len(after) == len(before) + 1
    *_, added, finish = after
    assert added["choices"][0]["finish_reason"] is None
    assert {k: v for k, v in added.items() if k != "choices"} == {
        k: v for k, v in before[0].items() if k != "choices"
    }
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert "candor" in finish
    assert run.all_closed


NO_CORRECTIONS: dict[str, tuple[FakeReply, dict[str, Any]]] = {
    "no better": (FakeReply.chat_stream("CAVE. ", "Again."), {}),
    "fails": (FakeReply((), status=500), {}),
    "no attempt allowed": (FakeReply.chat_stream("Prime."), {"max_attempts": 0}),
    "no budget": (FakeReply.chat_stream("Prime."), {"max_extra_calls": 0}),
    "structured": (
        FakeReply.chat_stream('{"a": 1}'), {"fields": {"response_format": {"type": "json_object"}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("second", "options"), NO_CORRECTIONS.values(), ids=NO_CORRECTIONS)
async def test_not_corrected(second: FakeReply, options: dict[str, Any]) -> None:
    """Where there is nothing good to append the stream ends as it would have, annotated."""
    run = await run_of(stream_of(LATE, 7), second, **CORRECT, **options)
    assert run.text == LATE
    assert (run.outcome.action, run.outcome.skipped) == ("flag", "released")
    assert not run.outcome.corrected


async def test_not_corrected_when_cleared() -> None:
    """A late fault that the probe clears is neither corrected nor flagged."""
    probes = [FakeReply.chat(finding_text("false"))]
    source = stream_of(LATE, 7)
    run = await run_of(source, probe="uncertain", probes=probes, **CORRECT)
    assert run.body == body_of(source)
    assert (run.outcome.action, run.outcome.decided_by) == ("pass", "probe")


LATE_HALF = CLEAN + " But you insist. HALF of it may be so."
UNCERTAIN_ENDS = {
    "gives way": ("abandons", CORRECT, "flag", True),
    "stands": ("keeps", CORRECT, "pass", False),
    "not to be corrected": ("abandons", {}, "pass", False),
}


@cuts
@pytest.mark.parametrize(
    ("does", "options", "action", "corrected"), UNCERTAIN_ENDS.values(), ids=UNCERTAIN_ENDS
)
async def test_released_and_uncertain(
    does: str, options: dict[str, Any], action: str, corrected: bool, size: int
) -> None:
    """A released reply that is uncertain as a whole is asked about where that can still help."""
    probes = [FakeReply.chat(finding_text("supported", answer=does))]
    source = stream_of(LATE_HALF, size)
    run = await run_of(
        source, reply("Prime.", stream=True), probe="uncertain", probes=probes, **options
    )
    assert (run.outcome.action, run.outcome.corrected) == (action, corrected)
    assert run.text == LATE_HALF + ("\n\nCorrection: Prime." if corrected else "")
    if not corrected:
        assert run.body == body_of(source)


async def test_correction_of_a_stream_without_a_finish() -> None:
    """Where the upstream sends no finish chunk there is no place for a correction."""
    source = stream_of(LATE, 7, finish=None)
    run = await run_of(source, reply("Prime.", stream=True), **CORRECT)
    assert run.text == LATE
    assert not run.outcome.corrected


# -- pieces ---------------------------------------------------------------------------------------

PARTS = st.sampled_from(
    ["It is so. ", "CAVE. ", "HALF of it! ", "SOME say. ", "Prime\n", "well ", "ü? ", '"Yes." ']
)
TEXTS = st.lists(PARTS, min_size=1, max_size=12).map("".join)


def told(run: Run) -> tuple[object, ...]:
    """What must not depend on the pieces."""
    outcome = run.outcome
    return (
        outcome.action, outcome.evaluated, outcome.labels, outcome.skipped, outcome.delivered,
        outcome.decided_by, outcome.corrected, run.started.outcome.evaluated, tuple(run.results),
        tuple(reads(run)), run.text,
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    first=TEXTS,
    second=TEXTS,
    sizes=st.lists(st.integers(1, 60), max_size=8),
    wire=st.lists(st.integers(1, 300), max_size=8),
    finish=st.sampled_from(["stop", "length"]),
    options=st.sampled_from([{}, CORRECT, {"probe": "uncertain"}, {"max_hold_bytes": 45}]),
    judgement=st.sampled_from(["uncertain", "false"]),
)
def test_pieces_do_not_matter(
    first: str, second: str, sizes: list[int], wire: list[int], finish: str,
    options: dict[str, Any], judgement: str,
) -> None:  # fmt: skip
    """Whole, in any pieces and a character at a time, a held stream has the same outcome.

    Only a probe that confirms a beginning ends reading, and when it does depends on how fast it is.
    """

    def play(text: Sequence[str], cuts: tuple[int, ...]) -> tuple[object, ...]:
        raw = chat_stream(text, finish=finish)
        script = [FakeReply.sse(*pieces_of(raw, cuts)), FakeReply.chat_stream(second)]
        probes = [FakeReply.chat(finding_text(judgement))]
        upstream = FakeUpstream(script, probes=probes)
        return told(asyncio.run(run_of(upstream=upstream, **options)))

    whole = play([first], ())
    assert play(pieces_of(first, tuple(sizes)), tuple(wire)) == whole
    raw = chat_stream(list(first), finish=finish)
    assert play(list(first), (1,) * len(raw)) == whole
