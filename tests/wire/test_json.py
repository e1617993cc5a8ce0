"""Reading JSON objects: what is refused, and why."""

from __future__ import annotations

import pytest

from candor_guard.errors import InvalidRequestError
from candor_guard.wire.json import MAX_VALUES, load_object


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0"])
def test_body_of_values_is_refused_before_it_is_parsed(value: bytes) -> None:
    """A body whose parsed form would be many times its size costs a count, not a parse."""
    body = b'{"messages":[' + b",".join([value] * (MAX_VALUES + 1)) + b"]}"
    with pytest.raises(InvalidRequestError, match="more than 1000000 values"):
        load_object(body)


def test_long_text_is_read() -> None:
    """Twenty megabytes of base64 or prose are no reason to refuse a body."""
    body = b'{"image":"' + b"QUJD" * 5_000_000 + b'","text":"' + b"Well, yes. " * 90_000 + b'"}'
    assert len(load_object(body)["image"]) == 20_000_000
