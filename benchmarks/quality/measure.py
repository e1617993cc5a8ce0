"""Read the sets with a detector and make the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.lexical.rows import Row

from benchmarks.quality.metrics import BINARY, share, with_interval
from candor_guard.detectors import Detector
from candor_guard.verdict import LABELS, SIGNALS, Reading, Risk

# Only scored, never used to fit or to choose anything.
TEST_ONLY = ("bench_ays.jsonl", "bench_prism_ood.jsonl")
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with what the detector said about it."""

    row: Row
    reading: Reading
    risk: Risk

    def at(self, thresholds: Mapping[str, float]) -> bool:
        """Whether the reply is flagged at these thresholds."""
        if self.reading.not_evaluated:
            return False
        return any(self.reading.scores[label] >= thresholds[label] for label in LABELS)

    @property
    def at_fault(self) -> bool:
        """Whether the reply should have been flagged, for either label."""
        return any(self.row.labels.get(label) == 1 for label in LABELS)

    @property
    def sound(self) -> bool:
        """Whether the reply was judged to be at fault in no way."""
        judged = [self.row.labels.get(label) for label in LABELS]
        return not self.at_fault and any(value == 0 for value in judged)


def score_rows(detector: Detector, rows: Sequence[Row]) -> list[Scored]:
    """Read and gate the rows that took part in no fit."""
    held_out = [row for row in rows if row.split != "train"]
    readings = detector.read([row.exchange for row in held_out])
    return [
        Scored(row, reading, detector.gate(row.exchange.conversation))
        for row, reading in zip(held_out, readings, strict=True)
    ]


def report(detector: Detector, scored: Sequence[Scored]) -> dict[str, Any]:
    """Return every figure, by file and source."""
    points = detector.operating_points
    files = sorted({item.row.file for item in scored})
    return {
        "sets": {
            name: _set(items, points)
            for name, items in _by_file_and_source(scored, files)
            if not name.startswith("bench_prism_ood")
        },
        "prism_ood": _pairs([s for s in scored if s.row.file == "bench_prism_ood"], points),
        "variants": _variants([s for s in scored if s.row.file == "authored"], points),
        "gate": _gate(scored),
    }


def _by_file_and_source(
    scored: Sequence[Scored], files: Iterable[str]
) -> Iterable[tuple[str, list[Scored]]]:
    for file in files:
        items = [s for s in scored if s.row.file == file]
        yield file, items
        sources = sorted({s.row.source for s in items})
        if len(sources) > 1:
            for source in sources:
                yield f"{file}/{source}", [s for s in items if s.row.source == source]


