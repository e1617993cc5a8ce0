"""Whether a regenerated text keeps to the ``response_format`` that the request demands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def fits_format(response_format: object, text: str) -> bool:
    """Check a reply against ``{"type": "text" | "json_object" | "json_schema", …}``.

    An unknown format is not satisfied by anything: better the original than a broken client.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if response_format is None or kind == "text":
        return True
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if kind == "json_schema" and isinstance(response_format, Mapping):
        return _validates(value, response_format.get("json_schema"))
    return kind == "json_object" and isinstance(value, dict)


def _validates(value: Any, wrapper: object) -> bool:
    schema = wrapper.get("schema") if isinstance(wrapper, Mapping) else None
    if not isinstance(schema, Mapping):
        return isinstance(value, dict)
    # Imported late: slow, and rarely needed.
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    try:
        Draft202012Validator.check_schema(schema)
        # The default registry would fetch a "$ref" from wherever the client's schema says.
        return bool(Draft202012Validator(schema, registry=Registry()).is_valid(value))
    except (SchemaError, Unresolvable, re.error, RecursionError):
        return False
