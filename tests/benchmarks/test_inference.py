"""The inference benchmark's arithmetic, and its graphs in the real runtime."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from benchmarks.inference import __main__ as command
from benchmarks.inference.graphs import product
from benchmarks.inference.runtime import session, work_of
from benchmarks.inference.tables import render
from benchmarks.inference.timing import timed


def test_graphs_multiply() -> None:
    """The graphs written by hand are valid ONNX and compute the product, in both kinds."""
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("onnxruntime")
    left, right = numpy.arange(6).reshape(2, 3), numpy.arange(12).reshape(3, 4) - 6
    for kind, first, second in (("fp32", "float32", "float32"), ("int8", "uint8", "int8")):
        model = product(kind, 2, 3, 4, right.astype(second).tobytes())  # type: ignore[arg-type]  # both are kinds
        (result,) = session(model).run(None, {"x": left.astype(first)})
        assert (result == left @ right).all()


def test_work_counts_two_operations_for_each_product() -> None:
    """Integer and float products are told apart; operations that multiply nothing count nothing."""
    events = [
        kernel("MatMulInteger", [2, 3], [2, 4], 30),
        kernel("FusedMatMul", [1, 5, 2], [1, 5, 7], 10),
        kernel("Softmax", [5, 5], [5, 5], 60),
        {"name": "session_run", "args": {}, "dur": 1000},
    ]
    found = work_of([*events, *events], passes=2)
    assert (found.int8, found.fp32) == (2 * 2 * 4 * 3, 2 * 5 * 7 * 2)
    assert list(found.shares) == ["Softmax", "MatMulInteger", "FusedMatMul"]
    assert found.shares["Softmax"] == pytest.approx(0.6)


def kernel(operation: str, left: list[int], result: list[int], microseconds: int) -> dict[str, Any]:
    details = {
        "op_name": operation,
        "input_type_shape": [{"float": left}],
        "output_type_shape": [{"float": result}],
    }
    return {"name": f"{operation}_1_kernel_time", "dur": microseconds, "args": details}


def test_calls_are_timed_in_turns() -> None:
    """Every call gets its turns between those of the others."""
    order: list[str] = []
    rows = timed({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0.001)
    changes = sum(one != other for one, other in pairwise(order))
    assert changes == 11  # once to warm up, and five turns each
    assert rows["a"]["n"] == order.count("a") - 1
    assert rows["a"]["min_ms"] <= rows["a"]["p50_ms"] <= rows["a"]["p99_ms"]


def test_missing_model_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without an encoder is told, and nothing is measured."""
    monkeypatch.setattr(sys, "argv", ["inference", "--model", str(tmp_path)])
    assert command.main() == 2
    assert capsys.readouterr().err == f"inference: there is no {tmp_path / 'encoder.onnx'}\n"


def test_report_is_readable() -> None:
    """The tables show rates, the distance to the limit, and who was left out and why."""
    row = {"n": 3, "p50_ms": 10.0, "p99_ms": 12.0, "min_ms": 9.0, "limit_ms": 4.0}
    report = {
        "setup": {"machine": "a machine", "python": "3", "load before": [0.0]},
        "peak, 1 thread, 10^9 operations/s": {"fp32": {"best": 200.0}, "int8": {"best": 800.0}},
        "forward pass, 1 thread": {"shipped": {"256": {**row, "times_limit": 2.5}}},
        "target": {"what": "one pass", "wanted": "≤ 2", "measured": 2.5, "met": False},
        "batches": {"2": {**row, "per_row_ms": 5.0}},
        "loading": {"load_s": 0.1, "rss_mib": 60.0},
        "shares of the time": {"MatMul": 0.9, "Add": 0.1},
        "detectors": {
            "lexical": {
                "demo": {"gate": {"p50_ms": 0.05, "slowest_p50_ms": 0.1}},
                "reply of so many words": {"50": row},
                "conversation of so many turns": {"3": row},
            },
            "other": {"left out": "no weights"},
        },
    }
    text = render(report)
    for part in (
        "int8 800",
        "2.50",
        "per row 5.000",
        "MISSED",
        "left out: no weights",
        "MatMul 90%",
    ):
        assert part in text
