"""Verdicts as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from candor_guard.verdict import LABELS
from candor_proxy.cli.terminal import console, plain

if TYPE_CHECKING:
    from candor_guard.verdict import Verdict

_LEAST_WIDTH = 72


class VerdictTable:
    """Collects verdicts; columns need to know all of them before the first is drawn."""

    def __init__(self) -> None:
        self._table = Table()
        for heading in ("line", "id", "verdict", *LABELS, "evidence"):
            self._table.add_column(heading, overflow="fold")

    def add(self, line: int, source: dict[str, Any], verdict: Verdict) -> None:
        """Take a verdict."""
        labels = [label for label in LABELS if label in verdict.labels]
        scores = [f"{verdict.scores[k]:.2f}" if k in verdict.scores else "-" for k in LABELS]
        shown = ", ".join(labels) or verdict.not_evaluated or "ok"
        evidence = " / ".join(span.text for span in verdict.evidence)
        self._table.add_row(
            str(line),
            plain(str(source.get("id", ""))),
            Text(shown, style="bold red" if verdict.flagged else "green"),
            *scores,
            plain(evidence),
        )

    def close(self) -> None:
        """Draw the table."""
        if self._table.row_count:
            console(_LEAST_WIDTH).print(self._table)
