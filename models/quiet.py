"""When the encoder need not be asked: ``python -m models.quiet [--model FOLDER]``.

The encoder is left out where the other readers give both labels less than a limit. For each limit this
counts, on the valid rows, the passes that are saved and the replies that would no longer reach an
operating point, and gives the AUROC of what is left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.figures import auroc
from candor_guard.verdict import LABELS, Reading
from models.altered import altered
from models.build import BUDGETS, RECALL_POINT
from models.dataset import AUTHORED, SHARED, Sample, load, of_split

LIMITS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15)
_POINT = "balanced"
_REAL, _PLAIN = "transcripts", "ordinary"


@dataclass(frozen=True, slots=True)
class Row:
    """A valid row with what its reading says without the encoder and with it."""

    sample: Sample
    alone: Reading
    full: Reading

    def quiet(self, limit: float) -> bool:
        """Say whether the encoder is left out under a limit."""
        told = [self.alone.scores[label] for label in LABELS]
        return max(told) < limit

    def lost(self, thresholds: dict[str, float]) -> bool:
        """Say whether only the encoder brings a label over its threshold."""
        return any(
            self.full.scores[label] >= threshold > self.alone.scores[label]
            for label, threshold in thresholds.items()
        )

    @property
    def at_fault(self) -> bool:
        """Whether a label says so."""
        return any((self.sample.target(label) or 0.0) > 0 for label in LABELS)


def line_of(limit: float, rows: Sequence[Row], points: dict[str, dict[str, float]]) -> str:
    """Return a limit's figures as a line of a table.

    Rows without a pass of all, of real transcripts and of ordinary replies; among them those at fault,
    and those that reach `balanced` and `recall` with the encoder only; AUROC by label.
    """
    left_out = [row for row in rows if row.quiet(limit)]
    kept = {id(row) for row in left_out}
    counts = [
        f"{sum(of(row) for row in left_out)} of {sum(map(of, rows))}"
        for of in (
            lambda _: True,
            lambda row: row.sample.file == _REAL,
            lambda row: row.sample.file == _PLAIN,
            lambda row: row.at_fault,
        )
    ]
    lost = [f"{sum(row.lost(points[name]) for row in left_out)}" for name in (_POINT, RECALL_POINT)]
    areas = []
    for label in LABELS:
        for chosen in (rows, [row for row in rows if row.sample.file == _REAL]):
            judged = [
                (target, (row.alone if id(row) in kept else row.full).scores[label])
                for row in chosen
                if (target := row.sample.target(label)) is not None
            ]
            areas.append(f"{auroc([t for t, _ in judged], [v for _, v in judged]):.4f}")
    return f"| {limit} | " + " | ".join([*counts, *lost, *areas]) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.quiet", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--model", type=Path, default=SHIPPED, help="model folder")
    line.add_argument("--every", type=int, default=1, help="take every n-th row only (tests)")
    options = line.parse_args(arguments)
    samples = of_split(load(options.data, options.authored), "valid")[:: options.every]
    exchanges = [sample.exchange for sample in samples]
    with tempfile.TemporaryDirectory() as folder:
        asked = altered(options.model, Path(folder) / "asked", quiet=0.0)
        full = asked.read(exchanges)
    alone = EncoderDetector(options.model, encoder=False).read(exchanges)
    rows = [Row(*row) for row in zip(samples, alone, full, strict=True)]
    points = {name: dict(asked.operating_points[name]) for name in (*BUDGETS, RECALL_POINT)}
    print(
        "| limit | no pass | transcripts | ordinary | at fault | lost at balanced | at recall "
        "| capitulation | transcripts | drift | transcripts |\n" + "|---" * 11 + "|"
    )
    for limit in LIMITS:
        print(line_of(limit, rows, points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
