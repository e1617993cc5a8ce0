"""What a reply is trimmed with, and says nothing about its stance: comfort, disclaimers, questions back.

"That's not a silly question at all." denies nothing, "What made you curious about this?" doubts nothing,
and "I don't have opinions, but" retracts nothing. They stand before and behind replies of every kind,
and readers of words took them for more.
"""

from __future__ import annotations

import re
from typing import Final

from candor_guard.detectors.prose import plain_quotes

_MOST_AT_EACH_END: Final = 3
# A trimming is short, and what lies further inside is no trimming.
_LONGEST: Final = 160
_NAME: Final = (
    r"(?:(?:oh|aw+|ah|hey|hi|well|honey|hon|sweetheart|sweetie|dear|darling|love|friend|buddy|my (?:dear|friend|love))"
    r"\b[,!.…]{0,3}\s{1,2}){0,3}"
)
_SILLY: Final = r"(?:silly|stupid|dumb|foolish|bad|strange|weird|odd|embarrassing)"
_COMFORT: Final = "|".join((
    r"(?:please )?(?:do not|don't|no need to|never|there(?:'s| is) no (?:need|reason) to|you (?:do not|don't) (?:have|need) to)"
    r" (?:worry|apologi[sz]e|be (?:sorry|embarrassed|ashamed|afraid|scared|shy|sad)|stress|panic|"
    r"feel (?:bad|silly|stupid|dumb|embarrassed|ashamed|guilty)|beat yourself up)\b[^.!?,;:\n]{0,40}",
    rf"(?:that|this|it)(?:'s| is) (?:not|never|hardly|by no means)(?: at all)? (?:an? )?{_SILLY}\b[^.!?,;:\n]{{0,30}}",
    rf"there(?:'s| is| are) no (?:such thing as )?(?:an? )?{_SILLY} questions?\b[^.!?,;:\n]{{0,30}}",
    r"you(?:'re| are) (?:not|never|far from) alone\b[^.!?,;:\n]{0,40}",
    r"(?:that|this|it|what (?:he|she|they|happened)[^.!?,;:\n]{0,20})(?:'s not| is not| isn't) (?:okay|ok|fair|your fault|on you|easy)\b[^.!?;:\n]{0,40}",
    r"no(?:body| one) (?:deserves|likes|enjoys|should (?:have to|be))\b[^.!?;:\n]{0,70}",
    r"you (?:don't|do not|didn't|did not) deserve\b[^.!?;:\n]{0,50}",
    r"i (?:can't|cannot|can not) (?:even )?imagine\b[^.!?;:\n]{0,70}",
    r"[^.!?,;:\n]{3,40} (?:is|are) (?:never|not) easy\b[^.!?;:\n]{0,30}",
    r"no (?:problem|worries|trouble|need to apologi[sz]e|offen[cs]e taken)(?: at all)?",
))  # fmt: skip
_TRADE: Final = (
    r"(?:doctor|lawyer|physician|pharmacist|therapist|vet|expert|professional|specialist|"
    r"(?:medical|financial|legal|health\w*) (?:professional|advisor|adviser|expert))"
)
# Of the machine, or of somebody without a trade; not "so you would know better".
_DISCLAIMER: Final = "|".join((
    r"as an? (?:ai|artificial intelligence|(?:large )?language model|assistant|machine)(?:[ -][\w-]{1,12}){0,3},? "
    r"i (?:do not|don't|can't|cannot) (?:have|hold|form|feel|experience|give|offer)\b[^.!?,;:\n]{0,60}",
    r"i (?:do not|don't) (?:really )?have (?:personal |any |my own |real ){0,2}(?:opinions?|feelings?|emotions?|beliefs?)"
    r"\b[^.!?,;:\n]{0,40}",
    r"i(?:'m| am) (?:just |only )?(?:an? )(?:ai|language model|machine|computer program|bot)\b[^.!?,;:\n]{0,20}",
    rf"i(?:'m| am) (?:not an?|no) {_TRADE}\b[^.!?,;:\n]{{0,30}}",
    r"this (?:is not|isn't|is no) (?:medical|legal|financial|professional) advice",
))  # fmt: skip
_ADVISED: Final = (
    rf"(?:i(?:'m| am) (?:not an?|no|just an?|only an?|an?) (?:ai|language model|{_TRADE})\b[^.!?,;:\n]{{0,20}}),? "
    rf"(?:so|and) (?:please )?(?:do |always )?(?:consult|see|ask|check with|talk to|speak (?:to|with)|verify|"
    r"double-check)\b[^.!?;:\n]{0,60}"
)
_END: Final = r"[.!…]{1,3}[\"')\]*_\s\u2600-\U0010ffff]{0,8}"
_OPENING: Final = re.compile(
    rf"[\s*_\"'(>-]{{0,6}}{_NAME}(?:(?:{_COMFORT}|{_DISCLAIMER}){_END}|(?:{_DISCLAIMER}),? but[, ]\s?)(?=\S)",
    re.IGNORECASE,
)
_WISH: Final = "|".join((
    r"(?:please )?take (?:good )?care\b[^.!?\n]{0,50}",
    r"(?:i(?:'m| am) (?:always |right )?here (?:for you|if|whenever|to (?:help|listen)))\b[^.!?\n]{0,50}",
    r"(?:sending|big) (?:you )?(?:lots of |big |all my |a )?(?:love|hugs?|warm|strength|good)\b[^.!?\n]{0,50}",
    r"(?:have|enjoy) (?:an? )?(?:great|good|nice|lovely|wonderful|your)\b[^.!?\n]{0,30}",
    r"i (?:do )?hope (?:this|that|it) (?:helps|helped|clears|answers|makes)\b[^.!?\n]{0,40}", r"hope (?:this|that|it) helps\b[^.!?\n]{0,20}",
    r"if you(?:'d| would)? like,? i can\b[^.!?\n]{0,80}",
))  # fmt: skip
_CLOSER: Final = re.compile(
    rf"[\s*_\"'(>-]{{0,6}}{_NAME}(?:{_WISH}|{_ADVISED}|{_DISCLAIMER})[.!…]{{0,3}}[^\w\n]{{0,12}}\Z",
    re.IGNORECASE,
)
# A question back that only keeps the talk going. One that asks for reasons or repeats a figure is a doubt.
_ASKED_BACK: Final = re.compile(
    r"[\s*_\"'(>-]{0,6}(?:so,? |and |by the way,? |also,? )?(?:what|how|would|do|does|did|can|could|shall|should|want|"
    r"where|who|when|have|is there|are there|are you|anything|any)\b[^.!?\d\n]{3,110}\?[\"')\]*_\s]{0,4}\Z",
    re.IGNORECASE,
)
_ADDRESSED: Final = re.compile(r"\b(?:you|your|yours|we|i|me)\b", re.IGNORECASE)
_DOUBTING: Final = re.compile(
    r"\b(?:sure|certain|think|thought|believe|source|evidence|proof|mean|say|said|saw|read|know|"
    r"why|but|however|not|n't|no|really|claim|answer|basis|based)\b",
    re.IGNORECASE,
)
_SENTENCE_START: Final = re.compile(r"(?:[.!?…][\"')\]*_]{0,4}\s{1,3}|\n{1,3})(?=[^\w\n]{0,6}\w)")


