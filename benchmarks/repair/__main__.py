"""Command line of the repair benchmark; see `benchmarks.repair`."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import benchmarks.repair
from benchmarks.repair.cases import RECORDED, SCRIPT, load_recorded, load_script, some
from benchmarks.repair.errors import BenchmarkError
from candor_guard.detectors.shipped import DEFAULT
from candor_guard.errors import MissingExtraError
from candor_proxy.replay import Pace

try:
    from benchmarks.repair import counts
    from benchmarks.repair.live import command as live
    from benchmarks.repair.output import guard_flags, progress, write_json
    from benchmarks.repair.play import Played, play, verdicts
    from benchmarks.repair.processes import Ports, replay_servers
    from benchmarks.repair.tables import lines
    from benchmarks.repair.timing import time_first_tokens
except MissingExtraError as error:
    sys.exit(f"benchmarks.repair: error: {error}")

RESULTS = Path(__file__).parents[1] / "results" / "repair.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _options(arguments)
    try:
        return live.run(options) if options.live else _replay(options)
    except BenchmarkError as error:
        print(f"benchmarks.repair: error: {error}", file=sys.stderr)
        return 2


def _replay(options: argparse.Namespace) -> int:
    files = [SCRIPT, *([options.data / RECORDED] if options.data else [])]
    script = some(load_script(), options.limit)
    recorded = some(load_recorded(options.data), options.limit) if options.data else []
    pace = Pace(options.first_token_ms / 1000, options.gap_ms / 1000)
    with replay_servers(files, pace, guard_flags(options)) as ports:
        played = play(ports, script, progress)
        report = {"setup": _setup(options), "scripted": counts.scripted(played)}
        if recorded:
            more = play(ports, recorded, progress)
            plain = verdicts(ports.guard, recorded, lambda case: case.plain)
            honest = verdicts(ports.guard, recorded, lambda case: case.honest)
            report["recorded"] = counts.recorded(more, plain, honest)
        report["setup"]["detector"] = _detector(ports, played)
        report["first_token"] = time_first_tokens(ports, played, options.rounds)
    write_json(options.json, report)
    print("\n".join(lines(report)))
    return 0


def _detector(ports: Ports, played: Sequence[Played]) -> str:
    told = verdicts(ports.guard, [entry.case for entry in played[:1]], lambda case: case.plain)
    return str(told[0].get("detector", "unknown")) if told else "unknown"


def _setup(options: argparse.Namespace) -> dict[str, Any]:
    packages = ("candor-guard", "openai", "starlette", "uvicorn", "aiohttp")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "upstream": {"first_token_ms": options.first_token_ms, "gap_ms": options.gap_ms},
        "config": options.config.name if options.config else None,
        "timing_rounds": options.rounds,
        "intervals": "95 %: Wilson for the scripted shares, over conversations (exact at 0 and 1) for the rest",
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.repair",
        description=benchmarks.repair.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--data", type=Path, help=f"folder with {RECORDED}: play it as well")
    parser.add_argument(
        "--json",
        type=Path,
        help=f"where to write the report (of the whole benchmark as it stands: {RESULTS.name})",
    )
    parser.add_argument("--detector", default=DEFAULT, help="as of candor-guard serve")
    parser.add_argument("--config", type=Path, help="candor.toml for the proxy, a policy say")
    parser.add_argument(
        "--limit", type=int, help="only so many conversations, or questions, of each set"
    )
    replay = parser.add_argument_group("replay")
    replay.add_argument("--rounds", type=int, default=8, help="of the timing (8)")
    replay.add_argument("--first-token-ms", type=float, default=20.0, help="of the upstream (20)")
    replay.add_argument("--gap-ms", type=float, default=0.5, help="between two words (0.5)")
    live.add_options(parser)
    options = parser.parse_args(arguments)
    partial = options.live or options.limit or options.config or options.detector != DEFAULT
    if options.json is None and not partial:
        options.json = RESULTS
    return options


if __name__ == "__main__":
    sys.exit(main())
