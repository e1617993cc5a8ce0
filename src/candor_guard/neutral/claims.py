"""The user's claim as a stranger would put it."""

from __future__ import annotations

import itertools
import re

from candor_guard.conversation import Conversation, Message
from candor_guard.neutral.parts import Kind, Part, Sifted
from candor_guard.neutral.quoted import own_words
from candor_guard.neutral.sifting import MAX_SEEN, open_words, sift
from candor_guard.neutral.text import clip, pattern
from candor_guard.neutral.unwrap import DENIAL, unwrap
from candor_guard.neutral.voice import sentence, third_person

MAX_CLAIM = 1_500
MAX_QUESTION = 400
_STATED: tuple[Kind, ...] = ("claim", "evidence")
_WHOLE: tuple[Kind, ...] = (*_STATED, "question")

# "it's 54", "the answer is Canberra", "I got 54": an answer without its question.
_ANSWER = pattern(
    r"(?:it|that|this|the (?:right |correct |real |actual |true )?(?:answer|result|total|solution|"
    r"one|value|sum)|i (?:get|got|make it|make|count|counted|say|vote|pick|picked|choose|chose)|"
    r"i(?:~d| would) (?:have )?(?:say|said|go with|pick|picked|choose|chosen|gone with)|"
    r"answer)(?:'s| is| was| are| should be| must be| has to be| equals| ought to be|"
    r" comes (?:out )?(?:at|to|as)|:)? (?:(?:definitely|clearly|obviously|actually|really|surely|"
    r"just|still|always been|certainly|simply) )?"
)
# What may stand as an answer: a number, a name, an option letter, something with an article.
_ANSWER_LIKE = re.compile(r"[-+$£€]?\d|\(|[A-Z]|the\b|an?\b|[\"“'‘]|[a-h]\W*\Z")
_BARE_WORDS = 4
_FEW_WORDS = 3
_MAX_BACK = 8
# Of an earlier turn, of which a few hundred characters are shown: eight long ones would take as long
# as the detector.
_MAX_EARLIER = 1_200
_MAX_QUESTION_TEXT = 400
# The user speaks against what somebody says.
_OPPOSES = pattern(
    r"\b(?:i (?:told|said to) (?:him|her|them|my \w+)|(?:he|she|they)(?:'s|'re| is| are) (?:just |"
    r"only |so |totally |clearly |being )*(?:wrong|mistaken|exaggerating|overreacting|lying|"
    r"paranoid|dramatic|kind|jealous|nice|crazy)|i (?:still |really |do )?(?:think|believe|"
    r"feel like|reckon|figure|disagree)\b(?! (?:so|you're|you are|that's wrong)\b)|am i (?:right|"
    r"wrong)\b|(?:but|though) (?:i|i'm)\b|i(?:'m| am) worried\b|shut (?:him|her|them) up|"
    r"prove (?:him|her|them) wrong|(?:he|she|they) (?:doesn't|don't) (?:understand|get it|know))\b"
)
_NO_ANSWER = pattern(
    r"(?:don't|do not|stop|please|let|just|not|never|maybe|perhaps|yes|no|ok|okay|thanks|what|how|"
    r"you|i|he|she|we|they|it|isn't|aren't|doesn't|there|so)\b"
)
_PRONOUN = re.compile(
    r"(?:it|its|it['’]s|that|that['’]s|thats|they|they['’]re|this|these|those)\b",
    re.IGNORECASE,
)
_VERB = pattern(
    r".*\b(?:is|are|was|were|has|have|had|can|can't|does|do|did|will|\w+'s|\w+s|\w+ed)\b"
)


# Nothing in it is known, so every pattern is tried; the second sentence is a leading question.
_SAMPLE = "Zebras graze. Aren't zebras striped animals of some sort?"


def neutral_claim(conversation: Conversation, question: str | None = None) -> str | None:
    """Return what the last user turn claims, in the third person, or None.

    Feelings, stakes, identity and pressure are left out; what was brought as evidence stays, with
    numbers, names, quotations and code as written, but an earlier answer that is quoted. A claim that only answers ("No, it's 54") is
    joined with the question that it answers. At most 1,500 characters: head and tail of more.

    None when the last turn is no user's, or claims nothing; `bare_turn` then says what is left.

    Args:
        conversation: Up to the turn that is answered.
        question: Its `open_question` where that is known already: to find it takes its time.
    """
    turn = own_words(conversation)
    stated = [
        (part, _statement(said) if _is_asked(part) and not _is_block(part) else said)
        for part, said in _stated(sift(turn), turn, _STATED)
    ]
    if not stated:
        return None
    if not conversation.earlier_reply:
        question = ""
    elif question is None:
        question = open_question(conversation)
    first = _first(*stated[0], question, alone=len(stated) == 1)
    rest = [_restated(part, said) for part, said in stated[1:]]
    return clip(_joined([first, *rest]), MAX_CLAIM)


def prepare() -> None:
    """Compile the patterns (about 0.2 s), so that the first probe need not wait for them."""
    turns = (Message("user", "Is it?"), Message("assistant", "No."), Message("user", _SAMPLE))
    neutral_claim(Conversation(turns))


def bare_turn(text: str) -> str:
    """Return a user turn in the third person without feelings, identity, stakes and pressure.

    Claims, evidence and questions, in their order; may be empty. At most 1,500 characters.
    """
    return restate(text, *_WHOLE)


def restate(text: str, *kinds: Kind) -> str:
    """Return the parts of these kinds of a user turn, in the third person; "" when none is there.

    Questions stay questions. At most 1,500 characters.
    """
    return _told(sift(text), text, kinds)


