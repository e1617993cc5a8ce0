"""Leave one source out: ``python -m models.loso [--only NAME ...] [--out FILE]``.

Every contender is fitted on the train rows of the other sources and scored on all rows of the one
left out. This is the figure to choose by: the valid rows share their authors with the train rows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from candor_guard.detectors.encoder.relation import NAMES
from candor_guard.detectors.lexical.features import FEATURE_NAMES
from candor_guard.verdict import LABELS
from models.blend import apply, blend_all, input_names, out_of_fold
from models.dataset import AUTHORED, LEFT_OUT, SHARED, load
from models.metrics import auroc, average_precision, bootstrap, recall_at
from models.readers import Table, fit, targets_of

np: Any = importlib.import_module("numpy")

Contenders = dict[str, list[float]]
_WEAK = "transcripts_weak"


def left_out(table: Table, name: str) -> tuple[Table, Table]:
    """Return (train rows of the other sources, judged rows of the one left out)."""
    out = LEFT_OUT[name]
    samples = table.samples
    train = [i for i, s in enumerate(samples) if s.source not in out and s.split == "train"]
    held = [i for i, s in enumerate(samples) if s.source in out and s.file != _WEAK]
    return table.take(train), table.take(held)


def lexical_scores(train: Table, held: Table, head: str) -> list[float]:
    """Logistic regression on the lexical detector's features, as it is fitted."""
    columns = [i for i, name in enumerate(NAMES) if name in set(FEATURE_NAMES)]
    pipeline = importlib.import_module("sklearn.pipeline")
    scaler = importlib.import_module("sklearn.preprocessing").StandardScaler()
    linear = importlib.import_module("sklearn.linear_model").LogisticRegression(
        C=0.01, max_iter=1000
    )
    model = pipeline.make_pipeline(scaler, linear)
    positions, targets, weights = targets_of(train.samples, head)
    model.fit(
        train.features[np.ix_(positions, columns)],
        targets,
        logisticregression__sample_weight=weights,
    )
    return list(model.decision_function(held.features[:, columns]))


def tfidf_scores(train: Table, held: Table, head: str) -> list[float]:
    """TF-IDF of the three turns with logistic regression."""
    text = importlib.import_module("sklearn.feature_extraction.text")
    linear = importlib.import_module("sklearn.linear_model")
    vectorizer = text.TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    positions, targets, weights = targets_of(train.samples, head)
    documents = [_turns(train, i) for i in positions]
    model = linear.LogisticRegression(max_iter=300)
    model.fit(vectorizer.fit_transform(documents), targets, sample_weight=weights)
    held_texts = [_turns(held, i) for i in range(len(held.samples))]
    return list(model.decision_function(vectorizer.transform(held_texts)))


def _turns(table: Table, index: int) -> str:
    views = table.views[index]
    return " ".join((views.earlier.text, views.user.text, views.reply.text))


def contenders(train: Table, held: Table) -> dict[str, Contenders]:
    """Return the scores by label, then by contender."""
    readers = fit(train)
    rows = readers.logits(held)
    blends = blend_all(train.samples, out_of_fold(train))
    return {
        label: {
            "tfidf": tfidf_scores(train, held, label),
            "lexical": lexical_scores(train, held, label),
            "relation": [row[f"forest:{label}"] for row in rows],
            "linear": [row[f"linear:{label}"] for row in rows],
            "phrases": [row[f"phrases:{label}"] for row in rows],
            "both": apply(blends[label], rows, held.samples, label),
        }
        for label in LABELS
    } | {"rows": {name: [row[name] for row in rows] for name in _names()}}


def _names() -> list[str]:
    return sorted({name for label in LABELS for name in input_names(label)})


def figures(held: Table, scores: Contenders, label: str) -> dict[str, Any]:
    """Return the figures of each contender on one label; empty without both classes."""
    known = [(i, t) for i, s in enumerate(held.samples) if (t := s.target(label)) is not None]
    targets = [t for _, t in known]
    groups = [held.samples[i].group for i, _ in known]
    if len({target > 0 for target in targets}) < 2:
        return {}
    report: dict[str, Any] = {"rows": len(targets), "positives": int(sum(targets))}
    for name, values in scores.items():
        picked = [float(values[i]) for i, _ in known]
        interval = bootstrap(auroc, targets, picked, groups, rounds=100)
        report[name] = {
            "auroc": round(interval.value, 3),
            "interval": [round(interval.low, 3), round(interval.high, 3)],
            "ap": round(average_precision(targets, picked), 3),
            "recall_at_2": round(recall_at(targets, picked, 0.02), 3),
        }
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.loso", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--only", nargs="*", default=sorted(LEFT_OUT), choices=sorted(LEFT_OUT))
    line.add_argument("--out", type=Path, help="write the figures here as JSON")
    line.add_argument("--keep", type=Path, help="folder for the scores, to blend them further")
    options = line.parse_args(arguments)
    table = Table.of(load(options.data, options.authored))
    report: dict[str, Any] = {}
    for name in options.only:
        train, held = left_out(table, name)
        scores = contenders(train, held)
        report[name] = {label: figures(held, scores[label], label) for label in LABELS}
        print(name, json.dumps(report[name]), flush=True)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            kept = {"ids": [s.id for s in held.samples], "scores": scores}
            (options.keep / f"{name}.pkl").write_bytes(pickle.dumps(kept))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
