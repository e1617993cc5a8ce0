"""Headers as ASGI has them: looked up in a request, and made for an answer."""

from __future__ import annotations

from collections.abc import Iterable

from candor_guard.upstreams import OF_THE_BYTES, Headers

RawHeaders = list[tuple[bytes, bytes]]

_BODILESS = frozenset({204, 304})


def find(raw: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the first header of that lower-case name; the blanks around a value are none of it."""
    for key, value in raw:
        if key == name:
            return value.strip(b" \t").decode("latin-1")
    return None


def find_all(raw: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Return the values of every header of that lower-case name."""
    return [value.decode("latin-1") for key, value in raw if key == name]


def to_client(
    status: int,
    upstream: Headers,
    *,
    rewritten: bool = False,
    added: Iterable[tuple[str, str]] = (),
) -> RawHeaders:
    """Return an upstream's headers as they go to the client, with ours added."""
    # A 304 may state the length of a body that it does not have; ASGI servers take it for wrong.
    dropped = OF_THE_BYTES if rewritten else {"content-length"} if status in _BODILESS else ()
    kept = [
        (name, value)
        for name, value in upstream
        if not name.startswith("x-candor-") and name not in dropped
    ]
    return [(k.encode("latin-1"), v.encode("latin-1")) for k, v in (*kept, *added)]
