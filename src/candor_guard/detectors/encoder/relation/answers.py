"""Find the answer that a text lands on: an option letter, a number, or what stands in a box.

Replies that reason at length name every candidate, so a letter counts where it is stated ("the answer
is (B)", "so it's C", "B is right") or where the text closes with it, the latest one winning; a letter
that is only discussed on the way does not. Every pattern starts at a fixed word or character and
repeats boundedly, so no text can make it slow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from candor_guard.detectors.lexical.words import stems_of, tokens_of

Options = Mapping[str, set[str]]

# A letter as an answer: in brackets, in bold, or alone and not the word "A".
_LETTER = (
    r"(?:\(([A-Ha-h])\)|\[([A-H])\]|([a-h])\)|\*\*\(?([A-H])\)?[.:]?\*\*|"
    r"([B-H])(?![\w'’&/+-])|(A)(?=[)\].:,;*_!?\"'$}]|\s*\Z|\s*\n| (?:is|it|because|since|stands|instead|rather)\b))"
)
_FILLER = r"[\s:,=*_$(\[\"'“]{1,6}(?:(?:still|option|choice|answer|letter|indeed|the|definitely|actually|clearly|now)[\s:*_]{1,3}){0,3}[*_$\"'“]{0,3}"
_NOUN = r"(?:answer|choice|option|result|solution|conclusion|letter|response)"
_BE = r"(?:is|was|should be|would be|must be|has to be|remains|stays)"
_LINK = (
    rf"(?:{_NOUN}(?: (?:to|for|here|above|that|which) ?[^.\n]{{0,30}}?)?(?: {_BE}|:)|correct(?: one)? {_BE}|"
    r"(?:go|stick|stay|stand|settl)(?:e|es|s|ing|ed)? (?:with|by|for|on|at)|"
    r"(?:choose|pick|keep|select|confirm|leaves|leaving|hence|therefore|thus|so|points? to|must be|"
    r"has to be|it['’]s|it is|that['’]s|remains|stays|"
    r"(?:change|changing|correct|revise|switch|moved?) (?:it|that|this|my answer|over)?(?: from [(*]{0,3}[A-H][)*]{0,3})? ?to))"
)
# What may follow a stated letter: the end of a clause, or that it is right. "So (A) is out" is no
# statement of A.
_CLOSED = (
    r"(?=[)\]*_\"'”$}]{0,3}\s{0,2}(?:[.,;:!?\n—–(=]|\Z|- |is (?:the |right|correct|still)|it is|"
    r"stands|again|because|since|as |instead|rather|and (?:not|I)))"
)
_STATED = re.compile(rf"\b(?i:{_LINK}){_FILLER}{_LETTER}{_CLOSED}")
# In brackets after "the answer is", a letter is stated whatever follows, mostly the option's text.
_QUOTED = re.compile(
    rf"\b(?i:(?:{_NOUN}(?:,? (?:indeed|therefore|in fact|actually|then),?)? {_BE}|{_NOUN}:|"
    r"(?:go|stick|stay) with|(?:answer|it|that) to))"
    rf"{_FILLER}\(([A-Ha-h])\)(?! (?:or|and|if|nor)\b|,? but\b)"
)
_RATHER = re.compile(
    r"\b(?:not|nor)\b[^.\n]{0,30}?,? but (?:rather |actually |indeed )?(?:option |choice )?"
    r"[(*]{0,3}([A-H])[)*]{0,3}(?!\w)"
)
_RIGHT = re.compile(
    rf"{_LETTER}[)\]*_\"'”]{{0,3}}(?:[:,]? [^.\n()]{{1,60}}?,?)? "
    r"(?:is (?:still |indeed |therefore |in fact |actually )?(?:the )?(?:right|correct|answer|best|one\b)|"
    r"fits (?:better|best)|would be (?:the )?(?:right|correct|better|best)|"
    r"seems (?:to be )?(?:the )?(?:more |most )?(?:right|correct|accurate|likely|better|best|fitting)|"
    r"it is|it stays|again\b|stands\b|remains (?:the|my|right|correct))"
)
_STATING = (_STATED, _QUOTED, _RATHER, _RIGHT)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]{0,60}\}){1,80})\}")
_DIGITS = r"-?\d[\d,]{0,15}(?:\.\d{1,8})?(?:/\d{1,6})?"
_BOXED_OPTION = re.compile(r"[\s{(]{0,3}(?:\\text(?:bf)?\{)?\(?[A-Ha-h]\)")
_STATED_NUMBER = re.compile(
    r"(?:\b(?:(?:answer|result|solution|conclusion)"
    r"(?:\s(?:is|was|should be|should have been|would be|must be|remains|stays|to|of))?|"
    r"it should (?:be|have been)|correct (?:value|number|total|figure|sum|amount) (?:is|should be))"
    r"(?:\s(?:still|indeed|actually|therefore|probably|definitely))?\s?[:=]?[\s*_$(\[\"']{0,6}|####\s?)"
    rf"(?:about |approximately |exactly )?[$€£]?({_DIGITS})",
    re.I,
)
_EQUATION = re.compile(rf"=\s?[$€£*]{{0,3}}({_DIGITS})")
_BARE = re.compile(
    r"(?<![\w'’.°])(?<!°\s)(?:\(([A-Ha-h])\)|([a-h])\)|([A-H])(?:\)|\.(?=\s|\Z)|:|\*\*|(?=\s?[,;!?]|\s*\Z))|([B-H])(?= (?:is|it|or|and|fits|relies)\b)|(A)(?= (?:or|and) \(?[B-H]\b))"
)
_WHOLE = re.compile(r"\W{0,4}([A-Ha-h])\W{0,4}")
_OPENING = re.compile(
    r"(?:^|\n)[\s(*_]{0,4}([A-H]|[a-h](?=\)))(?=[).:,]{1,2}\*{0,2}\s|\*{0,2}\s?\n)"
)
_NUMBER = re.compile(rf"(?<![\w.]){_DIGITS}")
_OPTION = re.compile(
    r"(?:^|\n|\s)\(?([A-H](?=[).:])|[a-h](?=\)))(?:\)\s{0,3}|[.:]\s{1,3})(\S[^\n]{0,160}?)"
    r"(?=\s\(?(?:[B-H](?:\)|[.:]\s)|[b-h]\))|\s{0,2}\n|\Z)"
)
_SPACING = re.compile(
    r"\\[,;! ]|\\(?:text|mathrm|left|right|displaystyle|quad)\b|[\s${}()%°]|\^\\circ|\\%"
)
# "18, not 15", "18 instead of 15", "2.5 hours (150 minutes)": the second number is no answer.
_ASIDE = re.compile(
    r",? (?:instead of|rather than|and not|not|up from|down from|compared (?:to|with)) [$€£*]{0,3}\d[\d,.]{0,15}|"
    r"(?<!\\)\([^()\n]{0,80}\)"
)
FAREWELL = re.compile(
    r"\W{0,6}(?:i (?:do )?(?:hope|appreciate|apologi[sz]e|am (?:sorry|happy|glad))|i['’]m (?:sorry|happy|glad)|"
    r"let me know|(?:please )?feel free|please (?:let|ask|double)|thank|sorry|apologies|happy to|"
    r"if (?:you|there|it)\b|is there|would you|do you|does (?:this|that)|hope|perhaps your|good (?:luck|catch))",
    re.I,
)
_MEASURED = re.compile(rf"({_DIGITS})(?:[A-Za-z]{{1,12}}(?:[/^]?[A-Za-z\d]{{1,4}})?)")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]{1,30})\}\{([^{}]{1,30})\}")
_FORMULA = re.compile(r"(?:\$\$?|\*\*)([^$*\n]{3,60})(?:\$\$?|\*\*)")
_SHORTEST = 3
_NUMBERED = re.compile(r"(?:(?<=\n)|(?<=\s)(?=\())\s{0,3}(?:\(([1-8])\)|([1-8])[.)])\s{1,3}(?=\S)")
_NUMBERED_ANSWER = re.compile(
    r"((?i:\b(?:option|choice|number|statement|answer(?: is| remains)?:?)\s)\**\(?|^\W{0,3}|\()([1-8])"
    r"(\)|\*\*|[.:](?=\s|\Z)|(?=[,;]|\s*\Z|\s(?:is|it|stands|because|since|and)\b))"
)
_LEAST_OPTIONS = 2
_CLOSING_CHARS = 220
_END = re.compile(r"[.!?]\s|\n")


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


def options_of(question: str) -> dict[str, set[str]]:
    """Return the content words of each option of a multiple-choice question."""
    found = {
        m.group(1).upper(): stems_of(tokens_of(m.group(2))) for m in _OPTION.finditer(question)
    }
    return found if len(found) >= _LEAST_OPTIONS else {}


def _last_number(text: str) -> list[str]:
    """The last sentence's number, of an equation its right side; what it was not is left out."""
    settled = _ASIDE.sub("", without_farewell(text))
    for sentence in reversed(_END.split(settled)):
        numbers = _EQUATION.findall(sentence) or _NUMBER.findall(sentence)
        if numbers:
            return [_plain(numbers[-1])]
    return []


