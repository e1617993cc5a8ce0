"""The report as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.overhead.contenders import FLOOR

_WIDTH = 34


def render(report: Mapping[str, Any]) -> str:
    """Return all tables."""
    setup = report["setup"]
    parts = [f"{setup['machine']}, Python {setup['python']}, load before {setup['load before']}"]
    for title in ("whole replies", "streams, at once", "streams, paced"):
        for load, rows in report[title].items():
            parts.append(_loads(f"{title}, {load}", rows, streamed=title != "whole replies"))
    parts.append(_processes(report["processes"]))
    parts.append(_targets(report["targets"]))
    return "\n\n".join(parts)


def _loads(title: str, rows: Mapping[str, Mapping[str, float]], *, streamed: bool) -> str:
    head = f"{'n':>7}{'added p50':>11}{'(rounds)':>20}{'p95':>9}{'p99':>9}{'req/s':>9}{'CPU':>8}"
    head += f"{'1st tok':>9}{'p99':>9}{'gap p99':>9}" if streamed else ""
    lines = [f"{title}: ms; added to the last byte", f"{'':{_WIDTH}}{head}"]
    for name, row in rows.items():
        spread = f"{row['added_last_p50_low_ms']:.2f} to {row['added_last_p50_high_ms']:.2f}"
        line = (
            f"{name:{_WIDTH}}{row['n']:7.0f}{row['added_last_p50_ms']:11.3f}{spread:>20}"
            f"{row['added_last_p95_ms']:9.2f}{row['added_last_p99_ms']:9.2f}"
            f"{row['requests_per_s']:9.0f}{row['cpu_ms']:8.3f}"
        )
        if streamed:
            line += (
                f"{row['first_p50_ms']:9.2f}{row['first_p99_ms']:9.2f}"
                f"{row.get('gap_p99_ms', 0.0):9.2f}"
            )
        lines.append(line)
    return "\n".join(lines)


def _processes(rows: Mapping[str, Mapping[str, float]]) -> str:
    head = f"{'ready, s':>10}{'RSS idle':>10}{'loaded':>9}{'PSS':>8}"
    lines = ["processes: MiB", f"{'':{_WIDTH}}{head}"]
    lines += [
        f"{name:{_WIDTH}}{row['start_to_ready_s']:10.2f}{row['rss_idle_mib']:10.0f}"
        f"{row['rss_loaded_mib']:9.0f}{row['pss_loaded_mib']:8.0f}"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def _targets(targets: list[Mapping[str, Any]]) -> str:
    lines = ["targets"]
    for t in targets:
        more = [f"n = {t['n']:.0f}"] if "n" in t else []
        more += [f"the {FLOOR} itself: {t[FLOOR]:.3g}"] if FLOOR in t else []
        told = f" ({'; '.join(more)})" if more else ""
        lines.append(
            f"  {'met' if t['met'] else 'MISSED':7}{t['measured']:10.3f}  wanted {t['wanted']:8}"
            f"{t['what']}{told}"
        )
    return "\n".join(lines)
