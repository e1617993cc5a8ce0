"""Which headers travel, in both directions."""

from __future__ import annotations

from collections.abc import Iterable

from candor_guard.upstreams import OF_THE_BYTES, Headers, end_to_end

RawHeaders = list[tuple[bytes, bytes]]

# By whoever sends the message on.
_SET_ANEW = frozenset({b"host", b"content-length", b"expect"})
_SET_ANEW_IF_READ = _SET_ANEW | {b"accept-encoding"}
_BODILESS = frozenset({204, 304})


def to_upstream(raw: Iterable[tuple[bytes, bytes]], *, identity: bool) -> Headers:
    """Return the client's headers as they go to the upstream.

    Args:
        raw: Lower-case names, as ASGI gives them.
        identity: Ask for an unencoded body, because it has to be read.
    """
    dropped = _SET_ANEW_IF_READ if identity else _SET_ANEW
    pairs = end_to_end(
        [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in raw
            if name not in dropped and not name.startswith(b"x-candor-")
        ]
    )
    return (*pairs, ("accept-encoding", "identity")) if identity else pairs


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


def path_below(scope_path: bytes, query: bytes, prefix: bytes = b"/v1") -> str:
    """Return path and query below the prefix, percent-encoding untouched."""
    path = scope_path.removeprefix(prefix)
    return (path + b"?" + query if query else path).decode("latin-1")


def find(raw: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the first header of that lower-case name; the blanks around a value are none of it."""
    for key, value in raw:
        if key == name:
            return value.strip(b" \t").decode("latin-1")
    return None


def find_all(raw: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Return the values of every header of that lower-case name."""
    return [value.decode("latin-1") for key, value in raw if key == name]
