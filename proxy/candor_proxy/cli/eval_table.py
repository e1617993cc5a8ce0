"""The report of `candor-guard eval` as tables for people: a line for each figure, which fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from candor_guard.figures import BUDGETS, recall_name
from candor_guard.verdict import LABELS
from candor_proxy.cli.terminal import console as wide_enough
from candor_proxy.cli.terminal import plain

FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    **{recall_name(budget): f"recall at {100 * budget:g} %" for budget in BUDGETS},
    "pair_consistency": "pairs right",
    "calibration_error": "calibration error",
}
FLAGGED = {"at_fault": "at fault", "sound": "sound", "all": "all"}
_LEAST_WIDTH = 80
_Figure = Mapping[str, float | None]


def print_report(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the ranking figures, then the flagged rates, by part."""
    out = console or wide_enough(_LEAST_WIDTH)
    whole = report["overall"]
    out.print(
        f"{report['detector']}, operating point {report['operating_point']}: {whole['rows']} rows,"
        f" {whole['groups']} groups, {whole['not_evaluated']} not evaluated",
        highlight=False,
    )
    for note in notes(whole):
        out.print(plain(note), highlight=False, markup=False)
    if any(map(is_ranked, whole["labels"].values())):
        out.print(_ranking(report))
    out.print(_flagged(report))
    out.print("Intervals: 95 %, over groups.", highlight=False)


def notes(part: Mapping[str, Any]) -> Iterator[str]:
    """Say what is missing from the figures of a part, and why."""
    for reason, count in part["not_evaluated_why"].items():
        yield f"{count} rows were not evaluated: {reason}."
    for head, count in part["labels_without_earlier_turn"].items():
        yield f"{count} labels of {head} do not count: no assistant turn comes before the last user turn."
    for label in LABELS:
        figures = part["labels"].get(label, {})
        if not is_ranked(figures):
            known = (
                "none is" if not figures else "all are" if figures["positives"] else "all are not"
            )
            told = "labelled" if not figures else "positive"
            yield f"No ranking by {label}: of its {figures.get('rows', 0)} rows {known} {told}."


def is_ranked(figures: Mapping[str, Any]) -> bool:
    """Whether a label has figures, and not only counts."""
    return "auroc" in figures


def _ranking(report: Mapping[str, Any]) -> Table:
    table = table_of("Ranking", "part", "label", "figure", "value", "interval")
    for name, part in parts_of(report):
        ranked = {k: v for k, v in part["labels"].items() if is_ranked(v)}
        for label, figures in ranked.items():
            rows = f"{figures['rows']} ({figures['positives']})"
            table.add_row(plain(name), label, "rows (positive)", rows, "")
            for key, figure in FIGURES.items():
                table.add_row(plain(name), label, figure, *_told(figures.get(key), "{:.3f}", 1))
            table.add_section()
    return table


def _flagged(report: Mapping[str, Any]) -> Table:
    table = table_of("Flagged", "part", "replies", "flagged", "interval")
    for name, part in parts_of(report):
        for key, replies in FLAGGED.items():
            shown = f"{replies} ({part['rows']})" if key == "all" else replies
            table.add_row(plain(name), shown, *_told(part["flagged"][key], "{:.1f} %", 100))
        table.add_section()
    return table


def table_of(title: str, first: str, *columns: str) -> Table:
    """Return a table in which only the first column, with a stranger's words, may be folded."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def parts_of(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the figures of each part, the whole first."""
    yield "all", report["overall"]
    for key, parts in report["by"].items():
        if len(parts) > 1:  # a single part is the whole once more
            yield from ((f"{key}: {value}", part) for value, part in parts.items())


def _told(found: _Figure | None, form: str, times: float) -> tuple[str, str]:
    """Return a figure and its interval as they are shown."""
    if found is None or found["value"] is None:
        return "-", ""
    value, low, high = form.format(times * found["value"]), found["low"], found["high"]
    if low is None or high is None:
        return value, ""
    bare = form.removesuffix(" %")
    return value, f"{bare.format(times * low)} to {bare.format(times * high)}"
