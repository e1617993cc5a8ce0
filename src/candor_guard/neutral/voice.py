"""Put first-person words into the third person: "my dog" becomes "the person's dog"."""

from __future__ import annotations

import re

from candor_guard.neutral.segments import Quotations
from candor_guard.neutral.text import words

_PERSON = "the person"
_ADVERBS = (
    r"(?:also|always|just|never|really|still|only|usually|often|already|actually|even|now|"
    r"sometimes|clearly|definitely|probably|finally|recently|simply|ever|almost|mostly|literally|"
    r"both|then|rarely|currently|\w+ly)"
)
# Verbs after "I" that are in the past or never take an -s.
_UNINFLECTED = words(
    "can could will would shall should may might must ought used cannot "
    "was were had did went took ate drank got gave made said told saw heard read ran came became "
    "began broke brought bought built caught chose cut did drew drove fell felt found flew forgot "
    "froze grew held hit hurt kept knew laid led left lent let lost meant met paid put quit rode "
    "rang rose sang sat sent set shook shot shut slept slid spoke spent stood stole stuck struck "
    "swam swept swore taught thought threw understood upset woke won wore wrote bet cost spread "
    "learnt burnt spelt dealt dug fed fought hid bit bled bred drunk eaten gone been done seen "
    "given taken written snugged wed sought sold wept lit split and or am is are not who with in "
    "from to at on of wont cant couldnt wouldnt shouldnt didnt hadnt"
)
_IRREGULAR = {
    "have": "has",
    "do": "does",
    "go": "goes",
    "don't": "doesn't",
    "haven't": "hasn't",
    "dont": "doesn't",
    "havent": "hasn't",
    "wasn't": "wasn't",
    "be": "is",
}
_NUMERALS = (
    "war|type|phase|part|class|grade|chapter|title|article|schedule|stage|level|volume|act|"
    "division|group|elizabeth|charles|james|francis|napoleon|nicholas|figure|section|category|"
    "henry|george|option|answer|choice|vitamin|model|table"
)
_PREFIX = re.compile(r"\A(?:re|un|over|under|mis|out|fore)-?(?=\w{3})")
_WORD = re.compile(r"(?:[ai]\b|[^\W\d_]{2,})(?:['’-][^\W\d_]+)*[,.:;!?]?(?:\s|\Z)")
_AUXILIARIES = "should|can|could|would|will|did|may|might|must|shall|had|cannot|can't|won't|didn't"
_EARLIER = (
    r"said|told|wrote|answered|claimed|suggested|gave|stated|mixed|counted|forgot|missed|skipped|"
    r"assumed|calculated|mentioned|listed|explained|recommended|confirmed|just said|just told|"
    r"left out|yourself said|never mentioned"
)
_THINGS = (
    r"answer|answers|reply|response|first|last|previous|earlier|own|calculation|list|code|example|"
    r"math|maths|reasoning|source|sources|explanation|claim|numbers|proof|argument|version"
)


_PAST = (
    r"better|been|had|paid|bought|told|thought|heard|read|lost|left|found|got|made|put|known|"
    r"forgotten|eaten|taken|gone|seen|done|given|written|said|spent|sent|kept|met|built|brought|"
    r"taught|broken|chosen|won"
)


def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    source = (
        (r"\b(?:I['’]m|I am|Im)\b", "the person is"),
        (r"\bI['’]ve\b|\bIve\b", "the person has"),
        (r"\bI['’]ll\b", "the person will"),
        (rf"\bI['’]d\b(?= (?:{_ADVERBS} )?(?:{_PAST}|\w+ed)\b)", "the person had"),
        (r"\bI['’]d\b", "the person would"),
        (r"\b(am|are) I\b", "is the person"),
        (r"\bdo I\b", "does the person"),
        (r"\bdon['’]?t I\b", "doesn't the person"),
        (r"\bhave I\b", "has the person"),
        (r"\bmyself\b", "themself"),
        (r"\bmine\b(?! \w+(?:s|ed)\b)", "the person's"),
        (r"\bmy\b", "the person's"),
        (r"\bme\b", "the person"),
        (rf"\byou(?= (?:{_EARLIER})\b)", "the assistant"),
        (rf"\byour(?= (?:{_THINGS})\b)", "the assistant's"),
    )
    return tuple((re.compile(p, re.IGNORECASE), r) for p, r in source)


_RULES = _rules()
# "I" as a word of its own, not the numeral of "World War I", not "i.e.".
_I_VERB = re.compile(
    rf"(?P<head>\b(?:{_NUMERALS})\s+)?(?P<aux>\b(?:{_AUXILIARIES})\s+)?"
    rf"\bI\b(?!['’.])(?P<adverbs>(?:\s+{_ADVERBS}){{0,3}})"
    r"(?:(?P<gap>\s+)(?P<verb>[a-z]+(?:['’][a-z]+)?))?",
    re.IGNORECASE,
)


def third_person(text: str) -> str:
    """Return the text with the writer as "the person"; quotations and code stay as they are.

    "You" becomes "the assistant" only where it plainly means an earlier answer; "we" stays, it
    mostly means everybody.
    """
    pieces: list[str] = []
    at = 0
    for start, end in Quotations(text).spans:
        pieces += [_turned(text[at:start]), text[start:end]]
        at = end
    pieces.append(_turned(text[at:]))
    return "".join(pieces)


def sentence(text: str) -> str:
    """Return the text with a capital at its start and a full stop at its end."""
    text = text.strip().rstrip(",;:")
    if not text:
        return ""
    # Code keeps its case: "print(7)" is no word.
    first = text[:1].upper() + text[1:] if _WORD.match(text) else text
    return first if first[-1] in ".!?\"”'’)`]" else f"{first}."


def _turned(text: str) -> str:
    for rule, instead in _RULES:
        text = rule.sub(instead, text)
    return _I_VERB.sub(_subject, text)


def _subject(match: re.Match[str]) -> str:
    verb = match["verb"]
    if match["head"] and not (verb and verb.islower() and match["head"].strip().islower()):
        return match.group()
    return (
        (match["head"] or "")
        + (match["aux"] or "")
        + _PERSON
        + match["adverbs"]
        + (f"{match['gap']}{verb if match['aux'] else _inflected(verb)}" if verb else "")
    )


def _inflected(verb: str) -> str:
    plain = verb.replace("’", "'")
    if plain in _IRREGULAR:
        return _IRREGULAR[plain]
    past = plain.endswith("ed") and not plain.endswith(("eed", "n't"))
    known = plain in _UNINFLECTED or _PREFIX.sub("", plain) in _UNINFLECTED
    settled = past or known or plain.endswith(("n't", "'d", "'ll"))
    if settled or not plain.islower():
        return verb
    if plain.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{verb}es"
    if plain.endswith("y") and plain[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"
