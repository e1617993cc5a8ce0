"""Serve recordings: python -m candor_proxy.replay FILE... [--port 8401]."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from candor_guard.errors import ConfigurationError
from candor_proxy.replay.app import make_replay_app
from candor_proxy.replay.chat import Pace
from candor_proxy.replay.recordings import load_recordings

_EXAMPLE = """\
example:
  python -m candor_proxy.replay recordings.jsonl --port 8401 --first-token-ms 300 --gap-ms 20
  candor-guard serve --upstream http://127.0.0.1:8401/v1
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        recordings = load_recordings(options.files)
    except ConfigurationError as error:
        sys.stderr.write(f"candor_proxy.replay: error: {error}\n")
        return 2
    pace = Pace(first=options.first_token_ms / 1000, gap=options.gap_ms / 1000)
    app = make_replay_app(recordings, pace=pace, json_mode=not options.no_json_mode)
    address = f"http://{options.host}:{options.port}/v1"
    sys.stderr.write(f"replaying {len(recordings)} recordings at {address}\n")
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m candor_proxy.replay",
        description="Answer as recorded, behind the OpenAI API.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON lines")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8401, help="port to listen on (8401)")
    parser.add_argument(
        "--first-token-ms",
        type=_milliseconds,
        default=0.0,
        metavar="MS",
        help="before headers and first word (0)",
    )
    parser.add_argument(
        "--gap-ms", type=_milliseconds, default=0.0, metavar="MS", help="between two words (0)"
    )
    parser.add_argument(
        "--no-json-mode", action="store_true", help="refuse requests with a response_format"
    )
    return parser


def _port(value: str) -> int:
    port = int(value)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port lies between 1 and 65535")
    return port


def _milliseconds(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 600_000:
        raise argparse.ArgumentTypeError("a time lies between 0 and 600000 ms")
    return number


if __name__ == "__main__":
    sys.exit(main())
