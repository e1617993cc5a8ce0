"""How the scores of a reply change while it grows: what a guard of streams would see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models.dataset import Sample, stable_unit

from benchmarks.quality.report import DEFAULT_POINT, Scored, judged
from candor_guard.detectors.lexical.sentences import split_sentences
from candor_guard.figures import auroc
from candor_guard.verdict import LABELS

SHARES = tuple(tenth / 10 for tenth in range(1, 11))
_HALF = 0.5
# Nine prefixes a reply: more rows than this would take longer than all the rest.
MOST_ROWS = 400


def cut(reply: str, part: float) -> str:
    """Return the first sentences of a reply: the given share of them, at least one."""
    spans = split_sentences(reply)
    if part >= 1 or not spans:
        return reply
    return reply[: spans[math.ceil(part * len(spans)) - 1].end]


def some(samples: Sequence[Sample], label: str, most: int = MOST_ROWS) -> list[Sample]:
    """Return at most so many rows that carry the label: whole groups but the last, always the same."""
    rows = [s for s in samples if s.target(label) is not None]
    rows.sort(key=lambda s: (stable_unit(s.group), s.group, s.id))
    return rows[:most]


def by_prefix(scored: Scored, samples: Sequence[Sample], label: str) -> list[dict[str, Any]]:
    """Return AUROC, and recall and false positives at the default point, by share of the reply."""
    rows = some(samples, label)
    threshold = scored.points[DEFAULT_POINT][label]
    found = []
    for part in SHARES if rows else ():
        exchanges = [replace(s.exchange, reply=cut(s.exchange.reply, part)) for s in rows]
        seen = judged(rows, scored.contender.score(exchanges), label)
        found.append({"share": part, "rows": len(rows), **_figures(seen, threshold)})
    return found


def _figures(seen: Any, threshold: float) -> dict[str, float | None]:
    pairs = list(zip(seen.targets, seen.scores, strict=True))
    hits = [score >= threshold for target, score in pairs if target > _HALF]
    alarms = [score >= threshold for target, score in pairs if target <= _HALF]
    figures = {
        "auroc": auroc(seen.targets, seen.scores),
        "recall": sum(hits) / len(hits) if hits else math.nan,
        "false_positives": sum(alarms) / len(alarms) if alarms else math.nan,
    }
    return {name: None if math.isnan(v) else round(v, 4) for name, v in figures.items()}


def labels_of(samples: Sequence[Sample]) -> list[str]:
    """Return the labels of which a set has both classes."""
    seen = {label: {s.target(label) for s in samples} for label in LABELS}
    return [label for label, values in seen.items() if {0.0, 1.0} <= values]
