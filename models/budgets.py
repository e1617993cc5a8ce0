"""What shorter rows cost and bring: ``python -m models.budgets [--model FOLDER]``.

The shipped detector reads the valid rows with other token budgets than its own. It was trained with
its own, so what a shorter one loses here is an upper bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.detectors.encoder.transformer.render import Budget
from candor_guard.figures import auroc
from candor_guard.verdict import LABELS, Reading
from models.altered import altered
from models.dataset import AUTHORED, SHARED, Sample, load, of_split

# Question, earlier answer, user, reply.
TRIED = (
    Budget(24, 60, 44, 120),
    Budget(24, 60, 44, 96),
    Budget(24, 60, 44, 80),
    Budget(24, 40, 44, 120),
    Budget(24, 44, 32, 120),
    Budget(12, 60, 44, 120),
    Budget(16, 48, 36, 96),
    Budget(16, 40, 32, 80),
)


def line_of(
    budget: Budget, samples: Sequence[Sample], readings: Sequence[Reading], seconds: float
) -> str:
    """Return a budget's figures as a line of a table: milliseconds a reading, then AUROC by label."""
    areas = []
    for label in LABELS:
        judged = [
            (target, reading.scores[label])
            for sample, reading in zip(samples, readings, strict=True)
            if (target := sample.target(label)) is not None
        ]
        areas.append(f"{auroc([t for t, _ in judged], [v for _, v in judged]):.4f}")
    parts = f"{budget.question}, {budget.earlier}, {budget.user}, {budget.reply}"
    milliseconds = 1000 * seconds / len(samples)
    return f"| {parts} | {budget.total} | {milliseconds:.1f} | {' | '.join(areas)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.budgets", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--model", type=Path, default=SHIPPED, help="model folder")
    line.add_argument("--every", type=int, default=1, help="take every n-th row only (tests)")
    options = line.parse_args(arguments)
    samples = of_split(load(options.data, options.authored), "valid")[:: options.every]
    exchanges = [sample.exchange for sample in samples]
    print(f"| question, earlier, user, reply | total | ms | {' | '.join(LABELS)} |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, budget in enumerate(TRIED):
            detector = altered(options.model, Path(folder) / str(number), budget=budget)
            start = time.perf_counter()
            readings = detector.read(exchanges)
            print(line_of(budget, samples, readings, time.perf_counter() - start), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
