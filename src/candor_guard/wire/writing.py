"""What is written alike in every format: the record, the sum of usage, a changed last turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from candor_guard.regeneration.strategies import Edit
from candor_guard.surface import Annotation
from candor_guard.wire.json import dump, load_object
from candor_guard.wire.reading import usage_of

_TEXT_PARTS: Final = frozenset({"text", "input_text"})


def annotated_body(body: bytes, annotation: Annotation) -> bytes:
    """Write the annotation onto a JSON body.

    Raises:
        InvalidRequestError: If it cannot be written again.
    """
    return dump(annotated(load_object(body), annotation))


def annotated(payload: Mapping[str, Any], annotation: Annotation) -> dict[str, Any]:
    """Return an object with the annotation in it; usage only where it states its own."""
    result = dict(payload)
    if annotation.usage is not None and usage_of(result) is not None:
        result["usage"] = annotation.usage
    if annotation.candor is not None:
        result["candor"] = annotation.candor
    return result


def edited_content(content: object, edit: Edit, kind: str) -> object:
    """Return a user turn's content as the edit wants it: text stays text, and parts parts.

    Args:
        content: Text, parts or nothing.
        edit: What to change.
        kind: The ``type`` of the parts of text that are added.
    """
    if isinstance(content, list):
        return edited_parts(content, edit, kind)
    text = content or "" if edit.replacement is None else edit.replacement
    return f"{text}\n\n{edit.note}"


def edited_parts(parts: Sequence[Any], edit: Edit, kind: str) -> list[Any]:
    """Return a turn's parts as the edit wants them: what it adds are the last ones."""
    note = {"type": kind, "text": edit.note}
    if edit.replacement is None:
        return [*parts, note]
    kept = [part for part in parts if not _is_text(part)]
    return [*kept, {"type": kind, "text": edit.replacement}, note]


def _is_text(part: object) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and part.get("type") in _TEXT_PARTS)
