"""What is refused before it is a request: answers without an app, each the last on its connection."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

from candor_guard.wire.json import dump
from candor_proxy.errors import error_body

# The path with its query, and all names and values; 8 KiB are usual elsewhere.
MAX_HEAD_BYTES: Final = 64 * 1024


class Refusal(NamedTuple):
    """Why a connection ends; always in OpenAI's shape, as nobody knows yet whose client it is."""

    status: int
    code: str
    message: str

    def written(self) -> bytes:
        """Return the whole response."""
        body = dump(error_body(self.message, "invalid_request_error", self.code))
        head = (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        return head.encode() + body


TOO_LARGE: Final = Refusal(
    431, "headers_too_large", f"path and headers are over the limit of {MAX_HEAD_BYTES} bytes"
)
ENCODED: Final = Refusal(
    501, "transfer_encoding", "no transfer-encoding of requests but chunked is read here"
)
GARBLED: Final = Refusal(400, "invalid_http", "this is no HTTP request")
CONNECT: Final = Refusal(405, "method_not_allowed", "method not allowed: CONNECT")


def late(seconds: float) -> Refusal:
    """Say that a head did not come to its end in so many seconds."""
    return Refusal(408, "headers_timeout", f"path and headers took over {seconds:g} seconds")
