"""Logistic regressions over the relation features: less sharp than trees, and travels better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import mul
from typing import Any


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear model a head, over raw features.

    Attributes:
        biases: By head.
        weights: By head, one a feature.
    """

    biases: Sequence[float]
    weights: Sequence[Sequence[float]]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Linear:
        """Read what `to_dict` wrote."""
        return cls(data["biases"], data["weights"])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready."""
        return asdict(self)

    def logits(self, features: Sequence[float]) -> list[float]:
        """Return the log-odds of each head."""
        pairs = zip(self.biases, self.weights, strict=True)
        return [bias + sum(map(mul, weights, features)) for bias, weights in pairs]
