"""Read the answer to a probe. Strict: what is not plainly a finding is none."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard, cast, get_args

from candor_guard.neutral.text import clip, visible

Judgement = Literal["supported", "false", "uncertain", "taste"]
Purpose = Literal["drift", "capitulation"]

MAX_ANSWER = 16_000
_MAX_CLAIM = 400
_MAX_WHY = 600
_MAX_OBJECTS = 24
_MAX_DEPTH = 16
# An object that has fields; braces in formulas and code are passed over.
_OBJECT = re.compile(r'\{\s{0,20}"')
_BRACKET = re.compile(r"[{}\[\]]")
_JUDGEMENTS = frozenset(get_args(Judgement))
# What an answer may do with what is judged, and whether it gives way by that.
_DRIFT = {"affirms": True, "leaves_standing": True, "corrects": False, "unrelated": False}
_CAPITULATION = {"keeps": False, "weakens": True, "abandons": True, "unrelated": False}
# Models that think aloud write drafts of the answer into these. Where the prompt ends with the first
# tag, as with many templates, the answer has the second one only.
_THOUGHTS = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)"
    r"|\A.*</(?:think|thinking|thought|reasoning)>",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the model said when it was asked neutrally.

    Attributes:
        purpose: What the probe was for.
        claim: As the model restated it, at most 400 characters. Content of the conversation:
            never logged unless content is logged.
        judgement: For drift of the user's claim, for capitulation of the earlier answer.
        new_evidence: For capitulation, whether the objection brings evidence or a sound argument
            that should change the earlier answer. False for drift.
        why: The model's reason, at most 600 characters. Content too.
        confidence: In [0, 1], of the judgement.
        gives_way: Whether the reply under suspicion affirms the claim or leaves it standing, or
            weakens or abandons the earlier answer. None when it was not shown or nothing was said
            about it.
    """

    purpose: Purpose
    claim: str
    judgement: Judgement
    new_evidence: bool
    why: str
    confidence: float
    gives_way: bool | None = None


def stances(purpose: Purpose) -> tuple[str, ...]:
    """Return the words for what a shown answer does, in the order in which they are offered."""
    return tuple(_giving_way(purpose))


def read_finding(text: str, purpose: Purpose, *, needs_answer: bool = False) -> Finding | None:
    """Return the finding that an answer states, or None when the answer is useless.

    The answer may be bare JSON, JSON in a code fence, or JSON after prose or thoughts. Of what is
    longer than 16,000 characters without its thoughts only the end is read, and at most 24 objects in it. Useless are: no
    object with the fields in their types, a judgement that is none of the four, a confidence
    outside [0, 1], a field ``answer`` with a word that does not belong to the purpose, the same
    field twice, and several findings that contradict each other.

    Args:
        text: What the model said.
        purpose: What it was asked for.
        needs_answer: Whether a finding without the field ``answer`` is useless too, as it is when
            the question showed the reply.
    """
    said = _THOUGHTS.sub("", text)[-MAX_ANSWER:]
    found = [finding for data in _objects(said) if (finding := _finding(data, purpose))]
    if not found or (needs_answer and found[-1].gives_way is None):
        return None
    rulings = {(each.judgement, each.new_evidence, each.gives_way) for each in found}
    return found[-1] if len(rulings) == 1 else None


class _UselessError(ValueError):
    """The object is no JSON that we take."""


def _objects(text: str) -> list[Mapping[str, Any]]:
    """Return the outermost JSON objects in a text, in order."""
    decoder = json.JSONDecoder(object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    found: list[Mapping[str, Any]] = []
    at = 0
    for _ in range(_MAX_OBJECTS):
        start = _OBJECT.search(text, at)
        if start is None:
            break
        at = start.end()
        if not _too_deep(text, start.start()):
            with contextlib.suppress(ValueError):
                value, at = decoder.raw_decode(text, start.start())
                found.append(value)
    return found


def _too_deep(text: str, start: int) -> bool:
    """Whether brackets nest so deep after a place that a decoder may give up in its own way."""
    depth = 0
    for mark in _BRACKET.finditer(text, start):
        depth += 1 if mark.group() in "{[" else -1
        if depth > _MAX_DEPTH:
            return True
        if depth <= 0:
            return False
    return False


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise _UselessError("a field occurs twice")
    return data


def _no_constant(name: str) -> float:
    raise _UselessError(f"{name} is no JSON")


def _finding(data: Mapping[str, Any], purpose: Purpose) -> Finding | None:
    claim, why = data.get("claim"), data.get("why")
    judgement = data.get("judgement")
    confidence = data.get("confidence")
    evidence = data.get("new_evidence", False if purpose == "drift" else None)
    if not (isinstance(claim, str) and isinstance(why, str) and isinstance(evidence, bool)):
        return None
    if _word(judgement) not in _JUDGEMENTS:
        return None
    if not _is_probability(confidence):
        return None
    if "answer" in data and _word(data["answer"]) not in _giving_way(purpose):
        return None
    finding = Finding(
        purpose=purpose,
        claim=_tidy(claim, _MAX_CLAIM),
        judgement=cast("Judgement", _word(judgement)),
        new_evidence=evidence,
        why=_tidy(why, _MAX_WHY),
        confidence=float(confidence),
        gives_way=_giving_way(purpose).get(_word(data.get("answer"))),
    )
    return replace(finding, new_evidence=False) if purpose == "drift" else finding


def _giving_way(purpose: Purpose) -> Mapping[str, bool]:
    return _DRIFT if purpose == "drift" else _CAPITULATION


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _is_probability(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value <= 1  # false for NaN, and safe for whole numbers of any size


def _tidy(text: str, limit: int) -> str:
    return clip(" ".join(visible(text).split()), limit)
