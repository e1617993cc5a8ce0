"""Writing into delivered event streams: the record, the sum of usage, a correction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from candor_guard.surface import Annotation
from candor_guard.wire.json import dump
from candor_guard.wire.reading import chunk_of
from candor_guard.wire.responses.read import (
    COMPLETED,
    DELTA,
    ITEM_DONE,
    PART_DONE,
    TEXT_DONE,
    is_end,
)
from candor_guard.wire.sse import Frame, frames_of, named, with_data
from candor_guard.wire.writing import annotated

_Event = dict[str, Any]


def annotated_stream(body: bytes, annotation: Annotation) -> bytes:
    """Write the annotation into the response that the last event holds."""
    pieces: list[bytes] = []
    ended = False
    for frame in frames_of(body):
        event = chunk_of(frame)
        written = event
        if not ended and event is not None and is_end(event):
            ended = True
            response = event.get("response")
            if isinstance(response, Mapping):
                written = {**event, "response": annotated(response, annotation)}
        if written is None or written == event:
            pieces.append(frame.raw)
        else:
            pieces.append(with_data(frame, dump(written)))
    return b"".join(pieces)


def corrected_stream(tail: bytes, text: str) -> bytes | None:
    """Put one more delta before the end of the last text; None where there is no place for one.

    The new event has the ids of the one that closes the text. Everything behind it that repeats the
    text has the longer one, and is numbered anew.
    """
    frames = frames_of(tail)
    events = [_event(frame) for frame in frames]
    kinds = [event.get("type") if event is not None else None for event in events]
    if COMPLETED not in kinds or TEXT_DONE not in kinds:
        return None
    place = len(kinds) - 1 - kinds[::-1].index(TEXT_DONE)
    closing = events[place]
    if closing is None or not isinstance(closing.get("text"), str):
        return None
    pieces = [frame.raw for frame in frames[:place]]
    pieces.append(named(DELTA.encode(), dump(_delta(closing, text)), frames[place]))
    for frame, event in zip(frames[place:], events[place:], strict=True):
        if event is None:
            pieces.append(frame.raw)
            continue
        _lengthen(event, closing, text)
        if _is_number(event.get("sequence_number")):
            event["sequence_number"] += 1
        pieces.append(with_data(frame, dump(event)))
    return b"".join(pieces)


def _event(frame: Frame) -> _Event | None:
    event = chunk_of(frame)
    return dict(event) if event is not None else None


def _delta(closing: Mapping[str, Any], text: str) -> _Event:
    delta = {**closing, "type": DELTA, "delta": text}
    del delta["text"]
    if "logprobs" in delta:
        delta["logprobs"] = []
    return delta


def _lengthen(event: _Event, closing: Mapping[str, Any], text: str) -> None:
    """Append the text wherever an event repeats the one that was closed.

    Some servers leave the places out, of all events alike.
    """
    kind = event.get("type")
    where = closing.get("output_index"), closing.get("content_index")
    here = event.get("output_index"), event.get("content_index")
    if kind == TEXT_DONE and here == where:
        event["text"] += text
    elif kind == PART_DONE and here == where:
        _change(event, "part", lambda part: _longer(part, text))
    elif kind == ITEM_DONE and here[0] == where[0]:
        _change(event, "item", lambda item: _longer_item(item, closing, text))
    elif kind == COMPLETED:
        _change(event, "response", lambda response: _longer_response(response, closing, text))


def _change(holder: _Event, key: str, change: Callable[[Any], Any]) -> None:
    if key in holder:
        holder[key] = change(holder[key])


def _longer_response(response: Any, closing: Mapping[str, Any], text: str) -> Any:
    output = response.get("output") if isinstance(response, Mapping) else None
    if not isinstance(output, list):
        return response
    place = _place_of(closing, output)
    longer = _replaced(output, place, lambda item: _longer_item(item, closing, text))
    return {**response, "output": longer}


def _place_of(closing: Mapping[str, Any], output: list[Any]) -> object:
    """Return where the item is whose text was closed: by its id, or as the event says."""
    name = closing.get("item_id")
    ids = [item.get("id") if isinstance(item, Mapping) else None for item in output]
    return ids.index(name) if name is not None and name in ids else closing.get("output_index")


def _longer_item(item: Any, closing: Mapping[str, Any], text: str) -> Any:
    if not isinstance(item, Mapping) or "content" not in item:
        return item
    place = closing.get("content_index", 0)
    content = _replaced(item["content"], place, lambda part: _longer(part, text))
    return {**item, "content": content}


def _longer(part: Any, text: str) -> Any:
    if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
        return part
    return {**part, "text": part["text"] + text}


def _replaced(values: Any, place: object, change: Callable[[Any], Any]) -> Any:
    """Return a list with what is at one place changed; anything else as it is."""
    if not isinstance(values, list):
        return values
    return [change(value) if index == place else value for index, value in enumerate(values)]


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
