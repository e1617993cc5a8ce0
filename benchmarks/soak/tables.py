"""The report as text, and as a picture where matplotlib is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WIDTH = 18
_STYLE = {"svg.hashsalt": "candor-guard", "svg.fonttype": "none", "font.size": 9}


def render(report: Mapping[str, Any]) -> str:
    """Return all tables."""
    setup = report["setup"]
    lines = [f"{setup['machine']}, Python {setup['python']}, load before {setup['load before']}"]
    steady = report["constant load"]
    lines += [
        "",
        f"constant load: {steady['rate']:g} requests/s for {steady['minutes']:g} min, "
        f"{steady['requests']} answered, none failed",
        f"memory {steady['rss_early_mib']:.1f} MiB early, {steady['rss_late_mib']:.1f} late, "
        f"slope {steady['growth_mib_per_hour']:+.1f} MiB an hour",
    ]
    lines += _overload(report["overload"])
    for title, rows in report["growing texts"].items():
        lines += ["", f"cost by {title}: ms of CPU a request, beyond the bare pass-through"]
        for name, row in rows.items():
            stream = row.get("stream_added_cpu_ms")
            more = "" if stream is None else f"  streamed {stream:.3f}"
            lines.append(
                f"{name:{_WIDTH}}{row['added_cpu_ms']:9.3f}  p50 {row['added_p50_ms']:+.3f}{more}"
            )
    return "\n".join(lines)


def _overload(found: Mapping[str, Any]) -> list[str]:
    head = f"{'asked/s':>9}{'served/s':>10}{'refused':>9}{'p50':>9}{'p99':>9}"
    lines = ["", f"overload: ms; {found['bounds']}", f"{'':{_WIDTH}}{head}"]
    lines += [
        f"{name:{_WIDTH}}{row['asked_per_s']:9.0f}{row['served_per_s']:10.0f}"
        f"{row['refused_share']:9.0%}{row['p50_ms']:9.1f}{row['p99_ms']:9.1f}"
        for name, row in found["loads"].items()
    ]
    lines.append(
        f"served at the most load / capacity {found['kept_at_most']:.2f}; "
        f"capacity afterwards / before {found['capacity_afterwards']:.2f}"
    )
    return lines


def draw(path: Path, report: Mapping[str, Any]) -> bool:
    """Write memory and latency over time; says whether matplotlib was there."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return False
    matplotlib.use("svg")
    samples = report["constant load"]["samples"]
    times = [sample["at_s"] / 60 for sample in samples]
    with matplotlib.rc_context(_STYLE):
        picture, (upper, lower) = pyplot.subplots(2, 1, figsize=(7, 4), sharex=True)
        upper.plot(times, [sample["rss_mib"] for sample in samples])
        upper.set_ylabel("resident, MiB")
        upper.set_ylim(bottom=0)
        whole = [sample for sample in samples if not sample["stream"]]
        for figure in ("p50_ms", "p99_ms"):
            shown = [sample[figure] for sample in whole]
            lower.plot([s["at_s"] / 60 for s in whole], shown, label=figure.removesuffix("_ms"))
        lower.set_ylabel("whole replies, ms")
        lower.set_xlabel("minutes")
        lower.set_ylim(bottom=0)
        lower.legend(fontsize=8)
        picture.tight_layout()
        picture.savefig(path, metadata={"Date": None})
        pyplot.close(picture)
    return True
