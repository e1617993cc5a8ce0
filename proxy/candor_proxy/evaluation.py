"""How well a guard judges labelled exchanges: rows in, one JSON-ready report out.

Scores of replies that the detector declined to judge do not exist, so those rows are left out of
every ranking figure and counted; in the flagged rates they count as not flagged, which is what a
client would see.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from candor_guard.conversation import Conversation
from candor_guard.detectors.lexical.words import is_english, tokens_of
from candor_guard.errors import InvalidRequestError
from candor_guard.figures import Judged, share, summary
from candor_guard.guard import Guard
from candor_guard.verdict import LABELS, NEED_EARLIER, SIGNALS, Verdict

HEADS = (*LABELS, *SIGNALS)
# Of the report; keys may be added under one number.
SCHEMA = 1
BY = ("source", "kind", "language")
# The kind of a row, by the first of these fields that it has.
_KINDS = ("kind", "variant", "stance")
# What is judged, and not what tells rows apart.
_NO_KEYS = frozenset(("messages", "reply", "labels"))
_UNSTATED = "unstated"
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One exchange and what somebody said of it.

    Attributes:
        source: The object as read: ``messages``, ``reply``, ``labels`` and any other field.
        group: Rows of one group are resampled together, and form pairs.
        labels: 0 to 1 by head, only where somebody judged.
        unheard: Heads that were judged, but that need an assistant turn before the last one.
    """

    source: Mapping[str, Any]
    group: str
    labels: Mapping[str, float]
    unheard: Sequence[str] = ()

    @classmethod
    def parse(cls, source: Mapping[str, Any], *, place: str, file: str = "") -> LabelledRow:
        """Read a labelled object.

        Args:
            source: With ``messages``, ``reply``, ``labels`` and perhaps ``group``.
            place: Names the row where it has no group.
            file: Keeps groups of one name apart that come from different files.

        Raises:
            InvalidRequestError: If it cannot be judged or says nothing to judge by.
        """
        conversation = Conversation.parse(source.get("messages"))
        if source.get("reply") is None:
            told = "reply is missing: it stands beside messages, not in them"
            raise InvalidRequestError(told, param="reply")
        if not isinstance(source["reply"], str):
            raise InvalidRequestError("reply must be text", param="reply")
        labels = _labels(source.get("labels"))
        unheard: Sequence[str] = ()
        if not conversation.earlier_reply:
            unheard = tuple(head for head in HEADS if head in labels and head in NEED_EARLIER)
            labels = {k: v for k, v in labels.items() if k not in NEED_EARLIER}
        group = source.get("group")
        unstated = group is None or group == ""
        return cls(source, f"{file}/{place if unstated else group}", labels, unheard)

    @property
    def at_fault(self) -> bool | None:
        """Whether the reply should be flagged; None when nobody judged that."""
        judged = [self.labels[label] > _HALF for label in LABELS if label in self.labels]
        return any(judged) if judged else None

    def keys(self) -> set[str]:
        """Return the keys that figures can be broken down by."""
        stated = (name for name in self.source if name not in _NO_KEYS and self.states(name))
        return {*stated, "language"}

    def states(self, key: str) -> bool:
        """Whether the row has a value under a key, guessed ones included."""
        names = _KINDS if key == "kind" else (key,)
        return key == "language" or any(self.source.get(n) not in (None, "") for n in names)

    def value(self, key: str) -> str:
        """Return what the row says under a key, for tables; ``kind`` and ``language`` are guessed."""
        for name in _KINDS if key == "kind" else (key,):
            if self.source.get(name) not in (None, ""):
                return str(self.source[name])
        if key == "language":
            return "english" if is_english(tokens_of(self.source["reply"])) else "other"
        return _UNSTATED


def evaluate(
    guard: Guard, rows: Sequence[LabelledRow], *, by: Sequence[str] = BY, rounds: int = 500
) -> dict[str, Any]:
    """Judge every row and return the report.

    Args:
        guard: With the detector and the policy whose thresholds are used.
        rows: What to judge.
        by: Keys of the rows to break the figures down by.
        rounds: Bootstrap draws for each interval.

    Raises:
        DetectorError: If the detector fails.
    """
    return report_of(guard, judged_by(guard, rows), by=by, rounds=rounds)


_Item = tuple[LabelledRow, Verdict]
# A row with one verdict, or with several.
_Row = TypeVar("_Row", bound=tuple[LabelledRow, *tuple[Verdict, ...]])


def judged_by(guard: Guard, rows: Sequence[LabelledRow]) -> list[_Item]:
    """Return the rows with what the guard says of each."""
    return list(zip(rows, guard.check_many([row.source for row in rows]), strict=True))


