"""The report of `candor-guard eval` as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from candor_guard.figures import BUDGETS, recall_name
from candor_proxy.cli.terminal import plain

_COLUMNS = {
    "auroc": "AUROC",
    "average_precision": "avg precision",
    **{recall_name(budget): f"recall at {100 * budget:g} %" for budget in BUDGETS},
    "pair_consistency": "pairs right",
    "calibration_error": "calib. error",
}
_Figure = Mapping[str, float | None]


def print_report(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the ranking figures, then the flagged rates, by part."""
    out = console or Console()
    whole = report["overall"]
    out.print(
        f"{report['detector']}, operating point {report['operating_point']}: {whole['rows']} rows,"
        f" {whole['groups']} groups, {whole['not_evaluated']} not evaluated",
        highlight=False,
    )
    out.print(_ranking(report))
    out.print(_flagged(report))
    out.print("In brackets: 95 % interval over groups.", highlight=False)


def _ranking(report: Mapping[str, Any]) -> Table:
    table = Table("part", "label", "rows", "positive", *_COLUMNS.values(), title="Ranking")
    for name, part in _parts(report):
        ranked = {k: v for k, v in part["labels"].items() if "auroc" in v}
        for label, figures in ranked.items():
            cells = [_figure(figures.get(key)) for key in _COLUMNS]
            table.add_row(
                plain(name), label, str(figures["rows"]), str(figures["positives"]), *cells
            )
    return table


def _flagged(report: Mapping[str, Any]) -> Table:
    table = Table("part", "rows", "at fault", "sound", "all", title="Flagged")
    for name, part in _parts(report):
        shares = part["flagged"]
        cells = [_percent(shares[key]) for key in ("at_fault", "sound", "all")]
        table.add_row(plain(name), str(part["rows"]), *cells)
    return table


def _parts(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "all", report["overall"]
    for key, parts in report["by"].items():
        if len(parts) > 1:  # a single part is the whole once more
            yield from ((f"{key}: {value}", part) for value, part in parts.items())


def _figure(found: _Figure | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{found['value']:.3f}{_between(found, '{:.2f}', 1)}"


def _percent(found: _Figure | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{100 * found['value']:.1f} %{_between(found, '{:.0f}', 100)}"


def _between(found: _Figure, form: str, times: float) -> str:
    low, high = found["low"], found["high"]
    if low is None or high is None:
        return ""
    return f" ({form.format(times * low)}-{form.format(times * high)})"
