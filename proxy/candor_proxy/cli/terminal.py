"""Strangers' text on a terminal."""

from __future__ import annotations

from rich.text import Text


def plain(text: str) -> Text:
    """No markup and no control characters: the text is a stranger's, the terminal is not."""
    return Text("".join(char if char.isprintable() else " " for char in text))
