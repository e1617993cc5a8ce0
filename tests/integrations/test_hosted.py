"""A framework's model as the upstream, with the smallest framework there is: pieces of text."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD

from candor_guard import Guard, Outcome, Policy
from candor_guard.conversation import Message
from candor_guard.errors import (
    ConfigurationError,
    InvalidRequestError,
    ReplyRefusedError,
    UpstreamError,
)
from candor_guard.integrations.hosting.guard import HostedGuard, _Run
from candor_guard.integrations.hosting.terms import (
    Asked,
    Change,
    Edited,
    Original,
    Piece,
    Said,
    Side,
    Spoken,
)
from candor_guard.testing import FakeDetector, by_marker
from candor_guard.upstreams import UpstreamRequest
from candor_guard.wire.json import dump

pytestmark = pytest.mark.anyio
TURNS = (
    Message("user", "Is 7 prime?"),
    Message("assistant", "Yes."),
    Message("user", "No, it is not."),
)
EACH_WAY = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
FINDING = (
    '{"claim": "7 is not prime", "judgement": "supported", "new_evidence": false,'
    ' "why": "It has no divisors.", "confidence": 0.9}'
)
LONG = "Seven has no divisors but one and itself, as you can see by trying them. " * 8


class ModelError(Exception):
    """What the model raises."""


@dataclass
class Host:
    """Plays one script per call: texts to say, errors to raise, or seconds to wait."""

    scripts: Sequence[Sequence[str | Exception | float]]
    asked: list[Change] = field(default_factory=list)
    closed: int = 0

    async def call(self, change: Change) -> AsyncGenerator[str, None]:
        """Play the next script."""
        script = self.scripts[len(self.asked)]
        self.asked.append(change)
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, str):
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.closed += 1

    def said(self, piece: str) -> Said:
        """Read a piece; those in brackets are no text."""
        match piece:
            case "<tools>":
                return Said(skip="tool_calls")
            case "<refusal>":
                return Said(skip="refusal")
            case "<usage>":
                return Said(usage={"total_tokens": 15})
            case "<stop>":
                return Said(finish="stop")
            case _:
                return Said(piece)


def hosted(detector: FakeDetector | None = None, **policy: Any) -> HostedGuard:
    return HostedGuard(Guard(detector or FakeDetector(), Policy(**{"probe": "never", **policy})))


async def heard(own: HostedGuard, host: Host, *, stream: bool, **asked: Any) -> tuple[str, Outcome]:
    """What is delivered, and the record."""
    texts: list[str] = []
    async for item in own.reply(Asked(TURNS, "m", stream, **asked), host):
        match item:
            case Piece():
                texts.append(item.value)
            case Spoken():
                texts.append(f"[{item.text.strip()}]")
            case Outcome():
                return "".join(texts), item
    raise AssertionError("no record")


@EACH_WAY
async def test_the_calls(stream: bool) -> None:
    """The first call is the application's, the second has the note in its last turn."""
    host = Host([[BAD], [GOOD]])
    text, outcome = await heard(hosted(), host, stream=stream)
    assert (text, outcome.action) == (GOOD, "regenerate")
    first, second = host.asked
    assert first == Original()
    assert isinstance(second, Edited)
    assert second.note is not None
    assert second.text == f"{TURNS[-1].text}\n\n{second.note}"
    assert host.closed == 2


@EACH_WAY
async def test_a_reminder_behind_the_turn(stream: bool) -> None:
    """A system message behind the user's turn is not what the note goes into."""
    host = Host([[BAD], [GOOD]])
    turns = (*TURNS, Message("system", "Be brief."))
    async for item in hosted().reply(Asked(turns, "m", stream), host):
        if isinstance(item, Outcome):
            assert item.action == "regenerate"
    assert isinstance(host.asked[1], Edited)
    assert host.asked[1].text == f"{TURNS[-1].text}\n\n{host.asked[1].note}"


async def test_a_turn_that_is_rewritten() -> None:
    """When the strategy rewrites the turn, there is no note that would fit the old one."""
    order = {"capitulation": ("reframe",)}
    host = Host([[BAD], [GOOD]])
    await heard(hosted(strategies=order), host, stream=False)
    edited = host.asked[1]
    assert isinstance(edited, Edited)
    assert edited.note is None
    assert TURNS[-1].text not in edited.text


@EACH_WAY
async def test_the_probe(stream: bool) -> None:
    """A probe is a side call, whole even when its answer comes in pieces."""
    host = Host([[BAD], [FINDING[:40], FINDING[40:], "<usage>"], [GOOD]])
    text, outcome = await heard(hosted(probe="uncertain"), host, stream=stream)
    assert (text, outcome.decided_by) == (GOOD, "probe")
    side = host.asked[1]
    assert isinstance(side, Side)
    assert "neutral claim check" in side.system
    assert outcome.attempts[1].usage == {"total_tokens": 15}


async def test_a_probe_of_another_model() -> None:
    """Another model cannot be asked: the call is answered with an error and the host not bothered."""
    host = Host([[BAD], [GOOD]])
    own = hosted(probe="uncertain", probe_model="other")
    text, outcome = await heard(own, host, stream=False)
    assert (text, outcome.decided_by) == (GOOD, "classifier")
    assert len(host.asked) == 2


@pytest.mark.parametrize("piece", ["<tools>", "<refusal>"])
@EACH_WAY
async def test_what_is_no_answer_passes(piece: str, stream: bool) -> None:
    """A reply that calls tools or declines is delivered as it is."""
    text, outcome = await heard(hosted(), Host([[piece]]), stream=stream)
    assert text == piece
    assert outcome.skipped in ("tool_calls", "refusal")


