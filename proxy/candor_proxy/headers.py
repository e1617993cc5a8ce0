"""What of a request's head goes on to the upstream."""

from __future__ import annotations

from collections.abc import Iterable

from candor_guard.upstreams import Headers, end_to_end

# By whoever sends the message on.
_SET_ANEW = frozenset({b"host", b"content-length", b"expect"})
_SET_ANEW_IF_READ = _SET_ANEW | {b"accept-encoding"}


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


def path_below(scope_path: bytes, query: bytes, prefix: bytes = b"/v1") -> str:
    """Return path and query below the prefix, percent-encoding untouched."""
    path = scope_path.removeprefix(prefix)
    return (path + b"?" + query if query else path).decode("latin-1")
