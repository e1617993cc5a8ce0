"""The machine's best rate for matrix products, by the same runtime that runs the models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.inference.graphs import Kind, product
from benchmarks.inference.runtime import need, session
from benchmarks.inference.timing import timed

# Large enough that nothing but the product counts, small enough for the caches of one core.
_SHAPES = ((256, 1024, 1024), (512, 512, 512), (512, 1024, 1024), (1024, 1024, 1024))
KINDS: tuple[Kind, ...] = ("fp32", "int8")


def peaks(threads: int, seconds: float) -> dict[str, Any]:
    """Measure; returns for each kind the rates by shape and the best, in 10^9 operations/s."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        calls = {_name(shape): _call(kind, shape, threads) for shape in _SHAPES}
        rows = timed(calls, seconds)
        rates = {
            _name(shape): _operations(shape) / rows[_name(shape)]["min_ms"] / 1e6
            for shape in _SHAPES
        }
        found[kind] = {"best": max(rates.values()), **rates}
    return found


def _call(kind: Kind, shape: tuple[int, int, int], threads: int) -> Callable[[], object]:
    numpy = need("numpy")
    rows, inner, columns = shape
    random = numpy.random.default_rng(0)
    left: Any
    if kind == "fp32":
        left = random.standard_normal((rows, inner), dtype="float32")
        right = random.standard_normal((inner, columns), dtype="float32")
    else:
        left = random.integers(0, 255, (rows, inner), dtype="uint8")
        right = random.integers(-127, 127, (inner, columns), dtype="int8")
    made = session(product(kind, rows, inner, columns, right.tobytes()), threads)
    return lambda: made.run(None, {"x": left})


def _name(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def _operations(shape: tuple[int, int, int]) -> float:
    rows, inner, columns = shape
    return 2.0 * rows * inner * columns
