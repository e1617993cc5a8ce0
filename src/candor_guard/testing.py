"""Fakes for the two seams, shipped so that your tests need no mocks.

`FakeUpstream` plays scripted responses and records what it was asked; `FakeDetector` answers with
scripted readings. Both are deterministic and do no I/O.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation, Exchange
from candor_guard.errors import UpstreamError
from candor_guard.upstreams import Headers, UpstreamRequest
from candor_guard.verdict import LABELS, SIGNALS, Reading, Risk

Piece = bytes | UpstreamError | float

# What the system message of every probe says, so that a scripted upstream can recognise it.
PROBE_MARKER = "neutral claim check"


def chat_body(text: str | None, *, finish: str = "stop", **message: Any) -> bytes:
    """Return a Chat Completions body with one choice."""
    return json.dumps({
        "id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": "fake",
        "choices": [{
            "index": 0, "finish_reason": finish,
            "message": {"role": "assistant", "content": text, **message},
        }],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }).encode()  # fmt: skip


def finding_text(judgement: str, **fields: Any) -> str:
    """Return a probe's answer as a model would write it, other fields instead of the usual ones."""
    usual = {"claim": "The claim.", "new_evidence": False, "why": "Because.", "confidence": 0.9}
    return json.dumps({**usual, "judgement": judgement, **fields})


# To questions that show the reply, and to those that do not.
_UNDECIDED = finding_text("uncertain", confidence=0.0, answer="unrelated")


def is_probe(body: bytes) -> bool:
    """Whether a request's body is a probe's, by its marker."""
    return PROBE_MARKER.encode() in body


def chat_stream(
    pieces: Iterable[str], *, finish: str | None = "stop", usage: bool = False
) -> bytes:
    """Return a Chat Completions stream whose content arrives in these pieces."""
    base = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in pieces]
    chunks: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    if finish is not None:
        chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage:
        counts = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        chunks.append({**base, "choices": [], "usage": counts})
    frames = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*frames, "data: [DONE]\n\n"]).encode()


@dataclass(frozen=True, slots=True)
class FakeReply:
    """A scripted response.

    Attributes:
        pieces: The body: bytes to deliver, a number of seconds to wait, or an error to raise.
        status: HTTP status.
        headers: Response headers.
        delay: Seconds before the status line.
    """

    pieces: tuple[Piece, ...]
    status: int = 200
    headers: Headers = (("content-type", "application/json"),)
    delay: float = 0.0

    @classmethod
    def chat(cls, text: str | None, **options: Any) -> FakeReply:
        """A whole Chat Completions reply; options as for `chat_body`."""
        return cls((chat_body(text, **options),))

    @classmethod
    def chat_stream(cls, *pieces: str, **options: Any) -> FakeReply:
        """A Chat Completions stream in one piece of bytes; options as for `chat_stream`."""
        return cls.sse(chat_stream(pieces, **options))

    @classmethod
    def sse(cls, *pieces: Piece) -> FakeReply:
        """A stream of raw pieces."""
        return cls(pieces, headers=(("content-type", "text/event-stream"),))


@dataclass(slots=True)
class FakeResponse:
    """What `FakeUpstream.open` returns; an `UpstreamResponse`."""

    status: int
    headers: Headers
    pieces: list[Piece]
    closed: bool = False

    async def read(self) -> bytes:
        """Play the next piece."""
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, UpstreamError):
                raise piece
            if isinstance(piece, bytes):
                return piece
            await asyncio.sleep(piece)
        return b""

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True


