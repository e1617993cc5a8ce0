"""Find the answer that a text lands on: an option letter, a number, or the text of an option.

Replies that reason at length name several candidates; what counts is an explicit statement ("the
answer is (B)"), the latest one, or else what stands at the end. Every pattern starts at a fixed
word or character and repeats boundedly, so no text can make it slow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from candor_guard.detectors.lexical.words import stems_of, tokens_of

_NOUN = r"(?:answer|choice|option|result|solution|total|value|conclusion)"
_LINK = r"(?:\s(?:is|was|should be|would be|must be|remains|stays|to))?(?:\s(?:still|indeed|actually|therefore|option|choice|probably|definitely))?\s?[:=]?[\s*_$(\[\"']{0,6}"
_STATED_LETTER = re.compile(
    rf"\b{_NOUN}{_LINK}([A-H])(?=[)\].:,;*_!?\s\"'$]|\Z)|\\boxed\{{\(?([A-H])\)?\}}", re.I
)
_STATED_NUMBER = re.compile(
    rf"(?:\b{_NOUN}{_LINK}|\\boxed\{{|####\s?)(?:about |approximately |exactly )?[$€£]?(-?\d[\d,]{{0,15}}(?:\.\d{{1,8}})?)",
    re.I,
)
_EQUATION = re.compile(r"=\s?[$€£*]{0,3}(-?\d[\d,]{0,15}(?:\.\d{1,8})?)")
_BARE_LETTER = re.compile(r"(?<![\w'’.])\(?([A-H])(?:\)|\.(?=\s|\Z)|:|\*\*)")
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]{0,15}(?:\.\d{1,8})?")
_OPTION = re.compile(r"(?:^|\n|\s)\(?([A-H])[).:]\s{1,3}([^\n]{1,160}?)(?=\s\(?[B-H][).:]\s|\n|\Z)")
_LEAST_OPTIONS = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a text lands on.

    Attributes:
        letter: The option, A to H, or "".
        first_letter: The option named first, or "".
        number: The final number in one spelling, or "".
        first_number: The number stated first, or "".
        stated: Whether the letter or number is stated as the answer.
    """

    letter: str = ""
    first_letter: str = ""
    number: str = ""
    first_number: str = ""
    stated: bool = False


def options_of(question: str) -> dict[str, set[str]]:
    """Return the content words of each option of a multiple-choice question."""
    found = {m.group(1): stems_of(tokens_of(m.group(2))) for m in _OPTION.finditer(question)}
    return found if len(found) >= _LEAST_OPTIONS else {}


def answer_of(text: str, options: dict[str, set[str]]) -> Answer:
    """Return what a text lands on; letters only where the question offers options."""
    letters = [(m.group(1) or m.group(2)).upper() for m in _STATED_LETTER.finditer(text)]
    numbers = [_plain(m.group(1)) for m in _STATED_NUMBER.finditer(text)]
    stated = bool(letters or numbers)
    if not letters:
        letters = _BARE_LETTER.findall(text)
    if not letters and options:
        letters = _named_options(text, options)
    if not numbers:
        numbers = [_plain(n) for n in _EQUATION.findall(text)]
    if not numbers:
        numbers = [_plain(n) for n in _NUMBER.findall(text)][-1:]
    return Answer(
        letter=letters[-1] if letters else "",
        first_letter=letters[0] if letters else "",
        number=numbers[-1] if numbers else "",
        first_number=numbers[0] if numbers else "",
        stated=stated,
    )


def _named_options(text: str, options: dict[str, set[str]]) -> list[str]:
    """The option whose words the end of the text names best, and no other as well."""
    tail = stems_of(tokens_of(text[-300:]))
    shares = sorted(
        ((len(words & tail) / len(words), letter) for letter, words in options.items() if words),
        reverse=True,
    )
    if not shares or not shares[0][0] or (len(shares) > 1 and shares[0][0] == shares[1][0]):
        return []
    return [shares[0][1]]


def _plain(number: str) -> str:
    plain = number.replace(",", "")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain
