"""One property: how the upstream cuts its reply into pieces never changes what happens to it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.flow.kit import Run, guarded
from typing_extensions import override

from candor_guard.policy import Mode, Policy
from candor_guard.testing import FakeReply, chat_body, chat_stream

MODES: tuple[Mode, ...] = ("enforce", "observe")
WORDS = st.sampled_from(["CAVE", "ok ", "ü", "€", "😀", "\n", "\r\n", "\u2028", "data: ", "x", " "])
TEXTS = st.one_of(st.lists(WORDS, max_size=12).map("".join), st.text(max_size=30))
CUTS = st.lists(st.integers(0, 60), max_size=8)
FINE_CUTS = st.lists(st.integers(1, 300), max_size=12)


@dataclass(frozen=True)
class Shape:
    """How a reply arrives."""

    content: tuple[int, ...]
    wire: tuple[int, ...]
    line_end: str = "\n"
    raw_utf8: bool = False
    usage: bool = False


SHAPES = st.builds(
    Shape,
    content=CUTS.map(tuple),
    wire=FINE_CUTS.map(tuple),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    raw_utf8=st.booleans(),
    usage=st.booleans(),
)


def pieces_of(whole: Any, sizes: tuple[int, ...]) -> list[Any]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(whole[start : start + size])
        start += size
    return [piece for piece in [*pieces, whole[start:]] if piece]


def _unescaped(raw: bytes) -> bytes:
    """The same frames with characters in place of their escapes."""
    frames = []
    for frame in raw.decode().split("\n\n"):
        data = frame.removeprefix("data: ")
        parsed = json.loads(data) if data.startswith("{") else None
        frames.append(f"data: {json.dumps(parsed, ensure_ascii=False)}" if parsed else frame)
    return "\n\n".join(frames).encode("utf-8", "surrogatepass")


def streamed(text: str, shape: Shape) -> FakeReply:
    raw = chat_stream(pieces_of(text, shape.content), usage=shape.usage)
    if shape.raw_utf8:
        raw = _unescaped(raw)
    raw = raw.replace(b"\n", shape.line_end.encode())
    return FakeReply.sse(*pieces_of(raw, shape.wire))


def whole(text: str, shape: Shape) -> FakeReply:
    return FakeReply(tuple(pieces_of(chat_body(text), shape.wire)))


def told(run: Run) -> tuple[object, ...]:
    """What must not depend on the pieces."""
    outcome = run.outcome
    return (
        outcome.action, outcome.evaluated, outcome.labels, outcome.skipped, outcome.delivered,
        tuple(run.results), tuple(e.reply for e in run.detector.read_exchanges), run.text,
    )  # fmt: skip


class _Roomy(Policy):
    """The bound on wire bytes guards memory; it is far off in this test as in life."""

    @property
    @override
    def max_hold_raw_bytes(self) -> int:
        return 10**9


def play(first: FakeReply, second: FakeReply, mode: Mode, limit: int, *, stream: bool) -> Run:
    script = [first, second]
    return asyncio.run(
        guarded(script, stream=stream, mode=mode, policy_type=_Roomy, max_hold_bytes=limit)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [7, 262_144])
@settings(deadline=None)
@given(first=TEXTS, second=TEXTS, shapes=st.lists(SHAPES, min_size=3, max_size=3))
@example(first="okCAVE", second="ok", shapes=[Shape((), ()), Shape((3, 3), ()), Shape((), (9,))])
@example(first=" " * 8, second="", shapes=[Shape((), ()), Shape((7,), ()), Shape((), (86, 300))])
@example(first="x" * 8, second="", shapes=[Shape((7,), ()), Shape((8,), ()), Shape((), (1,))])
@example(first="€€€CAVE", second="😀", shapes=[Shape((2, 1), ()), Shape((), ()), Shape((1,), ())])
def test_pieces_do_not_matter(
    mode: Mode, limit: int, first: str, second: str, shapes: list[Shape]
) -> None:
    """A reply in one piece, in any pieces and as a JSON body has the same outcome and text."""
    plain = Shape((), ())
    one = told(play(streamed(first, plain), streamed(second, plain), mode, limit, stream=True))
    for shape in [plain, *shapes]:
        many = play(streamed(first, shape), streamed(second, shape), mode, limit, stream=True)
        body = play(whole(first, shape), whole(second, shape), mode, limit, stream=False)
        assert told(many) == one
        assert told(body) == one


@settings(deadline=None)
@given(text=TEXTS, shape=SHAPES)
def test_unflagged_bytes_do_not_change(text: str, shape: Shape) -> None:
    """Whatever the pieces, an unflagged reply is delivered byte for byte."""
    source = streamed(text.replace("CAVE", "fine"), shape)
    for mode in MODES:
        run = asyncio.run(guarded([source], stream=True, mode=mode))
        assert run.body == b"".join(p for p in source.pieces if isinstance(p, bytes))