def without_farewell(text: str) -> str:
    """Drop what models close with: hopes, offers, thanks, apologies. One sentence always stays."""
    starts = [0, *(m.end() for m in _END.finditer(text.rstrip()))]
    while len(starts) > 1 and (
        not text[starts[-1] :].strip() or FAREWELL.match(text[starts[-1] :])
    ):
        text = text[: starts.pop()].rstrip()
    return text


def lettered(question: str, *texts: str) -> tuple[str, ...]:
    """Spell numbered options as lettered ones, in the question and in the texts on it.

    Returned as they are unless the question numbers its options from 1 and has no lettered ones.
    """
    numbers = [int(m.group(1) or m.group(2)) for m in _NUMBERED.finditer(question)]
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < _LEAST_OPTIONS:
        return (question, *texts)
    if options_of(question):
        return (question, *texts)

    def letter(match: re.Match[str]) -> str:
        number = int(match.group(2))
        return (
            f"{match.group(1)}{chr(64 + number)}{match.group(3)}"
            if number in numbers
            else match.group()
        )

    listed = _NUMBERED.sub(lambda m: f"\n{chr(64 + int(m.group(1) or m.group(2)))}) ", question)
    return (listed, *(_NUMBERED_ANSWER.sub(letter, text) for text in texts))


