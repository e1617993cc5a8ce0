"""Readers of Responses replies: a JSON body, and a stream of typed events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import override

from candor_guard.wire.reading import (
    DONE,
    BodyReader,
    Reader,
    StreamReader,
    chunk_of,
    kind_of,
    usage_of,
)
from candor_guard.wire.responses.items import is_beside_words, said_by
from candor_guard.wire.sse import Frame

DELTA: Final = "response.output_text.delta"
TEXT_DONE: Final = "response.output_text.done"
PART_DONE: Final = "response.content_part.done"
ITEM_DONE: Final = "response.output_item.done"
COMPLETED: Final = "response.completed"
_ENDS: Final = frozenset({COMPLETED, "response.incomplete", "response.failed"})
# They repeat what was said. A correction changes them, so they wait for what comes after.
_CLOSING: Final = frozenset({TEXT_DONE, PART_DONE, ITEM_DONE, *_ENDS})
_ADDED: Final = "response.output_item.added"
_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
# What stands between two messages of one reply, for whoever reads them as one text.
_BETWEEN: Final = "\n\n"


class _ResponsesReader(Reader):
    """What a whole response and a stream have in common."""

    def __init__(self, limit: int, *, stored: bool = False) -> None:
        """Read `limit` bytes of text; `stored`: whether the upstream may keep the response."""
        super().__init__(limit)
        self._stored = stored
        self._place: object = None

    def _say(self, place: object, text: str) -> None:
        if not text:
            return
        if self._place not in (None, place):
            self._fold.add(_BETWEEN)
        self._place = place
        self._fold.add(text)

    def _note(self, response: Mapping[str, Any]) -> None:
        """Take from a response what says which one it is, and what it cost."""
        name = response.get("id")
        if self._stored and isinstance(name, str):
            self.response_id = name
        self.usage = usage_of(response) or self.usage

    def _take_output(self, response: Mapping[str, Any], *, silent: bool = False) -> None:
        """Read the items of a response; `silent`: only for a reason to skip it."""
        output = response.get("output")
        for place, item in enumerate(output if isinstance(output, list) else ()):
            text, skip = said_by(item)
            if not silent:
                self._say(place, text)
            self.skip = self.skip or skip
            if self.skip or self.over:
                return


class ResponsesBodyReader(_ResponsesReader, BodyReader):
    """Reads a JSON body."""

    @override
    def _whole(self, payload: Mapping[str, Any]) -> None:
        self._note(payload)
        self._take_output(payload)
        # As in a stream, where the last event comes after the limit, if that was passed.
        self.skip = self.skip or (None if self.over else _status_skip(payload))


class ResponsesStreamReader(_ResponsesReader, StreamReader):
    """Reads a stream of events; folds the text of all its messages.

    What is safe to leave ends before the closing events that nothing was said after.
    """

    @override
    def _take(self, frame: Frame) -> None:
        if self.done:
            return
        event = chunk_of(frame)
        kind = kind_of(event)
        self.done = frame.data == DONE or kind in _ENDS
        if event is not None and self.skip is None and not self.over:
            self._read(event, kind)
        self.finished = self.finished or (self.done and frame.data != DONE)
        if not self.done:
            comment = frame.data is None
            self._count(frame, waits=kind in _CLOSING or (self.waiting > 0 and comment))

    def _read(self, event: Mapping[str, Any], kind: str) -> None:
        response = event.get("response")
        if isinstance(response, Mapping):
            self._note(response)
        if kind == "error" or event.get("error") is not None:
            self.skip = "error_frame"
        elif kind == DELTA:
            self._delta(event)
        elif kind == _ADDED:
            self.skip = said_by(event.get("item"))[1]
        elif kind in _ENDS:
            self._end_of(kind, response if isinstance(response, Mapping) else {})
        else:
            self.skip = _event_skip(kind)

    def _delta(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        if isinstance(delta, str):
            place = event.get("output_index")
            self._say(0 if place is None else place, delta)
        else:
            self.skip = "unreadable"

    def _end_of(self, kind: str, response: Mapping[str, Any]) -> None:
        # Some servers send no deltas; what their clients show is the whole response.
        self._take_output(response, silent=self._place is not None)
        if self.over:
            return
        ended = {"status": kind.removeprefix("response.")} if kind != COMPLETED else {}
        self.skip = self.skip or _status_skip({**response, **ended})


def is_end(event: Mapping[str, Any]) -> bool:
    """Whether an event is a stream's last, which holds the whole response."""
    return kind_of(event) in _ENDS


def _status_skip(response: Mapping[str, Any]) -> str | None:
    status = response.get("status")
    if status == "failed" or response.get("error") is not None:
        return "failed"
    if status == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _REASONS.get(str(reason), "incomplete")
    return None if status in (None, "completed") else "unfinished"


def _event_skip(kind: str) -> str | None:
    """Return the reason to skip a reply that an event's name is enough for, or None."""
    name = kind.removeprefix("response.")
    item = name.partition(".")[0].removesuffix("_code")  # as in "code_interpreter_call_code.delta"
    if ("_call" in name or name.startswith("mcp_")) and not is_beside_words(item):
        return "tool_calls"
    if name.startswith("refusal."):
        return "refusal"
    return "audio" if name.startswith("audio.") else None
