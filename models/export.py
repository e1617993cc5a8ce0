"""Export a trained encoder to ONNX and quantise its weights to int8, per channel."""

from __future__ import annotations

import importlib
import shutil
import warnings
from pathlib import Path
from typing import Any

from candor_guard.detectors.encoder.model import ENCODER, TOKENIZER
from models.network import EXPORTED, base_folder, base_of, batch_of, load_reader

torch: Any = importlib.import_module("torch")

_OPSET = 17


class Exported(torch.nn.Module):  # type: ignore[misc]  # torch is untyped where it is not installed
    """The reader for rows of one length, without the output that was only trained in between.

    It is given one row at a time, or rows without padding, so there is nothing to mask. To add the
    mask to the attention all the same took a fourteenth of the time.
    """

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, input_ids: Any, token_type_ids: Any) -> Any:
        """Return logits, one column an output."""
        model = self.reader.encoder
        states = model.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        for layer in model.encoder.layer:
            states = layer(states)
            states = states[0] if isinstance(states, tuple) else states
        everywhere = torch.ones_like(input_ids)
        return self.reader.judge(states, everywhere, token_type_ids)[:, : len(EXPORTED)]


def export(run: Path, folder: Path) -> None:
    """Write ``encoder.onnx`` (int8) and the tokenizer into a model folder."""
    full = run / "encoder-fp32.onnx"
    export_full(load_reader(run).eval(), full)
    quantise(full, folder / ENCODER)
    shutil.copyfile(base_folder(base_of(run)) / TOKENIZER, folder / TOKENIZER)


def export_full(reader: Any, path: Path) -> None:
    """Write the fp32 graph with free batch and length."""
    # The fused attention of torch becomes a fifth more time in onnxruntime, spent on its mask.
    reader.encoder.set_attn_implementation("eager")
    row = type("Row", (), {"ids": [101, 2023, 102, 2003, 102], "types": [0, 0, 0, 1, 1]})()
    batch = batch_of([row, row])
    del batch["attention_mask"]
    free = {name: {0: "batch", 1: "length"} for name in batch}
    with warnings.catch_warnings():
        # The newer exporter needs another package and makes no better graph of this model.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Exported(reader).eval(),
            tuple(batch.values()),
            str(path),
            input_names=list(batch),
            output_names=["logits"],
            dynamic_axes={**free, "logits": {0: "batch"}},
            opset_version=_OPSET,
            dynamo=False,
        )


def quantise(full: Path, small: Path) -> None:
    """Quantise matrix products and embeddings; the heads stay in fp32, they cost nothing."""
    quantization = importlib.import_module("onnxruntime.quantization")
    quantization.quantize_dynamic(
        str(full),
        str(small),
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=_heads(full),
    )


def _heads(path: Path) -> list[str]:
    """Names of the nodes that belong to the last linear layer, which is split before it is quantised."""
    graph = importlib.import_module("onnx").load(str(path)).graph
    names = [node.name for node in graph.node if "/head/" in node.name]
    return [*names, *(f"{name}_MatMul" for name in names)]
