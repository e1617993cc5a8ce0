"""The shipped detector with one thing changed, to see what that thing costs or brings."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from candor_guard.detectors.encoder import EncoderDetector
from candor_guard.detectors.encoder.model import ENCODER, MANIFEST, digest
from candor_guard.detectors.encoder.transformer.render import Budget


def altered(
    folder: Path,
    out: Path,
    *,
    budget: Budget | None = None,
    graph: Path | None = None,
    quiet: float | None = None,
) -> EncoderDetector:
    """Copy a model folder and return the detector of the copy; the folder itself stays as it is.

    Args:
        folder: Of the model, with an encoder.
        out: For the copy; must not be there yet.
        budget: Another token budget of the encoder's input.
        graph: ONNX file to put in the encoder's place.
        quiet: Another score under which the encoder is not asked.
    """
    shutil.copytree(folder, out)
    manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    if budget is not None:
        manifest["encoder"]["budget"] = asdict(budget)
    if graph is not None:
        shutil.copyfile(graph, out / ENCODER)
        manifest["files"][ENCODER] = digest(out / ENCODER)
    if quiet is not None:
        manifest["encoder"]["quiet"] = quiet
    (out / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return EncoderDetector(out)
