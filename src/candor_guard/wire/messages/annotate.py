"""Writing into delivered streams of the Messages format. Never a new kind of event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from candor_guard.outcome import Usage
from candor_guard.surface import Annotation
from candor_guard.wire.json import dump
from candor_guard.wire.messages.parts import is_finish, is_text_start, part_of
from candor_guard.wire.reading import chunk_of, kind_of, usage_of
from candor_guard.wire.sse import Frame, frames_of, named, with_data

# Told at the start; the finish may tell them too, and they count from there then.
_INPUT: Final = frozenset({
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
})  # fmt: skip
_OUTPUT: Final = frozenset({"output_tokens", "output_tokens_details"})


def annotated_stream(body: bytes, annotation: Annotation) -> bytes:
    """Write the annotation onto the ``message_delta``, and the usage wherever it is stated."""
    frames = frames_of(body)
    events = [chunk_of(frame) for frame in frames]
    target = _finish_index(events)
    pieces: list[bytes] = []
    for index, (frame, event) in enumerate(zip(frames, events, strict=True)):
        if event is None:
            pieces.append(frame.raw)
            continue
        written = event if annotation.usage is None else _counted(event, annotation.usage)
        if index == target and annotation.candor is not None:
            written = {**written, "candor": annotation.candor}
        pieces.append(frame.raw if written == event else with_data(frame, dump(written)))
    return b"".join(pieces)


def corrected_stream(tail: bytes, text: str) -> bytes | None:
    """Put one more delta at the end of the last block of text; None where that is not in the tail.

    The tail begins at the end of that block, or before: see `MessagesStreamReader`. So a block
    that ends in it without having begun there is one of text.
    """
    frames = frames_of(tail)
    events = [chunk_of(frame) for frame in frames]
    if not any(event is not None and is_finish(event) for event in events):
        return None
    target = _text_end(events)
    event = events[target] if target is not None else None
    if target is None or event is None:
        return None
    delta = {
        "type": "content_block_delta",
        "index": event.get("index"),
        "delta": {"type": "text_delta", "text": text},
    }
    new = named(b"content_block_delta", dump(delta), frames[target])
    return b"".join([*_raw(frames[:target]), new, *_raw(frames[target:])])


def _raw(frames: Sequence[Frame]) -> list[bytes]:
    return [frame.raw for frame in frames]


def _text_end(events: Sequence[Mapping[str, Any] | None]) -> int | None:
    """Index of the event that ends the last block of text."""
    others: list[object] = []
    found: int | None = None
    for index, event in enumerate(events):
        kind = kind_of(event)
        if event is None or kind not in ("content_block_start", "content_block_stop"):
            continue
        if kind == "content_block_stop":
            found = index if event.get("index") not in others else found
        elif not is_text_start(event):
            others.append(event.get("index"))
    return found


def _counted(event: Mapping[str, Any], usage: Usage) -> Mapping[str, Any]:
    """Return an event with these counts instead of its own, where it has any."""
    kind = kind_of(event)
    if kind == "message_start":
        message = part_of(event, "message")
        own = usage_of(message)
        if own is None:
            return event
        counts = {key: usage[key] for key in own if key in usage and key not in _OUTPUT}
        return {**event, "message": {**message, "usage": {**own, **counts}}}
    own = usage_of(event) if kind == "message_delta" else None
    if own is None:
        return event
    counts = {key: value for key, value in usage.items() if key in own or key in _INPUT}
    return {**event, "usage": {**own, **counts}}


def _finish_index(events: Sequence[Mapping[str, Any] | None]) -> int | None:
    """Index of the event that says why the reply stopped, or of the last of its kind."""
    kinds = [i for i, event in enumerate(events) if kind_of(event) == "message_delta"]
    stops = (i for i in kinds if is_finish(events[i] or {}))
    return next(stops, kinds[-1] if kinds else None)
