"""JSON objects from and to bytes, with errors that a client can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from candor_guard.errors import InvalidRequestError

# Each value takes about 80 bytes once parsed. Text and base64 hold few of these characters: this
# is far beyond any conversation, and keeps a body of brackets from taking a core and half a GB.
MAX_VALUES = 1_000_000


def count_values(body: bytes) -> int:
    """Return how many values a body may hold: an upper bound, and cheap."""
    return sum(map(body.count, (b",", b"[", b"{")))


def load_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        InvalidRequestError: If the bytes are no JSON, or JSON but no object, or hold too many
            values.
    """
    if len(body) > MAX_VALUES and count_values(body) > MAX_VALUES:
        raise InvalidRequestError(f"body has more than {MAX_VALUES} values")
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidRequestError(f"body is not valid JSON: {error.msg} at {where}") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("body is not valid JSON: not UTF-8") from None
    except (ValueError, RecursionError):
        raise InvalidRequestError("body is not valid JSON: a value is out of bounds") from None
    if not isinstance(value, dict):
        raise InvalidRequestError(f"body must be a JSON object, not {type(value).__name__}")
    return value


def dump(payload: Mapping[str, Any]) -> bytes:
    """Write JSON compactly. Lone surrogates, legal in JSON strings, survive as escapes.

    Raises:
        InvalidRequestError: If it is nested too deeply, or holds a number that is no JSON; both
            may have been just readable.
    """
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise InvalidRequestError("body cannot be written: nested too deeply") from None
    except ValueError:
        raise InvalidRequestError("body cannot be written: a number is out of bounds") from None
    return text.encode("utf-8", "backslashreplace")
