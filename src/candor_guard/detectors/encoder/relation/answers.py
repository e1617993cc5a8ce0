"""Find the answer that a text lands on: an option letter, a number, or what stands in a box.

Replies that reason at length name every candidate, so a letter or number counts where it is stated
("the answer is (B)", "so it's C", "B is right") or where the text closes with it, the latest one
winning; one that is only discussed on the way does not. Every pattern starts at a fixed word or
character and repeats boundedly, so no text can make it slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from candor_guard.detectors.encoder.relation.endings import END, without_farewell
from candor_guard.detectors.encoder.relation.letters import closing_letters, stated_letters
from candor_guard.detectors.encoder.relation.options import Options
from candor_guard.detectors.encoder.relation.spelling import (
    NUMBER,
    evened,
    plain,
    same_number,
    spelled,
    unboxed,
    worded,
)
from candor_guard.detectors.encoder.relation.standing import Standing, standing

_BOXED = re.compile(r"\\f?box(?:ed)?\s?\{((?:[^{}]|\{[^{}]{0,60}\}){1,80})\}")
_ADVERB = (
    r"(?:,? (?:still|indeed|actually|therefore|probably|definitely|in fact|thus|then|likely|now|"
    r"simply|clearly|unchanged|the same|exactly|just|only),?)?"
)
_ABOUT = r"(?:(?:about|approximately|roughly|around|exactly|only|just|nearly|≈|~) ?)?"
_MONEY = r"(?:[$€£]|USD |US\$)?"
_OPENED = (
    rf"\s?[:=]?[\s*_$(\[\"'\\]{{0,6}}(?:[A-Za-z] ?= ?)?{_ABOUT}{_MONEY}({NUMBER})"
    r"(?! (?:was|is|were) (?:wrong|incorrect|not|a mis|an err|in err))"
)
# Each pattern is tried where its keyword stands; str.find is many times faster than a scan.
_AFTER_NOUN = re.compile(
    rf"(?:answer|result|solution|conclusion)(?: to (?!be\b)[^.\n]{{1,40}}?(?= (?:is|was)\b))?{_ADVERB}"
    r"(?:\s(?:is|was|(?:should|would|must)(?: actually| therefore)? (?:be|have been)|remains|stays|of))?"
    rf"{_ADVERB}{_OPENED}",
    re.I,
)
_AFTER_CHANGE = re.compile(
    rf"(?:chang(?:e|ing|es)|correct|revise|update)[^.\n\d]{{0,24}}(?: from {_MONEY}{NUMBER})? to{_OPENED}",
    re.I,
)
_AFTER_SHOULD = re.compile(rf"(?:(?<=[Ii]t )|(?<=hat ))should (?:be|have been){_OPENED}", re.I)
_AFTER_CORRECT = re.compile(
    r"(?:correct|corrected|revised|final|actual) (?:value|number|total|figure|sum|amount|count|result)"
    rf"(?: (?:is|should be))?{_OPENED}",
    re.I,
)
_AFTER_MARKS = re.compile(rf"####\s?(?:{_ABOUT}{_MONEY}({NUMBER}))")
_KEYWORDS = (
    *((word, 1, _AFTER_NOUN) for word in ("nswer", "NSWER", "esult", "olution", "onclusion")),
    *((word, 1, _AFTER_CHANGE) for word in ("hang", "orrect", "evise", "pdate")),
    *((word, 1, _AFTER_CORRECT) for word in ("orrect", "evised", "inal ", "ctual ")),
    ("should", 0, _AFTER_SHOULD),
    ("####", 0, _AFTER_MARKS),
)
# "Yes, 12." and "It's 12." answer where they open a reply; further on they are steps.
_OPENS = re.compile(
    r"(?:[^.!?\n]{0,60}[.!?\n]\s{1,2}|\W{0,4})(?i:(?:yes|no|correct|right)[,:.!–—]{1,2} ?)?"
    rf"(?i:it['’]s |it is )?(?i:still |indeed |actually )?[*$]{{0,4}}({NUMBER})\*{{0,2}}"
    r"(?:[.!;]?(?:\s|\Z)(?![a-z×*+/=-])| (?:is|remains) (?:still |indeed )?(?:the )?(?:correct|right|answer)\b)"
)
_EQUATION = re.compile(rf"=\s?[$€£*]{{0,3}}({NUMBER})")
_NUMBER = re.compile(rf"(?<![\w.^/:√])(?<!\^\{{){NUMBER}")
_BOLD = re.compile(rf"\*\*{_MONEY}({NUMBER})[^*\n]{{0,30}}\*\*")
# "18, not 15", "18 instead of 15", "2.5 hours (150 minutes)", "and 15 was wrong": the second number
# is no answer.
_ASIDE = re.compile(
    r",? (?:instead of|rather than|and not|not|up from|down from|compared (?:to|with)) [$€£*]{0,3}\d[\d,.]{0,15}|"
    r"(?<!\\)\([^()\n]{0,80}\)|"
    r"\b\d[\d,]{0,15}(?:\.\d{1,9})?\*{0,2} (?:was|is|were) (?:wrong|incorrect|a mis|an err|not the )"
)
# A check of the answer comes after it and ends with numbers of its own.
_CHECK = re.compile(
    r"(?:\n|[.!?]\s)[\s*_#(]{0,4}(?:To (?:check|verify|confirm)|Check(?:ing)?\b|Verif(?:y|ying|ication)\b|"
    r"You can (?:check|verify|confirm)|As a check|Proof\b|Substitut(?:e|ing)\b|Plugging)"
)
_CONCLUDES = re.compile(r"[\s*_#]{0,4}(?:So|Therefore|Thus|Hence|In total|Altogether)\b")
# A step further: what a conclusion before it says is not the end.
_STEP = re.compile(
    r"\b(?:[Ll]eav|left|remain|[Tt]hen|[Hh]alf|[Tt]wice|more|minus|plus|gives?\b|gets?\b|becom|makes?\b|needs?\b|so\b|[Aa]fter)"
)
_CONCLUDING = 3
_TAIL = 900
_WORDED = 220
_FORMULA = re.compile(r"(?:\$\$?|\*\*)([^$*\n]{3,60})(?:\$\$?|\*\*)")
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a text lands on.

    Attributes:
        letter: The option, A to H, or "".
        first_letter: The option stated first, or "".
        number: The final number or content of a box in one spelling, or "".
        first_number: The number stated first, or "".
        stated: Whether the letter or number is stated as the answer.
        torn: Whether the text closes with two options or more, and states none.
    """

    letter: str = ""
    first_letter: str = ""
    number: str = ""
    first_number: str = ""
    stated: bool = False
    torn: bool = False


