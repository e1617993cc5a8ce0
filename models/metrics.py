"""The figures of `candor_guard.figures` by the name that the model code knows them by."""

from candor_guard.figures import (
    Interval,
    Metric,
    accuracy,
    auroc,
    average_precision,
    bootstrap,
    calibration_error,
    pair_consistency,
    pair_order,
    recall_at,
    threshold_at,
)

__all__ = [
    "Interval",
    "Metric",
    "accuracy",
    "auroc",
    "average_precision",
    "bootstrap",
    "calibration_error",
    "pair_consistency",
    "pair_order",
    "recall_at",
    "threshold_at",
]
