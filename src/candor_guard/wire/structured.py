"""Whether a regenerated text keeps to the ``response_format`` that the request demands.

The schema is the client's and the text is, through the model, nearly so: together they must not be
able to occupy the process. What might is not checked, and what is not checked does not fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

# Regular expressions can take for ever, and these are applied where no count can be kept. A
# "$schema" further in would change the validator.
_NOT_CHECKED: Final = re.compile(
    r'"(pattern|patternProperties|unevaluatedItems|unevaluatedProperties|uniqueItems|\$schema)": '
)
_MAX_SCHEMA_CHARACTERS: Final = 256 * 1024
_MAX_STEPS: Final = 50_000


class _TooCostlyError(Exception):
    """The check takes more steps than any honest schema needs."""


def fits_format(response_format: object, text: str) -> bool:
    """Check a reply against ``{"type": "text" | "json_object" | "json_schema", …}``.

    An unknown format is not satisfied by anything: better the original than a broken client.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if response_format is None or kind == "text":
        return True
    try:
        value = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return False
    if kind == "json_schema" and isinstance(response_format, Mapping):
        return _validates(value, response_format.get("json_schema"))
    return kind == "json_object" and isinstance(value, dict)


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _validates(value: Any, wrapper: object) -> bool:
    schema = wrapper.get("schema") if isinstance(wrapper, Mapping) else None
    if not isinstance(schema, Mapping):
        return isinstance(value, dict)
    schema = {key: rule for key, rule in schema.items() if key != "$schema"}
    try:
        written = json.dumps(schema)
        if len(written) > _MAX_SCHEMA_CHARACTERS or _NOT_CHECKED.search(written):
            return False
        return _bounded(schema, value)
    except Exception:  # noqa: BLE001 - a schema that makes no sense can break jsonschema anywhere
        return False


def _bounded(schema: Mapping[str, Any], value: Any) -> bool:
    # Imported late: slow, and rarely needed.
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to load, seldom needed
    from jsonschema.validators import extend  # noqa: PLC0415 - slow to load, seldom needed
    from referencing import Registry  # noqa: PLC0415 - slow to load, seldom needed

    steps = 0

    def counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def check(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[Any]:
            nonlocal steps
            steps += 1 + sum(len(x) for x in (rule, instance) if isinstance(x, (dict, list)))
            if steps > _MAX_STEPS:
                raise _TooCostlyError
            yield from keyword(validator, rule, instance, schema) or ()

        return check

    keywords = {name: counted(check) for name, check in Draft202012Validator.VALIDATORS.items()}
    # The default registry would fetch a "$ref" from wherever the client's schema says.
    bounded = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]  # stubs lack it
    checker = bounded(schema, registry=Registry())
    return bool(checker.is_valid(value))
