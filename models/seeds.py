"""How far runs differ by their seed: ``python -m models.seeds RUN RUN ...``.

AUROC of the encoder alone on the valid rows, by source, from the logits that `models.train` left in
each run's folder. What differs by less than the spread here is no difference between two recipes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from candor_guard.figures import auroc
from candor_guard.verdict import LABELS
from models.dataset import AUTHORED, HEADS, LEFT_OUT, SHARED, Sample, load, of_split
from models.network import SCORES

numpy: Any = importlib.import_module("numpy")

# By sample id the logit of each head.
Logits = Mapping[str, Sequence[float]]


def spread(samples: Sequence[Sample], runs: Sequence[Logits]) -> list[dict[str, Any]]:
    """Return, for each source and label that the rows can tell apart, the AUROC of every run."""
    return [
        {"source": source, "label": label, "rows": len(rows), "auroc": found}
        for source, label, rows in _judged(samples)
        if (found := [_auroc(rows, label, logits) for logits in runs])
    ]


def _judged(samples: Sequence[Sample]) -> Iterator[tuple[str, str, list[Sample]]]:
    for name, sources in LEFT_OUT.items():
        for label in LABELS:
            rows = [s for s in samples if s.source in sources and s.target(label) is not None]
            if len({s.target(label) for s in rows}) > 1:
                yield name, label, rows


def _auroc(rows: Sequence[Sample], label: str, logits: Logits) -> float:
    column = HEADS.index(label)
    targets = [float(s.target(label) or 0) for s in rows]
    return round(auroc(targets, [float(logits[s.id][column]) for s in rows]), 4)


def read_logits(run: Path) -> dict[str, Any]:
    """Return the logits that a run left, by sample id."""
    with numpy.load(run / SCORES) as found:
        return dict(zip(found["ids"].tolist(), found["logits"], strict=True))


def lines_of(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table: one line a source and label, one column a run, then mean and spread."""
    runs = len(found[0]["auroc"]) if found else 0
    names = [f"run {number}" for number in range(1, runs + 1)]
    heads = ["source", "label", "rows", *names, "mean", "sd"]
    table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in found:
        each = row["auroc"]
        sd = stdev(each) if len(each) > 1 else 0.0
        cells = [f"{value:.3f}" for value in (*each, mean(each))]
        table.append(
            f"| {row['source']} | {row['label']} | {row['rows']} | {' | '.join(cells)} | {sd:.3f} |"
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.seeds", description=__doc__)
    line.add_argument("runs", type=Path, nargs="+", help="folders of runs of models.train")
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--out", type=Path, help="write the figures here as JSON")
    options = line.parse_args(arguments)
    runs = [read_logits(run) for run in options.runs]
    known = set(runs[0]).intersection(*runs)
    valid = of_split(load(options.data, options.authored), "valid")
    found = spread([s for s in valid if s.id in known], runs)
    print("\n".join(lines_of(found)))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
