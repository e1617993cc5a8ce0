"""The figures of the report, and their bootstrap intervals over groups."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figure = Callable[[Any, Any], float]

RESAMPLES = 1_000
SEED = 20_261_127
BINS = 10
FPR_BUDGET = 0.02


class ToolsMissingError(Exception):
    """numpy or scikit-learn is not installed."""


def tool(name: str) -> Any:
    """Import a package that only the benchmarks need.

    Raises:
        ToolsMissingError: With the line to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ToolsMissingError(
            "benchmarks.quality needs numpy and scikit-learn: pip install numpy scikit-learn"
        ) from None


def auroc(targets: Any, scores: Any) -> float:
    """Area under the ROC curve."""
    return float(tool("sklearn.metrics").roc_auc_score(targets, scores))


def average_precision(targets: Any, scores: Any) -> float:
    """Area under the precision-recall curve, by steps."""
    return float(tool("sklearn.metrics").average_precision_score(targets, scores))


def recall_at_budget(targets: Any, scores: Any) -> float:
    """Share of positives above the threshold that `FPR_BUDGET` of this set's negatives reach."""
    np = tool("numpy")
    negatives = np.sort(scores[targets == 0])[::-1]
    allowed = int(FPR_BUDGET * len(negatives))
    return float((scores[targets == 1] > negatives[allowed]).mean())


def calibration_error(targets: Any, scores: Any) -> float:
    """Expected calibration error over equally wide bins."""
    np = tool("numpy")
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    gaps = [
        abs(targets[bins == b].mean() - scores[bins == b].mean()) * (bins == b).mean()
        for b in range(BINS)
        if (bins == b).any()
    ]
    return float(sum(gaps))


def share(targets: Any, scores: Any) -> float:
    """Mean of the scores; with flags for scores, the share flagged."""
    del targets
    return float(scores.mean())


BINARY: Mapping[str, Figure] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "recall_at_2pct_fpr": recall_at_budget,
    "calibration_error": calibration_error,
}


def with_interval(
    figure: Figure, targets: Sequence[float], scores: Sequence[float], groups: Sequence[str]
) -> dict[str, Any]:
    """Return the figure and its 95 % interval; resamples with a single class are drawn again."""
    np = tool("numpy")
    y, s = np.asarray(targets, dtype=float), np.asarray(scores, dtype=float)
    rng = np.random.default_rng(SEED)
    members = _members(np, groups)
    both = len(set(targets)) > 1
    values: list[float] = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(0, len(members), len(members))
        index = np.concatenate([members[i] for i in chosen])
        if both and y[index].min() == y[index].max():
            continue
        values.append(figure(y[index], s[index]))
    low, high = np.percentile(values, [2.5, 97.5]) if values else (float("nan"), float("nan"))
    return {
        "value": round(figure(y, s), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def _members(np: Any, groups: Sequence[str]) -> list[Any]:
    rows: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        rows.setdefault(group, []).append(index)
    return [np.asarray(indices) for indices in rows.values()]
