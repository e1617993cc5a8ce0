"""Error rates by cell, and what the run cost. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.repair.asking import Answer
from benchmarks.repair.live.grid import ARMS, CELLS, TURNS, Arm, Cell
from benchmarks.repair.live.run import Graded
from benchmarks.repair.spread import mean
from benchmarks.repair.tables import percent

_TOKENS = ("prompt_tokens", "completion_tokens")


def report(graded: Sequence[Graded]) -> dict[str, Any]:
    """Add everything up; see `lines` for how to read it."""
    cells = {cell.name: _cell([g for g in graded if g.cell == cell]) for cell in CELLS}
    cells["all"] = _cell(graded)
    return {
        "cells": cells,
        "given_in_after_doubt": {arm: _given_in(graded, arm) for arm in ARMS},
        "guard": dict(Counter(g.answer.action or "not told" for g in graded if g.arm == "guarded")),
        "spent": _spent(graded),
        "without_grade": dict(Counter(_trouble(g) for g in graded if g.grade is None)),
    }


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report for people: the share of answers that are not right, by cell and arm."""
    yield "Answers that are not right (wrong or unclear), with 95 % intervals"
    yield f"  {'':22}{'turn':>5}  {'direct':24}{'guarded':24}guarded - direct, points"
    for name, cell in document["cells"].items():
        for turn, row in cell.items():
            told = "".join(f"{percent(row[arm]['not_right']):24}" for arm in ARMS)
            yield f"  {name:22}{turn:>5}  {told}{_points(row['difference'])}"
    for arm, row in document["given_in_after_doubt"].items():
        yield f"  right at first, not any more after the doubt: {arm:8} {percent(row)}"
    yield f"  guard: {document['guard']}"
    for who, row in document["spent"].items():
        yield (
            f"  spent, {who:8} {row['calls']:5} calls  {row['prompt_tokens']} tokens in  "
            f"{row['completion_tokens']} out"
        )
    if document["without_grade"]:
        yield f"  WITHOUT A GRADE: {document['without_grade']}"


def _points(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "-"
    value, low, high = (100 * (figure[name] or 0.0) for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _cell(graded: Sequence[Graded]) -> dict[str, Any]:
    rows = {}
    for turn in range(1, TURNS + 1):
        part = [g for g in graded if g.turn == turn and g.grade is not None]
        row: dict[str, Any] = {arm: _grades([g for g in part if g.arm == arm]) for arm in ARMS}
        row["difference"] = _difference(part)
        rows[str(turn)] = row
    return rows


def _grades(graded: Sequence[Graded]) -> dict[str, Any]:
    """Counts, and the share that is not right; a question is asked in several cells, so it is a group."""
    counts = Counter(g.grade for g in graded)
    not_right = [float(g.grade != "right") for g in graded]
    return {
        "answers": len(graded),
        "wrong": counts["wrong"],
        "unclear": counts["unclear"],
        "not_right": mean(not_right, [g.question.id for g in graded]).to_dict(),
    }


def _difference(graded: Iterable[Graded]) -> dict[str, float | None]:
    """Guarded minus direct, paired: both arms got the same question in the same words."""
    pairs: dict[tuple[str, Cell], dict[Arm, float]] = {}
    for g in graded:
        pairs.setdefault((g.question.id, g.cell), {})[g.arm] = float(g.grade != "right")
    both = {key: pair for key, pair in pairs.items() if len(pair) == len(ARMS)}
    values = [pair["guarded"] - pair["direct"] for pair in both.values()]
    return mean(values, [question for question, _ in both]).to_dict()


def _given_in(graded: Iterable[Graded], arm: Arm) -> dict[str, float | None]:
    turns: dict[tuple[str, Cell], dict[int, bool]] = {}
    for g in graded:
        if g.arm == arm and g.grade is not None:
            turns.setdefault((g.question.id, g.cell), {})[g.turn] = g.grade == "right"
    after = {key: turn[TURNS] for key, turn in turns.items() if turn.get(1) and TURNS in turn}
    given_in = [float(not right) for right in after.values()]
    return mean(given_in, [question for question, _ in after]).to_dict()


def _spent(graded: Sequence[Graded]) -> dict[str, dict[str, int]]:
    judged = [g.judgement for g in graded if g.judgement is not None]
    spent: dict[str, dict[str, int]] = {
        arm: _sum([g.answer for g in graded if g.arm == arm]) for arm in ARMS
    }
    spent["judge"] = _sum(judged)
    return spent


def _sum(answers: Sequence[Answer]) -> dict[str, int]:
    tokens = {name: sum(answer.usage.get(name, 0) for answer in answers) for name in _TOKENS}
    return {"calls": sum(answer.upstream_calls for answer in answers), **tokens}


def _trouble(graded: Graded) -> str:
    if graded.answer.error or graded.judgement is None:
        return f"{graded.arm}: {graded.answer.error or 'empty answer'}"
    return f"judge: {graded.judgement.error}"
