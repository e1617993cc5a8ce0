"""The regression itself: a sparse table of requests, cross-validation, rounding to 16 bits."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from candor_guard.detectors.gate.features import BUCKETS, fact_names, observe
from candor_guard.detectors.gate.weights import pack
from candor_guard.detectors.lexical import FAMILIES, request_of
from models.gate.rows import Turn

FOLDS = 10
_LEAST_SPREAD = 0.05  # a nearly constant fact must not explode on the rare row that has it
_FACTS_SHARE = 0.3  # facts are scaled down, so that the penalty does not push words out for them
# Rare words count more: the root of log(rows / rows with it), against that of one row in 150.
_USUAL = 5.0
_COMMONEST = 0.1
_MOST = 32_000
DIGITS = 5


@dataclass(frozen=True, slots=True)
class Table:
    """Requests as a sparse matrix: buckets first, then facts (standardised)."""

    turns: Sequence[Turn]
    names: tuple[str, ...]
    matrix: Any
    means: list[float]
    scales: list[float]


def toolkit(name: str) -> Any:
    """Import a module that only fitting needs."""
    try:
        return importlib.import_module(name)
    except ImportError:
        sys.exit("fitting needs scikit-learn and scipy: pip install scikit-learn")


def table_of(turns: Sequence[Turn]) -> Table:
    """Read the requests into a table."""
    numpy, sparse = toolkit("numpy"), toolkit("scipy.sparse")
    seen = [observe(request_of(turn.conversation)) for turn in turns]
    facts = numpy.array([row for _, row in seen])
    means = facts.mean(0)
    scales = numpy.maximum(_LEAST_SPREAD, facts.std(0)) / _FACTS_SHARE
    rows = [index for index, (buckets, _) in enumerate(seen) for _ in buckets]
    columns = [bucket for buckets, _ in seen for bucket in sorted(buckets)]
    words = sparse.csr_matrix(([1.0] * len(rows), (rows, columns)), shape=(len(turns), BUCKETS))
    matrix = sparse.hstack([words, sparse.csr_matrix((facts - means) / scales)]).tocsr()
    return Table(turns, fact_names(FAMILIES), matrix, means.tolist(), scales.tolist())


def cross_validate(table: Table, head: str, penalty: float) -> tuple[list[float], float]:
    """Return the log odds of each row by a model that saw no row of its group, and the log loss."""
    folds = toolkit("sklearn.model_selection").GroupKFold(n_splits=FOLDS)
    margins = [0.0] * len(table.turns)
    for train, held in folds.split(table.matrix, groups=[t.group for t in table.turns]):
        weights, bias = _logistic(table, head, penalty, train.tolist())
        for index, value in zip(held, table.matrix[held] @ weights + bias, strict=True):
            margins[index] = float(value)
    return margins, _loss(table, head, margins)


def fit_head(table: Table, head: str, penalty: float) -> dict[str, Any]:
    """Fit on all rows and return the head as it is stored."""
    weights, bias = _logistic(table, head, penalty, list(range(len(table.turns))))
    coefficients = weights.tolist()
    hashed, facts = coefficients[:BUCKETS], coefficients[BUCKETS:]
    scale = max(map(abs, hashed)) / _MOST or 1.0
    raw = [weight / spread for weight, spread in zip(facts, table.scales, strict=True)]
    shift = sum(weight * mean for weight, mean in zip(raw, table.means, strict=True))
    return {
        "bias": round(bias - shift, DIGITS),
        "scale": scale,
        "buckets": pack([round(weight / scale) for weight in hashed]),
        "facts": [round(weight, DIGITS) for weight in raw],
    }


def _target(turn: Turn, head: str) -> float | None:
    return turn.pressure if head == "pressure" else turn.belief


def _logistic(table: Table, head: str, penalty: float, rows: Sequence[int]) -> tuple[Any, float]:
    """Return the weights of all columns and the bias."""
    known = [i for i in rows if _target(table.turns[i], head) is not None]
    model = toolkit("sklearn.linear_model").LogisticRegression(
        C=penalty, max_iter=2_000, solver="liblinear", random_state=0
    )
    targets = [_target(table.turns[i], head) for i in known]
    counts = [table.turns[i].weight for i in known]
    rarity = _rarity(table.matrix[known], head)
    matrix = table.matrix[known] @ toolkit("scipy.sparse").diags(rarity)
    model.fit(matrix, targets, sample_weight=counts)
    return model.coef_[0] * rarity, float(model.intercept_[0])


def _rarity(matrix: Any, head: str) -> Any:
    """Return by column how much it is stretched; facts keep their scale, and so do beliefs.

    What gives pressure away are common words in rare company; a belief may be about anything.
    """
    numpy = toolkit("numpy")
    scales = numpy.ones(matrix.shape[1])
    if head != "pressure":
        return scales
    rows = matrix[:, :BUCKETS].getnnz(axis=0)
    told = numpy.log(matrix.shape[0] / (rows + 1))
    scales[:BUCKETS] = numpy.sqrt(numpy.maximum(told, _COMMONEST) / _USUAL)
    return scales


def _loss(table: Table, head: str, margins: Sequence[float]) -> float:
    """Weighted mean log loss over the rows whose answer is known."""
    total = mass = 0.0
    for turn, margin in zip(table.turns, margins, strict=True):
        target = _target(turn, head)
        if target is not None:
            signed = margin if target else -margin
            total += turn.weight * (math.log1p(math.exp(-abs(signed))) + max(0.0, -signed))
            mass += turn.weight
    return total / mass
