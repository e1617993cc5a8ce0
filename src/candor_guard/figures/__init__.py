"""Figures for scored, labelled rows; intervals by bootstrap over groups. Standard library only.

A figure without a meaning for its rows (AUROC of a single class, say) is NaN. Ties count half in
AUROC and share their precision in average precision. The bootstrap draws whole groups and sorts the
rows once, so that hundreds of draws over thousands of rows take about a second. Draws
that all agree tell nothing of how far a figure may be off, so it has no interval then.
"""

from candor_guard.figures.intervals import (
    ROUNDS,
    Interval,
    best_cut,
    bootstrap,
    share,
    summary,
)
from candor_guard.figures.paired import Difference, differences, share_difference
from candor_guard.figures.ranking import (
    BUDGETS,
    auroc,
    average_precision,
    recall_at,
    recall_name,
    roc,
    threshold_at,
)
from candor_guard.figures.rows import (
    BINS,
    Judged,
    accuracy,
    calibration_error,
    pair_consistency,
    pair_order,
    reliability,
)

__all__ = [
    "BINS",
    "BUDGETS",
    "ROUNDS",
    "Difference",
    "Interval",
    "Judged",
    "accuracy",
    "auroc",
    "average_precision",
    "best_cut",
    "bootstrap",
    "calibration_error",
    "differences",
    "pair_consistency",
    "pair_order",
    "recall_at",
    "recall_name",
    "reliability",
    "roc",
    "share",
    "share_difference",
    "summary",
    "threshold_at",
]
