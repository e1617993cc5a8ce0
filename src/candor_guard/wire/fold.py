"""Text folded from pieces, up to an exact limit."""

from __future__ import annotations

from candor_guard.thoughts import ThoughtFilter


class TextFold:
    """Collects text until `limit` UTF-8 bytes; what it holds does not depend on the pieces.

    Thoughts in front of it are left out, and do not count.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._pieces: list[str] = []
        self._thoughts = ThoughtFilter()
        self.over = False

    @property
    def text(self) -> str:
        """What was collected, cut at the limit but never inside a character."""
        whole = "".join(self._pieces)
        self._pieces[:] = [whole]  # it may be asked for after every piece
        if not self.over:
            return whole + self._thoughts.held
        return whole.encode("utf-8", "replace")[: self._limit].decode("utf-8", "ignore")

    def add(self, piece: str) -> None:
        """Take the next piece; ignored once over the limit."""
        if self.over:
            return
        piece = self._thoughts.feed(piece)
        self._pieces.append(piece)
        self._size += len(piece.encode("utf-8", "replace"))
        self.over = self._size > self._limit
