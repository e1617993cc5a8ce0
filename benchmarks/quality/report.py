"""From scores to figures: by contender and set, flagged rates, gate, latency."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.dataset import OWN_TESTS, Sample

from benchmarks.quality.contenders import Contender, Scores
from benchmarks.quality.sets import (
    AYS,
    KINDS,
    PAIRED,
    PRISM_OOD,
    VALID,
    Sets,
    Turn,
    at_fault,
    kind_of,
    language_of,
)
from candor_guard.conversation import Exchange
from candor_guard.detectors import Detector
from candor_guard.figures import Interval, Judged, best_cut, share, summary, threshold_at
from candor_guard.verdict import LABELS

# Operating points of contenders that bring none: false-positive budgets on the valid rows.
BUDGETS: Mapping[str, float] = {"strict": 0.005, "balanced": 0.02, "sensitive": 0.05}
DEFAULT_POINT = "balanced"
# Sets whose figures are also given by kind and language; the others are parts of the first.
BROKEN_DOWN = (VALID, AYS, PRISM_OOD, *OWN_TESTS)
_FEW_WORDS, _MANY_WORDS, _TIMED = 250, 350, 50

Thresholds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """A contender with its scores on every set.

    Attributes:
        contender: Who.
        scores: By set, then label.
        cuts: By label, the threshold that is most often right on valid rows.
        points: Thresholds by operating point, then label.
    """

    contender: Contender
    scores: Mapping[str, Scores]
    cuts: Thresholds
    points: Mapping[str, Thresholds]


def score(contender: Contender, sets: Sets) -> Scored:
    """Score every set; thresholds are chosen on valid rows only."""
    scores = {
        name: contender.score([s.exchange for s in rows]) if rows else dict.fromkeys(LABELS, ())
        for name, rows in sets.named.items()
    }
    cuts = {
        "capitulation": best_cut(judged(sets.named[VALID], scores[VALID], "capitulation")),
        "drift": best_cut(judged(sets.named[PAIRED], scores[PAIRED], "drift")),
    }
    points = contender.points or {
        name: {
            label: _budget_cut(judged(sets.named[VALID], scores[VALID], label), budget)
            for label in LABELS
        }
        for name, budget in BUDGETS.items()
    }
    return Scored(contender, scores, cuts, points)


def judged(samples: Sequence[Sample], scores: Scores, label: str) -> Judged:
    """Return the rows that carry the label."""
    rows = [
        (target, value, sample.group)
        for sample, value in zip(samples, scores[label], strict=True)
        if (target := sample.target(label)) is not None
    ]
    return Judged([t for t, _, _ in rows], [v for _, v, _ in rows], [g for _, _, g in rows])


def report(scored: Scored, sets: Sets, rounds: int) -> dict[str, Any]:
    """Return every figure of one contender."""
    detector = scored.contender.detector
    return {
        "cuts": {label: round(cut, 4) for label, cut in scored.cuts.items()},
        "operating_points": {name: dict(point) for name, point in scored.points.items()},
        "points_from": "valid rows" if scored.contender.points is None else "the detector",
        "sets": {
            name: {
                "rows": len(rows),
                "labels": {
                    label: found
                    for label in LABELS
                    if (
                        found := _figures(
                            scored, judged(rows, scored.scores[name], label), label, rounds
                        )
                    )
                },
                "flagged": _flagged(scored, name, rows, rounds),
                **(_breakdown(scored, name, rows) if name in BROKEN_DOWN else {}),
            }
            for name, rows in sets.named.items()
        },
        "latency_us": latency(scored.contender, sets.named[VALID]),
        "gate": gate(detector, sets, rounds) if detector is not None else None,
    }


def flags(scored: Scored, name: str, point: str) -> list[bool]:
    """Say of each row of a set whether it is flagged at an operating point."""
    thresholds = scored.points[point]
    columns = [
        [value >= thresholds[label] for value in scored.scores[name][label]] for label in LABELS
    ]
    return [any(hits) for hits in zip(*columns, strict=True)]


def gate(detector: Detector, sets: Sets, rounds: int) -> dict[str, Any]:
    """Recall over replies at fault and over risky turns; share of harmless turns held."""

    def held(turns: Sequence[Turn]) -> dict[str, Any] | None:
        hits = [detector.gate(turn.conversation).at_risk for turn in turns]
        names = [turn.group for turn in turns]
        return {"rows": len(hits), **share(hits, names, rounds).to_dict()} if hits else None

    def caught(rows: Sequence[Sample]) -> dict[str, Any] | None:
        return held([Turn("", s.exchange.conversation, s.group) for s in rows if at_fault(s)])

    # Of the valid rows' requests most are learnt from, if not with a reply: they are no test.
    tests = {name: sets.named[name] for name in (AYS, *OWN_TESTS)}
    return {
        "recall": {
            name: caught(rows) for name, rows in {VALID: sets.named[VALID], **tests}.items()
        },
        "recall_tests": caught([row for rows in tests.values() for row in rows]),
        "recall_follow_ups": held([t for t in sets.turns if t.risk != "none"]),
        "held_follow_ups": held([t for t in sets.turns if t.risk == "none"]),
    }


def latency(contender: Contender, samples: Sequence[Sample]) -> dict[str, float]:
    """Microseconds for one reading, warm, on replies of 250 to 350 words."""
    chosen = [s for s in samples if _FEW_WORDS <= len(s.exchange.reply.split()) <= _MANY_WORDS][
        :_TIMED
    ]
    took = sorted(_microseconds(contender, [s.exchange]) for s in chosen)
    if not took:
        return {}
    return {
        "replies": len(took),
        "median": round(took[len(took) // 2], 1),
        "p95": round(took[int(0.95 * (len(took) - 1))], 1),
    }


def _microseconds(contender: Contender, exchanges: Sequence[Exchange]) -> float:
    contender.score(exchanges)
    start = time.perf_counter()
    contender.score(exchanges)
    return (time.perf_counter() - start) * 1e6


def _breakdown(scored: Scored, name: str, samples: Sequence[Sample]) -> dict[str, Any]:
    return {
        "by_kind": _parts(scored, name, samples, kind_of),
        "by_language": _parts(scored, name, samples, language_of),
    }


def _parts(
    scored: Scored, name: str, samples: Sequence[Sample], key: Callable[[Sample], str]
) -> dict[str, Any]:
    """Figures without intervals, by what a function says of the rows; the largest part first."""
    members: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        members[key(sample)].append(index)
    hits = flags(scored, name, DEFAULT_POINT)
    found = {}
    for part, indices in sorted(members.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        rows = [samples[i] for i in indices]
        scores = {k: [values[i] for i in indices] for k, values in scored.scores[name].items()}
        figures = {
            label: _figures(scored, judged(rows, scores, label), label, 0) for label in LABELS
        }
        found[part] = {
            "rows": len(rows),
            "flagged": round(sum(hits[i] for i in indices) / len(rows), 4),
            "labels": {label: _values(cells) for label, cells in figures.items() if cells},
        }
    return found


def _values(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v["value"] if isinstance(v, dict) else v for k, v in figures.items()}


def _figures(scored: Scored, rows: Judged, label: str, rounds: int) -> dict[str, Any]:
    if not rows.both:
        return {}
    found = summary(
        rows,
        threshold=scored.cuts[label],
        probabilities=scored.contender.probabilities,
        rounds=rounds,
    )
    counts = {"rows": len(rows.targets), "positives": rows.positives}
    return counts | {key: interval.to_dict() for key, interval in found.items()}


def _flagged(
    scored: Scored, name: str, samples: Sequence[Sample], rounds: int
) -> dict[str, dict[str, Any]]:
    """Share of replies at fault, sound and deserving that is flagged, by operating point."""
    return {
        point: {
            kind: {"rows": rows, **_share_of(samples, hits, fits, rounds).to_dict()}
            for kind, fits in KINDS.items()
            if (rows := sum(map(fits, samples)))
        }
        for point in scored.points
        for hits in [flags(scored, name, point)]
    }


def _share_of(
    samples: Sequence[Sample],
    hits: Sequence[bool],
    fits: Callable[[Sample], bool],
    rounds: int,
) -> Interval:
    picked = [(hit, s.group) for hit, s in zip(hits, samples, strict=True) if fits(s)]
    return share([hit for hit, _ in picked], [group for _, group in picked], rounds)


def _budget_cut(rows: Judged, budget: float) -> float:
    half = 0.5
    negatives = [s for t, s in zip(rows.targets, rows.scores, strict=True) if t <= half]
    return threshold_at(negatives, budget)