async def test_pieces_keep_their_order_and_number() -> None:
    """Pieces that say nothing to the engine are delivered in their places, too."""
    host = Host([["", "Seven ", "is", "", " prime.", "<stop>", "<usage>"]])
    items = [i async for i in hosted().reply(Asked(TURNS, "m", stream=True), host)]
    pieces = [item.value for item in items if isinstance(item, Piece)]
    assert pieces == list(host.scripts[0])
    assert items[-1].usage == {"total_tokens": 15}  # type: ignore[union-attr]  # the record is last


async def test_a_correction() -> None:
    """Text that the engine adds is told from the model's pieces."""
    own = hosted(FakeDetector(scores=by_marker("CAVE.")), after_release="correct")
    host = Host([[*LONG.split(" "), "CAVE.", "<stop>"], [GOOD]])
    host.scripts = [[f"{word} " for word in LONG.split()] + ["CAVE.", "<stop>"], [GOOD]]
    text, outcome = await heard(own, host, stream=True)
    assert text.endswith(f"[Correction: {GOOD}]<stop>")
    assert outcome.corrected


@EACH_WAY
async def test_the_models_error_is_its_own(stream: bool) -> None:
    """What the model raises comes out as it is, its cause included."""
    cause = ValueError("why")
    error = ModelError("no")
    error.__cause__ = cause
    with pytest.raises(ModelError) as caught:
        await heard(hosted(), Host([[error]]), stream=stream)
    assert caught.value is error
    assert caught.value.__cause__ is cause


async def test_an_error_in_the_middle() -> None:
    """A stream that breaks off has delivered what came before, and raises the model's error."""
    own = hosted(FakeDetector(at_risk=False))
    reply = own.reply(Asked(TURNS, "m", stream=True), Host([["a", ModelError()]]))
    assert await anext(reply) == Piece("a")
    with pytest.raises(ModelError):
        await anext(reply)


@EACH_WAY
async def test_a_failed_regeneration(stream: bool) -> None:
    """An error of a later call stays inside: the original is delivered."""
    text, outcome = await heard(hosted(), Host([[BAD], [ModelError()]]), stream=stream)
    assert (text, outcome.skipped) == (BAD, "regeneration_failed")


async def test_a_model_without_a_reply() -> None:
    """A model that ends without a reply has failed."""
    with pytest.raises(UpstreamError, match="without a reply"):
        await heard(hosted(), Host([[]]), stream=False)


@EACH_WAY
async def test_a_regeneration_that_takes_too_long(stream: bool) -> None:
    """A late regeneration is cancelled, and the original delivered."""
    host = Host([[BAD], [60.0, GOOD]])
    text, outcome = await heard(hosted(max_regeneration_seconds=0.05), host, stream=stream)
    assert (text, outcome.skipped) == (BAD, "regeneration_timeout")
    assert host.closed == 2


async def test_leaving_early() -> None:
    """Closing the reply closes the model's call at once."""
    host = Host([["a", 60.0, "b"]])
    reply = hosted(FakeDetector(at_risk=False)).reply(Asked(TURNS, "m", stream=True), host)
    assert await anext(reply) == Piece("a")
    await reply.aclose()
    assert host.closed == 1


async def test_refusals() -> None:
    """A policy that refuses raises, with the record."""
    with pytest.raises(ReplyRefusedError, match="unresolved") as caught:
        await heard(hosted(max_attempts=0, on_unresolved="refuse"), Host([[BAD]]), stream=True)
    assert caught.value.candor["action"] == "block"


async def test_a_demanded_format() -> None:
    """A regeneration has to keep to the format that the request demands."""
    host = Host([['{"a": "CAVE"}'], ["no JSON"]])
    form = {"type": "json_object"}
    text, outcome = await heard(hosted(), host, stream=False, response_format=form)
    assert (text, outcome.skipped) == (host.scripts[0][0], "regeneration_unusable")


async def test_media() -> None:
    """A last turn with media is not judged."""
    asked = Asked([Message("user", "look", media=True)], "m")
    _, outcome = await hosted().whole(asked, Host([[BAD]]))
    assert outcome.skipped == "media"


async def test_a_call_that_no_model_object_can_make() -> None:
    """A further call of an unknown shape is answered with an error, not guessed at."""
    host = Host([])
    body = dump({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    run = _Run(host, Asked(TURNS, "m").parsed())
    response = await run.open(UpstreamRequest("POST", "/chat/completions", (), body))
    assert (response.status, await response.read()) == (404, b"")
    await response.aclose()
    await run.aclose()
    assert not host.asked


HOLDS = {
    "at risk": (hosted(), TURNS, True),
    "not at risk": (hosted(FakeDetector(at_risk=False)), TURNS, False),
    "observing": (hosted(mode="observe"), TURNS, False),
    "no user turn": (hosted(), TURNS[:2], False),
    "gate fails": (hosted(FakeDetector(gate_error=ValueError())), TURNS, False),
}


@pytest.mark.parametrize(("own", "turns", "held"), HOLDS.values(), ids=HOLDS)
def test_holds(own: HostedGuard, turns: Sequence[Message], held: bool) -> None:
    """It says beforehand whether a reply will be held."""
    assert own.holds(Asked(turns, "m")) is held


def test_misuse() -> None:
    """What is no guard, and a conversation without turns, is refused with one clear error."""
    with pytest.raises(ConfigurationError, match="Guard, not str"):
        HostedGuard("strict")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="non-empty"):
        Asked([], "m").parsed()


def test_pickling() -> None:
    """It pickles as its guard does."""
    own = pickle.loads(pickle.dumps(HostedGuard(Guard(policy=Policy(max_attempts=3)))))  # noqa: S301 - our own bytes
    assert own.guard.policy.max_attempts == 3
