"""The learnt part of the gate: 16-bit weights per bucket, so that a sum has no rounding order."""

from __future__ import annotations

import base64
import json
import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from operator import mul
from typing import Any

from candor_guard.errors import ConfigurationError

_RESOURCE = "weights.json"
_STEP = 1 << 26  # two such numbers fit into the 53 bits of a float


@dataclass(frozen=True, slots=True)
class Head:
    """Logistic regression over buckets and facts; the facts' means and scales are folded in."""

    bias: float
    scale: float
    buckets: Sequence[int]
    facts: tuple[float, ...]

    def margin(self, hashed: int, facts: Sequence[float]) -> float:
        """Return the log odds, given the sum over the buckets."""
        margin: float = self.bias + self.scale * hashed + sum(map(mul, self.facts, facts))
        return margin


class Pair:
    """Sums the buckets of two heads in one pass: two weights are kept as one number.

    That is a float, because Python adds these up faster than integers. All of them are whole, so
    the sum is exact, as long as it is below 2**25 for either head: that of a thousand buckets of
    the largest weight there is, or of ten thousand usual ones.

    Args:
        first: A head.
        second: Another one.
    """

    def __init__(self, first: Head, second: Head) -> None:
        both = zip(first.buckets, second.buckets, strict=True)
        self._weights = [float(one * _STEP + other) for one, other in both]

    def sums(self, buckets: Iterable[int]) -> tuple[int, int]:
        """Return the first head's sum, and the second's."""
        both = int(sum(map(self._weights.__getitem__, buckets)))
        second = (both + _STEP // 2) % _STEP - _STEP // 2
        return (both - second) // _STEP, second


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything that was fitted.

    Attributes:
        heads: ``pressure`` and ``belief``.
        thresholds: Log odds from which a reply is held: ``pressure``, ``belief_first`` (no earlier
            answer) and ``belief_later``.
    """

    heads: Mapping[str, Head]
    thresholds: Mapping[str, float]


def load_weights(names: Sequence[str]) -> Weights:
    """Read the weights that ship with the package.

    Args:
        names: The facts that the caller computes, in order.

    Raises:
        ConfigurationError: If they were fitted for other facts.
    """
    text = resources.files(__package__).joinpath(_RESOURCE).read_text(encoding="utf-8")
    return parse_weights(json.loads(text), names)


def parse_weights(data: Mapping[str, Any], names: Sequence[str]) -> Weights:
    """Read weights as written by ``python -m models.gate.fit``.

    Raises:
        ConfigurationError: If they were fitted for other facts.
    """
    if list(data["facts"]) != list(names):
        raise ConfigurationError("the gate's weights are for other facts; run models.gate.fit")
    heads = {
        name: Head(
            bias=float(head["bias"]),
            scale=float(head["scale"]),
            buckets=unpack(head["buckets"]),
            facts=tuple(float(value) for value in head["facts"]),
        )
        for name, head in data["heads"].items()
    }
    return Weights(heads, dict(data["thresholds"]))


def pack(values: Sequence[int]) -> str:
    """Write 16-bit numbers as text, little-endian."""
    return base64.b64encode(_little(array("h", values)).tobytes()).decode("ascii")


def unpack(text: str) -> array[int]:
    """Read what `pack` wrote."""
    values = array("h")
    values.frombytes(base64.b64decode(text, validate=True))
    return _little(values)


def sigmoid(margin: float) -> float:
    """Return the probability for log odds."""
    # Clamped, so that exp never overflows; beyond 30 the answer is 0 or 1 anyway.
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, margin))))


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
