"""What both forms of the benchmark do with options and results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.repair.errors import BenchmarkError


def guard_flags(options: argparse.Namespace) -> list[str]:
    """Return what the user wants the proxy to be told."""
    flags = ["--detector", options.detector]
    return [*flags, *(["--config", str(options.config)] if options.config else [])]


def write_json(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write a report where it is wanted.

    Raises:
        BenchmarkError: If the file cannot be written.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from None


def progress(text: str) -> None:
    """Tell a person how far it is; a log is spared."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="", file=sys.stderr, flush=True)
