"""The figures of `candor_guard.figures` by the name that the model code knows them by."""

from candor_guard.figures import (
    Interval,
    Judged,
    Metric,
    accuracy,
    auroc,
    average_precision,
    best_cut,
    bootstrap,
    calibration_error,
    pair_consistency,
    pair_order,
    recall_at,
    threshold_at,
)

__all__ = [
    "Interval",
    "Judged",
    "Metric",
    "accuracy",
    "auroc",
    "average_precision",
    "best_cut",
    "bootstrap",
    "calibration_error",
    "pair_consistency",
    "pair_order",
    "recall_at",
    "threshold_at",
]
