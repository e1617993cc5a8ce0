"""ONNX graphs of one matrix product, written byte by byte: building them needs no further package.

Field numbers are those of ONNX's ``onnx.proto3``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Kind = Literal["fp32", "int8"]

_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6
_IR_VERSION, _OPSET = 8, 13
_VARINT, _BYTES = 0, 2


def product(kind: Kind, rows: int, inner: int, columns: int, weights: bytes) -> bytes:
    """Return a model ``y = x · w`` whose right side is a constant, as in a trained model.

    Args:
        kind: ``fp32``: float32; ``int8``: x unsigned, w signed, y int32.
        rows: Of x and y.
        inner: Columns of x, rows of w.
        columns: Of w and y.
        weights: Raw bytes of w, row by row.
    """
    operation, left, right, result = {
        "fp32": ("MatMul", _FLOAT, _FLOAT, _FLOAT),
        "int8": ("MatMulInteger", _UINT8, _INT8, _INT32),
    }[kind]
    node = _text(1, "x") + _text(1, "w") + _text(2, "y") + _text(4, operation)
    graph = (
        _field(1, node)
        + _text(2, "product")
        + _field(5, _tensor("w", right, (inner, columns), weights))
        + _field(11, _value("x", left, (rows, inner)))
        + _field(12, _value("y", result, (rows, columns)))
    )
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, opset)


def _tensor(name: str, kind: int, shape: Sequence[int], raw: bytes) -> bytes:
    dims = b"".join(_number(1, size) for size in shape)
    return dims + _number(2, kind) + _text(8, name) + _field(9, raw)


def _value(name: str, kind: int, shape: Sequence[int]) -> bytes:
    dims = b"".join(_field(1, _number(1, size)) for size in shape)
    return _text(1, name) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
