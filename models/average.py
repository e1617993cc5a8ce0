"""Average the weights of runs: ``python -m models.average --out FOLDER RUN RUN ...``.

Runs that went on from the same weights, with other seeds, lie in one basin; the mean of their weights
is as fast as one of them and depends less on the seed ("model soups", Wortsman et al. 2022).
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.network import RECORD, WEIGHTS

torch: Any = importlib.import_module("torch")


def average(runs: Sequence[Path]) -> dict[str, Any]:
    """Return the mean of each weight.

    Raises:
        ValueError: If the runs are not of one shape.
    """
    states = [torch.load(run / WEIGHTS, map_location="cpu", weights_only=True) for run in runs]
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in states]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("the runs are not of one shape, so their weights cannot be averaged")
    return {
        name: sum(state[name] for state in states) / len(states)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.average", description=__doc__)
    line.add_argument("runs", type=Path, nargs="+", help="folders of runs of models.train")
    line.add_argument("--out", type=Path, required=True, help="folder for the result")
    options = line.parse_args(arguments)
    records = [json.loads((run / RECORD).read_text(encoding="utf-8")) for run in options.runs]
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(average(options.runs), options.out / WEIGHTS)
    record = {
        **records[0],
        "seed": [r["seed"] for r in records],
        "steps": [r["steps"] for r in records],
    }
    (options.out / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
