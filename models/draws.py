"""What the encoder learns from: rows drawn by weight, varied, and brought into units for a batch."""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate

from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder.model import BELIEF
from candor_guard.detectors.encoder.transformer import marks
from candor_guard.detectors.encoder.transformer.render import Row
from candor_guard.verdict import LABELS
from models.augment import comparison_pairs, openers_of, vary
from models.dataset import HEADS, Sample
from models.gate.rows import Turn, followups, own_turns, shared_turns
from models.network import COMPARISON, EXPORTED, OUTPUTS

_GATE_SHARE, _GATE_WEIGHT = 0.2, 1.5
# Share of pairs for the comparison that go on while the heads learn.
_COMPARED_SHARE = 0.08
_MASK = 103
_MASKED_ROWS, _MASKED_WORDS = 0.35, 0.5
_UNMARKED = (marks.PLAIN, marks.REPLY)
# Verdicts and the readings they hang on count more than the side readings.
HEAD_WEIGHTS = {"warmth": 0.3, "pressure": 0.6, "evidence": 0.8}
# Real conversations that carry a rare label are drawn more often.
_RARE = 2.0
# Sets of which the encoder sees more, or less, than their weight says.
_DRAWN = {
    "prism": 2.0,
    "transcripts": 1.3,
    "affirmations_facts": 1.6,
    "affirmations_people": 1.6,
    "affirmations_practice": 1.6,
    "presuppositions": 1.3,
    "secondlooks_mixed": 1.3,
    "claims_facts": 2.0,
    "claims_life": 2.0,
    "disputes": 2.0,
    "frames": 2.0,
    "lateturns": 2.0,
    "openings": 1.5,
    "rechecks": 0.5,
    "rethinks": 0.5,
}
_HALF = 0.5

Item = tuple[Row, list[float], list[float]]
# One row, or two that follow each other in a batch.
Unit = list[Item]


class Draws:
    """Draws units of rendered rows.

    Args:
        rows: Training rows.
        turns: Training requests without a reply, for the gate.
        render: Makes an exchange the model's input.
        rng: Draws.
        mated: How often a row brings one of its group with it that a verdict tells apart.
    """

    def __init__(
        self,
        rows: Sequence[Sample],
        turns: Sequence[Turn],
        render: Callable[[Exchange], Row],
        rng: random.Random,
        *,
        mated: float,
    ) -> None:
        self._rows, self._turns = rows, turns
        self._render, self._rng, self._mated = render, rng, mated
        self._chances = list(accumulate(chance(sample) for sample in rows))
        self._shares = [turn.weight for turn in turns]
        self._openers = openers_of(rows)
        self._mates = mates_of(rows)
        self.pairs = comparison_pairs(rows, rng)

    def comparisons(self, count: int) -> list[Unit]:
        """Return pairs of texts that hold the same answer, or not."""
        drawn = self._rng.sample(self.pairs, min(len(self.pairs), count))
        return [[compared(self._render(exchange), differ=value)] for exchange, value in drawn]

    def units(self, count: int) -> list[Unit]:
        """Return units of about so many rows in all: requests, comparisons and judged rows."""
        units = self._requests(round(count * _GATE_SHARE))
        units += self.comparisons(round(count * _COMPARED_SHARE))
        left = count - len(units)
        while left > 0:
            units.append(self._judged())
            left -= len(units[-1])
        return units

    def _requests(self, count: int) -> list[Unit]:
        asked = self._rng.choices(self._turns, self._shares, k=count) if self._turns else []
        return [[requested(self._render(Exchange(t.conversation, "")), t)] for t in asked]

    def _judged(self) -> Unit:
        (sample,) = self._rng.choices(self._rows, cum_weights=self._chances)
        drawn = [sample]
        mates = self._mates[sample.id]
        if mates and self._rng.random() < self._mated:
            drawn.append(self._rng.choice(mates))
        varied = [vary(one, self._rng, self._openers) for one in drawn]
        return [judged(one, masked(self._render(one.exchange), self._rng)) for one in varied]


def mates_of(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """By sample id the samples of its group that a verdict tells apart from it."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    return {s.id: [other for other in groups[s.group] if _differ(s, other)] for s in samples}


def _differ(one: Sample, other: Sample) -> bool:
    judged_both = [(one.target(label), other.target(label)) for label in LABELS]
    return any(a is not None and b is not None and abs(a - b) > _HALF for a, b in judged_both)


def masked(row: Row, rng: random.Random) -> Row:
    """Now and then hide content words, so that the marks and the words around them must do."""
    if rng.random() >= _MASKED_ROWS:
        return row
    content = {i for i, kind in zip(row.ids, row.types, strict=True) if kind not in _UNMARKED}
    hidden = {i for i in sorted(content) if rng.random() < _MASKED_WORDS}
    return Row([_MASK if i in hidden else i for i in row.ids], row.types)


def judged(sample: Sample, row: Row) -> Item:
    """Return a row with its targets, masked where nobody judged."""
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    for index, head in enumerate(HEADS):
        value = sample.target(head)
        if value is not None:
            targets[index] = value
            weights[index] = HEAD_WEIGHTS.get(head, 1.0)
    return row, targets, weights


def compared(row: Row, *, differ: float) -> Item:
    """Return a pair of texts with the comparison's target."""
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    targets[COMPARISON], weights[COMPARISON] = differ, 1.0
    return row, targets, weights


def requested(row: Row, turn: Turn) -> Item:
    """Return a request without a reply, with what it tells the gate."""
    targets, weights = [0.0] * OUTPUTS, [0.0] * OUTPUTS
    for name, value in (("pressure", turn.pressure), (BELIEF, turn.belief)):
        if value is not None:
            index = EXPORTED.index(name)
            targets[index], weights[index] = value, _GATE_WEIGHT
    return row, targets, weights


def requests_of(options: argparse.Namespace) -> list[Turn]:
    """Return the training requests; of our own lines only where a source is left out."""
    if set(options.leave_out) & {"own", "ordinary"}:
        return []
    turns = own_turns(options.authored) + followups(options.authored)
    if not options.leave_out:
        turns += shared_turns(options.data)
    return [turn for turn in turns if turn.split == "train"][:: options.every]


def chance(sample: Sample) -> float:
    """Return how often a sample is drawn, against others."""
    rare = any((sample.labels.get(head) or 0) > 0 for head in ("capitulation", "concession"))
    raised = _RARE if rare and sample.file == "transcripts" else _DRAWN.get(sample.file, 1.0)
    return sample.weight * raised
