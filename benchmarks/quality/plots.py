"""The report as pictures: ROC, reliability, figures by prefix length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.dataset import HOLDOUT

from benchmarks.quality.contenders import need
from benchmarks.quality.report import Scored, judged
from benchmarks.quality.sets import AYS, PRISM_OOD, VALID, Sets
from candor_guard.figures import reliability, roc

ROC_PANELS = (
    (VALID, "capitulation"),
    (AYS, "capitulation"),
    (HOLDOUT, "capitulation"),
    (VALID, "drift"),
    (PRISM_OOD, "drift"),
    (HOLDOUT, "drift"),
)
RELIABILITY_PANELS = ((VALID, "capitulation"), (VALID, "drift"))
_PREFIX_FIGURES = ("auroc", "recall", "false_positives")
_PANEL_INCHES = 3.6
# Fixed ids, no date: the same figures give the same file.
_STYLE = {"svg.hashsalt": "candor-guard", "svg.fonttype": "none", "font.size": 9}

Panel = tuple[str, str]
# Colour and label of a contender: the same in every panel, whoever is missing there.
Colours = Mapping[str, Mapping[str, str]]


def draw(
    folder: Path, scored: Sequence[Scored], sets: Sets, prefixes: Mapping[str, Any]
) -> list[Path]:
    """Write the plots into a folder; returns their paths.

    Raises:
        NotInstalledError: If matplotlib is not installed.
    """
    matplotlib = need("matplotlib")
    names = [one.contender.name for one in scored]
    colours = {name: {"color": f"C{place}", "label": name} for place, name in enumerate(names)}
    matplotlib.use("svg")
    with matplotlib.rc_context(_STYLE):
        return [
            _roc(folder / "quality-roc.svg", scored, sets, colours),
            _reliability(folder / "quality-reliability.svg", scored, sets, colours),
            _prefixes(folder / "quality-prefixes.svg", prefixes, colours),
        ]


def _roc(path: Path, scored: Sequence[Scored], sets: Sets, colours: Colours) -> Path:
    def fill(axes: Any, panel: Panel) -> None:
        name, label = panel
        for one in scored:
            rows = judged(sets.named[name], one.scores[name], label)
            points = roc(rows.targets, rows.scores)
            axes.plot(*_columns(points), **colours[one.contender.name], drawstyle="steps-post")
        axes.plot((0, 1), (0, 1), color="0.8", zorder=0)
        axes.set(xlabel="false positives", ylabel="recall")

    return _grid(path, ROC_PANELS, 3, fill)


def _reliability(path: Path, scored: Sequence[Scored], sets: Sets, colours: Colours) -> Path:
    def fill(axes: Any, panel: Panel) -> None:
        name, label = panel
        for one in scored:
            if one.contender.probabilities:
                rows = judged(sets.named[name], one.scores[name], label)
                bins = reliability(rows.targets, rows.scores)
                points = [(score, target) for score, target, _ in bins]
                axes.plot(*_columns(points), **colours[one.contender.name], marker="o")
        axes.plot((0, 1), (0, 1), color="0.8", zorder=0)
        axes.set(xlabel="mean score", ylabel="share at fault")

    return _grid(path, RELIABILITY_PANELS, 2, fill)


def _prefixes(path: Path, prefixes: Mapping[str, Any], colours: Colours) -> Path:
    """`prefixes`: by contender, by set, by label, a list of points."""
    panels = sorted({(n, k) for sets in prefixes.values() for n, ks in sets.items() for k in ks})
    cells = [(f"{n} {label}", figure) for n, label in panels for figure in _PREFIX_FIGURES]
    sources = {f"{name} {label}": (name, label) for name, label in panels}

    def fill(axes: Any, panel: Panel) -> None:
        (name, label), figure = sources[panel[0]], panel[1]
        for contender, sets in prefixes.items():
            points = sets.get(name, {}).get(label, [])
            axes.plot(
                [100 * p["share"] for p in points],
                [p[figure] for p in points],
                marker=".",
                **colours[contender],
            )
        axes.set(xlabel="% of the reply's sentences", ylabel=figure.replace("_", " "))

    return _grid(path, cells, len(_PREFIX_FIGURES), fill)


def _grid(
    path: Path, panels: Sequence[Panel], columns: int, fill: Callable[[Any, Panel], None]
) -> Path:
    """Draw panels in rows, each filled by a function, with one legend."""
    plots = need("matplotlib.pyplot")
    rows = max(1, -(-len(panels) // columns))
    size = (_PANEL_INCHES * columns, 0.85 * _PANEL_INCHES * rows)
    figure, grid = plots.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axes, panel in zip(grid.flat, panels, strict=False):
        fill(axes, panel)
        axes.set(ylim=(-0.02, 1.02), title=" ".join(panel).replace("_", " "))
    if panels:
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels) or 1, 3))
    figure.savefig(path, metadata={"Date": None})
    plots.close(figure)
    return path


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
