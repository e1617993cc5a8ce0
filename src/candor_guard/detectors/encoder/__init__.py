"""A trained model behind the `candor_guard.detectors.Detector` protocol.

Three readers judge together: boosted trees over the relation between earlier answer, user's claim
and reply (`relation`), phrases with their content words replaced by whose they are (`phrasing`), and,
where the model folder holds one, a text encoder in ONNX (`transformer`). `model` reads the folder,
`detector` asks the readers and blends what they say. The first two need the standard library only.
"""

from __future__ import annotations

from candor_guard.detectors.encoder.detector import EncoderDetector

__all__ = ["EncoderDetector"]
