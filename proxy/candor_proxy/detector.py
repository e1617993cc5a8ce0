"""The detectors that a setting can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from candor_guard.detectors import Detector
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.errors import ConfigurationError

_DETECTORS: Mapping[str, Callable[[], Detector]] = {"lexical": LexicalDetector}


def build_detector(name: str) -> Detector:
    """Return the detector of that name.

    Raises:
        ConfigurationError: If there is none.
    """
    if name not in _DETECTORS:
        known = ", ".join(sorted(_DETECTORS))
        raise ConfigurationError(f"unknown detector {name!r}; there are: {known}")
    return _DETECTORS[name]()
