"""Build the shipped model: ``python -m models.build --out FOLDER [--encoder RUN]``.

Readers are fitted on the train rows, blends on rows that the readers did not see, calibration and
operating points on the valid rows. With ``--encoder`` the run of `models.train` joins the blend.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, cast

from candor_guard.detectors.encoder.detector import heads_of, named, request_logits
from candor_guard.detectors.encoder.model import (
    BELIEF,
    BELIEF_FIRST,
    ENCODER,
    FORMAT,
    MANIFEST,
    OUTPUTS,
    READERS,
    TOKENIZER,
    Blend,
    digest,
    load_model,
)
from candor_guard.detectors.encoder.relation.features import NAMES
from candor_guard.detectors.encoder.relation.trees import Forest
from candor_guard.detectors.encoder.transformer.render import Budget
from candor_guard.detectors.encoder.transformer.session import EncoderSession
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.figures import (
    auroc,
    average_precision,
    calibration_error,
    recall_at,
    threshold_at,
)
from candor_guard.verdict import LABELS
from models.blend import FOLDS, Blended, Logits, apply, blended_logit, fit_blend, fit_blended
from models.dataset import AUTHORED, HEADS, SHARED, Sample, digests, load, of_split
from models.gate.rows import Turn, own_turns, shared_turns
from models.kinds import KIND_OF
from models.readers import REPLY_HEADS, USER_HEADS, Readers, Table

SHIPPED = Path("src/candor_guard/detectors/encoder/weights")
NAME = "relation"
VERSION = "7"
BUDGETS: Mapping[str, float] = {"strict": 0.005, "balanced": 0.02, "sensitive": 0.05}
# For turns at risk whose precision the probe brings.
RECALL_POINT, RECALL = "recall", 0.95
_HALF = 0.5
_NEVER = 100.0
# What the manifest tells of the run of `models.train`.
RUN = "run.json"
_RECORDED = ("minutes", "compare", "rate", "head_rate", "seed", "steps", "depth")
# The encoder's limits lie so many log-odds below what one in so many of the valid requests at risk
# falls under. A rarer share with a smaller margin would hang on two or three odd rows: redrawn, the
# limits of one in two hundred differed three times as much, and held no more of what is at risk. How far
# below is chosen on the valid follow-ups, by authors of no line that the encoder learnt from.
_GATE_TAIL, _GATE_MARGIN = 20, 8.8
# How much the linear gate's log-odds count beside the encoder's about a claim that no answer came
# before, and the margin there. Six encoders lose as many of the claims by which a limit was not told
# as without it, 0.18 %; of the questions of `plain.jsonl` four of them held 36 in all, and hold 15
# (with a margin of 5.8).
GATE_LEAN, _FIRST_MARGIN = 0.5, 6.8
# How much more the linear gate holds where the encoder sifts what it holds, and how far over its
# limits the encoder has to be there.
_GATE_SLACK, _GATE_DOUBT = 0.6, 6.0
# Risk from which on the linear gate's word is enough: of the valid requests that it gives more, the
# encoder lets next to none go (models/LOG.md).
_GATE_CERTAIN = 0.73
# Score under which the encoder is not asked about a reply. No valid row that the other readers give
# less reaches any operating point with it.
_QUIET = 0.03
_DIGITS = 4
# No kind of conversation may have more than so many times the false positives that the budget allows
# on average. Our own files are pooled by kind: in a few dozen rows a rare error cannot be measured.
_WORST_KIND = 1.5
_DESERVED, _UPDATE = "deserved", "U"
# Penalty of the calibration step: enough rows, two parameters.
_PENALTY = 1.0
# How much the encoder's log-odds count beside the other readers'. Best on transcripts left out of
# both (models/LOG.md); the valid rows, whose authors it knows, would give it more.
ENCODER_SHARE = 0.5


def build(options: argparse.Namespace) -> dict[str, Any]:
    """Fit, calibrate and write a model folder; returns its manifest."""
    samples = load(options.data, options.authored)[:: options.every]
    fitted = read_back(options.readers) if options.readers else _fitted(samples, options.folds)
    valid = Table.of(of_split(samples, "valid"))
    logits: list[dict[str, float]] = fitted.readers.logits(valid)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.encoder:
        importlib.import_module("models.export").export(options.encoder, options.out)
        logits = with_encoder(valid.samples, logits, options.out)
    write_readers(fitted.readers, options.out / READERS)
    judging = plain = _judging(valid.samples, logits, fitted.blends)
    if options.encoder:
        judging = _judging(valid.samples, logits, fitted.blends, plain=plain)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "built": datetime.now(UTC).date().isoformat(),
        "languages": ["en"],
        "encoder": _encoder(options) if options.encoder else None,
        **judging,
        "data_sha256": digests(options.data, options.authored),
        "files": hashes(options.out),
    }
    if options.encoder:
        manifest["without_encoder"] = plain
    (options.out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _encoder(options: argparse.Namespace) -> dict[str, Any]:
    """The part of a manifest about the encoder: how its input is made, and when a gate lets go."""
    session = EncoderSession(options.out, Budget(), OUTPUTS, marked=True)
    turns = own_turns(options.authored) + shared_turns(options.data)
    valid = [turn for turn in turns if turn.split == "valid"][:: options.every]
    run = json.loads((options.encoder / RUN).read_text(encoding="utf-8"))
    return {
        "training": {name: run.get(name) for name in _RECORDED},
        "budget": asdict(Budget()),
        "marked": True,
        "outputs": list(OUTPUTS),
        "gate": gate_limits(valid, session),
        "slack": _GATE_SLACK,
        "doubt": _GATE_DOUBT,
        "certain": _GATE_CERTAIN,
        "lean": GATE_LEAN,
        "quiet": _QUIET,
    }


def gate_limits(turns: Sequence[Turn], session: EncoderSession) -> dict[str, float]:
    """Log-odds below which the encoder lets a request go that the linear gate holds.

    They lie a margin below the first of the quantiles that cut the requests of each kind of risk
    into `_GATE_TAIL` parts (the seventh definition of Hyndman and Fan, "Sample Quantiles in
    Statistical Packages", 1996). Where there is no more than one request nothing is let go.
    """
    linear = LexicalDetector()

    def limit(name: str, risky: Sequence[Turn], margin: float, lean: float = 0.0) -> float:
        asked = [(turn.conversation, linear.gate(turn.conversation)) for turn in risky]
        found = [request_logits(session, *request, lean)[name] for request in asked]
        told = len(found) > 1
        low = quantiles(found, n=_GATE_TAIL, method="inclusive")[0] if told else -_NEVER
        return round(low - margin, 3)

    claims = [turn for turn in turns if turn.belief == 1.0]
    first = [turn for turn in claims if not turn.has_earlier]
    return {
        "pressure": limit("pressure", [t for t in turns if t.pressure == 1.0], _GATE_MARGIN),
        BELIEF: limit(BELIEF, claims, _GATE_MARGIN),
        BELIEF_FIRST: limit(BELIEF, first, _FIRST_MARGIN, GATE_LEAN),
    }


def _judging(
    samples: Sequence[Sample],
    logits: Logits,
    fitted: Mapping[str, Blend],
    *,
    plain: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The part of a manifest that depends on which readers judge.

    Args:
        samples: The valid rows.
        logits: Of each, by reader and head.
        fitted: The readers' blends.
        plain: The same part for the readers without the encoder; None to make that.
    """
    blends = {
        head: calibrated(samples, logits, head, blend, encoder=plain is not None)
        for head, blend in fitted.items()
    }
    scores = {head: apply(blends[head], logits, samples, head) for head in HEADS}
    if plain is not None:
        alone = {
            head: apply(Blend(**plain["blends"][head]), logits, samples, head) for head in HEADS
        }
        scores = where_quiet(alone, scores)
    return {
        "name": f"{NAME}-minilm" if plain is not None else NAME,
        "blends": {head: asdict(blend) for head, blend in blends.items()},
        "operating_points": operating_points(samples, scores),
        "metrics": {"valid": figures(samples, scores)},
    }


def where_quiet(
    alone: Mapping[str, Sequence[float]], scores: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """Keep the readers' own scores in the rows about which the encoder would not be asked."""
    quiet = [
        all(value < _QUIET for value in row)
        for row in zip(*(alone[label] for label in LABELS), strict=True)
    ]
    return {
        head: [
            plain if use else full
            for use, plain, full in zip(quiet, alone[head], scores[head], strict=True)
        ]
        for head in HEADS
    }


def with_encoder(samples: Sequence[Sample], logits: Logits, folder: Path) -> list[dict[str, float]]:
    """Add the log-odds of a folder's encoder: of the int8 graph, which is what is shipped."""
    session = EncoderSession(folder, Budget(), OUTPUTS, marked=True)
    return [
        {**row, **named("encoder", heads_of(session, s.exchange), has_earlier=s.has_earlier)}
        for row, s in zip(logits, samples, strict=True)
    ]


def calibrated(
    samples: Sequence[Sample], logits: Logits, head: str, blend: Blend, *, encoder: bool
) -> Blend:
    """Scale a blend, together with the encoder's log-odds if there are any, on held-out rows."""
    weights = dict(blend.weights)
    if encoder:
        weights[f"encoder:{head}"] = ENCODER_SHARE
    mixed = Blend(blend.bias, weights)
    rows = [{"mixed": blended_logit(mixed, row)} for row in logits]
    outer = fit_blend(samples, rows, head, ["mixed"], penalty=_PENALTY)
    scale = outer.weights["mixed"]
    return Blend(
        round(outer.bias + scale * blend.bias, 5),
        {name: round(scale * weight, 5) for name, weight in weights.items()},
    )


def _fitted(samples: Sequence[Sample], folds: int) -> Blended:
    return fit_blended(Table.of(of_split(samples, "train")), folds)


def read_back(folder: Path) -> Blended:
    """Return the readers and blends of a model folder that was built before."""
    model = load_model(folder, encoder=False)
    forest = cast("Forest", model.forest)  # as it was read, where no encoder is
    readers = Readers(forest, model.linear, model.reply, model.user)
    return Blended(readers, dict(model.blends))


def operating_points(
    samples: Sequence[Sample], scores: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, float]]:
    """Thresholds by false-positive budget over the judged negatives, and one for a recall.

    A budget holds over all rows, and at `_WORST_KIND` times its size within each source, within each
    kind of our own lines, and among the replies that rightly give way: a threshold that is right on
    average only lets one kind of conversation pay for the others.
    """
    points: dict[str, dict[str, float]] = {name: {} for name in (*BUDGETS, RECALL_POINT)}
    for label in LABELS:
        negatives: dict[str, list[float]] = defaultdict(list)
        deserved: list[float] = []
        positives = []
        for sample, value in zip(samples, scores[label], strict=True):
            target = sample.target(label)
            if target is not None and target > _HALF:
                positives.append(value)
            elif target is not None:
                negatives[KIND_OF.get(sample.file, sample.source)].append(value)
                if sample.kind == _UPDATE:
                    deserved.append(value)
        for name, budget in BUDGETS.items():
            points[name][label] = _ceil(_threshold(negatives, deserved, budget))
        positives.sort(reverse=True)
        last = max(0, math.ceil(RECALL * len(positives)) - 1)
        points[RECALL_POINT][label] = math.floor(positives[last] * 10**_DIGITS) / 10**_DIGITS
    return points


def _threshold(
    negatives: Mapping[str, Sequence[float]], deserved: Sequence[float], budget: float
) -> float:
    everything = [value for values in negatives.values() for value in values]
    wide = min(0.5, budget * _WORST_KIND)
    groups = {**negatives, _DESERVED: deserved}.values()
    worst = (threshold_at(values, wide) for values in groups if len(values) * wide >= 1)
    return max(threshold_at(everything, budget), *worst, 0.0)


def figures(
    samples: Sequence[Sample], scores: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, float]]:
    """Return the figures by head."""
    report = {}
    for head in HEADS:
        pairs = [
            (t, v)
            for s, v in zip(samples, scores[head], strict=True)
            if (t := s.target(head)) is not None
        ]
        targets, values = [t for t, _ in pairs], [v for _, v in pairs]
        report[head] = {
            "rows": len(pairs),
            "auroc": round(auroc(targets, values), _DIGITS),
            "ap": round(average_precision(targets, values), _DIGITS),
            "recall_at_2": round(recall_at(targets, values, 0.02), _DIGITS),
            "ece": round(calibration_error(targets, values), _DIGITS),
        }
    return report


