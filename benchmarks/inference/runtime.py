"""onnxruntime, imported by name: the benchmark must be readable and testable without it."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

_INT8 = frozenset({"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"})
_FP32 = frozenset({"MatMul", "FusedMatMul", "Gemm"})
_KERNEL = "_kernel_time"


class NotInstalledError(Exception):
    """A package that the benchmark needs is missing; the message names it."""


def need(name: str) -> Any:
    """Import a package.

    Raises:
        NotInstalledError: If it is not there.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotInstalledError(f"needs {name}; install candor-guard") from error


def session(model: str | bytes, threads: int = 1, *, profile: Path | None = None) -> Any:
    """Return a session as the detector makes it.

    Args:
        model: A file, or a model's bytes.
        threads: That share one product.
        profile: Folder for a profile in which constants keep their shapes.
    """
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "profile")
    return runtime.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["SkipLayerNormFusion"],
    )


def feed(made: Any, length: int, batch: int = 1) -> dict[str, Any]:
    """Return input of that many tokens, of whatever names the model has."""
    numpy = need("numpy")
    random = numpy.random.default_rng(0)
    given = {}
    for node in made.get_inputs():
        if node.name == "input_ids":
            given[node.name] = random.integers(1000, 20000, (batch, length), dtype="int64")
        else:
            filled = 1 if "mask" in node.name else 0
            given[node.name] = numpy.full((batch, length), filled, dtype="int64")
    return given


@dataclass(frozen=True, slots=True)
class Work:
    """What one forward pass multiplies and adds, two operations each.

    Attributes:
        int8: Operations of products of integers.
        fp32: Operations of products of floats.
        shares: Share of the time of one profiled pass, by operation, the largest first.
    """

    int8: float
    fp32: float
    shares: Mapping[str, float]


def work(model: str, length: int) -> Work:
    """Count the operations of one pass over `length` tokens, from onnxruntime's own profile."""
    with tempfile.TemporaryDirectory(prefix="inference-") as folder:
        made = session(model, profile=Path(folder))
        given = feed(made, length)
        made.run(None, given)
        made.run(None, given)
        events = json.loads(Path(made.end_profiling()).read_text(encoding="utf-8"))
    return work_of(events, passes=2)


def work_of(events: Sequence[Mapping[str, Any]], passes: int) -> Work:
    """Read the operations out of a profile of that many equal passes."""
    counts = {"int8": 0.0, "fp32": 0.0}
    spent: dict[str, float] = {}
    for event in events:
        if not event["name"].endswith(_KERNEL):
            continue
        details = event["args"]
        operation = details["op_name"]
        spent[operation] = spent.get(operation, 0.0) + event["dur"]
        kind = "int8" if operation in _INT8 else "fp32" if operation in _FP32 else None
        if kind is not None:
            (left,) = details["input_type_shape"][0].values()
            (result,) = details["output_type_shape"][0].values()
            counts[kind] += 2.0 * prod(result) * left[-1]
    whole = sum(spent.values()) or 1.0
    ranked = sorted(spent.items(), key=lambda pair: -pair[1])
    shares = {name: time / whole for name, time in ranked}
    return Work(counts["int8"] / passes, counts["fp32"] / passes, shares)
