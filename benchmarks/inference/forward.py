"""The bare forward pass: by length, batch and threads, and against the machine's limit."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.inference.runtime import feed, need, session, work
from benchmarks.inference.timing import timed

_WORDS = "the table has four legs and stands in the kitchen near the window "
_LOAD = """
import json, sys, time
from pathlib import Path
from benchmarks.machine import memory
from benchmarks.inference.runtime import feed, session
import os, onnxruntime, numpy
before, began = memory(os.getpid()).rss, time.perf_counter()
made = session(sys.argv[1])
seconds = time.perf_counter() - began
made.run(None, feed(made, 256))
print(json.dumps({"load_s": seconds, "rss_mib": memory(os.getpid()).rss - before}))
"""


def by_length(
    models: Mapping[str, Path], lengths: Sequence[int], peaks: Mapping[str, Any], seconds: float
) -> dict[str, dict[str, dict[str, float]]]:
    """One row, one thread.

    ``limit_ms`` is what the matrix products alone would take at the machine's best rate, that for
    integers if the model has any product of integers; ``mixed_limit_ms`` counts each product at
    the best rate of its own kind.
    """
    made = {name: session(str(path)) for name, path in models.items()}
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in models}
    for length in lengths:
        calls = {name: _pass(one, length) for name, one in made.items()}
        for name, row in timed(calls, seconds).items():
            counted = work(str(models[name]), length)
            kind = "int8" if counted.int8 else "fp32"
            limit = (counted.int8 + counted.fp32) / peaks[kind]["best"] / 1e6
            mixed = counted.int8 / peaks["int8"]["best"] + counted.fp32 / peaks["fp32"]["best"]
            found[name][str(length)] = {
                **row,
                "int8_gop": counted.int8 / 1e9,
                "fp32_gop": counted.fp32 / 1e9,
                "limit_ms": limit,
                "mixed_limit_ms": mixed / 1e6,
                "times_limit": row["p50_ms"] / limit if limit else 0.0,
            }
    return found


def by_batch(path: Path, batches: Sequence[int], length: int, seconds: float) -> dict[str, Any]:
    """One thread; ``per_row_ms`` says whether batching pays."""
    made = session(str(path))
    calls = {str(batch): _pass(made, length, batch) for batch in batches}
    return {
        name: {**row, "per_row_ms": row["p50_ms"] / int(name)}
        for name, row in timed(calls, seconds).items()
    }


def by_threads(path: Path, threads: Sequence[int], length: int, seconds: float) -> dict[str, Any]:
    """One row; threads that share a product."""
    calls = {str(count): _pass(session(str(path), count), length) for count in threads}
    return dict(timed(calls, seconds))


def shares(path: Path, length: int) -> dict[str, float]:
    """Return the share of a pass's time by operation: why the limit is not reached."""
    return dict(work(str(path), length).shares)


def tokenising(tokenizer: Path, lengths: Sequence[int], seconds: float) -> dict[str, Any]:
    """Time the tokenizer on texts of about that many tokens."""
    made = need("tokenizers").Tokenizer.from_file(str(tokenizer))
    made.no_truncation()
    made.no_padding()
    texts = {str(n): " ".join((_WORDS * n).split()[:n]) for n in lengths}
    counts = {name: len(made.encode(text).ids) for name, text in texts.items()}
    calls = {name: functools.partial(made.encode, text) for name, text in texts.items()}
    return {
        name: {**row, "us_per_token": row["p50_ms"] * 1000 / counts[name]}
        for name, row in timed(calls, seconds).items()
    }


def loading(path: Path) -> dict[str, float]:
    """Load a model in a fresh process; returns seconds, and the memory after a pass."""
    command = [sys.executable, "-c", _LOAD, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _pass(made: Any, length: int, batch: int = 1) -> Callable[[], object]:
    given = feed(made, length, batch)
    return lambda: made.run(None, given)
