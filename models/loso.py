"""Leave one source out: ``python -m models.loso [--only NAME ...] [--encoder NAME=RUN] [--out FILE]``.

Every contender is fitted on the train rows of the other sources and scored on all rows of the one
left out. This is the figure to choose by: the valid rows share their authors with the train rows.

An encoder is trained by `models.train`, with the source left out there, and joins by its run:

    python -m models.train --leave-out sycobench --out runs/no-sycobench
    python -m models.loso --only sycobench --encoder sycobench=runs/no-sycobench
"""

from __future__ import annotations

import argparse
import importlib
import json
import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from candor_guard.detectors.encoder.detector import named
from candor_guard.detectors.encoder.model import Blend
from candor_guard.detectors.encoder.relation.features import NAMES
from candor_guard.detectors.lexical.features import FEATURE_NAMES
from candor_guard.figures import auroc, average_precision, bootstrap, recall_at
from candor_guard.verdict import LABELS
from models.blend import apply, blend_all, input_names, out_of_fold
from models.build import ENCODER_SHARE, RUN
from models.dataset import AUTHORED, HEADS, LEFT_OUT, SHARED, Sample, load
from models.readers import Table, fit, targets_of

np: Any = importlib.import_module("numpy")

Contenders = dict[str, list[float]]
# Log-odds of an encoder by sample id, then by name: "encoder:" and the head.
EncoderLogits = Mapping[str, Mapping[str, float]]
_WEAK = "transcripts_weak"
_SCORES = "scores.npz"


class RunError(Exception):
    """A run of `models.train` says nothing about a source left out."""


def left_out(table: Table, name: str) -> tuple[Table, Table]:
    """Return (train rows of the other sources, judged rows of the one left out)."""
    out = LEFT_OUT[name]
    samples = table.samples
    train = [i for i, s in enumerate(samples) if s.source not in out and s.split == "train"]
    held = [i for i, s in enumerate(samples) if _is_held(s, name)]
    return table.take(train), table.take(held)


def _is_held(sample: Sample, name: str) -> bool:
    return sample.source in LEFT_OUT[name] and sample.file != _WEAK


def encoder_logits(run: Path, name: str, samples: Sequence[Sample]) -> EncoderLogits:
    """Read what the encoder of a run says about the rows of the source left out.

    Args:
        run: Folder of `models.train`.
        name: What that run has to have left out: a key of `LEFT_OUT`.
        samples: All rows.

    Raises:
        RunError: If the folder holds no run, the run saw the source, or a row has no scores.
    """
    try:
        record = json.loads((run / RUN).read_text(encoding="utf-8"))
        with np.load(run / _SCORES) as scores:
            found = dict(zip(scores["ids"].tolist(), scores["logits"].tolist(), strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{run} holds no run of models.train: {error}") from error
    unseen = frozenset().union(*(LEFT_OUT.get(n, ()) for n in record.get("leave_out", ())))
    if seen := sorted(LEFT_OUT[name] - unseen):
        raise RunError(f"{run} did not leave out {', '.join(seen)}")
    held = [sample for sample in samples if _is_held(sample, name)]
    scored = [sample for sample in held if sample.id in found]
    if len(scored) < len(held) or not held:
        raise RunError(f"{run} has scores of {len(scored)} of the {len(held)} rows of {name}")
    return {
        s.id: named(
            "encoder", dict(zip(HEADS, found[s.id], strict=True)), has_earlier=s.has_earlier
        )
        for s in held
    }


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


def contenders(
    train: Table, held: Table, encoder: EncoderLogits | None = None
) -> dict[str, Contenders]:
    """Return the scores by label, then by contender; those of an encoder only where there is one."""
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
            **(_joined(blends[label], rows, held, label, encoder) if encoder else {}),
        }
        for label in LABELS
    } | {"rows": {name: [row[name] for row in rows] for name in _names()}}


def _joined(
    blend: Blend,
    rows: Sequence[Mapping[str, float]],
    held: Table,
    label: str,
    encoder: EncoderLogits,
) -> Contenders:
    """The encoder alone, and beside the readers as the shipped model has it."""
    name = f"encoder:{label}"
    wider = Blend(blend.bias, {**blend.weights, name: ENCODER_SHARE})
    known = [{**row, **encoder[s.id]} for row, s in zip(rows, held.samples, strict=True)]
    return {
        "encoder": [row[name] for row in known],
        "encoder + both": apply(wider, known, held.samples, label),
    }


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
    line = argparse.ArgumentParser(
        prog="python -m models.loso",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--only", nargs="*", default=sorted(LEFT_OUT), choices=sorted(LEFT_OUT))
    line.add_argument(
        "--encoder",
        type=_named_run,
        action="append",
        default=[],
        metavar="NAME=RUN",
        help="a folder of models.train, by the source that it left out; may be given again",
    )
    line.add_argument("--out", type=Path, help="write the figures here as JSON")
    line.add_argument("--keep", type=Path, help="folder for the scores, to blend them further")
    line.add_argument("--every", type=int, default=1, help="take every n-th row only (tests)")
    options = line.parse_args(arguments)
    samples = load(options.data, options.authored)[:: options.every]
    try:
        encoders = _encoders(options, samples)
    except RunError as error:
        print(f"loso: {error}", file=sys.stderr)
        return 2
    table = Table.of(samples)
    report: dict[str, Any] = {}
    for name in options.only:
        train, held = left_out(table, name)
        scores = contenders(train, held, encoders.get(name))
        report[name] = {label: figures(held, scores[label], label) for label in LABELS}
        print(name, json.dumps(report[name]), flush=True)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            kept = {"ids": [s.id for s in held.samples], "scores": scores}
            (options.keep / f"{name}.pkl").write_bytes(pickle.dumps(kept))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _encoders(options: argparse.Namespace, samples: Sequence[Sample]) -> dict[str, EncoderLogits]:
    """Read the runs before anything is fitted, which takes minutes."""
    for name, _ in options.encoder:
        if name not in options.only:
            raise RunError(f"--encoder {name}=...: not among the sources of --only")
    return {name: encoder_logits(run, name, samples) for name, run in options.encoder}


def _named_run(value: str) -> tuple[str, Path]:
    name, _, run = value.partition("=")
    if name not in LEFT_OUT or not run:
        raise argparse.ArgumentTypeError(
            f"wants NAME=RUN with one of {', '.join(sorted(LEFT_OUT))}"
        )
    return name, Path(run)


if __name__ == "__main__":
    sys.exit(main())
