"""Ask the model, neutrally, what it thinks of a claim, and read its answer."""

from candor_guard.probe.finding import Finding, Judgement, Purpose, read_finding
from candor_guard.probe.question import Question, ask_again, question
from candor_guard.probe.ruling import Ruling, rule, rule_again

__all__ = [
    "Finding",
    "Judgement",
    "Purpose",
    "Question",
    "Ruling",
    "ask_again",
    "question",
    "read_finding",
    "rule",
    "rule_again",
]
