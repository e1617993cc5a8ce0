"""Anthropic's Messages: ``POST /v1/messages``, streaming and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader, SideAnswer
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
    side_answer,
    side_body,
)
from candor_guard.wire.reading import (
    BodyReader,
    StreamReader,
    chunk_of,
    kind_of,
    usage_of,
)
from candor_guard.wire.sse import Frame
from candor_guard.wire.structured import fits_format


class MessagesSurface(BaseSurface):
    """The Messages format as a `candor_guard.surface.Surface`."""

    name = "messages"
    keepalive = b'event: ping\ndata: {"type": "ping"}\n\n'

    @override
    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        return MessagesStreamReader(limit) if request.stream else MessagesBodyReader(limit)

    @override
    def edit(self, request: GuardedRequest, edit: Edit) -> bytes:
        return edited(request.payload, edit)

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
        return side_body(request.payload, messages, model=model, schema=schema, bare=bare)

    @override
    def side_answer(self, body: bytes) -> SideAnswer:
        return side_answer(body)

    @override
    def accepts(self, request: GuardedRequest, text: str) -> bool:
        """Whether the text keeps to the request's ``output_config.format``."""
        return fits_format(response_format(request.payload), text)

    @override
    def _conversation(self, payload: Mapping[str, Any]) -> Conversation:
        return conversation_of(payload)

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

    What is safe to leave ends before the end of the last block of text, so that there is a place
    for one more piece of it.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._size = 0
        self._open: object = None
        self._kept_back = False
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
        if event is not None and is_text_start(event):
            self._open, self._kept_back = event.get("index", 0), False
        elif kind_of(event) == "content_block_stop" and event is not None:
            self._kept_back = self._kept_back or event.get("index", 0) == self._open
        self._size += len(frame.raw)
        if not self._kept_back:
            self.safe = self._size