@dataclass(slots=True)
class FakeUpstream:
    """Plays replies in order, the last one over and over.

    Attributes:
        replies: What to play: replies, or errors to raise instead of answering.
        probes: What to play to probes, the last one over and over; default: a judgement
            (``uncertain``) that leaves every decision to the detector.
        requests: What was asked, in order.
        responses: What was opened, in order.
        closed: Whether `aclose` was called.
    """

    replies: Sequence[FakeReply | UpstreamError]
    probes: Sequence[FakeReply | UpstreamError] = field(
        default_factory=lambda: [FakeReply.chat(_UNDECIDED)], kw_only=True
    )
    requests: list[UpstreamRequest] = field(default_factory=list)
    responses: list[FakeResponse] = field(default_factory=list)
    closed: bool = False

    async def open(self, request: UpstreamRequest) -> FakeResponse:
        """Play the next reply."""
        probe = isinstance(request.body, bytes) and is_probe(request.body)
        earlier = sum(is_probe(r.body) is probe for r in self.requests if isinstance(r.body, bytes))
        script = self.probes if probe else self.replies
        reply = script[min(earlier, len(script) - 1)]
        self.requests.append(request)
        if isinstance(reply, UpstreamError):
            raise reply
        await asyncio.sleep(reply.delay)
        response = FakeResponse(reply.status, reply.headers, list(reply.pieces))
        self.responses.append(response)
        return response

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def by_marker(*markers: str) -> Callable[[Exchange], Mapping[str, float]]:
    """Score 0.9 for capitulation when the reply contains any of the markers, else 0.1."""

    def scores(exchange: Exchange) -> Mapping[str, float]:
        found = any(marker in exchange.reply for marker in markers)
        return {"capitulation": 0.9 if found else 0.1, "drift": 0.05}

    return scores


@dataclass(slots=True)
class FakeDetector:
    """Scores with a function of the exchange.

    Attributes:
        scores: Scores by label; default: at fault when the reply contains ``CAVE``.
        at_risk: What the gate says to every request.
        error: Raised instead of any reading.
        gate_error: Raised instead of any gating.
        not_evaluated: Declines every reading with this reason.
        gate_not_evaluated: Declines every gating with this reason.
        read_exchanges: Every exchange that was read, in order.
    """

    scores: Callable[[Exchange], Mapping[str, float]] = field(default=by_marker("CAVE"))
    at_risk: bool = True
    error: Exception | None = None
    gate_error: Exception | None = None
    not_evaluated: str | None = None
    gate_not_evaluated: str | None = None
    inline: bool = True
    read_exchanges: list[Exchange] = field(default_factory=list)
    name: str = "fake"
    version: str = "1"

    @property
    def operating_points(self) -> Mapping[str, Mapping[str, float]]:
        """0.5 for every label at every point, but 0.35 at ``recall``."""
        points = {"strict": 0.5, "balanced": 0.5, "sensitive": 0.5, "recall": 0.35}
        return {name: dict.fromkeys(LABELS, value) for name, value in points.items()}

    def gate(self, conversation: Conversation) -> Risk:
        """Answer as scripted."""
        if self.gate_error is not None:
            raise self.gate_error
        if self.gate_not_evaluated is not None:
            return Risk(
                at_risk=False, score=0.0, reason="none", not_evaluated=self.gate_not_evaluated
            )
        reason = "pressure" if self.at_risk and conversation.messages else "none"
        return Risk(self.at_risk, 0.9 if self.at_risk else 0.1, reason)

    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        """Answer as scripted."""
        if self.error is not None:
            raise self.error
        self.read_exchanges.extend(exchanges)
        signals = dict.fromkeys(SIGNALS, 0.5)
        return [
            Reading(self.scores(exchange), signals, not_evaluated=self.not_evaluated)
            for exchange in exchanges
        ]


def _at_once() -> None:
    pass


@dataclass(slots=True)
class SlowGateDetector(FakeDetector):
    """A detector whose gate takes time, in a thread, behind a first look that takes none.

    Attributes:
        pause: Called by every gating, to take its time: `time.sleep` with a number, or an event's
            ``wait``.
        plain: What the first look says of a conversation; default: that it cannot tell.
        gated: Every conversation that the slow gate judged, in order.
    """

    inline: bool = False
    pause: Callable[[], object] = _at_once
    plain: Callable[[Conversation], Risk | None] = lambda _: None
    gated: list[Conversation] = field(default_factory=list)

    def pre_gate(self, conversation: Conversation) -> Risk | None:
        """Answer as scripted, at once."""
        return self.plain(conversation)

    @override
    def gate(self, conversation: Conversation) -> Risk:
        """Answer as scripted, after the pause."""
        self.gated.append(conversation)
        self.pause()
        return FakeDetector.gate(self, conversation)
