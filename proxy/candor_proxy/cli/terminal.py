"""Tables and strangers' text on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def console(least: int) -> Console:
    """Return standard output as a console of at least so many columns.

    A table that is wider than its console loses words and whole columns without a word about it;
    lines that the terminal itself breaks are ugly, and complete.
    """
    found = Console()
    return found if found.width >= least else Console(width=least)


def plain(text: str) -> Text:
    """No markup and no control characters: the text is a stranger's, the terminal is not."""
    return Text("".join(char if char.isprintable() else " " for char in text))
