"""Structured output: a regenerated text must keep to what the request demands."""

from __future__ import annotations

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
    "unknown type": ({"type": "grammar"}, "{}", False),
    "no type": ({}, "{}", False),
    "type is no text": ({"type": ["text"]}, "{}", False),
    "format is no object": ("text", "{}", False),
}  # fmt: skip


@pytest.mark.parametrize(("response_format", "text", "fits"), CASES.values(), ids=CASES)
def test_fits(response_format: object, text: str, fits: bool) -> None:
    """A text fits what it satisfies, and never a demand that we cannot check."""
    assert fits_format(response_format, text) is fits


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as server:
        yield server


def test_references_are_never_fetched(listener: Listener) -> None:
    """A client cannot make us call an address of its choice through its schema."""
    assert fits_format(schema({"$ref": listener.url}), "1") is False
    assert listener.calls == 0
