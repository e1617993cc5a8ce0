"""What the commands share."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Protocol

# The default is `candor_guard.detectors.shipped.DEFAULT`, which --help does not load.
DETECTORS = "encoder (the default), relation, lexical, or a model folder"


class Subparsers(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns; argparse has no public name for it."""

    def add_parser(self, *args: Any, **kwargs: Any) -> argparse.ArgumentParser:
        """Add a command."""
        ...


def complain(message: str) -> int:
    """Write an error in one line; returns the exit status for bad usage."""
    sys.stderr.write(f"candor-guard: error: {' '.join(message.split())}\n")
    return 2


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add what says who reads the output: people, unless it is told otherwise."""
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="table is for people"
    )
    parser.add_argument(
        "--json", dest="format", action="store_const", const="json", help="same as --format json"
    )


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which detector reads, and how strictly."""
    parser.add_argument(
        "--detector",
        "--model",
        dest="detector",
        metavar="NAME",
        help=DETECTORS,
    )
    parser.add_argument(
        "--operating-point",
        default="balanced",
        metavar="NAME",
        help="strict, balanced (the default), sensitive or recall",
    )
