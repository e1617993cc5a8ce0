"""What is read alike in every format: frames, usage, and what a reader of replies has."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from candor_guard.conversation import Conversation
from candor_guard.errors import InvalidRequestError
from candor_guard.outcome import Usage
from candor_guard.wire.fold import TextFold
from candor_guard.wire.json import load_object
from candor_guard.wire.sse import Frame, FrameReader

DONE: Final = b"[DONE]"
# Thoughts and citations beside a reply's text. They are not what is said to the user.
_BESIDE: Final = frozenset({
    "thinking", "redacted_thinking", "reasoning", "reference", "reasoning_text", "summary_text",
})  # fmt: skip
_TEXT: Final = frozenset({"text", "output_text"})
# No call takes more tokens, and no sum of what stays below overflows.
_MOST: Final = 10**15
_LEVELS: Final = 8


class Reader:
    """What a whole reply and a stream have in common; see `candor_guard.surface.ReplyReader`."""

    def __init__(self, limit: int) -> None:
        self._fold = TextFold(limit)
        self.skip: str | None = None
        self.done = False
        self.finished = False
        self.usage: Usage | None = None
        self.response_id: str | None = None
        self.safe = 0
        self.waiting = 0  # bytes behind these that wait for the sake of a correction only

    @property
    def text(self) -> str:
        """The reply's text."""
        return self._fold.text

    @property
    def over(self) -> bool:
        """Whether the text went past the limit."""
        return self._fold.over

    def _count(self, frame: Frame, *, waits: bool) -> None:
        """Count a frame before the finish as one that may leave, unless a correction changes it."""
        self.waiting += len(frame.raw)
        if not waits:
            self.safe += self.waiting
            self.waiting = 0

    def _close(self) -> None:
        """All is read: a reply without words cannot be judged."""
        if not self.over and not self.text.strip():
            self.skip = self.skip or "no_text"


class BodyReader(Reader, ABC):
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
        self._whole(payload)
        self._close()

    @abstractmethod
    def _whole(self, payload: Mapping[str, Any]) -> None: ...


class StreamReader(Reader, ABC):
    """Reads a stream, frame by frame."""

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
        self._close()

    @abstractmethod
    def _take(self, frame: Frame) -> None: ...


def conversation_skip(conversation: Conversation) -> str | None:
    """Return why no reply to this conversation is judged, or None."""
    last = conversation.last_user
    if last is None:
        return "no_user_turn"
    return "media" if last.media else None


def chunk_of(frame: Frame) -> Mapping[str, Any] | None:
    """Return the object in a frame; None for comments, the end, and what is no object."""
    if frame.data is None or frame.data == DONE:
        return None
    try:
        chunk = json.loads(frame.data)
    except (ValueError, RecursionError):
        return None
    return chunk if isinstance(chunk, Mapping) else None


def kind_of(event: Mapping[str, Any] | None) -> str:
    """Return the type of an event; "" where there is none."""
    kind = event.get("type") if event is not None else None
    return kind if isinstance(kind, str) else ""


def text_of_content(content: object) -> tuple[str, str | None]:
    """Return the text of a reply's content, and why the reply cannot be judged, or None.

    Some servers send a list of parts, in a stream too: its text parts are read as one string.
    """
    if content is None or isinstance(content, str):
        return content or "", None
    if not isinstance(content, list):
        return "", "unreadable"
    pieces: list[str] = []
    skip: str | None = None
    for part in content:
        piece, reason = _part(part)
        pieces.append(piece)
        skip = skip or reason
    return "".join(pieces), skip


def _part(part: object) -> tuple[str, str | None]:
    if isinstance(part, str):
        return part, None
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str):
        return "", "unreadable"
    if kind in _TEXT:
        text = part.get("text")
        return (text or "", None) if text is None or isinstance(text, str) else ("", "unreadable")
    if kind == "refusal":
        return "", "refusal" if part.get("refusal") else None
    return "", None if kind in _BESIDE else "media"


def usage_of(payload: Mapping[str, Any]) -> Usage | None:
    """Return the usage that a body or chunk states, or None; also where it holds no counts.

    What it holds is added up and written again, so a number that cannot be is no count.
    """
    usage = payload.get("usage")
    return usage if isinstance(usage, Mapping) and usage and _adds_up(usage, _LEVELS) else None


def _adds_up(value: object, levels: int) -> bool:
    if isinstance(value, (int, float)):
        return -_MOST <= value <= _MOST
    if isinstance(value, Mapping):
        return levels > 0 and all(_adds_up(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_adds_up(each, levels - 1) for each in value)
    return True
