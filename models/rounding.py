"""What int8 costs: ``python -m models.rounding --fp32 FILE [--model FOLDER]``.

The shipped detector reads the valid rows with its own encoder and with the unquantised graph, which
`models.export` leaves in the folder of the run. Calibration and readers are the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.figures import auroc
from candor_guard.verdict import LABELS, Reading
from models.altered import altered
from models.dataset import AUTHORED, SHARED, Sample, load, of_split


def line_of(
    label: str, samples: Sequence[Sample], small: Sequence[Reading], full: Sequence[Reading]
) -> str:
    """Return a label's differences as a line of a table."""
    differences = [abs(a.scores[label] - b.scores[label]) for a, b in zip(small, full, strict=True)]
    judged = [i for i, sample in enumerate(samples) if sample.target(label) is not None]
    targets = [samples[i].target(label) or 0.0 for i in judged]
    areas = [
        auroc(targets, [readings[i].scores[label] for i in judged]) for readings in (full, small)
    ]
    mean = sum(differences) / len(differences)
    return (
        f"| {label} | {len(samples)} | {mean:.4f} | {max(differences):.3f} "
        f"| {areas[0]:.4f} | {areas[1]:.4f} | {areas[0] - areas[1]:+.4f} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.rounding", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--model", type=Path, default=SHIPPED, help="model folder")
    line.add_argument("--fp32", type=Path, required=True, help="its graph before quantisation")
    line.add_argument("--every", type=int, default=1, help="take every n-th row only (tests)")
    options = line.parse_args(arguments)
    samples = of_split(load(options.data, options.authored), "valid")[:: options.every]
    exchanges = [sample.exchange for sample in samples]
    with tempfile.TemporaryDirectory() as folder:
        full = altered(options.model, Path(folder) / "fp32", graph=options.fp32).read(exchanges)
    small = EncoderDetector(options.model).read(exchanges)
    print("| label | rows | mean difference | largest | AUROC fp32 | int8 | loss |")
    print("|---|---|---|---|---|---|---|")
    for label in LABELS:
        print(line_of(label, samples, small, full))
    return 0


if __name__ == "__main__":
    sys.exit(main())
