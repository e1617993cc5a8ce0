"""OpenAI's Responses: ``POST /v1/responses``, streaming and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader, SideAnswer
from candor_guard.wire.base import BaseSurface
from candor_guard.wire.responses.annotate import annotated_stream, corrected_stream
from candor_guard.wire.responses.items import request_skip, text_format, turns_of
from candor_guard.wire.responses.read import ResponsesBodyReader, ResponsesStreamReader
from candor_guard.wire.responses.requests import edited, side_answer, side_body
from candor_guard.wire.structured import fits_format

__all__ = ["ResponsesSurface"]


class ResponsesSurface(BaseSurface):
    """The Responses format as a `candor_guard.surface.Surface`."""

    name = "responses"

    @override
    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        stored = request.payload.get("store") is not False
        reader = ResponsesStreamReader if request.stream else ResponsesBodyReader
        return reader(limit, stored=stored)

    @override
    def edit(self, request: GuardedRequest, edit: Edit) -> bytes:
        place = request.conversation.last_user_index
        turn = None if place is None else turns_of(request.payload)[place]
        return edited(request.payload, edit, None if turn is None else turn.place)

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
        """Whether the text keeps to the ``text.format`` that the request demands."""
        wanted = text_format(request.payload)
        if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema":
            wanted = {"type": "json_schema", "json_schema": wanted}
        return fits_format(wanted, text)

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
    def _annotated_stream(self, body: bytes, annotation: Annotation) -> bytes:
        return annotated_stream(body, annotation)

    @override
    def _corrected_stream(self, tail: bytes, text: str) -> bytes | None:
        return corrected_stream(tail, text)
