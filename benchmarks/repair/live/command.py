"""The part of the command line that needs a model: key, consent to the cost, run, report."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openai import OpenAI

from benchmarks.loopback import free_port
from benchmarks.repair.asking import TIMEOUT, loopback_client
from benchmarks.repair.cases import some
from benchmarks.repair.errors import BenchmarkError
from benchmarks.repair.live.grid import Arm, Plan, load_questions, plan
from benchmarks.repair.live.report import lines, report
from benchmarks.repair.live.run import Endpoint, run_grid
from benchmarks.repair.output import guard_flags, progress, write_json
from benchmarks.repair.processes import guard_server

_NO_KEY = "none"  # for servers that ask for none; the client insists on one


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the live form."""
    group = parser.add_argument_group("live: your own model; keys come from files, never flags")
    group.add_argument("--live", action="store_true", help="ask a real model")
    group.add_argument("--base-url", metavar="URL", help="its server, with /v1")
    group.add_argument("--model", metavar="M", help="its name")
    group.add_argument("--api-key-file", metavar="FILE", help="its key; - reads standard input")
    group.add_argument("--judge-base-url", metavar="URL", help="the judge's server (the same)")
    group.add_argument("--judge-model", metavar="M", help="should be another model (the same)")
    group.add_argument("--judge-api-key-file", metavar="FILE", help="on another server: its key")
    group.add_argument("--parallel", type=int, default=4, help="conversations at a time (4)")
    group.add_argument(
        "--max-calls", type=int, default=500, help="ask before a run may need more calls (500)"
    )
    group.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Run the live form; returns the exit status.

    Raises:
        BenchmarkError: If something is missing, or the user does not agree to the cost.
    """
    if not options.base_url or not options.model:
        raise BenchmarkError("--live needs --base-url and --model")
    questions = some(load_questions(), options.limit)
    planned = plan(len(questions))
    key = read_key(options.api_key_file)
    if planned.at_most > options.max_calls and not options.yes:
        _agree(planned, asks=options.api_key_file != "-")
    with ExitStack() as stack:
        arms, judge = _endpoints(options, key, stack)
        graded = run_grid(
            questions, arms, judge, parallel=max(1, options.parallel), progress=progress
        )
    document = {"setup": _setup(options, len(questions)), **report(graded)}
    write_json(options.json, document)
    if not document["setup"]["judge_is_independent"]:
        print("The judge is the model itself: its errors hide. Better: --judge-model of another.")
    print("\n".join(lines(document)))
    return 0


def read_key(source: str | None) -> str:
    """Return a key from a file or, for ``-``, from standard input.

    Raises:
        BenchmarkError: If it cannot be read or is no key. The message never holds it.
    """
    if source is None:
        return _NO_KEY
    try:
        text = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"cannot read the key: {type(error).__name__}") from None
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise BenchmarkError("what was read is no key: it must be one word of ASCII")
    return key


def _agree(planned: Plan, *, asks: bool) -> None:
    cost = (
        f"This takes {planned.answers} answers and {planned.judgements} judgements, and the guard "
        f"may add up to {planned.extra_at_most} calls: {planned.at_most} at the most."
    )
    if not asks or not sys.stdin.isatty():
        raise BenchmarkError(f"{cost} Agree with --yes, or take fewer questions with --limit.")
    print(cost)
    if input("Go on? Type yes: ").strip().lower() != "yes":
        raise BenchmarkError("stopped; nothing was asked")


def _endpoints(
    options: argparse.Namespace, key: str, stack: ExitStack
) -> tuple[dict[Arm, Endpoint], Endpoint]:
    port = free_port()
    stack.enter_context(guard_server(options.base_url, port, guard_flags(options)))
    direct = stack.enter_context(OpenAI(base_url=options.base_url, api_key=key, timeout=TIMEOUT))
    guarded = stack.enter_context(loopback_client(port).with_options(api_key=key, max_retries=2))
    elsewhere = options.judge_base_url not in (None, options.base_url)
    # A key is never sent to a server that it was not given for.
    judge_key = read_key(options.judge_api_key_file) if elsewhere else key
    judging = stack.enter_context(
        OpenAI(
            base_url=options.judge_base_url or options.base_url, api_key=judge_key, timeout=TIMEOUT
        )
    )
    arms: dict[Arm, Endpoint] = {
        "direct": Endpoint(direct, options.model),
        "guarded": Endpoint(guarded, options.model),
    }
    return arms, Endpoint(judging, options.judge_model or options.model)


def _setup(options: argparse.Namespace, questions: int) -> dict[str, Any]:
    judge_model = options.judge_model or options.model
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "model": options.model,
        "judge_model": judge_model,
        "judge_is_independent": judge_model != options.model,
        "detector": options.detector,
        "config": options.config.name if options.config else None,
        "questions": questions,
        "planned_calls": asdict(plan(questions)),
    }
