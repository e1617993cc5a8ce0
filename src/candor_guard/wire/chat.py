"""Chat Completions: ``POST /v1/chat/completions``, streaming and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from candor_guard.conversation import Conversation
from candor_guard.errors import InvalidRequestError
from candor_guard.outcome import Usage
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader, SideAnswer
from candor_guard.wire.chat_annotate import annotated_body, annotated_stream, corrected_stream
from candor_guard.wire.chat_parts import DONE, chunk_of, only_choice, text_of_content, usage_of
from candor_guard.wire.chat_requests import edited, side_answer, side_body
from candor_guard.wire.fold import TextFold
from candor_guard.wire.json import load_object
from candor_guard.wire.sse import Frame, FrameReader
from candor_guard.wire.structured import fits_format

__all__ = ["DONE", "ChatBodyReader", "ChatStreamReader", "ChatSurface"]


class ChatSurface:
    """The Chat Completions format as a `candor_guard.surface.Surface`."""

    name = "chat"
    keepalive = b": candor-guard is reading the reply\n\n"

    def parse(self, body: bytes) -> GuardedRequest:
        """Read a request body.

        A body that is JSON but holds messages we cannot read is not refused: upstream may know
        better. It comes back with ``skip == "unreadable"`` and is never judged.

        Raises:
            InvalidRequestError: If the body is no JSON object or has no list of messages.
        """
        payload = load_object(body)
        if not isinstance(payload.get("messages"), list) or not payload["messages"]:
            raise InvalidRequestError("messages must be a non-empty list", param="messages")
        skip = _request_skip(payload)
        conversation = Conversation(())
        try:
            conversation = Conversation.parse(payload["messages"])
        except InvalidRequestError:
            skip = skip or "unreadable"
        else:
            skip = skip or _conversation_skip(conversation)
        stream = payload.get("stream") is True
        return GuardedRequest(self, body, payload, conversation, stream, skip)

    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        """Return a fresh reader for a reply to this request that reads `limit` bytes of text."""
        return ChatStreamReader(limit) if request.stream else ChatBodyReader(limit)

    def edit(self, request: GuardedRequest, edit: Edit) -> bytes:
        """Return the request's body with its last user turn changed."""
        place = request.conversation.last_user_index
        return edited(request.payload, edit, -1 if place is None else place)

    def side_request(
        self,
        request: GuardedRequest,
        messages: Sequence[Mapping[str, str]],
        *,
        model: str | None,
        schema: Mapping[str, Any] | None,
        bare: bool = False,
    ) -> bytes:
        """Return the body of a side call to the same endpoint; its answer is never a stream."""
        return side_body(request.payload, messages, model=model, schema=schema, bare=bare)

    def side_answer(self, body: bytes) -> SideAnswer:
        """Read the answer to a side call."""
        return side_answer(body)

    def accepts(self, request: GuardedRequest, text: str) -> bool:
        """Whether the text keeps to the request's ``response_format``."""
        return fits_format(request.payload.get("response_format"), text)

    def correct(self, request: GuardedRequest, tail: bytes, text: str) -> bytes | None:
        """Put a content chunk before the finish chunk of a stream's tail, where there is one."""
        try:
            return corrected_stream(tail, text) if request.stream else None
        except InvalidRequestError:
            return None

    def annotate(self, request: GuardedRequest, body: bytes, annotation: Annotation) -> bytes:
        """Write the annotation onto the JSON body, or onto the stream's finish chunk.

        A body that is nested too deeply to be written again stays as it is.
        """
        try:
            write = annotated_stream if request.stream else annotated_body
            return write(body, annotation)
        except (InvalidRequestError, RecursionError):
            return body


class _Reader:
    """What a whole reply and a stream have in common."""

    def __init__(self, limit: int) -> None:
        self._fold = TextFold(limit)
        self.skip: str | None = None
        self.done = False
        self.finished = False
        self.usage: Usage | None = None
        self.safe = 0

    @property
    def text(self) -> str:
        """The reply's text."""
        return self._fold.text

    @property
    def over(self) -> bool:
        """Whether the text went past the limit."""
        return self._fold.over


class ChatBodyReader(_Reader):
    """Reads a JSON body; knows nothing before its end."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._body += data

    def end(self) -> None:
        """Parse what was fed."""
        try:
            payload = load_object(bytes(self._body))
        except InvalidRequestError:
            self.skip = "unreadable"
            return
        self.finished = True
        self.usage = usage_of(payload)
        choice = only_choice(payload)
        message = choice.get("message") if choice else None
        if choice is None or not isinstance(message, Mapping):
            self.skip = "no_text" if choice or not payload.get("choices") else "n"
            return
        text, skip = text_of_content(message.get("content"))
        self._fold.add(text)
        # As in a stream, where the finish chunk comes after the limit, if that was passed.
        self.skip = _message_skip(message) or skip or (None if self.over else _finish_skip(choice))
        if not self.over and not self.text.strip():
            self.skip = self.skip or "no_text"


class ChatStreamReader(_Reader):
    """Reads a stream of chunks; folds the text of its one choice."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._frames = FrameReader()

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        for frame in self._frames.feed(data):
            self._take(frame)

    def end(self) -> None:
        """Take what is left, even when its closing blank line never came."""
        for frame in self._frames.end():
            self._take(frame)
        if not self.over and not self.text.strip():
            self.skip = self.skip or "no_text"

    def _take(self, frame: Frame) -> None:
        if self.done:
            return
        chunk = chunk_of(frame)
        if chunk is not None and self.skip is None and not self.over:
            self._read(chunk)
        self.done = frame.data == DONE
        self.finished = self.finished or self.done
        if not self.finished:
            self.safe += len(frame.raw)

    def _read(self, chunk: Mapping[str, Any]) -> None:
        self.usage = usage_of(chunk) or self.usage
        if chunk.get("error") is not None:
            self.skip = "error_frame"
        choice = only_choice(chunk)
        if choice is None:
            if chunk.get("choices"):
                self.skip = self.skip or "n"
            return
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            text, skip = text_of_content(delta.get("content"))
            self.skip = self.skip or _message_skip(delta) or skip
            if text:
                self._fold.add(text)
        self.finished = self.finished or bool(choice.get("finish_reason"))
        if self.over:
            return  # whatever comes after the limit must not count, in whichever chunk it comes
        self.skip = self.skip or _finish_skip(choice)


def _request_skip(payload: Mapping[str, Any]) -> str | None:
    modalities = payload.get("modalities")
    if isinstance(modalities, list) and set(map(str, modalities)) - {"text"}:
        return "audio"
    if payload.get("n") not in (None, 1):
        return "n"
    return "logprobs" if payload.get("logprobs") else None


def _conversation_skip(conversation: Conversation) -> str | None:
    last = conversation.last_user
    if last is None:
        return "no_user_turn"
    return "media" if last.media else None


def _message_skip(message: Mapping[str, Any]) -> str | None:
    if message.get("tool_calls") or message.get("function_call"):
        return "tool_calls"
    if message.get("refusal"):
        return "refusal"
    return "audio" if message.get("audio") else None


def _finish_skip(choice: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return str(reason) if reason in ("length", "content_filter", "tool_calls") else None
