"""Thresholds from cross-validated margins, and what the finished gate catches and holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from candor_guard.detectors.gate import LinearGate
from candor_guard.detectors.lexical import request_of
from candor_guard.figures import share as shared_of
from models.gate.rows import Turn

TRADE_OFF = (0.97, 0.98, 0.985, 0.99, 0.995)
RESAMPLES = 1_000
_HIGHEST = 3.0  # no belief head is ever switched off
_LOWEST = 0.35  # share of the follow-ups at risk whose log odds are tried as the pressure limit
_FOLLOWUPS = "followups"
_SHARES = {"followups": 0.5}  # the trade-off asks next to nothing of the follow-ups alone
# Where every user presses or believes in the same few words, recall is no measure.
_EASY = frozenset(("spiral", "schizobench", "transcripts_weak"))

Margins = Mapping[str, Sequence[float]]
Limits = dict[str, float]


def choose(turns: Sequence[Turn], margins: Margins, recall: Mapping[str, float]) -> Limits:
    """Return the limits that hold the fewest harmless turns and catch the wanted shares.

    The limits of pressure and belief are chosen together: a turn is held by either, so that each
    head need not catch by itself what the other one has.

    Args:
        turns: Train rows.
        margins: Their cross-validated log odds by head.
        recall: Share to catch of the turns at risk after an answer (``later``), of the follow-ups
            among them (``followups``) and of beliefs in a first turn (``belief_first``).
    """
    told = [i for i, t in enumerate(turns) if t.risk == 1 and (t.file not in _EASY or t.at_fault)]
    later = [i for i in told if turns[i].has_earlier]
    first = [margins["belief"][i] for i in told if not turns[i].has_earlier]
    best = min(_candidates(turns, margins, later, recall), key=lambda found: found[0])
    return {
        "pressure": best[1],
        "belief_later": best[2],
        "belief_first": _floor(first, recall["belief_first"]),
    }


def _candidates(
    turns: Sequence[Turn], margins: Margins, later: Sequence[int], recall: Mapping[str, float]
) -> Iterator[tuple[float, float, float]]:
    """Yield how many harmless turns after an answer each pair of limits holds, and the pair."""
    pressure, belief = margins["pressure"], margins["belief"]
    ordinary = [i for i, t in enumerate(turns) if _is_ordinary(t)]
    risky = [i for i in later if turns[i].file == _FOLLOWUPS]
    for limit in sorted(_down(pressure[i]) for i in risky)[: int(_LOWEST * len(risky))]:
        needed = [
            # What is held as pressure anyway needs no second reason.
            _floor([math.inf if pressure[i] >= limit else belief[i] for i in chosen], share)
            for chosen, share in ((later, recall["later"]), (risky, recall["followups"]))
        ]
        second = min(_HIGHEST, *needed)
        held = sum(pressure[i] >= limit or belief[i] >= second for i in ordinary)
        yield held, limit, second


def _is_ordinary(turn: Turn) -> bool:
    """Whether a turn was written to follow an answer, and nothing is at stake."""
    return turn.risk == 0 and turn.has_earlier and turn.file != "grafts"


def curve(turns: Sequence[Turn], margins: Margins, recalls: Iterable[float]) -> dict[str, Any]:
    """Return the shares of train turns held at each recall, in cross-validation."""
    return {
        str(recall): share_table(turns, holds(turns, margins, choose(turns, margins, wanted)), 0)
        for recall in recalls
        for wanted in [{**_SHARES, "later": recall, "belief_first": recall}]
    }


def holds(turns: Sequence[Turn], margins: Margins, limits: Limits) -> list[bool]:
    """Return which turns are held, given their log odds."""
    return [
        (t.has_earlier and pressure >= limits["pressure"])
        or belief >= limits["belief_later" if t.has_earlier else "belief_first"]
        for t, pressure, belief in zip(turns, margins["pressure"], margins["belief"], strict=True)
    ]


def metrics(gate: LinearGate, turns: Sequence[Turn], holdout: Sequence[Turn]) -> dict[str, Any]:
    """Return recall and hold rates on rows that took no part in the fit."""
    parts = {
        "valid": [t for t in turns if t.split == "valid"],
        "followups_test": [t for t in turns if t.split == "test"],
        "holdout": holdout,
    }
    return {
        name: share_table(rows, [gate.judge(request_of(t.conversation)).at_risk for t in rows])
        for name, rows in parts.items()
    }


def share_table(
    turns: Sequence[Turn], held: Sequence[bool], resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Shares held, by what the turns are; the first four are recalls, the others hold rates."""
    kinds = {
        "pressure": [t.pressure == 1 for t in turns],
        "belief": [t.risk == 1 and t.pressure != 1 and t.file not in _EASY for t in turns],
        "at_fault": [t.at_fault for t in turns],
        "followups_at_risk": [t.file == _FOLLOWUPS and t.risk == 1 for t in turns],
        "followups_harmless": [t.file == _FOLLOWUPS and t.risk == 0 for t in turns],
        "authored_follow_ups": [t.variant in ("nonpush", "restate") for t in turns],
        "new_topic": [t.file == "grafts" for t in turns],
        "ordinary_first": [t.file == "ordinary" and t.risk == 0 for t in turns],
        "feelings": [t.variant == "feelings" for t in turns],
        "taste": [t.variant == "benign-agree" for t in turns],
    }
    groups = [t.group for t in turns]
    figures = {}
    for name, chosen in kinds.items():
        picked = [i for i, pick in enumerate(chosen) if pick]
        if picked:
            figures[name] = share([held[i] for i in picked], [groups[i] for i in picked], resamples)
    return figures


def share(held: Sequence[bool], groups: Sequence[str], resamples: int) -> dict[str, Any]:
    """Share held of some turns, with a 95 % interval over the groups.

    Args:
        held: Of each turn; at least one.
        groups: Of each turn, what belongs together.
        resamples: How many; 0 for no interval.
    """
    found = shared_of(held, groups, resamples).to_dict()
    figure = {"turns": len(held), "value": found["value"]}
    return figure | ({"low": found["low"], "high": found["high"]} if resamples else {})


def _floor(values: Sequence[float], recall: float) -> float:
    """Return the highest threshold that the wanted share of values reaches."""
    ranked = sorted(values, reverse=True)
    allowed = int((1 - recall) * len(ranked) + 1e-9)
    return _down(ranked[len(ranked) - allowed - 1])


def _down(value: float) -> float:
    """Round down a little, so that the value itself still reaches the threshold."""
    return round(value - 0.0005, 3)
