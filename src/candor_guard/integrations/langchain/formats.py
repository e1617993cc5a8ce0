"""The format that a LangChain model is told to answer in, wherever its package has it said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

# OpenAI's Chat Completions; Anthropic's, old and new; OpenAI's Responses; Ollama's.
_PLACES: Final = ("response_format", "output_format", "output_config", "text", "format")
_INNER: Final = frozenset({"output_config", "text"})
# No text fits this one, so nothing is put in the place of a reply that kept to it.
_UNKNOWN: Final = {"type": "unknown"}


def demanded(model: Any, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what the reply has to look like, as Chat Completions says it; None: no demand.

    Args:
        model: The model, with something bound to it or not.
        options: What it is called with.
    """
    bare = getattr(model, "bound", model)
    told = {
        **(getattr(bare, "model_kwargs", None) or {}),
        **getattr(model, "kwargs", {}),
        **options,
    }
    for place in _PLACES:
        wanted = told.get(place, getattr(bare, place, None))
        if place in _INNER:
            wanted = wanted.get("format") if isinstance(wanted, Mapping) else None
        form = _form(wanted)
        if form is not None:
            return form
    return None


def _form(wanted: Any) -> Mapping[str, Any] | None:
    if isinstance(wanted, type):
        return _of_class(wanted)
    if wanted in ("json", "json_object"):
        return {"type": "json_object"}
    if not isinstance(wanted, Mapping) or not wanted:
        return None
    if "json_schema" not in wanted and isinstance(wanted.get("schema"), Mapping):
        return _of_schema(wanted["schema"])
    is_schema = (
        wanted.get("type") == "object" or "properties" in wanted
    )  # Ollama's, and titled ones
    return _of_schema(wanted) if is_schema else wanted


def _of_class(wanted: type) -> Mapping[str, Any]:
    try:
        return _of_schema(TypeAdapter(wanted).json_schema())
    except (PydanticSchemaGenerationError, PydanticUserError):
        return _UNKNOWN


def _of_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "json_schema", "json_schema": {"schema": dict(schema)}}
