"""The detectors that a setting can name."""

from __future__ import annotations

from pathlib import Path

from candor_guard.detectors import Detector
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.errors import ConfigurationError

LEXICAL, RELATION, ENCODER = "lexical", "relation", "encoder"


def build_detector(name: str) -> Detector:
    """Return the detector of that name, or the one in a model folder.

    Args:
        name: ``lexical``, ``relation`` (the trained readers), ``encoder`` (the same with the text
            encoder), or the path of a folder in the layout of the shipped one.

    Raises:
        ConfigurationError: If there is none, or its folder is incomplete.
    """
    if name == LEXICAL:
        return LexicalDetector()
    shipped = name in (RELATION, ENCODER)
    if not shipped and not Path(name).is_dir():
        raise ConfigurationError(
            f"unknown detector {name!r}; there are: {LEXICAL}, {RELATION}, {ENCODER}, "
            "or a model folder"
        )
    # The trained readers take a second of start-up and memory that the lexical one does not need.
    from candor_guard.detectors.encoder import EncoderDetector  # noqa: PLC0415 - see above

    return EncoderDetector(None if shipped else name, encoder=name != RELATION)
