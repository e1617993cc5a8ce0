"""Writing into delivered streams: the record, the sum of usage, a correction. Never a new event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from candor_guard.surface import Annotation
from candor_guard.wire.chat.parts import only_choice
from candor_guard.wire.json import dump
from candor_guard.wire.reading import chunk_of
from candor_guard.wire.sse import Frame, frames_of, with_data
from candor_guard.wire.writing import annotated


def annotated_stream(body: bytes, annotation: Annotation) -> bytes:
    """Write the annotation onto the finish chunk, and the usage wherever it is stated."""
    frames = frames_of(body)
    chunks = [chunk_of(frame) for frame in frames]
    target = _finish_index(chunks)
    pieces: list[bytes] = []
    for index, (frame, chunk) in enumerate(zip(frames, chunks, strict=True)):
        if chunk is None:
            pieces.append(frame.raw)
            continue
        candor = annotation.candor if index == target else None
        written = annotated(chunk, Annotation(candor, annotation.usage))
        pieces.append(frame.raw if written == chunk else with_data(frame, dump(written)))
    return b"".join(pieces)


def corrected_stream(tail: bytes, text: str) -> bytes | None:
    """Put one more content chunk before the finish chunk; None where there is no finish chunk.

    The new chunk is the finish chunk with its text instead of its finish, so it has the id, the
    model and whatever else this upstream's chunks have. Text that came with the finish goes first.
    """
    frames = frames_of(tail)
    chunks = [chunk_of(frame) for frame in frames]
    target = _finish_index(chunks)
    chunk = chunks[target] if target is not None else None
    choice = only_choice(chunk) if chunk is not None else None
    if target is None or chunk is None or choice is None or not choice.get("finish_reason"):
        return None
    frame = frames[target]
    delta = choice.get("delta")
    delta = delta if isinstance(delta, Mapping) else {}
    said = delta.get("content")
    more = {"content": _longer(said, text)}
    content = _with_choice(chunk, {**choice, "delta": more, "finish_reason": None})
    content.pop("usage", None)
    if said:
        empty = [] if isinstance(said, list) else ""
        finish = _with_choice(chunk, {**choice, "delta": {**delta, "content": empty}})
        frames[target] = Frame(with_data(frame, dump(finish)), None)
    new = Frame(with_data(frame, dump(content)), None)
    return b"".join(each.raw for each in (*frames[:target], new, *frames[target:]))


def _longer(content: object, text: str) -> object:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return f"{content or ''}{text}"


def _with_choice(chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
    return {**chunk, "choices": [dict(choice)]}


def _finish_index(chunks: Sequence[Mapping[str, Any] | None]) -> int | None:
    """Index of the finish chunk; of the last chunk with a choice where upstream sent none."""
    fallback: int | None = None
    for index, chunk in enumerate(chunks):
        choice = only_choice(chunk) if chunk is not None else None
        if choice is None:
            continue
        if choice.get("finish_reason"):
            return index
        fallback = index
    return fallback
