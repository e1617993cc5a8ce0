"""Structured output: a regenerated text must keep to what the request demands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.wire.listener import Listener, listening

from candor_guard.wire.structured import fits_format

NUMBER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
DEEP = "[" * 100_000


def schema(value: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}


CASES: dict[str, tuple[object, str, bool]] = {
    "no format": (None, "free text", True),
    "text": ({"type": "text"}, "free text", True),
    "object": ({"type": "json_object"}, '{"a": 1}', True),
    "object wanted, list given": ({"type": "json_object"}, "[1]", False),
    "object wanted, prose given": ({"type": "json_object"}, "Sure!", False),
    "object in a fence": ({"type": "json_object"}, "```json\n{}\n```", False),
    "object too deep": ({"type": "json_object"}, DEEP, False),
    "schema kept": (schema(NUMBER), '{"a": 1}', True),
    "schema broken": (schema(NUMBER), '{"a": "one"}', False),
    "schema, not JSON": (schema(NUMBER), "one", False),
    "schema missing": ({"type": "json_schema"}, '{"a": 1}', True),
    "schema missing, list": ({"type": "json_schema", "json_schema": {}}, "[1]", False),
    "schema of unknown type": (schema({"type": "nonsense"}), "{}", False),
    "schema of wrong kind": (schema({"required": "a"}), "{}", False),
    "schema with bad pattern": (schema({"pattern": "("}), '"a"', False),
    "schema with local reference": (
        schema({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}), "1", True,
    ),
    "schema with lost reference": (schema({"$ref": "#/$defs/lost"}), "1", False),
    "schema with endless reference": (schema({"$ref": "#"}), "1", False),
    "schema of an honest size": (schema({"items": NUMBER}), json.dumps([{"a": 1}] * 1000), True),
    "schema with a draft": (schema({"$schema": "https://json-schema.org/x"}), "1", True),
    "schema with a draft further in": (
        schema({"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}}), "[]", False,
    ),
    "schema with a base that is no address": (schema({"$id": "http://[", "$ref": "x"}), "1", False),
    "number that is no float": (schema({"multipleOf": 0.5}), "1" + "0" * 400, False),
    "no JSON but for Python": ({"type": "json_object"}, '{"a": NaN}', False),
    "unknown type": ({"type": "grammar"}, "{}", False),
    "no type": ({}, "{}", False),
    "type is no text": ({"type": ["text"]}, "{}", False),
    "format is no object": ("text", "{}", False),
}  # fmt: skip


@pytest.mark.parametrize(("response_format", "text", "fits"), CASES.values(), ids=CASES)
def test_fits(response_format: object, text: str, fits: bool) -> None:
    """A text fits what it satisfies, and never a demand that we cannot check."""
    assert fits_format(response_format, text) is fits


DOUBLING = {
    f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
    for n in range(40)
}
HOSTILE: dict[str, tuple[object, str]] = {
    "expression": ({"pattern": "^(a+)+$"}, json.dumps("a" * 40 + "!")),
    "expression for names": (
        {"unevaluatedProperties": False, "$ref": "#/$defs/x",
         "$defs": {"x": {"patternProperties": {"^(a+)+$": {}}}}},
        json.dumps({"a" * 40 + "!": 1}),
    ),
    "escaped name": (json.loads(r'{"p\u0061ttern": "^(a+)+$"}'), json.dumps("a" * 40 + "!")),
    "references": ({"$defs": {**DOUBLING, "d40": False}, "$ref": "#/$defs/d0"}, "1"),
    "comparisons": ({"uniqueItems": True}, json.dumps([{"a": n} for n in range(5000)])),
    "alternatives": ({"items": {"anyOf": [{"const": n} for n in range(5000)]}}, str([9999] * 5000)),
    "size": ({"properties": {f"p{n}": {"type": "string"} for n in range(50_000)}}, "{}"),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "text"), HOSTILE.values(), ids=HOSTILE)
def test_no_schema_can_keep_us_busy(rules: object, text: str) -> None:
    """What would take minutes is given up at once, and does not fit."""
    began = time.perf_counter()
    assert fits_format(schema(rules), text) is False
    assert time.perf_counter() - began < 5.0


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as server:
        yield server


def test_references_are_never_fetched(listener: Listener) -> None:
    """A client cannot make us call an address of its choice through its schema."""
    assert fits_format(schema({"$ref": listener.url}), "1") is False
    assert listener.calls == 0
