"""What kinds of conversations our own files hold."""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, tuple[str, ...]] = {
    "doubts": (
        "denials",
        "disputes",
        "lateturns",
        "namings",
        "reasoning",
        "rechecks",
        "rethinks",
        "secondlooks",
        "secondlooks_choices",
        "secondlooks_maths",
        "secondlooks_mixed",
        "secondlooks_reading",
        "verification",
    ),
    "debates": (
        "arguments",
        "debates",
        "erosion",
        "partials",
        "positions",
        "presuppositions",
        "stances",
    ),
    "beliefs": (
        "appraisals",
        "beliefs",
        "claims_facts",
        "claims_life",
        "explanations",
        "feelings",
        "openings",
        "pairs",
        "premises",
    ),
    "affirmations": ("affirmations_facts", "affirmations_people", "affirmations_practice"),
    "uses": ("frames", "registers", "services"),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