def _told(sifted: Sifted, text: str, kinds: tuple[Kind, ...]) -> str:
    kept = _stated(sifted, text, kinds)
    return clip(_joined([_restated(part, _asked(part, said)) for part, said in kept]), MAX_CLAIM)


def open_question(conversation: Conversation) -> str:
    """Return what the conversation is about: the latest earlier user turn that asks something.

    In the third person, without feelings, at most 400 characters; the opening turn where none
    of the last eight asks; "" when that says nothing or there is no earlier user turn.
    """
    earlier = [m.text for m in conversation.before if m.role == "user" and m.text.strip()]
    turns = (clip(text, _MAX_EARLIER) for text in reversed(earlier[-_MAX_BACK:]))
    sifted = ((sift(text), text) for text in turns)
    asking = (_told(parts, text, _WHOLE) for parts, text in sifted if _asks(parts))
    found = next((bare for bare in asking if len(bare.split()) >= _FEW_WORDS), None)
    opening = clip(conversation.opening_question, _MAX_EARLIER)
    return clip(_one_line(found or bare_turn(opening)), MAX_QUESTION)


def _asks(sifted: Sifted) -> bool:
    """Whether a turn asks something and is no pushback itself."""
    asked = any(part.kind == "question" or _is_asked(part) for part in sifted.parts)
    return asked and not sifted.of("pressure")


def _is_asked(part: Part) -> bool:
    return part.kind in (*_STATED, "question") and part.text.rstrip().endswith("?")


def _stated(sifted: Sifted, text: str, kinds: tuple[Kind, ...]) -> list[tuple[Part, str]]:
    """Return the parts of these kinds, each with what it says without its wrapping."""
    hearsay = _OPPOSES.search(clip(text, MAX_SEEN)) is None
    kept = [part for part in sifted.parts if part.kind in kinds]
    said = [_core(part, hearsay=hearsay) for part in kept]
    return [(part, words) for part, words in zip(kept, said, strict=True) if words]


def _core(part: Part, *, hearsay: bool) -> str:
    if _is_block(part):
        return part.text
    if part.kind == "question":
        return part.text[open_words(part.text) :]
    return unwrap(part.text, hearsay=hearsay)


def _asked(part: Part, said: str) -> str:
    """Give a question its mark back."""
    return f"{said.rstrip(' .?')}?" if _is_asked(part) and not _is_block(part) else said


def _restated(part: Part, said: str) -> str:
    return part.text if _is_block(part) else sentence(third_person(said))


def _is_block(part: Part) -> bool:
    """Whether the part is code, a table or a quoted passage, which stays as it is."""
    return "\n" in part.text or part.text.startswith(("```", ">"))


_NEGATIVE = pattern(
    r"(?P<verb>isn't|aren't|wasn't|weren't|doesn't|don't|didn't|can't|couldn't|won't|shouldn't|"
    r"hasn't|haven't|hadn't|wouldn't) (?P<rest>.+?)[?.! ]*\Z"
)
# Where the subject of a question ends, as far as that can be told without grammar.
_SUBJECT = re.compile(
    r"(?P<subject>(?:it|that|this|he|she|they|there|we|you|the person|these|those|\d[\d.,]*)|"
    r"(?:(?:the|a|an|this|that|these|those|my|our|your) )?(?:[A-Z]\w*(?: [A-Z]\w*)*|"
    r"\w+[^s\W] \w+s|\w+s)|(?:(?:the|a|an|this|that|my|our|your) )?\w+(?= (?:the|a|an|too|very|"
    r"not|supposed|made|also|only|really|usually|always|just|basically|actually|"
    r"already)\b))(?P<rest> .+)\Z",
)
_POSITIVE = {"wo": "will", "ca": "can"}


def _statement(text: str) -> str:
    """Turn "Isn't X Y?" into "X is Y"; other texts stay."""
    match = _NEGATIVE.match(text) if len(text) <= _MAX_QUESTION_TEXT else None
    if match is None:
        return f"{text.rstrip('?')}." if text.endswith("?") else text
    stem = re.sub(r"n['’]?t\Z", "", match["verb"].lower())
    verb = _POSITIVE.get(stem, stem)
    parts = _SUBJECT.match(match["rest"])
    if parts is None:
        return f"the answer to '{verb} {match['rest']}?' is yes"
    return f"{parts['subject']} {verb}{parts['rest']}"


def _first(part: Part, said: str, question: str, *, alone: bool) -> str:
    """Restate the first claim of a turn, together with the question that it may hang on."""
    whole = _restated(part, said)
    if not question:
        return whole
    quoted = question.replace('"', "'").rstrip()
    answer = _answer_in(said, alone=alone)
    if answer is not None:
        return sentence(f'The answer to "{quoted}" is {third_person(answer)}')
    hangs = _PRONOUN.match(whole) and not whole.startswith(DENIAL)
    return f'On "{quoted}": {whole}' if hangs else whole


def _answer_in(said: str, *, alone: bool) -> str | None:
    """Return what a claim gives as the answer, or None when it says more than an answer."""
    match = _ANSWER.match(said)
    if match and _ANSWER_LIKE.match(said[match.end() :]):
        return said[match.end() :]
    if len(said.split()) > _BARE_WORDS or "\n" in said:
        return None
    if _VERB.match(said) or _NO_ANSWER.match(said):
        return None
    return said if alone or _ANSWER_LIKE.match(said) else None


def _joined(texts: list[str]) -> str:
    """Join sentences by blanks; code and tables of several lines get lines of their own."""
    joined = texts[0] if texts else ""
    for before, text in itertools.pairwise(texts):
        joined += ("\n" if "\n" in before + text else " ") + text
    return joined


def _one_line(text: str) -> str:
    return " ".join(text.split())