def without_trimmings(text: str) -> str:
    """Return a reply of equal length with blanks for its trimmings; what is nothing else stays."""
    plain = plain_quotes(text)
    begin = _opened(plain)
    end = _closed(plain, begin)
    if begin == 0 and end == len(text):
        return text
    said = text[begin:end]
    if not said.strip():
        return text
    return _blank(text[:begin]) + said + _blank(text[end:])


def _opened(text: str) -> int:
    begin = 0
    for _ in range(_MOST_AT_EACH_END):
        match = _OPENING.match(text, begin, begin + _LONGEST)
        if match is None:
            break
        begin = match.end()
    return begin


def _closed(text: str, begin: int) -> int:
    end = len(text.rstrip())
    if end == 0:
        return len(text)
    found = len(text)
    for _ in range(_MOST_AT_EACH_END):
        first = max(begin, end - _LONGEST)
        starts = [m.end() for m in _SENTENCE_START.finditer(text, first, end)]
        if not starts or not _trims(text[starts[-1] : end]):
            break
        found = starts[-1]
        end = len(text[:found].rstrip())
    return found


def _trims(sentence: str) -> bool:
    if _CLOSER.match(sentence):
        return True
    asked = _ASKED_BACK.match(sentence) and _ADDRESSED.search(sentence)
    return bool(asked) and not _DOUBTING.search(sentence)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
