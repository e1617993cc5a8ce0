"""What a flow asks of its driver, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeVar

from candor_guard.budget import Budget
from candor_guard.conversation import Conversation, Exchange
from candor_guard.outcome import Attempt, Outcome
from candor_guard.policy import Mode, Policy
from candor_guard.surface import GuardedRequest
from candor_guard.verdict import Reading, Risk

Annotate = Literal["flagged", "all", "none"]
# More of the answer to a side call is not read.
MAX_SIDE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Send:
    """Start an upstream call with this body; do not wait for it. Answer: None.

    Attributes:
        call: Its number from here on.
        body: Of the request.
        side: Whether its answer is JSON even where the client asked for a stream, and is read
            whole while other things happen; `Fetch` brings it.
        ahead: Whether the request had better be on its way before the next step, because that may
            keep the event loop busy.
    """

    call: int
    body: bytes
    side: bool = False
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """Judge the request. Answer: `Risk`; throws `DetectorError`."""

    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Head:
    """Wait for status and headers of a call, at most until `deadline` (on the flow's clock).

    Answer: `ReplyHead`, or None at the deadline; throws `UpstreamError`.
    """

    call: int
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """From here on the client waits: for a verdict, or for a correction. Answer: None."""


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for the next bytes of a call, at most until `deadline` (on the flow's clock).

    Answer: bytes, ``b""`` at the end, or None at the deadline; throws `UpstreamError`.

    Attributes:
        call: That is read.
        deadline: Until when to wait; None: as long as it takes.
        beside: A side call that is waited for at the same time. When it ends first, in whatever
            way, the answer is `Beside.ENDED`, and no byte is lost.
    """

    call: int
    deadline: float | None = None
    beside: int | None = None


class Beside(Enum):
    """What a `Receive` is answered with when the side call beside it came first."""

    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Wait for the whole answer to a side call, at most until `deadline` (on the flow's clock).

    Answer: `SideReply`, or None at the deadline; throws `UpstreamError` and `InvalidRequestError`.
    """

    call: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Detect:
    """Read an exchange. Answer: `Reading`; throws `DetectorError`.

    Attributes:
        exchange: What to read.
        optional: Whether nothing depends on it, so that it gives up early where many wait.
        deadline: When it must have begun, on the flow's clock.
    """

    exchange: Exchange
    optional: bool = False
    deadline: float = math.inf


@dataclass(frozen=True, slots=True)
class Start:
    """The client's response begins with the head of this call. Answer: None.

    Attributes:
        call: Whose status and headers to send.
        outcome: As far as it is known, for the headers.
        rewritten: Whether the body may differ from upstream's (its length is then open).
    """

    call: int
    outcome: Outcome
    rewritten: bool


@dataclass(frozen=True, slots=True)
class Emit:
    """Deliver bytes. Answer: None."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Relay:
    """Deliver the rest of a call's body as it comes. Answer: None; throws `UpstreamError`.

    Attributes:
        call: Its number.
        complete: Whether all that counts is said: then an upstream that breaks off has just ended.
    """

    call: int
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """Abandon a call at once. Answer: None."""

    call: int


Step = Send | Gate | Head | Hold | Receive | Fetch | Detect | Start | Emit | Relay | Close


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """What the flow needs to know of an upstream's status and headers.

    Attributes:
        ok: Whether the status is a success.
        readable: Whether the body is of the kind that the surface reads: JSON for a whole reply,
            ``text/event-stream`` for a stream, without content encoding.
        status: The status itself.
    """

    ok: bool
    readable: bool
    status: int = 200

    @property
    def free(self) -> bool:
        """Whether the upstream refused the call before it did anything."""
        return 400 <= self.status < 500

    @property
    def overloaded(self) -> bool:
        """Whether the upstream has no room for calls, or is broken."""
        return self.status == 429 or self.status >= 500


@dataclass(frozen=True, slots=True)
class SideReply:
    """The answer to a side call.

    Attributes:
        head: Its status and headers.
        body: Its beginning at least, `MAX_SIDE_BYTES` long or more; empty unless the head is ok
            and readable.
    """

    head: ReplyHead
    body: bytes


Answer = Risk | Reading | ReplyHead | SideReply | Beside | bytes | None
Flow = Generator[Step, Answer, Outcome]


@dataclass(frozen=True, slots=True)
class FlowContext:
    """What stays the same during one flow.

    Attributes:
        request: The parsed request.
        policy: In force.
        mode: In force for this request; may differ from the policy's.
        detector: ``name@version``.
        thresholds: By label.
        bars: By label: from here on a reply below its thresholds is uncertain.
        clock: Monotonic seconds.
        request_id: For the record.
        annotate: When to write the ``candor`` object into the body.
        budget: What all requests share for further calls; None: no common limit.
        content: Whether the record may contain what further calls changed and found, in words of
            the conversation.
        unfinished: Told of all upstream calls when the flow ends without an `Outcome`, because the
            client left or the upstream failed.
    """

    request: GuardedRequest
    policy: Policy
    mode: Mode
    detector: str
    thresholds: Mapping[str, float]
    bars: Mapping[str, float]
    clock: Callable[[], float]
    request_id: str
    annotate: Annotate = "flagged"
    budget: Budget | None = None
    content: bool = False
    unfinished: Callable[[Sequence[Attempt]], None] | None = None


T = TypeVar("T")


def ask(step: Step, kind: type[T]) -> Generator[Step, Answer, T]:
    """Yield a step whose answer is always of one type.

    Raises:
        TypeError: If the driver breaks its contract.
    """
    answer = yield step
    if not isinstance(answer, kind):
        raise TypeError(f"{type(step).__name__} was answered with {type(answer).__name__}")
    return answer


def ask_before(step: Head | Receive | Fetch, kind: type[T]) -> Generator[Step, Answer, T | None]:
    """Yield a step that has a deadline; None when it passed."""
    answer = yield step
    if answer is not None and not isinstance(answer, kind):
        raise TypeError(f"{type(step).__name__} was answered with {type(answer).__name__}")
    return answer
