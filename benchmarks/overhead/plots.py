"""The report as pictures, where matplotlib is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.overhead.contenders import DIRECT

# Fixed ids, no date: the same figures give the same file.
_STYLE = {"svg.hashsalt": "candor-guard", "svg.fonttype": "none", "font.size": 9}
_LEAST = 0.01


def draw(folder: Path, report: Mapping[str, Any]) -> list[Path]:
    """Write the plots; returns their paths, none where matplotlib is not installed."""
    try:
        matplotlib = importlib.import_module("matplotlib")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return []
    matplotlib.use("svg")
    calm = next(iter(report["whole replies"].values()))
    busy = [rows for load, rows in report["whole replies"].items() if "connections" in load][-1]
    paced = next(iter(report["streams, paced"].values()))
    pictures = (
        ("overhead-latency.svg", "added to a whole reply, 1 connection, ms", calm,
         ("added_last_p50_ms", "added_last_p99_ms")),
        ("overhead-throughput.svg", "requests a second on one core, most connections", busy,
         ("requests_per_s",)),
        ("overhead-first-token.svg", "time to first token, 1 paced stream, ms", paced,
         ("first_p50_ms", "first_p99_ms")),
    )  # fmt: skip
    with matplotlib.rc_context(_STYLE):
        return [
            _bars(pyplot, folder / name, title, rows, figures)
            for name, title, rows, figures in pictures
        ]


def _bars(
    pyplot: Any, path: Path, title: str, rows: Mapping[str, Mapping[str, float]],
    figures: tuple[str, ...],
) -> Path:  # fmt: skip
    added = figures[0].startswith("added")
    names = [name for name in reversed(list(rows)) if not (added and name == DIRECT)]
    picture, axes = pyplot.subplots(figsize=(7, 0.5 + 0.36 * len(names)))
    thickness = 0.8 / len(figures)
    for number, figure in enumerate(figures):
        values = [max(_LEAST, rows[name][figure]) for name in names]
        places = [place - number * thickness for place in range(len(names))]
        drawn = axes.barh(places, values, height=thickness, label=figure.split("_")[-2])
        axes.bar_label(drawn, fmt="%.3g", padding=2, fontsize=7)
    axes.set_yticks([p - thickness * (len(figures) - 1) / 2 for p in range(len(names))], names)
    axes.set_xscale("log")
    axes.margins(x=0.1)
    axes.set_title(title, fontsize=9)
    if len(figures) > 1:
        axes.legend(fontsize=8)
    picture.tight_layout()
    picture.savefig(path, metadata={"Date": None})
    pyplot.close(picture)
    return path
