"""Two guards on the same labelled exchanges: both figures, and how far they are apart.

Only rows that both judged are compared, in the flagged shares too: else a detector that declines more
of them would look like one that reads them differently. How many are left out, and whose doing that
is, is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from candor_guard.figures import Difference, Judged, differences, share_difference
from candor_guard.guard import Guard
from candor_guard.verdict import LABELS, SIGNALS, Verdict
from candor_proxy.evaluation import (
    BY,
    HEADS,
    LabelledRow,
    in_parts,
    judge_of,
    judged_by,
    read,
    report_of,
)

_Item = tuple[LabelledRow, Verdict, Verdict]


def compare(
    guard: Guard,
    against: Guard,
    rows: Sequence[LabelledRow],
    *,
    by: Sequence[str] = BY,
    rounds: int = 500,
) -> dict[str, Any]:
    """Judge every row twice and return the report on the one guard, with the other under ``against``.

    Args:
        guard: With the detector and the policy whose thresholds are used.
        against: What it is compared with.
        rows: What to judge.
        by: Keys of the rows to break the figures down by.
        rounds: Bootstrap draws for each interval.

    Raises:
        DetectorError: If a detector fails.
    """
    ours, theirs = judged_by(guard, rows), judged_by(against, rows)
    items = [(row, one, other) for (row, one), (_, other) in zip(ours, theirs, strict=True)]
    compared = in_parts(items, by, lambda members: _part(members, rounds))
    report = report_of(guard, ours, by=by, rounds=rounds)
    return report | {"against": judge_of(against, theirs) | compared}


def _part(items: Sequence[_Item], rounds: int) -> dict[str, Any]:
    common = [i for i in items if i[1].not_evaluated is None and i[2].not_evaluated is None]
    heads = {head: _head(common, head, rounds) for head in HEADS}
    return {
        "rows": len(items),
        "compared": len(common),
        "groups": len({row.group for row, _, _ in common}),
        "not_evaluated_by": _declined(items),
        "not_evaluated_why": {
            "detector": Counter(one.not_evaluated for _, one, _ in items if one.not_evaluated),
            "against": Counter(two.not_evaluated for _, _, two in items if two.not_evaluated),
        },
        "labels": {head: heads[head] for head in LABELS if heads[head]},
        "signals": {head: heads[head] for head in SIGNALS if heads[head]},
        "flagged": {
            "all": _flagged(common, rounds),
            "at_fault": _flagged([i for i in common if i[0].at_fault is True], rounds),
            "sound": _flagged([i for i in common if i[0].at_fault is False], rounds),
        },
    }


def _declined(items: Sequence[_Item]) -> dict[str, int]:
    """How many rows only the one, only the other, and neither of them evaluated."""
    found = Counter(
        (one.not_evaluated is not None, two.not_evaluated is not None) for _, one, two in items
    )
    return {
        "detector_alone": found[True, False],
        "against_alone": found[False, True],
        "both": found[True, True],
    }


def _head(common: Sequence[_Item], head: str, rounds: int) -> dict[str, Any]:
    """Figures of one head; only the counts where one class is missing, nothing without labels."""
    items = [item for item in common if head in item[0].labels]
    if not items:
        return {}
    targets, groups = [row.labels[head] for row, _, _ in items], [row.group for row, _, _ in items]
    ours = Judged(targets, [read(verdict, head) for _, verdict, _ in items], groups)
    theirs = Judged(targets, [read(verdict, head) for _, _, verdict in items], groups)
    counts = {"rows": len(items), "positives": ours.positives}
    if not ours.both:
        return counts
    _, one, two = items[0]
    cuts = (one.thresholds[head], two.thresholds[head]) if head in LABELS else None
    figures = differences(ours, theirs, thresholds=cuts, rounds=rounds)
    return counts | {name: _told(difference) for name, difference in figures.items()}


def _flagged(items: Sequence[_Item], rounds: int) -> dict[str, Any] | None:
    if not items:
        return None
    groups = [row.group for row, _, _ in items]
    flags, others = [one.flagged for _, one, _ in items], [two.flagged for _, _, two in items]
    return {"rows": len(items), **_told(share_difference(flags, others, groups, rounds))}


def _told(found: Difference) -> dict[str, Any]:
    return {
        "detector": found.first.to_dict(),
        "against": found.second.to_dict(),
        "difference": found.difference.to_dict(),
    }
