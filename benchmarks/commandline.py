"""What the commands of several benchmarks share: some of their arguments, and where a report goes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from candor_guard.detectors.shipped import DEFAULT

RESULTS = Path(__file__).parent / "results"


def parser_of(module: str, text: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help shows a module's docstring as it is written."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=text,
        formatter_class=argparse.RawTextHelpFormatter,
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add ``--detector``, ``--quick`` and ``--out``."""
    parser.add_argument(
        "--detector", default=DEFAULT, help="encoder, relation, lexical or a folder"
    )
    parser.add_argument("--quick", action="store_true", help="tiny counts; says nothing, runs")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: benchmarks/results")


def write(args: argparse.Namespace, name: str, report: Mapping[str, Any]) -> Path | None:
    """Write a report as JSON; returns its path, or None for a quick run without an ``--out``."""
    folder: Path | None = args.out or (None if args.quick else RESULTS)
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return path