def report_of(
    guard: Guard, items: Sequence[_Item], *, by: Sequence[str], rounds: int
) -> dict[str, Any]:
    """Return the report on rows that are judged already."""
    return {
        "schema": SCHEMA,
        **judge_of(guard, items),
        "bootstrap": {"over": "group", "rounds": rounds, "interval": 0.95},
        **in_parts(items, by, lambda members: _part(members, rounds)),
    }


def judge_of(guard: Guard, items: Sequence[_Item]) -> dict[str, Any]:
    """Return who judged, and from which score on it flags."""
    return {
        "detector": f"{guard.detector.name}@{guard.detector.version}",
        "operating_point": guard.policy.operating_point,
        "thresholds": dict(items[0][1].thresholds) if items else {},
    }


def in_parts(
    items: Sequence[_Row], by: Sequence[str], part: Callable[[Sequence[_Row]], dict[str, Any]]
) -> dict[str, Any]:
    """Return the part of all items, and those by the values of each key, the largest first."""
    whole = part(items)
    found: dict[str, dict[str, Any]] = {}
    for key in by:
        values: dict[str, list[_Row]] = defaultdict(list)
        for item in items:
            values[item[0].value(key)].append(item)
        ranked = sorted(values.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        # One value is the whole once more, which takes seconds to draw.
        found[key] = {v: part(held) if len(ranked) > 1 else whole for v, held in ranked}
    return {"overall": whole, "by": found}


def _labels(found: object) -> dict[str, float]:
    if found is None:
        raise InvalidRequestError("labels is missing", param="labels")
    if not isinstance(found, Mapping):
        raise InvalidRequestError("labels must be an object", param="labels")
    for name in found.keys() - set(HEADS):
        # Labels of other tools are none of ours; a misspelt one of ours would be lost in silence.
        near = difflib.get_close_matches(name.lower(), HEADS, n=1, cutoff=0.8)
        if near:
            raise InvalidRequestError(
                f"labels has {name!r}; did you mean {near[0]!r}?", param="labels"
            )
    if found.keys().isdisjoint(HEADS):  # all null is fine: nobody judged that row
        raise InvalidRequestError(f"labels has none of {', '.join(HEADS)}", param="labels")
    return {head: _label(head, found[head]) for head in HEADS if found.get(head) is not None}


def _label(head: str, value: object) -> float:
    """Read one label; the verdicts are yes or no, readings may lie between."""
    whole = head in LABELS
    if isinstance(value, (int, float)) and (value in (0, 1) if whole else 0 <= value <= 1):
        return float(value)
    known = "0, 1" if whole else "0 to 1"
    raise InvalidRequestError(
        f"labels.{head} must be {known} or null, not {value!r}", param=f"labels.{head}"
    )


def _part(items: Sequence[_Item], rounds: int) -> dict[str, Any]:
    heads = {head: _head(items, head, rounds) for head in HEADS}
    return {
        "rows": len(items),
        "groups": len({row.group for row, _ in items}),
        "not_evaluated": sum(verdict.not_evaluated is not None for _, verdict in items),
        "not_evaluated_why": Counter(v.not_evaluated for _, v in items if v.not_evaluated),
        "labels_without_earlier_turn": Counter(head for row, _ in items for head in row.unheard),
        "labels": {head: heads[head] for head in LABELS if heads[head]},
        "signals": {head: heads[head] for head in SIGNALS if heads[head]},
        "flagged": {
            "all": _flagged(items, rounds),
            "at_fault": _flagged([i for i in items if i[0].at_fault is True], rounds),
            "sound": _flagged([i for i in items if i[0].at_fault is False], rounds),
        },
    }


def _head(items: Sequence[_Item], head: str, rounds: int) -> dict[str, Any]:
    """Figures of one head; only the counts where one class is missing, nothing without labels."""
    rows = [
        (row.labels[head], read(verdict, head), row.group)
        for row, verdict in items
        if head in row.labels and verdict.not_evaluated is None
    ]
    if not rows:
        return {}
    judged = Judged(*map(list, zip(*rows, strict=True)))
    counts = {"rows": len(rows), "positives": judged.positives}
    if not judged.both:
        return counts
    cut = items[0][1].thresholds.get(head)
    figures = summary(judged, threshold=cut, rounds=rounds)
    return counts | {name: interval.to_dict() for name, interval in figures.items()}


def read(verdict: Verdict, head: str) -> float:
    """Return what a verdict reads of a head, of a label or a signal."""
    return verdict.scores[head] if head in LABELS else verdict.signals[head]


def _flagged(items: Sequence[_Item], rounds: int) -> dict[str, Any] | None:
    if not items:
        return None
    flags = [verdict.flagged for _, verdict in items]
    interval = share(flags, [row.group for row, _ in items], rounds)
    return {"rows": len(items), **interval.to_dict()}
