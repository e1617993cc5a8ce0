"""A request body on its way up, as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable


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
        self._limit: asyncio.Timeout | None = limit
        self._patience = patience
        self._abort: Callable[[], None] | None = None
        self.failure: Exception | None = None

    def __aiter__(self) -> Upload:
        return self

    def answered(self, abort: Callable[[], None]) -> None:
        """Stop the clock: the server has answered, and may go on taking pieces meanwhile.

        Args:
            abort: Called when the rest of the body fails to come. Nobody waits for the request to
                be sent any more, and whoever reads the answer would wait for ever.
        """
        self._limit = None
        self._abort = abort

    async def __anext__(self) -> bytes:
        """Return the next piece; its predecessor has been taken."""
        self._reschedule(None)
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self.failure = error
            if self._abort is not None:
                self._abort()
            raise
        finally:
            self._reschedule(asyncio.get_running_loop().time() + self._patience)

    def fail(self, told: Exception | None = None) -> Exception | None:
        """Return the failure, if there is one, and forget it: to keep it would make a circle.

        Args:
            told: What the HTTP client made of it, and keeps; None when nobody wants to know.
        """
        failure, self.failure = self.failure, None
        if failure is not None:
            if told is None:
                failure.__traceback__ = None
            else:
                told.__cause__ = told.__traceback__ = None
        return failure

    def _reschedule(self, when: float | None) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(when)