def _set(items: Sequence[Scored], points: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    heads = {head: _head(items, head) for head in (*LABELS, *SIGNALS)}
    return {
        "rows": len(items),
        "groups": len({s.row.group for s in items}),
        "heads": {head: figures for head, figures in heads.items() if figures},
        "flagged": {
            name: {
                "at_fault": _share(items, lambda s: s.at_fault, _flag(thresholds)),
                "sound": _share(items, lambda s: s.sound, _flag(thresholds)),
            }
            for name, thresholds in points.items()
        },
    }


def _flag(thresholds: Mapping[str, float]) -> Callable[[Scored], bool]:
    return lambda item: item.at(thresholds)


def _head(items: Sequence[Scored], head: str) -> dict[str, Any] | None:
    """Figures of one head where it was judged and both classes occur."""
    judged = [s for s in items if s.row.labels.get(head) is not None]
    if head != "drift":
        # A capitulation, and its readings, need an earlier position; without one they are 0.
        judged = [s for s in judged if s.row.has_earlier or head in ("warmth", "endorsement")]
    targets = [float((s.row.labels[head] or 0.0) > _HALF) for s in judged]
    if len(set(targets)) < 2:
        return None
    scores = [{**s.reading.signals, **s.reading.scores}[head] for s in judged]
    groups = [s.row.group for s in judged]
    figures = BINARY if head in LABELS else {"auroc": BINARY["auroc"]}
    return {
        "rows": len(judged),
        "positives": int(sum(targets)),
        **{name: with_interval(f, targets, scores, groups) for name, f in figures.items()},
    }


def _share(
    items: Sequence[Scored], of: Callable[[Scored], bool], what: Callable[[Scored], bool]
) -> dict[str, Any] | None:
    """Share of some rows for which something holds, with its interval."""
    rows = [s for s in items if of(s)]
    if not rows:
        return None
    values = [float(what(s)) for s in rows]
    figure = with_interval(share, [0.0] * len(rows), values, [s.row.group for s in rows])
    return {"rows": len(rows), **figure}


def _pairs(
    items: Sequence[Scored], points: Mapping[str, Mapping[str, float]]
) -> dict[str, Any] | None:
    """Drift accuracy and the share of pairs with both replies told right, by threshold."""
    judged = [s for s in items if s.row.labels.get("drift") is not None]
    if not judged:
        return None
    cuts = {"half": _HALF, **{name: point["drift"] for name, point in points.items()}}
    return {
        "rows": len(judged),
        "drift": _head(judged, "drift"),
        "by_threshold": {name: _accuracy(judged, cut) for name, cut in cuts.items()},
        "by_rung_at_half": {
            rung: _accuracy([s for s in judged if str(s.row.raw.get("rung")) == rung], _HALF)
            for rung in sorted({str(s.row.raw.get("rung")) for s in judged})
        },
    }


def _accuracy(items: Sequence[Scored], cut: float) -> dict[str, Any]:
    right = [(s.reading.scores["drift"] >= cut) == (s.row.labels["drift"] == 1) for s in items]
    pairs: dict[str, list[bool]] = {}
    for item, hit in zip(items, right, strict=True):
        pairs.setdefault(item.row.group, []).append(hit)
    whole = {group: all(hits) for group, hits in pairs.items() if len(hits) > 1}
    zeros = [0.0] * len(right)
    accuracy = with_interval(share, zeros, [float(r) for r in right], [s.row.group for s in items])
    consistency = (
        with_interval(share, [0.0] * len(whole), [float(v) for v in whole.values()], list(whole))
        if whole
        else None
    )
    return {
        "threshold": cut,
        "rows": len(right),
        "accuracy": accuracy,
        "pairs": len(whole),
        "pair_consistency": consistency,
    }


def _variants(items: Sequence[Scored], points: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Share flagged of each authored variant: what should be high, what should be low."""
    names = sorted({str(s.row.raw.get("variant")) for s in items})
    return {
        variant: {
            "rows": sum(s.row.raw.get("variant") == variant for s in items),
            **{
                name: round(
                    _mean([s.at(point) for s in items if s.row.raw.get("variant") == variant]), 4
                )
                for name, point in points.items()
            },
        }
        for variant in names
    }


def _gate(scored: Sequence[Scored]) -> dict[str, Any]:
    """Recall over replies that are at fault and over pressure; share of harmless turns held."""
    recall = {
        file: _share([s for s in scored if s.row.file == file], lambda s: s.at_fault, _held)
        for file in sorted({s.row.file for s in scored})
    }
    harmless = {
        source: _share(scored, _from(source), _held)
        for source in sorted({s.row.source for s in scored if s.row.file == "ordinary"})
    }
    multi_turn = ("nonpush", "restate")
    return {
        "recall": {name: figure for name, figure in recall.items() if figure},
        "recall_pressure": _share(
            scored, lambda s: s.row.labels.get("pressure") == 1 and s.row.has_earlier, _held
        ),
        "held_ordinary": harmless,
        "held_follow_ups": _share(scored, lambda s: s.row.raw.get("variant") in multi_turn, _held),
        "held_feelings": _share(scored, lambda s: s.row.raw.get("variant") == "feelings", _held),
    }


def _held(item: Scored) -> bool:
    return item.risk.at_risk


def _from(source: str) -> Callable[[Scored], bool]:
    return lambda item: item.row.source == source


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def latency(detector: Detector, scored: Sequence[Scored]) -> dict[str, Any]:
    """Microseconds for one reading and one gate, on replies of 250 to 350 words."""
    chosen = [s for s in scored if 250 <= len(s.row.exchange.reply.split()) <= 350][:200]
    if not chosen:
        return {}
    reads = _timed(lambda s: detector.read([s.row.exchange]), chosen)
    gates = _timed(lambda s: detector.gate(s.row.exchange.conversation), chosen)
    return {"replies": len(chosen), "read_us": reads, "gate_us": gates}


def _timed(action: Callable[[Scored], object], items: Sequence[Scored]) -> dict[str, float]:
    took = []
    for item in items:
        action(item)
        start = time.perf_counter()
        action(item)
        took.append((time.perf_counter() - start) * 1e6)
    took.sort()
    return {
        "median": round(took[len(took) // 2], 1),
        "p95": round(took[int(0.95 * (len(took) - 1))], 1),
    }
