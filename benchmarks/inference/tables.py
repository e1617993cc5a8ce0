"""The report as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WIDTH = 26
_MOST_SHARES = 6


def render(report: Mapping[str, Any]) -> str:
    """Return all tables."""
    setup = report["setup"]
    lines = [f"{setup['machine']}, Python {setup['python']}, load before {setup['load before']}"]
    lines += _peaks(report["peak, 1 thread, 10^9 operations/s"])
    for name, rows in report.get("forward pass, 1 thread", {}).items():
        lines += _forward(name, rows)
    for title in ("batches", "threads", "tokenising"):
        if title in report:
            lines += ["", f"{title}: ms"] + [_row(name, row) for name, row in report[title].items()]
    if "loading" in report:
        loading = report["loading"]
        lines += ["", f"loading: {loading['load_s']:.3f} s, {loading['rss_mib']:.0f} MiB"]
    if "shares of the time" in report:
        ranked = list(report["shares of the time"].items())[:_MOST_SHARES]
        lines.append("time by operation: " + ", ".join(f"{n} {s:.0%}" for n, s in ranked))
    for name, found in report["detectors"].items():
        lines += _detector(name, found)
    if "target" in report:
        target = report["target"]
        met = "met" if target["met"] else "MISSED"
        lines += [
            "",
            f"{met} {target['measured']:.2f}, wanted {target['wanted']}: {target['what']}",
        ]
    return "\n".join(lines)


def _peaks(peaks: Mapping[str, Mapping[str, float]]) -> list[str]:
    told = ", ".join(f"{kind} {rates['best']:.0f}" for kind, rates in peaks.items())
    return ["", f"best rate of one thread, 10^9 operations/s: {told}"]


def _forward(name: str, rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    head = f"{'p50':>9}{'p99':>9}{'rows/s':>9}{'limit':>9}{'x limit':>9}"
    lines = ["", f"forward pass, {name}: ms by tokens", f"{'':{_WIDTH}}{head}"]
    lines += [
        f"{length:{_WIDTH}}{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}{1000 / row['p50_ms']:9.0f}"
        f"{row['limit_ms']:9.2f}{row['times_limit']:9.2f}"
        for length, row in rows.items()
    ]
    return lines


def _detector(name: str, found: Mapping[str, Any]) -> list[str]:
    lines = ["", f"detector {name}: ms"]
    if "left out" in found:
        return [*lines, f"left out: {found['left out']}"]
    for what, row in found["demo"].items():
        told = f"{row['p50_ms']:.3f}, slowest conversation {row['slowest_p50_ms']:.3f}"
        lines.append(f"{f'demo, {what}':{_WIDTH}}{told}")
    for title in ("reply of so many words", "conversation of so many turns"):
        lines.append(title)
        lines += [_row(name, row) for name, row in found[title].items()]
    return lines


def _row(name: str, row: Mapping[str, float]) -> str:
    extra = "".join(
        f"  {key.removesuffix('_ms').replace('_', ' ')} {row[key]:.3f}"
        for key in ("per_row_ms", "us_per_token")
        if key in row
    )
    return f"{name:{_WIDTH}}{row['p50_ms']:9.3f}{row['p99_ms']:9.3f}{extra}"
