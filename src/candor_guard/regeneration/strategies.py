"""How a request is changed for a regeneration: small pure functions, chosen by name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from candor_guard.conversation import Conversation
from candor_guard.errors import ConfigurationError
from candor_guard.neutral import (
    Sifted,
    neutral_claim,
    open_question,
    own_words,
    restate,
    sift,
)
from candor_guard.neutral.text import CUT, clip, words
from candor_guard.neutral.voice import sentence
from candor_guard.probe import Finding
from candor_guard.regeneration import FINDING, find_instruction

# A longer turn (a pasted document, say) would lose too much when it is restated.
_MAX_TURN = 3_000


@dataclass(frozen=True, slots=True)
class Edit:
    """How the last user turn of a request changes. Nothing before it changes.

    Attributes:
        strategy: Which strategy made it.
        wording: Name of the instruction text that it carries.
        note: Appended after the last user turn's text. Holds the words "answer honesty check".
        replacement: Takes the place of the last user turn's text; None keeps that text.
    """

    strategy: str
    wording: str
    note: str
    replacement: str | None = None


def plan(strategy: str, conversation: Conversation, finding: Finding | None) -> Edit | None:
    """Return the edit of a strategy, or None where the strategy does not apply.

    No strategy shows the model the reply that is to be replaced.

    - ``reconsider``: the honesty instruction; always applies.
    - ``third_person``: answer as if a stranger had put the claim; always applies.
    - ``reframe``: the last turn becomes a neutral question, its evidence and its other questions
      stay and its feeling is named in one clause. Applies to English turns of at most 3,000
      characters that claim something, or that press an earlier answer to a known question.
    - ``grounded``: hands over what a neutral probe found. Applies when there is a finding.

    Args:
        strategy: One of `STRATEGIES`.
        conversation: As it was sent for the first reply.
        finding: Of the probe, or None when there was none.

    Raises:
        ConfigurationError: If there is no strategy of that name.
    """
    if strategy in _PLAIN:
        wording = _PLAIN[strategy]
        return Edit(strategy, wording, find_instruction(wording).text)
    if strategy == "reframe":
        return _reframe(conversation)
    if strategy == "grounded":
        return _grounded(finding)
    raise ConfigurationError(f"unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")


def edit_of_instruction(name: str) -> Edit:
    """Return the edit that only appends this wording, such as ``reconsider-1``."""
    strategy = name.rpartition("-")[0].replace("-", "_")
    return Edit(strategy, name, find_instruction(name).text)


STRATEGIES = ("reconsider", "third_person", "reframe", "grounded")
_PLAIN = {"reconsider": "reconsider-1", "third_person": "third-person-1"}


def _grounded(finding: Finding | None) -> Edit | None:
    if finding is None:
        return None
    wording = "grounded-1"
    note = find_instruction(wording).text.replace(FINDING, _described(finding))
    return Edit("grounded", wording, note)


def _described(finding: Finding) -> str:
    claim, why = _plain(finding.claim, 300), sentence(_plain(finding.why, 400)) or "none."
    sure = f"(confidence {finding.confidence:.2f})"
    if finding.purpose == "drift":
        found = _OF_CLAIM[finding.judgement]
        return f"the statement '{claim}' {found} {sure}. Reason given: {why}"
    brought = "some" if finding.new_evidence else "no"
    found = _OF_ANSWER[finding.judgement]
    return (
        f"the earlier answer, '{claim}', {found} {sure}; the objection was found to bring "
        f"{brought} evidence that should change it. Reason given: {why}"
    )


_OF_CLAIM = {
    "supported": "was found true or well supported",
    "false": "was found false or misleading",
    "uncertain": "could not be decided",
    "taste": "was found to be a matter of preference",
}
_OF_ANSWER = _OF_CLAIM | {
    "supported": "was found right or defensible",
    "false": "was found wrong",
}


def _plain(text: str, limit: int) -> str:
    """Keep a note in one piece: no brackets that could end it, no line breaks, bounded."""
    flat = " ".join(text.replace("[", "(").replace("]", ")").split())
    return clip(flat, limit)


def _reframe(conversation: Conversation) -> Edit | None:
    last = conversation.last_user
    if last is None or len(last.text) > _MAX_TURN or not _english(last.text):
        return None
    said = own_words(conversation)
    sifted = sift(said)
    asked = _asked(conversation, sifted)
    if asked is None or CUT in asked:
        return None
    questions = restate(said, "question")
    pieces = [asked, f"Also asked: {questions}" if questions else "", _feeling_clause(sifted)]
    wording = "reframe-1"
    text = "\n\n".join(piece for piece in pieces if piece)
    return Edit("reframe", wording, find_instruction(wording).text, text)


def _asked(conversation: Conversation, sifted: Sifted) -> str | None:
    claim = neutral_claim(conversation)
    if claim is not None:
        return f"Is the following true, and why or why not?\n{claim}"
    before = open_question(conversation)
    if not (before and conversation.earlier_reply and sifted.of("pressure")):
        return None
    return (
        f"The question was: {before}\n"
        "Is the earlier answer to it right, and why? The person doubts it and gives no reason."
    )


_FEELINGS = (
    (
        "grieving",
        r"griev\w*|grief|funeral|passed away|heart ?broken|devastated|miss (?:him|her|them)",
    ),
    ("afraid", r"scared|afraid|terrified|frighten\w*|panick\w*|anxious|worried|nervous|dread"),
    ("angry", r"angry|furious|fuming|livid|annoyed|frustrat\w*|insult\w*|hate"),
    ("disappointed", r"disappoint\w*|let down|expected better"),
    ("ashamed", r"asham\w*|embarrass\w*|humiliat\w*|guilty"),
    ("sad", r"sad|cr(?:y|ied|ying)|tears|lonely|alone|depressed|hurt\w*|upset|low|lost|miserable"),
    ("tired", r"tired|exhausted|drained|overwhelmed|stressed"),
    ("proud", r"proud\w*"),
    ("happy", r"happ(?:y|ier)|excited|thrilled|ecstatic|overjoyed|relieved|hopeful|love"),
)
_FELT = tuple((name, re.compile(rf"\b(?:{cue})\b", re.IGNORECASE)) for name, cue in _FEELINGS)


def _feeling_clause(sifted: Sifted) -> str:
    told = " ".join(sifted.of("feeling"))
    if not told:
        return ""
    felt = next((name for name, cue in _FELT if cue.search(told)), "moved")
    return f"(The person who asks is {felt}; meet that kindly, it does not change the facts.)"


_COMMON = words(
    "the a an is are was it that this you i to of and in not for on have has do does be my your "
    "we they he she with what so but no right wrong sure can will said says know think"
)
_FEW_WORDS = 4


def _english(text: str) -> bool:
    """Whether the text may be restated in English: a turn of some length has its small words."""
    found = re.findall(r"[^\W\d_]+", text[:_MAX_TURN].lower())
    plain = sum(word.isascii() for word in found)
    if plain < 0.8 * len(found):
        return False
    return len(found) <= _FEW_WORDS or not _COMMON.isdisjoint(found)