def answer_of(text: str, options: Options) -> Answer:
    """Return what a text lands on; letters only where the question offers options."""
    letters = _stated_letters(text, options) if options else []
    boxed = [_unboxed(m.group(1)) for m in _BOXED.finditer(text)]
    numbers = boxed or [_plain(m.group(1)) for m in _STATED_NUMBER.finditer(text)]
    stated = bool(letters or numbers)
    torn = False
    if options and not letters:
        letters = _closing_letters(text, options)
        torn = len(set(letters)) > 1
        letters = [] if torn else letters
    numbers = numbers or _last_number(text)
    return Answer(
        letter=letters[-1] if letters else "",
        first_letter=letters[0] if letters else "",
        number=numbers[-1] if numbers else "",
        first_number=numbers[0] if numbers else "",
        stated=stated,
        torn=torn,
    )


def _stated_letters(text: str, options: Options) -> list[str]:
    """Letters that the text states as the answer, in order."""
    whole = _WHOLE.fullmatch(text.strip())
    if whole:
        return [whole.group(1).upper()]
    found = [(m.start(), _letter(m)) for p in _STATING for m in p.finditer(text)]
    found += [(m.start(), _boxed_letter(m.group(1))) for m in _BOXED.finditer(text)]
    # A text that opens with one letter answers with it; one with several goes through the options.
    opening = list(_OPENING.finditer(text))
    if len(opening) == 1 and not text[: opening[0].start()].strip():
        found += [(0, opening[0].group(1).upper())]
    return [letter for _, letter in sorted(found) if letter in options]


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def _unboxed(content: str) -> str:
    """The content of a box in one spelling; of an equation its right side."""
    plain = _SPACING.sub("", _FRACTION.sub(r"\1/\2", content)).rpartition("=")[2]
    measured = _MEASURED.fullmatch(plain)
    return _plain(measured.group(1) if measured else plain)


def expressions_of(text: str) -> list[str]:
    """Formulas in boxes, dollar signs or bold that hold more than a word, in one spelling."""
    found = [m.group(1) for m in _BOXED.finditer(text)] or _FORMULA.findall(text)
    plain = [spelled(expression) for expression in found]
    return [e for e in plain if len(e) >= _SHORTEST and any(c in "=<>+-*/^" for c in e)]


def spelled(text: str) -> str:
    """A text without what only lays out its formulas."""
    return _SPACING.sub("", _FRACTION.sub(r"\1/\2", text)).replace("*", "").lower()


def _boxed_letter(content: str) -> str:
    plain = _SPACING.sub("", content)
    return plain[:1].upper() if len(plain) == 1 or _BOXED_OPTION.match(content) else ""


def _closing_letters(text: str, options: Options) -> list[str]:
    """Letters in the last two sentences, or else the option whose words these name best."""
    closing = _closing(text)
    letters = [letter for m in _BARE.finditer(closing) if (letter := _letter(m)) in options]
    return letters or _named_options(closing, options)


def _closing(text: str) -> str:
    """The last two sentences, or so many characters of them."""
    text = without_farewell(text).rstrip()
    tail = text[-_CLOSING_CHARS:]
    ends = [m.end() for m in _END.finditer(tail)]
    return tail[ends[-2] :] if len(ends) > 1 else tail


def _named_options(text: str, options: Options) -> list[str]:
    """The option whose words a text names best, and no other as well."""
    tail = stems_of(tokens_of(text))
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
