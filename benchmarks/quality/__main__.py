"""Command line of the quality benchmark; see `benchmarks.quality`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from models.dataset import AUTHORED, DataMissingError, digests

import benchmarks.quality
from benchmarks.quality.contenders import Contender, NotInstalledError, contenders
from benchmarks.quality.plots import draw
from benchmarks.quality.prefixes import by_prefix, labels_of
from benchmarks.quality.report import Scored, report, score
from benchmarks.quality.sets import AYS, VALID, Sets, load_sets
from benchmarks.quality.tables import lines
from candor_guard.errors import ConfigurationError

ROOT = Path(benchmarks.quality.__file__).parents[2]
PREFIX_SETS = (VALID, AYS)
_PACKAGES = ("candor-guard", "scikit-learn", "sentence-transformers", "styxx", "onnxruntime")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _options(arguments)
    if options.data is None:
        return _complain("say where the data is: --data FOLDER (models/README.md describes it)")
    try:
        sets = load_sets(options.data, options.authored)
        found, absent = contenders(sets.train, options.model)
    except (DataMissingError, ConfigurationError) as error:
        return _complain(str(error))
    scored = [_scored(contender, sets) for contender in found]
    prefixes = {s.contender.name: _prefixes(s, sets) for s in scored if _cheap(s)}
    document = {
        **_circumstances(options),
        "absent": absent,
        "contenders": {s.contender.name: report(s, sets, options.rounds) for s in scored},
        "prefixes": prefixes,
    }
    print("\n".join(lines(document)))
    _write(options.out, document, scored, sets)
    return 0


def _scored(contender: Contender, sets: Sets) -> Scored:
    print(f"{contender.name} ...", file=sys.stderr, flush=True)
    return score(contender, sets)


def _cheap(scored: Scored) -> bool:
    """Whether ten prefixes of every reply are affordable; embeddings are not on two cores."""
    return scored.contender.probabilities


def _prefixes(scored: Scored, sets: Sets) -> dict[str, Any]:
    return {
        name: {label: by_prefix(scored, sets.named[name], label) for label in labels}
        for name in PREFIX_SETS
        if (labels := labels_of(sets.named[name]))
    }


def _write(out: Path, document: Mapping[str, Any], scored: Sequence[Scored], sets: Sets) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / "quality.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}", file=sys.stderr)
    try:
        drawn = draw(out, scored, sets, document["prefixes"])
    except NotInstalledError as error:
        print(f"no plots: {error}", file=sys.stderr)
    else:
        print(f"wrote {', '.join(map(str, drawn))}", file=sys.stderr)


def _circumstances(options: argparse.Namespace) -> dict[str, Any]:
    models = "".join(f" --model {folder.name}" for folder in options.model)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m benchmarks.quality --data FOLDER{models}",
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "packages": {name: _version(name) for name in _PACKAGES},
        "bootstrap": {"over": "group", "rounds": options.rounds, "interval": 0.95},
        "data_sha256": digests(options.data, options.authored),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Model of the CPU where Linux tells it, else what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [row.partition(":")[2].strip() for row in text.splitlines() if "model name" in row]
    return names[0] if names else platform.processor()


def _complain(message: str) -> int:
    print(f"benchmarks.quality: {message}", file=sys.stderr)
    return 2


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality",
        description=benchmarks.quality.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="data folder; required")
    parser.add_argument(
        "--authored", type=Path, metavar="FOLDER", default=ROOT / AUTHORED, help="our own lines"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", action="append", default=[],
        help="a model folder to measure too; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", default=ROOT / "benchmarks" / "results",
        help="for quality.json and the plots (benchmarks/results)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=500, help="bootstrap draws (500)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
