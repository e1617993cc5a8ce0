"""A request body on its way up, as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Upload:
    """Hands pieces to the HTTP client; remembers its own failure, and notices a server that stalls.

    The clock runs while the server has a piece to take, and stands while the sender is the one to
    wait for: a slow client is no fault of the server.

    Args:
        pieces: The body.
        limit: Expires in the task that sends the request.
        patience: Seconds that the server may take for one piece.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], limit: asyncio.Timeout, patience: float
    ) -> None:
        self._pieces = pieces
        self._limit = limit
        self._patience = patience
        self.failure: Exception | None = None

    def __aiter__(self) -> Upload:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece; its predecessor has been taken."""
        self._reschedule(None)
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.failure = error
            raise
        finally:
            self._reschedule(asyncio.get_running_loop().time() + self._patience)

    def _reschedule(self, when: float | None) -> None:
        if not self._limit.expired():
            self._limit.reschedule(when)
