"""Weigh the readers against each other: logistic regression on log-odds of rows not fitted on."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from candor_guard.detectors.encoder.model import Blend
from candor_guard.verdict import NEED_EARLIER
from models.dataset import HEADS, Sample
from models.readers import Readers, Table, fit

np: Any = importlib.import_module("numpy")

FOLDS = 3
_PENALTY = 0.03
_DIGITS = 5
# Heads that a head may weigh; by each reader.
INPUTS: Mapping[str, tuple[str, ...]] = {
    "capitulation": ("capitulation", "concession", "evidence"),
    "drift": ("drift", "endorsement", "capitulation"),
}
Logits = Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Blended:
    """Readers with the blend of each head."""

    readers: Readers
    blends: Mapping[str, Blend]

    def scores(self, table: Table) -> dict[str, list[float]]:
        """Return calibrated probabilities by head."""
        logits = self.readers.logits(table)
        return {
            head: apply(blend, logits, table.samples, head) for head, blend in self.blends.items()
        }


def fit_blended(table: Table, folds: int = FOLDS) -> Blended:
    """Fit readers on all rows, blends on rows that the readers did not see."""
    blends = blend_all(table.samples, out_of_fold(table, folds))
    return Blended(fit(table), blends)


def out_of_fold(table: Table, folds: int = FOLDS) -> list[dict[str, float]]:
    """Return the readers' log-odds of each row by readers that saw no row of its group."""
    selection = importlib.import_module("sklearn.model_selection")
    groups = [sample.group for sample in table.samples]
    logits: list[dict[str, float]] = [{} for _ in groups]
    for train, held in selection.GroupKFold(n_splits=folds).split(groups, groups=groups):
        readers = fit(table.take(train.tolist()))
        rows = readers.logits(table.take(held.tolist()))
        for position, row in zip(held.tolist(), rows, strict=True):
            logits[position] = row
    return logits


def blend_all(samples: Sequence[Sample], logits: Logits) -> dict[str, Blend]:
    """Fit the blend of every head."""
    return {head: fit_blend(samples, logits, head, input_names(head)) for head in HEADS}


def input_names(head: str) -> list[str]:
    """Return what a head weighs."""
    names = [f"{r}:{h}" for r in ("forest", "linear", "phrases") for h in INPUTS.get(head, (head,))]
    return names if head in NEED_EARLIER else [*names, "earlier"]


def fit_blend(
    samples: Sequence[Sample],
    logits: Logits,
    head: str,
    names: Sequence[str],
    penalty: float = _PENALTY,
) -> Blend:
    """Fit one head's blend; unbalanced, so that it is calibrated for the mix of the rows."""
    rows, targets, weights = [], [], []
    for sample, logit in zip(samples, logits, strict=True):
        target = sample.target(head)
        # A graded label (warmth) is a part of each class.
        for side, share in () if target is None else ((1.0, target), (0.0, 1.0 - target)):
            if share > 0:
                rows.append([logit[name] for name in names])
                targets.append(side)
                weights.append(sample.weight * share)
    model = importlib.import_module("sklearn.linear_model").LogisticRegression(C=penalty)
    model.fit(np.asarray(rows), targets, sample_weight=weights)
    weighed = dict(zip(names, (round(float(w), _DIGITS) for w in model.coef_[0]), strict=True))
    return Blend(round(float(model.intercept_[0]), _DIGITS), weighed)


def blended_logit(blend: Blend, row: Mapping[str, float]) -> float:
    """Return a head's log-odds."""
    return blend.bias + sum(weight * row[name] for name, weight in blend.weights.items())


def apply(blend: Blend, logits: Logits, samples: Sequence[Sample], head: str) -> list[float]:
    """Return a head's probabilities; 0 where it needs an earlier answer and there is none."""
    return [
        0.0
        if head in NEED_EARLIER and not sample.has_earlier
        else 1 / (1 + math.exp(-max(-30.0, min(30.0, blended_logit(blend, row)))))
        for row, sample in zip(logits, samples, strict=True)
    ]
