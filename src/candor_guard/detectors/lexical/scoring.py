"""The learnt part: linear weights per head, folded so that a score is one dot product."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from operator import mul
from typing import Any

from candor_guard.detectors.lexical.features import FEATURE_NAMES
from candor_guard.errors import ConfigurationError

_RESOURCE = "weights.json"


@dataclass(frozen=True, slots=True)
class Head:
    """Logistic regression over raw features: means and scales are folded into the weights."""

    bias: float
    weights: tuple[float, ...]

    def probability(self, features: Sequence[float]) -> float:
        """Return the calibrated probability for a row of features."""
        z = self.bias + sum(map(mul, self.weights, features))
        # Clamped, so that exp never overflows; beyond 30 the answer is 0 or 1 anyway.
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that was fitted.

    Attributes:
        heads: By signal and label, over `FEATURE_NAMES`.
        operating_points: Thresholds by name, then by label.
    """

    heads: Mapping[str, Head]
    operating_points: Mapping[str, Mapping[str, float]]


def load_weights() -> Weights:
    """Read the weights that ship with the package.

    Raises:
        ConfigurationError: If they were fitted for other features than this code computes.
    """
    text = resources.files(__package__).joinpath(_RESOURCE).read_text(encoding="utf-8")
    return parse_weights(json.loads(text))


def parse_weights(data: Mapping[str, Any]) -> Weights:
    """Read weights as written by ``python -m models.lexical.fit``.

    Raises:
        ConfigurationError: If they were fitted for other features than this code computes.
    """
    return Weights(
        heads=_heads(data["heads"], FEATURE_NAMES),
        operating_points={name: dict(row) for name, row in data["operating_points"].items()},
    )


def _heads(data: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Head]:
    return {name: _fold(name, head, names) for name, head in data.items()}


def _fold(name: str, head: Mapping[str, Any], names: Sequence[str]) -> Head:
    """Turn weights for standardised features into weights for raw ones."""
    rows = head["features"]
    unknown = sorted(set(rows) - set(names))
    if unknown:
        raise ConfigurationError(
            f"weights.json, head {name}: no such feature {unknown[0]!r}; run models.lexical.fit"
        )
    bias = float(head["bias"])
    weights = []
    for feature in names:
        weight, mean, scale = rows.get(feature, (0.0, 0.0, 1.0))
        weights.append(weight / scale)
        bias -= weight * mean / scale
    return Head(bias, tuple(weights))
