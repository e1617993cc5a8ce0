"""Detectors: what reads an exchange and says how likely it caves in or drifts.

A detector is anything with the five members of `Detector`, and with `PreGate` where its gate takes
its time. `candor_guard.testing.FakeDetector` is the shipped fake;
`candor_guard.detectors.lexical.LexicalDetector` is the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from candor_guard.conversation import Conversation, Exchange
from candor_guard.verdict import Reading, Risk


@runtime_checkable
class Detector(Protocol):
    """Reads exchanges. Implementations are synchronous, deterministic and thread-safe.

    Attributes:
        name: What it is, such as ``lexical`` or the name of a trained model; part of every record.
        version: Changes whenever the same exchange may be read differently.
        inline: Whether a call is so cheap (well under a millisecond) that it may run on the event
            loop; otherwise the guard runs it in a thread of its own.
        operating_points: Thresholds by name of the operating point, then by label. Every
            detector offers at least ``strict``, ``balanced`` and ``sensitive`` (false-positive
            budgets of 0.5, 2 and 5 %). ``recall`` is no point to flag at: it finds nearly all
            (95 %) and much else, for a probe to sift.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - documented above

    @property
    def version(self) -> str: ...  # noqa: D102 - see the class

    @property
    def inline(self) -> bool: ...  # noqa: D102 - see the class

    @property
    def operating_points(self) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102 - see the class

    def gate(self, conversation: Conversation) -> Risk:
        """Say from the request alone whether the reply needs reading."""
        ...

    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        """Read a batch; one reading per exchange, in order."""
        ...


@runtime_checkable
class PreGate(Protocol):
    """What a `Detector` adds whose `Detector.gate` is slow: a first look that settles most requests."""

    def pre_gate(self, conversation: Conversation) -> Risk | None:
        """Return the risk where it is plain, or None where `Detector.gate` must be asked.

        Runs on the event loop, so it must take well under a millisecond. What it leaves open is
        gated in a thread while the upstream is already working.
        """
        ...
