"""Where a request goes: a base URL, and paths that cannot leave it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from yarl import URL

from candor_guard.errors import ConfigurationError, InvalidRequestError

# Visible ASCII, but no fragment: yarl would cut it off, and no request line carries one.
_REQUEST_TARGET: Final = re.compile(r"/(?!/)[!-\"$-~]*")
_SEPARATORS: Final = re.compile(r"[/\\]")
_LAYERS: Final = 4


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """The part of an upstream's address that the operator chose and no client can change.

    Attributes:
        url: Without a final slash.
        server: ``host:port``, for messages.
    """

    url: str
    server: str

    @classmethod
    def parse(cls, text: str) -> BaseUrl:
        """Check a base URL such as ``https://host/v1``.

        Raises:
            ConfigurationError: If it is none. The URL itself stays out of the message, as it may
                hold a password.
        """
        try:
            parts = urlsplit(text)
            if parts.scheme not in {"http", "https"}:
                raise ConfigurationError("the upstream's base URL must begin with http(s)://")
            origin = URL(text).origin()
        except ValueError:
            raise ConfigurationError("the upstream's base URL is no valid URL") from None
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigurationError(
                "the upstream's base URL must have no user, query or fragment; keys go in upstream_api_key"
            )
        path = parts.path.rstrip("/")
        if path and (_REQUEST_TARGET.fullmatch(path) is None or _has_dot_segment(path)):
            raise ConfigurationError("the path of the upstream's base URL cannot be sent")
        return cls(f"{origin}{path}", f"{origin.host_subcomponent}:{origin.port}")

    def join(self, target: str) -> URL:
        """Return the URL of a path and query below this base, byte for byte as given.

        Raises:
            InvalidRequestError: If the target is no such path, or might lead out of the base.
        """
        return _joined(self.url, target)


# Clients ask for the same few paths, and checking one takes longer than everything else about it.
@lru_cache(maxsize=64)
def _joined(base: str, target: str) -> URL:
    if _REQUEST_TARGET.fullmatch(target) is None:
        raise InvalidRequestError("the path must be a plain path below the base URL")
    if _has_dot_segment(target.partition("?")[0]):
        raise InvalidRequestError("the path must not contain . or .. segments, however encoded")
    return URL(base + target, encoded=True)


def checked_key(key: str) -> str:
    """Return a provider's key as it can be sent: without the white space that files end with.

    Raises:
        ConfigurationError: If it cannot be sent. The key itself stays out of the message.
    """
    key = key.strip()
    if not key:
        raise ConfigurationError("the key is empty")
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError("the key has characters other than printable ASCII")
    return key


def _has_dot_segment(path: str) -> bool:
    """Say whether some server might read a segment as ``.`` or ``..``, however it is spelt.

    Servers differ in what they decode, how often, and what they take for a separator or a
    parameter (``..;x``), so the most generous reading counts.
    """
    # Each round takes one layer off `%252525…`: a path with more than a few is no honest one, and to
    # follow them all would take seconds for one request line.
    for _ in range(_LAYERS):
        if (decoded := unquote(path, "latin-1")) == path:
            break
        path = decoded
    else:
        return True
    return any(part.partition(";")[0] in {".", ".."} for part in _SEPARATORS.split(path))
