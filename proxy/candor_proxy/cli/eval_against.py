"""The report of `candor-guard eval --against` as tables for people: both values, and their difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from candor_guard.verdict import LABELS
from candor_proxy.cli.eval_table import FIGURES, FLAGGED, is_ranked, notes, parts_of, table_of
from candor_proxy.cli.terminal import plain

_COLUMNS = "A", "B", "A - B", "interval"
_LEGEND = """\
Intervals: 95 %, of the difference, over groups; * where it does not hold 0.
Of equally good detectors, one or two figures in twenty have a * all the same.
A smaller calibration error is the better one."""


def print_comparison(
    report: Mapping[str, Any], given: tuple[str | None, str], console: Console | None = None
) -> None:
    """Print figures by label, then the flagged rates, by part.

    Args:
        report: Of `candor_proxy.comparison.compare`.
        given: What the two detectors were called on the command line.
        console: Where to.
    """
    out = console or Console()
    for line in _heading(report, given):
        out.print(plain(line), highlight=False, markup=False)
    compared = report["against"]
    for label in LABELS:
        if any(is_ranked(part["labels"].get(label, {})) for _, part in parts_of(compared)):
            out.print(_ranking(compared, label))
    if compared["overall"]["compared"]:
        out.print(_flagged(compared))
    out.print(_LEGEND, highlight=False)


def _heading(report: Mapping[str, Any], given: tuple[str | None, str]) -> Iterator[str]:
    names = [report["detector"], report["against"]["detector"]]
    if names[0] == names[1]:  # two folders of one model: only where they lie tells them apart
        names = [f"{name} ({told or 'default'})" for name, told in zip(names, given, strict=True)]
    whole = report["against"]["overall"]
    yield f"A: {names[0]}"
    yield f"B: {names[1]}"
    yield (
        f"operating point {report['operating_point']}: {whole['compared']} of {whole['rows']} rows"
        f" compared, {whole['groups']} groups"
    )
    yield from _left_out(whole)
    ours = report["overall"]["labels_without_earlier_turn"]
    yield from notes({**whole, "not_evaluated_why": {}, "labels_without_earlier_turn": ours})


def _left_out(whole: Mapping[str, Any]) -> Iterator[str]:
    """Say which rows are not compared, and why."""
    declined = whole["not_evaluated_by"]
    for key, who in (
        ("detector_alone", "only A"),
        ("against_alone", "only B"),
        ("both", "A and B"),
    ):
        if declined[key]:
            yield f"{declined[key]} rows are not compared: {who} did not evaluate them."
    for key, who in (("detector", "A"), ("against", "B")):
        for reason, count in whole["not_evaluated_why"][key].items():
            yield f"{count} rows were not evaluated by {who}: {reason}."


def _ranking(compared: Mapping[str, Any], label: str) -> Table:
    table = table_of(label.capitalize(), "figure", *_COLUMNS)
    for name, part in parts_of(compared):
        figures = part["labels"].get(label, {})
        if is_ranked(figures):
            # On a line of its own: beside five columns there is no room for a part's name.
            rows = f"{figures['positives']} of {figures['rows']} positive"
            table.add_row(plain(f"{name}, {rows}"))
            for key, figure in FIGURES.items():
                table.add_row(f"  {figure}", *_told(figures[key], "{:{}.3f}", 1))
            table.add_section()
    return table


def _flagged(compared: Mapping[str, Any]) -> Table:
    table = table_of("Flagged, in %", "replies", *_COLUMNS)
    for name, part in parts_of(compared):
        table.add_row(plain(f"{name}, {part['compared']} rows"))
        for key, replies in FLAGGED.items():
            table.add_row(f"  {replies}", *_told(part["flagged"][key], "{:{}.1f}", 100))
        table.add_section()
    return table


def _told(found: Mapping[str, Any] | None, form: str, times: float) -> tuple[str, ...]:
    """Return both values, the difference and its interval as they are shown."""
    if found is None or found["difference"]["value"] is None:
        return "-", "-", "-", ""
    values = [form.format(times * found[one]["value"], "") for one in ("detector", "against")]
    value, low, high = (found["difference"][name] for name in ("value", "low", "high"))
    if low is None or high is None:
        return *values, form.format(times * value, "+"), ""
    mark = "*" if low > 0 or high < 0 else ""
    ends = f"{form.format(times * low, '+')} to {form.format(times * high, '+')}"
    return *values, form.format(times * value, "+") + mark, ends
