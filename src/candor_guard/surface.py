"""What a wire format has to offer so that the flow can guard it.

A surface (one package for each format in `candor_guard.wire`) turns bytes into an exchange and back. The flow knows these Protocols only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from candor_guard.conversation import Conversation
from candor_guard.outcome import Usage
from candor_guard.regeneration.strategies import Edit


class ReplyReader(Protocol):
    """Reads an upstream body as it arrives, in pieces of any size, without keeping its bytes.

    Attributes:
        text: The reply's text so far.
        skip: Why this reply cannot be judged (``tool_calls``, ``refusal``, …), or None. Nothing
            after that place is read.
        over: Whether the text went past the reader's limit; ``text`` ends exactly there, and
            nothing after that place is read.
        done: Whether the format's own end was seen. Nothing after it matters to the reply; the
            connection may stay open longer.
        finished: Whether the reply says of itself that it is finished.
        usage: As told so far, or None.
        response_id: Under which the upstream stores the reply, or None where it does not.
        safe: How many bytes from the start may leave before the end is known without closing
            the door on an annotation or a correction (all complete frames before the finish frame,
            but those that a correction changes).
        waiting: How many bytes behind these are kept back for a correction only.
    """

    @property
    def text(self) -> str: ...  # noqa: D102 - documented above

    @property
    def skip(self) -> str | None: ...  # noqa: D102 - documented above

    @property
    def over(self) -> bool: ...  # noqa: D102 - documented above

    @property
    def done(self) -> bool: ...  # noqa: D102 - documented above

    @property
    def finished(self) -> bool: ...  # noqa: D102 - documented above

    @property
    def usage(self) -> Usage | None: ...  # noqa: D102 - documented above

    @property
    def response_id(self) -> str | None: ...  # noqa: D102 - documented above

    @property
    def safe(self) -> int: ...  # noqa: D102 - documented above

    @property
    def waiting(self) -> int: ...  # noqa: D102 - documented above

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        ...

    def end(self) -> None:
        """Say that the body is complete."""
        ...


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is written into a delivered body.

    Attributes:
        candor: The ``candor`` object, or None to add none.
        usage: Replaces the usage that the body states, where it states one; None keeps it.
    """

    candor: Mapping[str, Any] | None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class SideAnswer:
    """What came back from a side call.

    Attributes:
        text: The answer's text; "" when it has none.
        usage: As the upstream counted it, or None.
    """

    text: str
    usage: Usage | None = None


class Surface(Protocol):
    """One wire format of guarded requests."""

    @property
    def name(self) -> str: ...  # noqa: D102 - of the format, as records have it

    @property
    def keepalive(self) -> bytes:
        """Bytes that keep an idle stream alive without meaning anything to a client."""
        ...

    def ended(self, piece: bytes) -> bool:
        """Whether a stream's latest bytes look like the last event that a client waits for."""
        ...

    def parse(self, body: bytes) -> GuardedRequest:
        """Read a request body.

        One that is JSON but holds what we cannot read is not refused: upstream may know better.
        It comes back with ``skip == "unreadable"`` and is never judged.

        Raises:
            InvalidRequestError: If the body is no request of this format at all.
        """
        ...

    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        """Return a fresh reader for a reply to this request that reads `limit` bytes of text."""
        ...

    def edit(self, request: GuardedRequest, edit: Edit) -> bytes:
        """Return the request's body with its last user turn changed.

        Raises:
            InvalidRequestError: If the body cannot be written again.
        """
        ...

    def side_request(
        self,
        request: GuardedRequest,
        messages: Sequence[Mapping[str, str]],
        *,
        model: str | None,
        schema: Mapping[str, Any] | None,
        bare: bool = False,
    ) -> bytes:
        """Return the body of a side call to the same endpoint; its answer is never a stream.

        Args:
            request: Whose model, and what else concerns the account, is kept.
            messages: All that the side call says, in OpenAI's shape.
            model: Asked instead of the request's.
            schema: Of the JSON that is wanted, where the format can ask for it; or None.
            bare: Leave out whatever an upstream may refuse (sampling, limits, schema).

        Raises:
            InvalidRequestError: If the body cannot be written.
        """
        ...

    def side_answer(self, body: bytes) -> SideAnswer:
        """Read the answer to a side call; one without text is an answer all the same."""
        ...

    def accepts(self, request: GuardedRequest, text: str) -> bool:
        """Whether a regenerated text keeps what the request demands (structured output)."""
        ...

    def correct(self, request: GuardedRequest, tail: bytes, text: str) -> bytes | None:
        """Return a stream's tail (from ``safe`` on) with more text before its finish.

        The text is in a content frame like the stream's own; None when there is no place for one.
        """
        ...

    def annotate(self, request: GuardedRequest, body: bytes, annotation: Annotation) -> bytes:
        """Return a reply's body (or its tail from ``safe`` on) with the annotation written in."""
        ...


@dataclass(frozen=True, slots=True)
class GuardedRequest:
    """A parsed request, with the client's own bytes beside what was read from them.

    Attributes:
        surface: The format that it came in.
        body: The bytes as the client sent them; forwarded untouched.
        payload: The parsed body.
        conversation: What the detectors read; without messages when `skip` is ``unreadable``.
        stream: Whether the client asked for a stream.
        skip: Why a reply to this request is never judged (``n``, ``logprobs``, …), or None.
    """

    surface: Surface
    body: bytes
    payload: Mapping[str, Any]
    conversation: Conversation
    stream: bool
    skip: str | None = None
