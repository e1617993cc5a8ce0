"""`candor-guard bench`: what a running deployment adds to a request."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from candor_proxy.cli.common import Subparsers

if TYPE_CHECKING:
    from candor_guard.upstreams.target import BaseUrl
    from candor_proxy.cli.bench_load import Plan, Results, Target, Times

_EXAMPLE = """\
example:
  candor-guard bench --base-url http://127.0.0.1:8400/v1 --direct https://api.openai.com/v1 \\
    --model gpt-5-mini --api-key-file key.txt

Every request is a real one, which the provider may charge for: to each address, --requests plus one
for each number of clients, whole and streamed. The addresses are asked in turns, and "added" is the
difference between the same percentiles. A client asks again when it has its answer, so with many
clients the times hold queueing, and a rare stall counts once.
"""
_MOST_REQUESTS, _MOST_CLIENTS, _MOST_SECONDS = 10_000, 256, 3600
_SHARES = (50, 95, 99)


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "bench",
        help="time a running deployment",
        description="Time a running deployment, against its upstream if --direct tells where.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--base-url", metavar="URL", required=True, help="such as http://host/v1")
    parser.add_argument("--direct", metavar="URL", help="the same model without the proxy")
    parser.add_argument("--model", metavar="NAME", default="mock", help="model to ask for (mock)")
    parser.add_argument(
        "--requests", metavar="N", type=_number(_MOST_REQUESTS), default=50,
        help="to each address, for each load (50)",
    )  # fmt: skip
    parser.add_argument(
        "--clients", metavar="N,N", type=_clients, default=(1, 8),
        help="at the same time (1,8)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", metavar="S", type=_number(_MOST_SECONDS), default=120,
        help="after which nothing more is sent (120)",
    )  # fmt: skip
    parser.add_argument(
        "--max-tokens", metavar="N", type=_number(_MOST_REQUESTS), default=64,
        help="of each reply (64)",
    )  # fmt: skip
    parser.add_argument(
        "--at-risk", action="store_true", help="ask under pressure, so that replies are read"
    )
    parser.add_argument("--api-key-file", metavar="FILE", type=Path, help="a file with the key")
    parser.add_argument(
        "--direct-api-key-file", metavar="FILE", type=Path, help="another key for --direct"
    )
    parser.add_argument(
        "--format", choices=("json", "table"), default="table", help="table is for people"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from candor_proxy.cli.bench_load import Plan, measure  # noqa: PLC0415 - not for --help

    targets = _targets(args)
    plan = Plan(
        args.model, args.requests, args.clients, args.seconds, args.max_tokens, args.at_risk
    )
    results = asyncio.run(_first(measure(targets, plan)))
    report = _report(results, targets, plan)
    if args.format == "json":
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        sys.stdout.write(_table(report))
    return 0


async def _first(work: Any) -> Results:
    """Run it; of several clients' failures the first one tells enough."""
    try:
        results: Results = await work
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return results


# -- arguments ------------------------------------------------------------------------------------


def _number(most: int) -> Any:
    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a number from 1 to {most}")
        return int(text)

    return read


def _clients(text: str) -> tuple[int, ...]:
    return tuple(_number(_MOST_CLIENTS)(part.strip()) for part in text.split(","))


def _targets(args: argparse.Namespace) -> list[Target]:
    from candor_proxy.cli.bench_load import Target  # noqa: PLC0415 - not for --help

    key = _key(args.api_key_file)
    targets = [Target("proxy", _url("--base-url", args.base_url), key)]
    if args.direct is not None:
        own = _key(args.direct_api_key_file)
        targets.append(Target("direct", _url("--direct", args.direct), own or key))
    return targets


def _url(flag: str, text: str) -> BaseUrl:
    from candor_guard.errors import ConfigurationError  # noqa: PLC0415 - not for --help
    from candor_guard.upstreams.target import BaseUrl  # noqa: PLC0415 - not for --help

    try:
        return BaseUrl.parse(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{flag}: {error}") from None


def _key(path: Path | None) -> str | None:
    from candor_guard.errors import ConfigurationError  # noqa: PLC0415 - not for --help

    if path is None:
        return None
    try:
        key = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} holds no key: it is not text") from None
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{path} must hold one key and nothing else")
    return key


# -- the report -----------------------------------------------------------------------------------


def _report(results: Results, targets: list[Target], plan: Plan) -> dict[str, Any]:
    loads = {}
    for load, times in results.items():
        rows = {name: _row(found) for name, found in times.items() if found.last}
        if "direct" in rows and "proxy" in rows:
            rows["added"] = {
                figure: value - rows["direct"][figure]
                for figure, value in rows["proxy"].items()
                if figure.endswith("_ms")
            }
        loads[load.name] = rows
    asked = sum(len(found.last) for times in results.values() for found in times.values())
    wanted = plan.requests * len(results) * len(targets)
    return {
        "proxy": targets[0].url.server,
        "direct": targets[1].url.server if len(targets) > 1 else None,
        "complete": asked == wanted,
        "at_risk": plan.at_risk,
        "loads": loads,
    }


def _row(times: Times) -> dict[str, float]:
    row: dict[str, float] = {"n": len(times.last)}
    for name, values in (("first", sorted(times.first)), ("last", sorted(times.last))):
        for share in _SHARES:
            place = min(len(values) - 1, share * len(values) // 100)
            row[f"{name}_p{share}_ms"] = values[place] * 1000
    row["requests_per_s"] = len(times.last) / times.busy if times.busy else 0.0
    return row


def _table(report: dict[str, Any]) -> str:
    lines = []
    for load, rows in report["loads"].items():
        lines.append(f"{load}: ms")
        head = "".join(
            f"{f'{what} p{share}':>12}" for what in ("first", "last") for share in _SHARES
        )
        lines.append(f"{'':10}{'n':>6}{head}{'req/s':>9}")
        for name, row in rows.items():
            figures = "".join(
                f"{row[f'{what}_p{share}_ms']:12.2f}"
                for what in ("first", "last")
                for share in _SHARES
            )
            number = f"{row['n']:6.0f}" if "n" in row else " " * 6
            rate = f"{row['requests_per_s']:9.1f}" if "requests_per_s" in row else ""
            lines.append(f"{name:10}{number}{figures}{rate}")
        lines.append("")
    if not report["complete"]:
        lines.append("The time was over before all was asked.")
    lines.append("first: first word of a stream, head of a whole reply. last: its end.")
    return "\n".join(lines) + "\n"
