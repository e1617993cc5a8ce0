"""OpenAI's Responses: ``POST /v1/responses``, streaming and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader
from candor_guard.wire.base import BaseSurface
from candor_guard.wire.responses.annotate import annotated_stream, corrected_stream
from candor_guard.wire.responses.items import request_skip, text_format, turns_of
from candor_guard.wire.responses.read import ResponsesBodyReader, ResponsesStreamReader
from candor_guard.wire.responses.requests import answer_text, edited, side_fields, side_wishes

__all__ = ["ResponsesSurface"]


class ResponsesSurface(BaseSurface):
    """The Responses format as a `candor_guard.surface.Surface`."""

    name = "responses"
    _kept = ("user", "safety_identifier", "service_tier", "provider", "metadata")
    endings = (b"response.completed", b"response.incomplete", b"response.failed")

    @override
    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        stored = request.payload.get("store") is not False
        reader = ResponsesStreamReader if request.stream else ResponsesBodyReader
        return reader(limit, stored=stored)

    @override
    def _check(self, payload: Mapping[str, Any]) -> None:
        """Take any object: what a request of this format has to have is upstream's to say."""

    @override
    def _skip(self, payload: Mapping[str, Any]) -> str | None:
        return request_skip(payload)

    @override
    def _conversation(self, payload: Mapping[str, Any]) -> Conversation:
        return Conversation(tuple(turn.message for turn in turns_of(payload)))

    @override
    def _format(self, payload: Mapping[str, Any]) -> object:
        wanted = text_format(payload)
        if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema":
            return {"type": "json_schema", "json_schema": wanted}
        return wanted

    @override
    def _edited(self, request: GuardedRequest, edit: Edit) -> dict[str, Any]:
        place = request.conversation.last_user_index
        turn = None if place is None else turns_of(request.payload)[place]
        return edited(request.payload, edit, None if turn is None else turn.place)

    @override
    def _said(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        return {"input": list(messages)}

    @override
    def _beside(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return side_fields(payload)

    @override
    def _wanted(
        self, payload: Mapping[str, Any], body: Mapping[str, Any], schema: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        return side_wishes(payload, schema)

    @override
    def _text(self, payload: Mapping[str, Any]) -> str:
        return answer_text(payload)

    @override
    def _annotated_stream(self, body: bytes, annotation: Annotation) -> bytes:
        return annotated_stream(body, annotation)

    @override
    def _corrected_stream(self, tail: bytes, text: str) -> bytes | None:
        return corrected_stream(tail, text)
