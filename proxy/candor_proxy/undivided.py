"""Responses for clients of a kind: of HTTP/1.0, and those that wait to be asked for their body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent


class Undivided(RequestResponseCycle):
    """A response that ends with its connection, where its length is not known."""

    _unmeasured = False

    @override
    async def send(self, message: ASGISendEvent) -> None:
        """Send a message without uvicorn's chunks: it believes each piece to be the length told."""
        if message["type"] == "http.response.start":
            names = [name.lower() for name, _ in message.get("headers", ())]
            if b"content-length" not in names:
                self._unmeasured, self.chunked_encoding = True, False
        elif self._unmeasured and message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)


class Unasked(RequestResponseCycle):
    """A response that may come instead of the `100` that its client waits for.

    The client need not send its body then, and what it sends next would be taken for it.
    """

    @override
    async def send(self, message: ASGISendEvent) -> None:
        """Send a message; the connection ends with an answer for which no body was asked."""
        if self.waiting_for_100_continue and self.more_body:
            self.keep_alive = False
        await super().send(message)