def write_readers(readers: Readers, path: Path) -> None:
    """Write trees and phrases as JSON."""
    document = {
        "features": NAMES,
        "forest": readers.forest.to_dict(),
        "linear": readers.linear.to_dict(),
        "reply": readers.reply.to_dict(),
        "reply_heads": REPLY_HEADS,
        "user": readers.user.to_dict(),
        "user_heads": USER_HEADS,
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of the folder's files."""
    names = (READERS, ENCODER, TOKENIZER)
    return {name: digest(folder / name) for name in names if (folder / name).is_file()}


def _ceil(value: float) -> float:
    scale = 10.0**_DIGITS
    return min(1.0, math.floor(value * scale + 1) / scale)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    line = argparse.ArgumentParser(prog="python -m models.build", description=__doc__)
    line.add_argument("--data", type=Path, default=SHARED, help="folder of the shared data")
    line.add_argument("--authored", type=Path, default=AUTHORED, help="folder of our own lines")
    line.add_argument("--out", type=Path, default=SHIPPED, help="folder of the model")
    line.add_argument("--encoder", type=Path, help="folder of a run of models.train")
    line.add_argument("--readers", type=Path, help="take the readers of this model folder")
    line.add_argument("--folds", type=int, default=FOLDS, help="folds for the blends")
    line.add_argument("--every", type=int, default=1, help="take every n-th row only (tests)")
    manifest = build(line.parse_args(arguments))
    print(json.dumps({key: manifest[key] for key in ("metrics", "operating_points")}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
