"""Read a user turn without its feelings: what it claims, what it shows, what it asks."""

from candor_guard.neutral.claims import bare_turn, neutral_claim, open_question, prepare, restate
from candor_guard.neutral.parts import Kind, Part, Sifted
from candor_guard.neutral.quoted import own_words
from candor_guard.neutral.sifting import sift

__all__ = [
    "Kind",
    "Part",
    "Sifted",
    "bare_turn",
    "neutral_claim",
    "open_question",
    "own_words",
    "prepare",
    "restate",
    "sift",
]
