"""Chat Completions: ``POST /v1/chat/completions``, streaming and not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from candor_guard.conversation import Conversation
from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation, GuardedRequest, ReplyReader
from candor_guard.wire.base import BaseSurface
from candor_guard.wire.chat.annotate import annotated_stream, corrected_stream
from candor_guard.wire.chat.parts import finish_skip, only_choice
from candor_guard.wire.chat.requests import answer_text, edited, side_fields, side_wishes
from candor_guard.wire.reading import (
    DONE,
    BodyReader,
    StreamReader,
    chunk_of,
    text_of_content,
    usage_of,
)
from candor_guard.wire.sse import Frame

__all__ = ["DONE", "ChatBodyReader", "ChatStreamReader", "ChatSurface"]

_SERVED: Final = ("server_tool_calls", "web_search_calls", "web_search_results", "tool_results")


class ChatSurface(BaseSurface):
    """The Chat Completions format as a `candor_guard.surface.Surface`."""

    name = "chat"
    # The second line is how servers are told to think, or not to.
    _kept = (
        "user", "safety_identifier", "service_tier", "provider",
        "reasoning_effort", "reasoning", "thinking", "think", "enable_thinking", "chat_template_kwargs",
    )  # fmt: skip

    @override
    def reader(self, request: GuardedRequest, limit: int) -> ReplyReader:
        return ChatStreamReader(limit) if request.stream else ChatBodyReader(limit)

    @override
    def _skip(self, payload: Mapping[str, Any]) -> str | None:
        return _request_skip(payload)

    @override
    def _conversation(self, payload: Mapping[str, Any]) -> Conversation:
        return Conversation.parse(payload["messages"])

    @override
    def _format(self, payload: Mapping[str, Any]) -> object:
        return payload.get("response_format")

    @override
    def _edited(self, request: GuardedRequest, edit: Edit) -> dict[str, Any]:
        place = request.conversation.last_user_index
        return edited(request.payload, edit, -1 if place is None else place)

    @override
    def _said(self, messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        return {"messages": list(messages)}

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


class ChatBodyReader(BodyReader):
    """Reads a JSON body."""

    @override
    def _whole(self, payload: Mapping[str, Any]) -> None:
        self.usage = usage_of(payload)
        choice = only_choice(payload)
        message = choice.get("message") if choice else None
        if choice is None or not isinstance(message, Mapping):
            self.skip = "no_text" if choice or not payload.get("choices") else "n"
            return
        text, skip = text_of_content(message.get("content"))
        self._fold.add(text)
        # As in a stream, where the finish chunk comes after the limit, if that was passed.
        self.skip = _message_skip(message) or skip or (None if self.over else finish_skip(choice))
        if payload.get("error"):
            self.skip = self.skip or "failed"


class ChatStreamReader(StreamReader):
    """Reads a stream of chunks; folds the text of its one choice."""

    @override
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
        if chunk.get("error") is not None or chunk.get("object") == "error":  # older vLLM's way
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
        self.skip = self.skip or finish_skip(choice)


def _request_skip(payload: Mapping[str, Any]) -> str | None:
    modalities = payload.get("modalities")
    if isinstance(modalities, list) and (others := set(map(str, modalities)) - {"text"}):
        return "audio" if "audio" in others else "media"
    if payload.get("n") not in (None, 1):
        return "n"
    return "logprobs" if payload.get("logprobs") else None


def _message_skip(message: Mapping[str, Any]) -> str | None:
    if message.get("tool_calls") or message.get("function_call"):
        return "tool_calls"
    if message.get("refusal"):
        return "refusal"
    if message.get("images"):  # how several gateways deliver what a model drew
        return "media"
    return "audio" if message.get("audio") else _provider_skip(message)


def _provider_skip(message: Mapping[str, Any]) -> str | None:
    """Look where LiteLLM puts what Anthropic's blocks have beside their text."""
    fields = message.get("provider_specific_fields")
    if not isinstance(fields, Mapping):
        return None
    if any(fields.get(name) for name in _SERVED):
        return "tool_calls"
    return "citations" if fields.get("citations") or fields.get("citation") else None
