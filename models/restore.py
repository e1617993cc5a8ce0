"""Turn a shipped model back into a run: ``python -m models.restore --model FOLDER --out RUN``.

The run is one to go on from or to teach a smaller student (`models.train`). Each weight comes back as
its int8 value times its channel's scale.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from candor_guard.detectors.encoder.model import ENCODER
from models.network import BASE, RECORD, WEIGHTS, keep_layers, new_reader

torch: Any = importlib.import_module("torch")
numpy: Any = importlib.import_module("numpy")

_PREFIX, _BLOCK = "reader.", "encoder.encoder"
_UNUSED = "encoder.pooler."
_SMALL, _SCALE, _ZERO = "_quantized", "_scale", "_zero_point"


def restored(path: Path, base: str = BASE) -> Any:
    """Return the reader whose weights a quantised graph of `models.export` holds.

    Raises:
        ValueError: If the graph lacks a weight of the reader or holds one of another shape.
    """
    found = weights_of(path)
    reader = new_reader(base)
    depth = 1 + max(int(name.split(".")[3]) for name in found if ".layer." in name)
    keep_layers(reader, range(depth))
    state = reader.state_dict()
    for name, value in state.items():
        if name.startswith(_UNUSED):
            continue
        known = found.get(name)
        if known is None:
            raise ValueError(f"{path} has no weight {name}")
        if tuple(value.shape) != known.shape:
            raise ValueError(f"{path}: {name} is of another shape")
        value.copy_(torch.tensor(known))
    return reader


def weights_of(path: Path) -> dict[str, Any]:
    """Return a quantised graph's weights as fp32 arrays, by the names that they have in torch."""
    onnx = importlib.import_module("onnx")
    graph = onnx.load(str(path)).graph
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    found = {
        name.removeprefix(_PREFIX): array
        for name, array in stored.items()
        if name.startswith(_PREFIX) and not name.endswith((_SMALL, _SCALE, _ZERO))
    }
    for name in stored:
        if name.startswith(_PREFIX + "encoder.embeddings") and name.endswith(_SMALL):
            whole = name.removesuffix(_SMALL)
            found[whole.removeprefix(_PREFIX)] = _full(stored, whole)
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            found[_torch_name(node.name)] = _full(stored, node.input[1].removesuffix(_SMALL)).T
        elif node.op_type == "MatMul" and node.input[1] in stored:
            found[_torch_name(node.name)] = stored[node.input[1]].T
    return found


def _full(stored: dict[str, Any], name: str) -> Any:
    small = stored[name + _SMALL].astype(numpy.float32)
    zero = stored[name + _ZERO].astype(numpy.float32)
    return numpy.ascontiguousarray((small - zero) * stored[name + _SCALE])


def _torch_name(node: str) -> str:
    """Where a product's matrix lies: ``/layer.0/output/dense/MatMul_quant`` is a layer's."""
    path = ".".join(node.strip("/").split("/")[:-1]).removeprefix(_PREFIX)
    return f"{_BLOCK}.{path}.weight" if path.startswith("layer.") else f"{path}.weight"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.restore", description=__doc__)
    line.add_argument("--model", type=Path, required=True, help="a model folder")
    line.add_argument("--out", type=Path, required=True, help="folder for the run")
    options = line.parse_args(arguments)
    reader = restored(options.model / ENCODER)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(reader.state_dict(), options.out / WEIGHTS)
    record = {"base": BASE, "depth": len(reader.encoder.encoder.layer), "seed": None, "steps": 0}
    (options.out / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
