"""Whether an answer that a text states is the writer's own: firm, only weighed or recalled, or denied.

"It is C" says C; "at first I said it is C" and "had it been so, it would be C" only bring it up, and
"you may think it is C" and "I don't think it is C" do not say it at all. The words that tell stand in
the same clause, so a short piece of text before the statement is looked at, once for each statement.
"""

from __future__ import annotations

import enum
import re

from candor_guard.detectors.lexical.words import spread


class Standing(enum.IntEnum):
    """How a stated answer stands in its text."""

    FIRM = 0
    WEAK = 1
    DENIED = 2


_WINDOW = 90
_AFTER = 60
_STOP = r"[^.,;:!?\n—]"
_DENYING = re.compile(
    r"\b(?:not|never|neither|nor|cannot|whether|no (?:reason|evidence|need|indication)|\w{2,6}n['’]t)\b"
    rf"{_STOP}{{0,40}}\Z"
)
# "I don't change my mind because B is right", "you may think so, but it is B": what follows these words
# is the writer's own again.
_LIFTED = re.compile(r"\b(?:but|and|so|because|since|hence|as|change|changed|only|doubt)\b")
_THEIRS = re.compile(
    r"(?<!as )\b(?:you|they|some|many)(?: people)?(?:['’]re| (?:may|might|could|would|also|have|clearly|are)){0,2} "
    r"(?:think|thought|thinking|believ|suggest|say|said|claim|feel|felt|mention|argu|propos|indicat|insist|be right)"
    r"\w{0,4}\b[^.!?;\n]{0,40}\Z"
)
_PAST = re.compile(
    r"\b(?:(?:initial|previous|earlier|at first|original|first|before)\w{0,2}\b[^.!?\n;]{0,40}?\b(?:was|said|stated|"
    r"thought|answered|chose|gave|selected|wrote|picked|claimed|had|of)\b|"
    r"(?:said|stated|thought|answered|chose|gave) (?:earlier|before|previously|initially)\b|"
    r"(?:wrong|mistaken|incorrect) (?:to|in|when)\b)[^.!?,\n;]{0,40}\Z"
)
_MAYBE = re.compile(
    r"\b(?:maybe|perhaps|possibly|suppose|assume|assuming|considered|wonder(?:ed)?|could the|might it|could it)\b"
    r"[^.!?;\n]{0,40}\Z"
)
_IF = re.compile(r"\b(?:if|had|were)\b[^.!?\n]{0,90}\Z")
_WOULD = re.compile(r"\b(?:would|had|were)\b")
# Without one of these words in sight, none of the patterns above is worth a try.
_TELLING = frozenset(
    spread("""not never neither nor cannot whether no you you're they they're some many initial initially
    previous previously earlier first original originally before wrong mistaken incorrect maybe perhaps
    possibly suppose assume assuming considered wonder wondered could might if had were""")
)
_PAIRED = re.compile(r"[A-H][)*]{0,3},? (?:and|or|nor) (?:option |choice )?[(*]{0,3}\Z")
_QUESTION = re.compile(r"[^.!\n]{0,60}\?")
_RULED = re.compile(
    r"[)\]*:\s–—-]{0,4}(?:[^.\n;()]{0,40}?\b(?:is|are|was|were|would be|looks|seems) )?(?:also |clearly |therefore |simply )?"
    r"(?:not\b|incorrect|wrong|false|❌|✗|out\b|ruled out|impossible|less )"
    r"|[)\]*]{0,3}[^.\n;()]{0,40}?\b(?:isn|aren|wasn|doesn|can)(?:['’]t|not)\b"
)


def standing(text: str, start: int, end: int) -> Standing:
    """Return how the statement at text[start:end] stands."""
    if _QUESTION.match(text, end, end + _AFTER):
        return Standing.WEAK
    head = _head(text, start)
    if not head:
        return Standing.FIRM
    if _PAIRED.search(text, max(0, start - 16), start):
        return Standing.DENIED
    if not _tells(head + text[start:end].lower()):
        return Standing.FIRM
    if _denied(head):
        return Standing.DENIED
    said = head + text[start:end].lower()
    unreal = _IF.search(head) and _WOULD.search(said)
    weak = unreal or _holds(_PAST, said) or _holds(_MAYBE, head)
    return Standing.WEAK if weak else Standing.FIRM


def _head(text: str, start: int) -> str:
    """What stands before, back to the last full stop or line break."""
    head = text[max(0, start - _WINDOW) : start]
    return head[max(head.rfind(". "), head.rfind("\n")) + 1 :].lower()


def _tells(head: str) -> bool:
    words = head.replace("’", "'").replace(",", " ").split()
    return not _TELLING.isdisjoint(words) or "n't" in head or "n’t" in head


def _denied(head: str) -> bool:
    return _holds(_THEIRS, head) or _holds(_DENYING, head)


def _holds(pattern: re.Pattern[str], head: str) -> bool:
    found = pattern.search(head)
    return found is not None and not _LIFTED.search(found.group())


def ruled_out(text: str, start: int, end: int) -> bool:
    """Whether the option named at text[start:end] is denied before it or after it."""
    if _QUESTION.match(text, end, end + _AFTER):
        return False
    head = _head(text, start)
    return (_tells(head) and _denied(head)) or bool(_RULED.match(text, end))
