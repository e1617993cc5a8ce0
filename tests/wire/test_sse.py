"""Frames: cut out of bytes without losing one, however the bytes arrive."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.wire.sse import Frame, FrameReader, frames_of, with_data

CASES = {
    "line feeds": (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed ends": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\ndata: d\n\n", [b"a", b"b", b"c", b"d"]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", [b"a", b"b"]),
    "comment alone": (b": keepalive\n\ndata: a\n\n", [None, b"a"]),
    "comment inside": (b": hi\ndata: a\n\n", [b"a"]),
    "several data lines": (b"data: a\ndata: b\ndata:\n\n", [b"a\nb\n"]),
    "no space": (b"data:a\n\n", [b"a"]),
    "two spaces": (b"data:  a\n\n", [b" a"]),
    "field without colon": (b"data\n\n", [b""]),
    "other fields": (b"event: x\nid: 7\ndata: a\nretry: 1\n\n", [b"a"]),
    "name that only begins so": (b"database: a\n\n", [None]),
    "space before name": (b" data: a\n\n", [None]),
    "multi-byte characters": ("data: ü€😀\n\n".encode(), ["ü€😀".encode()]),
    "unclosed last frame": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "unclosed last line": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "null": (b"data: null\n\n", [b"null"]),
    "done": (b"data: [DONE]\n\n", [b"[DONE]"]),
    "extra blank lines": (b"\n\ndata: a\n\n\n\ndata: b\n\n", [None, b"a", None, b"b"]),
    "odd blank line": (b"data: a\n\n\ndata: b\n\n", [b"a", b"b"]),
    "nothing": (b"", []),
}
cases = pytest.mark.parametrize(("body", "expected"), CASES.values(), ids=CASES)


def read(pieces: Iterable[bytes]) -> list[Frame]:
    reader = FrameReader()
    frames = [frame for piece in pieces for frame in reader.feed(piece)]
    return frames + reader.end()


def one_by_one(body: bytes) -> Iterator[bytes]:
    return (body[i : i + 1] for i in range(len(body)))


@cases
def test_whole(body: bytes, expected: list[bytes | None]) -> None:
    """A body fed whole gives the data of its events."""
    assert [frame.data for frame in frames_of(body)] == expected


@cases
def test_one_byte_at_a_time(body: bytes, expected: list[bytes | None]) -> None:
    """A body fed byte by byte gives the same frames as whole."""
    frames = read(one_by_one(body))
    assert [frame.data for frame in frames] == expected
    assert frames == frames_of(body)


@cases
def test_every_split_point(body: bytes, expected: list[bytes | None]) -> None:
    """A body cut in two at any place gives the same frames as whole."""
    for cut in range(len(body) + 1):
        frames = read([body[:cut], body[cut:]])
        assert [frame.data for frame in frames] == expected, cut
        assert frames == frames_of(body), cut


@cases
def test_nothing_is_lost(body: bytes, expected: list[bytes | None]) -> None:
    """The frames' raw bytes joined are the input."""
    assert b"".join(frame.raw for frame in frames_of(body)) == body
    assert len(frames_of(body)) == len(expected)


def test_frames_come_at_once() -> None:
    """A frame is handed out with its closing line feed, not with the next frame."""
    reader = FrameReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.pending == 8
    assert reader.feed(b"\n") == [Frame(b"data: a\n\n", b"a")]
    assert reader.pending == 0


def test_a_late_line_feed_stays_with_its_frame() -> None:
    """A CRLF cut in half by the network does not begin the next frame."""
    reader = FrameReader()
    assert reader.feed(b"data: a\r\n\r") == []
    assert reader.feed(b"\n") == [Frame(b"data: a\r\n\r\n", b"a")]


def test_a_huge_frame_costs_linear_time() -> None:
    """A frame of 1 MB in small pieces is found without searching it over and over."""
    body = b"data: " + b"x" * 1_000_000 + b"\n\n"
    pieces = [body[i : i + 200] for i in range(0, len(body), 200)]
    began = time.perf_counter()
    (frame,) = read(pieces)
    assert frame.raw == body
    assert time.perf_counter() - began < 2


STREAMISH = st.lists(st.sampled_from([b"data", b":", b" ", b"\n", b"\r", b"x", b"\xef\xbb\xbf"]))


@given(st.one_of(st.binary(), STREAMISH.map(b"".join)), st.lists(st.integers(0, 40), max_size=12))
def test_any_bytes_any_cuts(body: bytes, sizes: list[int]) -> None:
    """Whatever the bytes and the cuts, the frames are those of the whole and lose nothing."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(body[start : start + size])
        start += size
    frames = read([*pieces, body[start:]])
    assert b"".join(frame.raw for frame in frames) == body
    assert frames == frames_of(body)


WRITTEN = {
    "alone": (b"data: a\n\n", b"data: new\n\n"),
    "other fields and comments stay": (
        b": c\nevent: x\ndata: a\nid: 7\n\n",
        b": c\nevent: x\nid: 7\ndata: new\n\n",
    ),
    "several data lines become one": (b"data: a\ndata: b\n\n", b"data: new\n\n"),
    "crlf stays": (b"id: 7\r\ndata: a\r\n\r\n", b"id: 7\r\ndata: new\r\n\r\n"),
    "carriage returns stay": (b"id: 7\rdata: a\r\r", b"id: 7\rdata: new\r\r"),
    "unclosed becomes closed": (b"data: a", b"data: new\n\n"),
    "byte order mark stays in front": (b"\xef\xbb\xbfdata: a\n\n", b"\xef\xbb\xbfdata: new\n\n"),
}


@pytest.mark.parametrize(("raw", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_with_data(raw: bytes, expected: bytes) -> None:
    """Replacing a frame's data keeps its other lines, its line ends and its mark."""
    (frame,) = frames_of(raw)
    written = with_data(frame, b"new")
    assert written == expected
    assert [f.data for f in frames_of(written)] == [b"new"]
