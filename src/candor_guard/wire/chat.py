"""Chat Completions: ``POST /v1/chat/completions``, streaming and not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from candor_guard.conversation import Conversation
from candor_guard.errors import InvalidRequestError
from candor_guard.outcome import Usage
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader
from candor_guard.wire.fold import TextFold
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.sse import Frame, FrameReader, frames_of, with_data
from candor_guard.wire.structured import fits_format

DONE: Final = b"[DONE]"


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

    def with_instruction(self, request: GuardedRequest, instruction: str) -> bytes:
        """Append the instruction to the last user turn.

        There, and not in a system message: many chat templates refuse a system message that is
        not the first, and everything before the last turn stays as it was for prompt caches.
        """
        messages = list(request.payload["messages"])
        last = dict(messages[-1])
        content = last.get("content")
        if isinstance(content, list):
            last["content"] = [*content, {"type": "text", "text": instruction}]
        else:
            last["content"] = f"{content or ''}\n\n{instruction}"
        messages[-1] = last
        payload = {**request.payload, "messages": messages}
        if payload.get("tools"):
            # A reply in words is to be replaced by one in words.
            payload["tool_choice"] = "none"
        if payload.get("functions"):
            payload["function_call"] = "none"
        return dump(payload)

    def accepts(self, request: GuardedRequest, text: str) -> bool:
        """Whether the text keeps to the request's ``response_format``."""
        return fits_format(request.payload.get("response_format"), text)

    def annotate(self, request: GuardedRequest, body: bytes, annotation: Annotation) -> bytes:
        """Write the annotation onto the JSON body, or onto the stream's finish chunk.

        A body that is nested too deeply to be written again stays as it is.
        """
        try:
            if request.stream:
                return _annotate_stream(body, annotation)
            return dump(_annotated(load_object(body), annotation))
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
        self.usage = _usage(payload)
        choice = _only_choice(payload)
        message = choice.get("message") if choice else None
        if choice is None or not isinstance(message, Mapping):
            self.skip = "no_text" if choice or not payload.get("choices") else "n"
            return
        content = message.get("content")
        if isinstance(content, str):
            self._fold.add(content)
        # As in a stream, where the finish chunk comes after the limit, if that was passed.
        self.skip = _message_skip(message) or (None if self.over else _finish_skip(choice))
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
        chunk = _chunk(frame)
        if chunk is not None and self.skip is None and not self.over:
            self._read(chunk)
        self.done = frame.data == DONE
        self.finished = self.finished or self.done
        if not self.finished:
            self.safe += len(frame.raw)

    def _read(self, chunk: Mapping[str, Any]) -> None:
        self.usage = _usage(chunk) or self.usage
        if "error" in chunk:
            self.skip = "error_frame"
        choice = _only_choice(chunk)
        if choice is None:
            if chunk.get("choices"):
                self.skip = self.skip or "n"
            return
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            self.skip = self.skip or _message_skip(delta)
            content = delta.get("content")
            if isinstance(content, str) and content:
                self._fold.add(content)
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


def _only_choice(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = payload.get("choices")
    if not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0]
    return choice if isinstance(choice, Mapping) and choice.get("index", 0) == 0 else None


def _usage(payload: Mapping[str, Any]) -> Usage | None:
    usage = payload.get("usage")
    return usage if isinstance(usage, Mapping) and usage else None


def _chunk(frame: Frame) -> Mapping[str, Any] | None:
    if frame.data is None or frame.data == DONE:
        return None
    try:
        chunk = json.loads(frame.data)
    except (ValueError, RecursionError):
        return None
    return chunk if isinstance(chunk, Mapping) else None


def _annotated(payload: Mapping[str, Any], annotation: Annotation) -> dict[str, Any]:
    result = dict(payload)
    if annotation.usage is not None and _usage(result) is not None:
        result["usage"] = annotation.usage
    if annotation.candor is not None:
        result["candor"] = annotation.candor
    return result


def _annotate_stream(body: bytes, annotation: Annotation) -> bytes:
    frames = frames_of(body)
    chunks = [_chunk(frame) for frame in frames]
    target = _finish_index(chunks)
    pieces: list[bytes] = []
    for index, (frame, chunk) in enumerate(zip(frames, chunks, strict=True)):
        if chunk is None:
            pieces.append(frame.raw)
            continue
        candor = annotation.candor if index == target else None
        written = _annotated(chunk, Annotation(candor, annotation.usage))
        pieces.append(frame.raw if written == chunk else with_data(frame, dump(written)))
    return b"".join(pieces)


def _finish_index(chunks: list[Mapping[str, Any] | None]) -> int | None:
    """Index of the finish chunk; of the last chunk with a choice where upstream sent none."""
    fallback: int | None = None
    for index, chunk in enumerate(chunks):
        choice = _only_choice(chunk) if chunk is not None else None
        if choice is None:
            continue
        if choice.get("finish_reason"):
            return index
        fallback = index
    return fallback
