"""The trees once more, all of them walked at once: where numpy is there anyway, for the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from candor_guard.detectors.encoder.relation.trees import LEAF, Forest


class NumpyForest:
    """A forest that gives the log-odds of `Forest.logits`, to the bit.

    Args:
        forest: The trees.
    """

    def __init__(self, forest: Forest) -> None:
        feature = np.asarray(forest.feature, dtype=np.intp)
        here = np.arange(len(feature))
        leaf = feature == LEAF
        # A walk that has reached its leaf stays there.
        self._feature = np.where(leaf, 0, feature)
        self._threshold = np.asarray(forest.threshold, dtype=np.float64)
        self._left = np.where(leaf, here, np.asarray(forest.left, dtype=np.intp))
        self._right = np.where(leaf, here, np.asarray(forest.right, dtype=np.intp))
        self._value = np.asarray(forest.value, dtype=np.float64)
        self._biases = np.asarray(forest.biases, dtype=np.float64)
        self._roots = np.asarray([root for roots in forest.roots for root in roots], dtype=np.intp)
        heads = np.arange(len(forest.roots))
        # Each head's bias goes first, then its leaves in order, as the forest sums them.
        self._heads = np.concatenate((heads, np.repeat(heads, [len(r) for r in forest.roots])))
        self._depth = self._deepest()

    def logits(self, features: Sequence[float]) -> list[float]:
        """Return the log-odds of each head for one row of features."""
        row = np.asarray(features, dtype=np.float64)
        nodes = self._roots
        for _ in range(self._depth):
            low = row[self._feature[nodes]] <= self._threshold[nodes]
            nodes = np.where(low, self._left[nodes], self._right[nodes])
        parts = np.concatenate((self._biases, self._value[nodes]))
        found: list[float] = np.bincount(self._heads, parts).tolist()
        return found

    def _deepest(self) -> int:
        reached = self._roots
        depth = 0
        while True:
            below = np.unique(np.concatenate((self._left[reached], self._right[reached])))
            if np.array_equal(below, np.unique(reached)):
                return depth
            reached = below
            depth += 1
