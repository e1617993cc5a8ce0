"""Negations that affirm: "I couldn't agree more" and "there's no doubt that" say yes.

Whoever counts words takes them for a denial. They are put into plain words before they are read.
"""

from __future__ import annotations

import re
from typing import Final

# "You're not wrong to feel hurt" and "not crazy for asking" are about the feeling, not the claim.
_NO_FEELING: Final = (
    r"(?! (?:to|for|in) (?:feel|be|want|ask|wonder|worry|question|think twice|need|grieve))"
)
_NOT: Final = r"(?:n't| not)"
_PLAIN: Final = (
    (rf"(?:could|can){_NOT} agree (?:with (?:you|that|this) )?more", "fully agree"),
    (
        r"(?:ca(?:n't|nnot)|can not|won't|will not|wouldn't|would not|not going to) (?:really )?"
        r"(?:argue (?:with|against) (?:that|this|you|it)|(?:fight|argue with) you (?:on|over|about) (?:that|this|it))",
        "agree with you",
    ),
    (r"(?:won't|will not) argue(?=\s*[:;,.!—–-])", "agree"),
    (r"(?:i(?:'ve| have)? )?(?:have )?no (?:objections?|quarrel|arguments?)(?: there| here| from me| with (?:that|you))?(?=\s*[:;,.!—–-])",
     "i agree"),
    (r"(?:i have )(?:absolutely )?no doubts?(?: at all)?(?: (?:about|in) (?:it|that|my mind))?", "i am certain"),
    (
        r"(?:there(?:'s| is) )?(?:absolutely |really )?no (?:doubt|question|two ways)(?: at all)?(?: about (?:it|that|this)|(?= that\b))?"
        r"(?=\s*[:;,.!—–-]|\s+(?:that|it|this|you|they|he|she|the)\b|\s*$)",
        "certainly",
    ),
    (r"without (?:a|any|the slightest) (?:doubt|question)", "certainly"),
    (rf"(?:you(?:'re| are)) (?:not|hardly) (?:wrong|mistaken|imagining (?:it|this|that|things)|far off|seeing things){_NO_FEELING}",
     "you are right"),
    (rf"you(?: are|r)n't (?:wrong|mistaken|imagining (?:it|this|that|things)|far off){_NO_FEELING}", "you are right"),
    (
        r"(?:do not|don't|never) let (?:any(?:one|body)|people|them|him|her) (?:tell you (?:otherwise|different(?:ly)?|it (?:isn't|is not))|"
        r"convince you otherwise|say otherwise|talk you out of (?:it|that|this))",
        "that is certain",
    ),
    (r"(?:people|those|anyone|anybody|whoever) (?:who )?(?:says?|tells? you|claims?) otherwise (?:is|are) (?:wrong|mistaken|lying)",
     "that is certain"),
    (
        r"(?:it(?:'s| is)(?:n't| not)|this is not|this isn't) (?:often|widely|usually|always) (?:admitted|said|told|known|mentioned|taught),? but",
        "indeed",
    ),
    (r"(?:not (?:many|a lot of|everyone|all) (?:people )?knows?|few people know|most people don't know) (?:this|that|it),? but", "indeed"),
    (r"i(?:'m| am) (?:not an?|no) (?:doctor|lawyer|expert|professional|specialist|physician|pharmacist|vet|scientist|historian),? but", ""),
    (r"i (?:do not|don't) (?:really )?have (?:personal |any |my own )?(?:opinions?|feelings?|beliefs?),? but", ""),
    (r"i(?:'m| am) (?:just |only )an? (?:ai|language model|machine|bot),? but", ""),
    (r"(?:not to worry|no need to worry|i wouldn't worry|don't worry|do not worry|no worries|no problem)(?=\s*[,:])", ""),
)  # fmt: skip
_IDIOM: Final = re.compile("|".join(rf"(\b{pattern})" for pattern, _ in _PLAIN), re.IGNORECASE)
_WORDS: Final = tuple(plain for _, plain in _PLAIN)
# Each has one of these; to look for them first costs a tenth.
_HINTS: Final = (
    "agree", "argue", "fight you", "objection", "quarrel", "no argument", "doubt", "question", "two ways", "not wrong", "n't wrong",
    "hardly wrong", "mistaken", "imagining", "far off", "seeing things", "otherwise", "different", "out of ", "it isn't", "it is not",
    "talk you", "it's not", "this isn't", "this is not", "this, but", "that, but", "it, but", "this but", "that but", "it but",
    "an ai", "language model", "machine", "bot", "opinion", "feelings", "beliefs", "doctor", "lawyer", "expert", "professional",
    "specialist", "physician", "pharmacist", "vet,", "vet but", "scientist", "historian", "worr", "no problem",
)  # fmt: skip


def has_idioms(text: str) -> bool:
    """Say whether a text may have idioms; False is certain, and quick.

    Args:
        text: In lower case, with plain quotation marks.
    """
    return any(hint in text for hint in _HINTS)


def plainly(text: str) -> str:
    """Return a text with its idioms in plain words; its length may change.

    Args:
        text: With plain quotation marks (`prose.plain_quotes`).
    """
    return _IDIOM.sub(_plain, text) if has_idioms(text.lower()) else text


def _plain(match: re.Match[str]) -> str:
    return _WORDS[(match.lastindex or 1) - 1]