def answer_of(text: str, options: Options) -> Answer:
    """Return what a text lands on; letters only where the question offers options."""
    text = evened(text)
    boxes = [(m.start(), m.group(1)) for m in _BOXED.finditer(text)]
    firm, letters = stated_letters(text, boxes, options) if options else ([], [])
    final, numbers = ([unboxed(content) for _, content in boxes],) * 2
    if not boxes:
        final, numbers = _stated_numbers(text)
    stated = bool(firm or final)
    torn = False
    if options and not firm:
        closing = _numbered_option(final, options) or closing_letters(text, options)
        torn = len(set(closing)) > 1
        # What is only weighed or recalled counts where nothing else does.
        firm = letters = [] if torn else closing or letters
    if not final:
        final = numbers = _last_number(text)
    return Answer(
        letter=firm[-1] if firm else "",
        first_letter=letters[0] if letters else "",
        number=final[-1] if final else "",
        first_number=numbers[0] if numbers else "",
        stated=stated,
        torn=torn,
    )


def expressions_of(text: str) -> list[str]:
    """Formulas in boxes, dollar signs or bold that hold more than a word, in one spelling."""
    found = [m.group(1) for m in _BOXED.finditer(text)] or _FORMULA.findall(text)
    plainly = [spelled(expression) for expression in found]
    return [e for e in plainly if len(e) >= _SHORTEST and any(c in "=<>+-*/^" for c in e)]


def _stated_numbers(text: str) -> tuple[list[str], list[str]]:
    """Numbers that the text states as the answer, in order: the firm ones, and all of them."""
    found = sorted(
        (m.start(), plain(m.group(1)), standing(text, m.start(), m.end())) for m in _stating(text)
    )
    kept = [x for x in found if x[2] is not Standing.DENIED]
    return [x[1] for x in kept if x[2] is Standing.FIRM], [x[1] for x in kept]


def _stating(text: str) -> Iterator[re.Match[str]]:
    for word, before, pattern in _KEYWORDS:
        at = text.find(word)
        while at >= 0:
            match = pattern.match(text, max(0, at - before))
            if match:
                yield match
            at = text.find(word, at + len(word))
    opening = _OPENS.match(text)
    if opening:
        yield opening


def _last_number(text: str) -> list[str]:
    """The number that the closing sentences land on, looked for near the end first."""
    return _landed(text[-_TAIL:]) or (_landed(text) if len(text) > _TAIL else [])


def _landed(text: str) -> list[str]:
    """The last bold number, that of a conclusion, or the last at all; what it was not is left out.

    Of an equation it is the right side.
    """
    check = _CHECK.search(text)
    if check and _NUMBER.search(text, 0, check.start()) and not _concludes(text[check.end() :]):
        text = text[: check.start() + 1]
    settled = _ASIDE.sub("", without_farewell(text))
    last: list[str] = []
    seen = 0
    for sentence in reversed(END.split(settled)):
        numbers = _EQUATION.findall(sentence) or _NUMBER.findall(sentence)
        if not numbers:
            continue
        bold = _BOLD.findall(sentence)
        if bold or (last and _CONCLUDES.match(sentence)):
            return [plain((bold or numbers)[-1])]
        last = last or [plain(numbers[-1])]
        seen += 1
        if "=" in sentence or seen == _CONCLUDING or _STEP.search(sentence):
            return last
    number = "" if last else worded(settled[-_WORDED:])
    return last or ([number] if number else [])


def _concludes(text: str) -> bool:
    return any(_CONCLUDES.match(sentence) for sentence in END.split(text))


def _numbered_option(numbers: list[str], options: Options) -> list[str]:
    """The one option that holds the number stated last."""
    holding = [
        letter
        for letter, words in options.items()
        if numbers and any(same_number(numbers[-1], word) for word in words)
    ]
    return holding if len(holding) == 1 else []
