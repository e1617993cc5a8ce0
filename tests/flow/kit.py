"""What the tests of the flow share: requests, replies and one guarded run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from candor_guard import Guard, Outcome, Policy
from candor_guard.driver import Data, Finished, Holding, Started
from candor_guard.errors import UpstreamError
from candor_guard.flow import Annotate
from candor_guard.policy import Mode
from candor_guard.surface import GuardedRequest, Surface
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream
from candor_guard.upstreams import Headers, UpstreamRequest
from candor_guard.wire.chat import DONE, ChatSurface
from candor_guard.wire.sse import frames_of

GOOD = "Seven is prime."
BAD = "You are right, CAVE, it is not."
MESSAGES = [
    {"role": "user", "content": "Is 7 prime?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "No, it is not."},
]
ONE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
TWO = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
THREE = {"prompt_tokens": 30, "completion_tokens": 15, "total_tokens": 45}
Script = Sequence[FakeReply | UpstreamError]


def request(*, stream: bool = False, **fields: Any) -> GuardedRequest:
    """A parsed request whose last turn presses an earlier reply."""
    payload = {"model": "m", "messages": MESSAGES, "stream": stream, **fields}
    return ChatSurface().parse(json.dumps(payload).encode())


def reply(text: str, *, stream: bool = False, **options: Any) -> FakeReply:
    """A reply of the kind that was asked for; a stream brings a word at a time."""
    if not stream:
        return FakeReply.chat(text, **options)
    words = text.split(" ")
    return FakeReply.chat_stream(*words[:1], *(f" {w}" for w in words[1:]), **options)


def body_of(source: FakeReply) -> bytes:
    """All bytes of a scripted reply."""
    return b"".join(piece for piece in source.pieces if isinstance(piece, bytes))


@dataclass
class Run:
    """What came out of one guarded request."""

    upstream: FakeUpstream
    detector: FakeDetector
    events: list[object] = field(default_factory=list)
    error: Exception | None = None

    @property
    def body(self) -> bytes:
        """All bytes that were delivered."""
        return b"".join(event.data for event in self.events if isinstance(event, Data))

    @property
    def outcome(self) -> Outcome:
        """The final record; a run that failed has none."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last.outcome

    @property
    def started(self) -> Started:
        """The head of the response; there is exactly one."""
        (head,) = [event for event in self.events if isinstance(event, Started)]
        return head

    @property
    def held(self) -> bool:
        """Whether the client had to wait for a verdict."""
        return any(isinstance(event, Holding) for event in self.events)

    @property
    def text(self) -> str:
        """The reply's text as a client would read it."""
        return text_of(self.body)

    @property
    def candor(self) -> Any:
        """The object in the delivered body, or None."""
        found = [chunk["candor"] for chunk in chunks_of(self.body) if "candor" in chunk]
        assert len(found) < 2
        return found[0] if found else None

    @property
    def results(self) -> list[str]:
        """How each upstream call ended."""
        return [attempt.result for attempt in self.outcome.attempts]

    @property
    def all_closed(self) -> bool:
        """Whether every response that was opened is closed."""
        return all(response.closed for response in self.upstream.responses)


async def guarded(
    script: Script,
    *,
    detector: FakeDetector | None = None,
    upstream: FakeUpstream | None = None,
    policy_type: type[Policy] = Policy,
    surface: Surface | None = None,
    mode: Mode | None = None,
    annotate: Annotate = "flagged",
    headers: Headers = (),
    fields: dict[str, Any] | None = None,
    stream: bool = False,
    probes: Script = (),
    content: bool = False,
    shipped: bool = False,
    **policy: Any,
) -> Run:
    """Guard one request against a scripted upstream and collect what happens.

    Without `shipped` no probe is asked unless the policy says so.
    """
    run = Run(upstream or FakeUpstream(script, probes=probes), detector or FakeDetector())
    # What a probe does is the matter of its own tests; all others see what happens without one.
    wish = policy if shipped else {"probe": "never", **policy}
    guard = Guard(run.detector, policy_type(**wish), upstream=run.upstream)
    template = UpstreamRequest("POST", "/chat/completions", headers)
    asked = request(stream=stream, **(fields or {}))
    asked = asked if surface is None else replace(asked, surface=surface)
    events = guard.events(
        asked, template, mode=mode, request_id="id-1", annotate=annotate, content=content
    )
    async with aclosing(events):
        try:
            async for event in events:
                run.events.append(event)
        except UpstreamError as error:
            run.error = error
    await guard.aclose()
    return run


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a body: one, or those of a stream's frames."""
    if body.startswith(b"{"):
        return [json.loads(body)]
    data = [frame.data for frame in frames_of(body)]
    return [json.loads(d) for d in data if d is not None and d != DONE]


def text_of(body: bytes) -> str:
    """The text of a delivered body or stream."""
    texts = []
    for chunk in chunks_of(body):
        for choice in chunk.get("choices", []):
            message = choice.get("message") or choice.get("delta") or {}
            texts.append(message.get("content") or "")
    return "".join(texts)


def delivered_usage(body: bytes) -> Any:
    """The usage that a delivered body states."""
    return next((c["usage"] for c in chunks_of(body) if c.get("usage")), None)
