"""Server-sent events (WHATWG HTML §9.2.6), incrementally and without losing a byte."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Two line ends in a row close an event. The atomic groups keep "\r\n" from being read as two.
_BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event.

    Attributes:
        raw: Its bytes as received, closing blank line included.
        data: Its ``data`` lines joined by line breaks, or None when it has none (a comment).
    """

    raw: bytes
    data: bytes | None


class FrameReader:
    """Cuts a byte stream into frames; the frames' ``raw`` joined is the input, always."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    @property
    def pending(self) -> int:
        """Bytes received that do not form a complete frame yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next piece and return the frames that it completes."""
        self._buffer += data
        frames: list[Frame] = []
        start = 0
        while match := _BOUNDARY.search(self._buffer, max(start, self._searched)):
            end = match.end()
            if end == len(self._buffer) and self._buffer[end - 1] == 0x0D:
                break  # a line feed that belongs to this line end may still come
            frames.append(_frame(bytes(self._buffer[start:end])))
            start = self._searched = end
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - 3)
        return frames

    def end(self) -> list[Frame]:
        """Return what is left when the stream is over: an unclosed frame, if any."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [_frame(rest)] if rest else []


def frames_of(body: bytes) -> list[Frame]:
    """Cut a whole body into frames."""
    reader = FrameReader()
    return reader.feed(body) + reader.end()


def with_data(frame: Frame, data: bytes) -> bytes:
    """Return the frame's bytes with its data replaced, its other lines and line ends kept."""
    newline = _newline(frame.raw)
    raw = frame.raw.removeprefix(_BOM)
    kept = [line for line in _LINE.split(raw) if line and not _is_data(line)]
    start = _BOM if raw != frame.raw else b""
    return start + newline.join([*kept, b"data: " + data, b"", b""])


def named(event: bytes, data: bytes, like: Frame) -> bytes:
    """Return the bytes of a frame of that event with that data, with the line ends of another."""
    newline = _newline(like.raw)
    return newline.join([b"event: " + event, b"data: " + data, b"", b""])


def _frame(raw: bytes) -> Frame:
    lines = [line for line in _LINE.split(raw.removeprefix(_BOM)) if _is_data(line)]
    return Frame(raw, b"\n".join(map(_value, lines)) if lines else None)


def _is_data(line: bytes) -> bool:
    return line == b"data" or line.startswith(b"data:")


def _value(line: bytes) -> bytes:
    value = line[5:]
    return value[1:] if value.startswith(b" ") else value


def _newline(raw: bytes) -> bytes:
    match = _LINE.search(raw)
    return match.group() if match else b"\n"
