"""Fit the readers that need no encoder: boosted trees over relations, and phrases.

Both are fitted by scikit-learn and exported to what `candor_guard.detectors.encoder` evaluates
with the standard library alone (the trees with numpy where an encoder is loaded).
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from candor_guard.detectors.encoder.detector import reader_logits
from candor_guard.detectors.encoder.model import Model
from candor_guard.detectors.encoder.phrasing import Phrases, grams, reply_lines, user_lines
from candor_guard.detectors.encoder.relation.features import NAMES, relate_views
from candor_guard.detectors.encoder.relation.linear import Linear
from candor_guard.detectors.encoder.relation.trees import LEAF, Forest
from candor_guard.detectors.lexical.features import REQUEST_NAMES, Views, look
from models.dataset import HEADS, Sample

np: Any = importlib.import_module("numpy")

USER_HEADS = ("pressure", "evidence")
REPLY_HEADS = tuple(head for head in HEADS if head not in USER_HEADS)
# Length goes with the source, not with the stance.
_NO_LENGTHS = frozenset(
    ["earlier:length", "user:length", "user:terse", "reply:length", "reply:terse"]
)
_KEPT_WORDS = 700
_LEAST_DOCUMENTS = 4
_TREES = {
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_depth": 4,
    "min_samples_leaf": 30,
    "l2_regularization": 5.0,
    "max_features": 0.3,
    "random_state": 1,
}
_HALF = 0.5
_DIGITS = 6
_LEAST_SPREAD, _PENALTY = 0.05, 0.01
Lines = list[list[str]]


@dataclass(frozen=True, slots=True)
class Table:
    """What the readers see of some samples."""

    samples: list[Sample]
    views: list[Views]
    features: Any

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Table:
        """Read samples once."""
        views = [look(sample.exchange) for sample in samples]
        rows = [relate_views(s.exchange, v) for s, v in zip(samples, views, strict=True)]
        return cls(list(samples), views, np.asarray(rows, dtype=np.float64))

    def take(self, positions: Sequence[int]) -> Table:
        """Return some of the rows."""
        return Table(
            [self.samples[i] for i in positions],
            [self.views[i] for i in positions],
            self.features[list(positions)],
        )


@dataclass(frozen=True, slots=True)
class Readers:
    """Fitted readers.

    Attributes:
        forest: Trees by head, in the order of `HEADS`.
        linear: Logistic regressions by head, in the order of `HEADS`.
        reply: Phrases of the reply by head, in the order of `REPLY_HEADS`.
        user: Phrases of the user's turn, in the order of `USER_HEADS`.
    """

    forest: Forest
    linear: Linear
    reply: Phrases
    user: Phrases

    def logits(self, table: Table) -> list[dict[str, float]]:
        """Return the log-odds by ``reader:head``, exactly as inference computes them."""
        model = self.model()
        return [
            reader_logits(model, sample.exchange, views)
            for sample, views in zip(table.samples, table.views, strict=True)
        ]

    def model(self, **rest: Any) -> Model:
        """Return the readers as inference sees them."""
        fields = {
            "folder": Path(),
            "name": "",
            "version": "",
            "blends": {},
            "operating_points": {},
            "budget": None,
            **rest,
        }
        return Model(
            forest=self.forest,
            linear=self.linear,
            reply=self.reply,
            reply_heads=REPLY_HEADS,
            user=self.user,
            user_heads=USER_HEADS,
            **fields,
        )


def fit(table: Table) -> Readers:
    """Fit all heads on a table."""
    kept = _kept_words(table.views)
    replies = [reply_lines(views, kept) for views in table.views]
    users = [user_lines(views, kept) for views in table.views]
    return Readers(
        forest=_forest(table),
        linear=_linear(table),
        reply=_phrases(table.samples, replies, REPLY_HEADS, kept),
        user=_phrases(table.samples, users, USER_HEADS, kept),
    )


def targets_of(samples: Sequence[Sample], head: str) -> tuple[list[int], Any, Any]:
    """Return (positions with a label, targets, weights with the rarer class raised)."""
    pairs = [(i, s.target(head)) for i, s in enumerate(samples)]
    known = [(i, float(t > _HALF)) for i, t in pairs if t is not None]
    targets = np.asarray([t for _, t in known])
    weights = np.asarray([samples[i].weight for i, _ in known])
    positive = float((weights * targets).sum())
    raised = max(1.0, 0.5 * (float(weights.sum()) - positive) / max(positive, 1e-9))
    return [i for i, _ in known], targets, weights * np.where(targets > _HALF, raised, 1.0)


def _kept_words(views: Sequence[Views]) -> frozenset[str]:
    counts: Counter[str] = Counter()
    for view in views:
        counts.update(view.reply.tokens)
        counts.update(set(view.user.tokens))
    words = (word for word, _ in counts.most_common() if not word[0].isdigit())
    return frozenset(word for _, word in zip(range(_KEPT_WORDS), words, strict=False))


def _phrases(
    samples: Sequence[Sample],
    documents: Sequence[Lines],
    heads: Sequence[str],
    kept: frozenset[str],
) -> Phrases:
    text = importlib.import_module("sklearn.feature_extraction.text")
    linear = importlib.import_module("sklearn.linear_model")
    vectorizer = text.TfidfVectorizer(
        analyzer=lambda lines: [gram for line in lines for gram in grams(line)],
        min_df=_LEAST_DOCUMENTS,
        sublinear_tf=True,
    )
    matrix = vectorizer.fit_transform(documents)
    columns, biases = [], []
    for head in heads:
        positions, targets, weights = targets_of(samples, head)
        model = linear.LogisticRegression(C=1.0, max_iter=300)
        model.fit(matrix[positions], targets, sample_weight=weights)
        columns.append(model.coef_[0])
        biases.append(float(model.intercept_[0]))
    rows = np.round(np.column_stack([vectorizer.idf_, *columns]), 4).tolist()
    names = vectorizer.get_feature_names_out()
    return Phrases.of(dict(zip(map(str, names), rows, strict=True)), biases, kept)


def _linear(table: Table) -> Linear:
    """Fit on standardised features, then fold means and spreads into the weights."""
    linear = importlib.import_module("sklearn.linear_model")
    means = table.features.mean(axis=0)
    # The floor keeps a nearly constant feature from exploding on the rare row that has it.
    spreads = np.maximum(table.features.std(axis=0), _LEAST_SPREAD)
    scaled = (table.features - means) / spreads
    biases, rows = [], []
    for head in HEADS:
        columns = [i for i, name in enumerate(NAMES) if _may_see(head, name)]
        positions, targets, weights = targets_of(table.samples, head)
        model = linear.LogisticRegression(C=_PENALTY, max_iter=500)
        model.fit(scaled[np.ix_(positions, columns)], targets, sample_weight=weights)
        row = np.zeros(len(NAMES))
        row[columns] = model.coef_[0] / spreads[columns]
        biases.append(round(float(model.intercept_[0] - (row * means).sum()), _DIGITS))
        rows.append(np.round(row, _DIGITS).tolist())
    return Linear(biases, rows)


def _forest(table: Table) -> Forest:
    # One thread: sums in one order, so that a rebuild is the same to the bit.
    with importlib.import_module("threadpoolctl").threadpool_limits(limits=1):
        return _grown(table)


def _grown(table: Table) -> Forest:
    ensemble = importlib.import_module("sklearn.ensemble")
    parts = []
    for head in HEADS:
        columns = [i for i, name in enumerate(NAMES) if _may_see(head, name)]
        positions, targets, weights = targets_of(table.samples, head)
        model = ensemble.HistGradientBoostingClassifier(**_TREES)
        model.fit(table.features[np.ix_(positions, columns)], targets, sample_weight=weights)
        parts.append((model, columns))
    return export_forest(parts)


def _may_see(head: str, name: str) -> bool:
    if name in _NO_LENGTHS:
        return False
    return head not in USER_HEADS or name in REQUEST_NAMES


def export_forest(parts: Sequence[tuple[Any, Sequence[int]]]) -> Forest:
    """Flatten scikit-learn's trees: one (model, its columns) a head."""
    nodes: list[tuple[int, float, int, int, float]] = []
    roots: list[list[int]] = []
    for model, columns in parts:
        roots.append([])
        for (predictor,) in model._predictors:  # noqa: SLF001 - the only way to the trees
            base = len(nodes)
            roots[-1].append(base)
            nodes += [_node(node, base, columns) for node in predictor.nodes]
    feature, threshold, left, right, value = zip(*nodes, strict=True)
    biases = [float(model._baseline_prediction.ravel()[0]) for model, _ in parts]  # noqa: SLF001 - as above
    return Forest(feature, threshold, left, right, value, roots, biases)


def _node(node: Any, base: int, columns: Sequence[int]) -> tuple[int, float, int, int, float]:
    if node["is_leaf"]:
        return (LEAF, 0.0, 0, 0, round(float(node["value"]), _DIGITS))
    left, right = base + int(node["left"]), base + int(node["right"])
    cut = float(node["num_threshold"])
    return (columns[int(node["feature_idx"])], cut, left, right, 0.0)
