"""What every surface does alike: formats with JSON bodies and streams of server-sent events."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.errors import InvalidRequestError
from candor_guard.surface import Annotation, GuardedRequest, Surface
from candor_guard.wire.json import load_object
from candor_guard.wire.reading import conversation_skip
from candor_guard.wire.writing import annotated_body


class BaseSurface(Surface):
    """A `candor_guard.surface.Surface` whose format is told by a few methods."""

    keepalive = b": candor-guard is reading the reply\n\n"

    @override
    def parse(self, body: bytes) -> GuardedRequest:
        payload = load_object(body)
        self._check(payload)
        skip = self._skip(payload)
        conversation = Conversation(())
        try:
            conversation = self._conversation(payload)
        except InvalidRequestError:
            skip = skip or "unreadable"
        else:
            skip = skip or conversation_skip(conversation)
        stream = payload.get("stream") is True
        return GuardedRequest(self, body, payload, conversation, stream, skip)

    @override
    def correct(self, request: GuardedRequest, tail: bytes, text: str) -> bytes | None:
        try:
            return self._corrected_stream(tail, text) if request.stream else None
        except InvalidRequestError:
            return None

    @override
    def annotate(self, request: GuardedRequest, body: bytes, annotation: Annotation) -> bytes:
        try:
            write = self._annotated_stream if request.stream else annotated_body
            return write(body, annotation)
        except (InvalidRequestError, RecursionError):
            return body  # nested too deeply to be written again

    def _check(self, payload: Mapping[str, Any]) -> None:
        """Refuse what is no request of this format at all.

        Raises:
            InvalidRequestError: If it has no list of messages.
        """
        if not isinstance(payload.get("messages"), list) or not payload["messages"]:
            raise InvalidRequestError("messages must be a non-empty list", param="messages")

    def _skip(self, payload: Mapping[str, Any]) -> str | None:
        """Return why no reply to this request is judged, whatever its turns say; or None."""
        del payload
        return None

    @abstractmethod
    def _conversation(self, payload: Mapping[str, Any]) -> Conversation:
        """Return the request's turns.

        Raises:
            InvalidRequestError: If they cannot be read.
        """

    @abstractmethod
    def _annotated_stream(self, body: bytes, annotation: Annotation) -> bytes:
        """Write the annotation into a stream, or its tail."""

    @abstractmethod
    def _corrected_stream(self, tail: bytes, text: str) -> bytes | None:
        """Return a stream's tail with more text; None where there is no place for it."""
