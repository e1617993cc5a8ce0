"""The detectors that a setting can name."""

from __future__ import annotations

from pathlib import Path

from candor_guard.detectors import Detector
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.errors import ConfigurationError

LEXICAL, RELATION, ENCODER = "lexical", "relation", "encoder"
NAMES = (ENCODER, RELATION, LEXICAL)
DEFAULT = ENCODER


def build_detector(name: str | None = None) -> Detector:
    """Return the detector of that name, or the one in a model folder.

    A model that ships with the package is loaded once.

    Args:
        name: ``encoder`` (trained readers and a text encoder), ``relation`` (the readers alone,
            with the standard library), ``lexical`` (the baseline), or the path of a folder in the
            layout of the shipped model. Default: `DEFAULT`.

    Raises:
        ConfigurationError: If there is none, or its folder is incomplete.
    """
    name = DEFAULT if name is None else name
    if name == LEXICAL:
        return LexicalDetector()
    if name not in NAMES and not Path(name).is_dir():
        raise ConfigurationError(
            f"unknown detector {name!r}; there are: {', '.join(NAMES)}, or a model folder"
        )
    # A model takes start-up time and memory that the lexical detector does not need.
    from candor_guard.detectors.encoder.detector import EncoderDetector, shipped  # noqa: PLC0415 - see above

    return shipped(encoder=name != RELATION) if name in NAMES else EncoderDetector(name)
