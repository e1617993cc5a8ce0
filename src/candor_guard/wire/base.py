"""What every surface does alike: formats with JSON bodies and streams of server-sent events."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.errors import InvalidRequestError
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, SideAnswer, Surface
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.reading import conversation_skip, usage_of
from candor_guard.wire.structured import fits_format
from candor_guard.wire.writing import annotated_body


def _is_true(value: object) -> bool:
    """Whether servers take a value for true, those that read "true" and 1 as such included."""
    return value is True or value == 1 or (isinstance(value, str) and value.lower() == "true")


class BaseSurface(Surface):
    """A `candor_guard.surface.Surface` whose format is told by a few methods."""

    keepalive = b": candor-guard is reading the reply\n\n"
    # In the last event of a stream that a client waits for.
    endings: ClassVar[tuple[bytes, ...]] = (b"[DONE]",)
    # Fields of a request that concern the account, the routing or the trace, and not the reply.
    _kept: ClassVar[tuple[str, ...]]

    @override
    def ended(self, piece: bytes) -> bool:
        return any(ending in piece for ending in self.endings)

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
        stream = _is_true(payload.get("stream"))
        return GuardedRequest(self, body, payload, conversation, stream, skip)

    @override
    def edit(self, request: GuardedRequest, edit: Edit) -> bytes:
        return dump(self._edited(request, edit))

    @override
    def side_request(
        self,
        request: GuardedRequest,
        messages: Sequence[Mapping[str, str]],
        *,
        model: str | None,
        schema: Mapping[str, Any] | None,
        bare: bool = False,
    ) -> bytes:
        """Return a side call's body: nothing of the conversation, none of the client's tools."""
        payload = request.payload
        body = {"model": model or payload.get("model"), **self._said(messages)}
        if body["model"] is None:
            del body["model"]
        body |= {key: payload[key] for key in self._kept if payload.get(key) is not None}
        body |= self._beside(payload)
        return dump(body if bare else body | self._wanted(payload, body, schema))

    @override
    def side_answer(self, body: bytes) -> SideAnswer:
        try:
            payload = load_object(body)
        except InvalidRequestError:
            return SideAnswer("")
        return SideAnswer(self._text(payload), usage_of(payload))

    @override
    def accepts(self, request: GuardedRequest, text: str) -> bool:
        return fits_format(self._format(request.payload), text)

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

    # -- requests, as they come -------------------------------------------------------------------

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
    def _format(self, payload: Mapping[str, Any]) -> object:
        """Return what the reply has to look like, as Chat Completions says it; None: no demand."""

    # -- requests that we write -------------------------------------------------------------------

    @abstractmethod
    def _edited(self, request: GuardedRequest, edit: Edit) -> dict[str, Any]:
        """Return the request with its last user turn changed."""

    @abstractmethod
    def _said(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Return the fields that say these messages, and any that a request cannot be without."""

    @abstractmethod
    def _beside(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return what else a side call has in any case, the barest included."""

    @abstractmethod
    def _wanted(
        self, payload: Mapping[str, Any], body: Mapping[str, Any], schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return what an upstream may refuse of a side call: sampling, limits, the schema.

        Args:
            payload: The client's request.
            body: The side call's, as far as it stands.
            schema: Of the JSON that is wanted, or None.
        """

    # -- replies ----------------------------------------------------------------------------------

    @abstractmethod
    def _text(self, payload: Mapping[str, Any]) -> str:
        """Return the text of a side call's answer."""

    @abstractmethod
    def _annotated_stream(self, body: bytes, annotation: Annotation) -> bytes:
        """Write the annotation into a stream, or its tail."""

    @abstractmethod
    def _corrected_stream(self, tail: bytes, text: str) -> bytes | None:
        """Return a stream's tail with more text; None where there is no place for it."""
