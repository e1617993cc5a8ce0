"""Anthropic's Messages: ``POST /v1/messages``, streaming and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader
from candor_guard.wire.base import BaseSurface
from candor_guard.wire.messages.annotate import annotated_stream, corrected_stream
from candor_guard.wire.messages.parts import (
    BETWEEN,
    is_finish,
    is_text_start,
    merged,
    part_of,
    stop_skip,
    text_of_block,
    text_of_blocks,
    text_of_delta,
)
from candor_guard.wire.messages.requests import (
    conversation_of,
    edited,
    response_format,
    side_fields,
    side_said,
    side_wishes,
)
from candor_guard.wire.reading import (
    BodyReader,
    StreamReader,
    chunk_of,
    kind_of,
    usage_of,
)
from candor_guard.wire.sse import Frame


class MessagesSurface(BaseSurface):
    """The Messages format as a `candor_guard.surface.Surface`."""

    name = "messages"
    _kept = ("metadata", "service_tier", "inference_geo", "workspace_id", "user_profile_id")
    endings = (b"message_stop",)
    keepalive = b'event: ping\ndata: {"type": "ping"}\n\n'

    @override
    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        return MessagesStreamReader(limit) if request.stream else MessagesBodyReader(limit)

    @override
    def _conversation(self, payload: Mapping[str, Any]) -> Conversation:
        return conversation_of(payload)

    @override
    def _format(self, payload: Mapping[str, Any]) -> object:
        return response_format(payload)

    @override
    def _edited(self, request: GuardedRequest, edit: Edit) -> dict[str, Any]:
        return edited(request.payload, edit)

    @override
    def _said(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        return side_said(messages)

    @override
    def _beside(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return side_fields(payload)

    @override
    def _wanted(
        self, payload: Mapping[str, Any], body: Mapping[str, Any], schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        return side_wishes(payload, body, schema)

    @override
    def _text(self, payload: Mapping[str, Any]) -> str:
        return text_of_blocks(payload.get("content"))[0]

    @override
    def _annotated_stream(self, body: bytes, annotation: Annotation) -> bytes:
        return annotated_stream(body, annotation)

    @override
    def _corrected_stream(self, tail: bytes, text: str) -> bytes | None:
        return corrected_stream(tail, text)


class MessagesBodyReader(BodyReader):
    """Reads a JSON body."""

    @override
    def _whole(self, payload: Mapping[str, Any]) -> None:
        self.usage = usage_of(payload)
        text, skip = text_of_blocks(payload.get("content"))
        self._fold.add(text)
        # As in a stream, where the reason to stop comes after the limit, if that was passed.
        self.skip = skip or (None if self.over else stop_skip(payload.get("stop_reason")))


class MessagesStreamReader(StreamReader):
    """Reads a stream of events; folds the text of its blocks.

    What is safe to leave ends before the end of a block of text as long as nothing has begun after
    it, so that there is a place for one more piece.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._words: tuple[object, ...] = ()  # the index of the block that has begun, if it is text
        self._between = ""

    @override
    def _take(self, frame: Frame) -> None:
        if self.done:
            return
        event = chunk_of(frame)
        if event is not None and self.skip is None and not self.over:
            self._read(event)
        self.done = kind_of(event) == "message_stop"
        self.finished = self.finished or self.done
        if not self.finished:
            self._advance(frame, event)

    def _read(self, event: Mapping[str, Any]) -> None:
        kind = kind_of(event)
        if kind == "message_start":
            self.usage = merged(self.usage, usage_of(part_of(event, "message")))
        elif kind == "content_block_start":
            self._between = BETWEEN if self.text else ""
            self._say(*text_of_block(event.get("content_block")))
        elif kind == "content_block_delta":
            self._say(*text_of_delta(event.get("delta")))
        elif kind == "message_delta":
            self.usage = merged(self.usage, usage_of(event))
            self.finished = self.finished or is_finish(event)
            self.skip = stop_skip(part_of(event, "delta").get("stop_reason"))
        elif kind == "error" or event.get("error") is not None:
            self.skip = "error_frame"

    def _say(self, text: str, skip: str | None) -> None:
        self.skip = skip
        if text:
            self._fold.add(self._between + text)
            self._between = ""

    def _advance(self, frame: Frame, event: Mapping[str, Any] | None) -> None:
        kind = kind_of(event)
        begins, ends = kind == "content_block_start", False
        if event is not None and begins:
            self._words = (event.get("index", 0),) if is_text_start(event) else ()
        elif event is not None and kind == "content_block_stop":
            ends = (event.get("index", 0),) == self._words
        self._count(frame, waits=ends or (self.waiting > 0 and not begins))
