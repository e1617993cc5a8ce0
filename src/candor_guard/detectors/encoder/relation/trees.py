"""Evaluate boosted trees without any library: flat lists, one short walk a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

LEAF = -1


class Trees(Protocol):
    """What gives the log-odds of each head for one row of features."""

    def logits(self, features: Sequence[float], /) -> list[float]: ...  # noqa: D102 - see the class


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees of several heads in flat lists.

    Attributes:
        feature: By node, the column that it asks for; `LEAF` where the walk ends.
        threshold: By node; a value of at most this goes left.
        left: By node, where to go then.
        right: By node, where to go otherwise.
        value: By node, what a leaf adds to its head's log-odds.
        roots: By head, the first node of each tree.
        biases: By head.
    """

    feature: Sequence[int]
    threshold: Sequence[float]
    left: Sequence[int]
    right: Sequence[int]
    value: Sequence[float]
    roots: Sequence[Sequence[int]]
    biases: Sequence[float]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Forest:
        """Read what `to_dict` wrote."""
        return cls(**{name: data[name] for name in cls.__slots__})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready."""
        return asdict(self)

    def logits(self, features: Sequence[float]) -> list[float]:
        """Return the log-odds of each head for one row of features."""
        feature, threshold, left, right = self.feature, self.threshold, self.left, self.right
        sums = []
        for bias, roots in zip(self.biases, self.roots, strict=True):
            total = bias
            for root in roots:
                node = root
                column = feature[node]
                while column >= 0:
                    node = left[node] if features[column] <= threshold[node] else right[node]
                    column = feature[node]
                total += self.value[node]
            sums.append(total)
        return sums
