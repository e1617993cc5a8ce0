"""Numbers in one spelling: "1/2", ".50" and LaTeX's fraction of 1 and 2 are the same answer.

Models spell one value in many ways, and the two sides of an exchange rarely choose the same. What
differs in spelling only must not look like a changed answer, and what differs in value ("3:45" and
"3:15", 4 and 4 pi) must not look like the same. Every pattern starts at a fixed character and repeats
boundedly.
"""

from __future__ import annotations

import re

from candor_guard.detectors.lexical.words import spread

# A value as `evened` leaves it: sign, digits, root or pi, then a denominator, minutes, or power of ten.
NUMBER = (
    r"-?(?:(?:\d[\d,]{0,15}(?:\.\d{1,15})?|\.\d{1,15})(?:√\d{1,6}|π)?|√\d{1,6}|π)"
    r"(?:/\d{1,6}| \d{1,3}/\d{1,3}|:\d{1,2}(?!\d)|e-?\d{1,3}(?!\d)| (?:thousand|million|billion|trillion)\b)?"
    r"(?: ?%| percent\b)?"
)
_VALUE = re.compile(
    r"(-?)(?:(\d+) (?=\d+/))?(\d*\.?\d+)(?:/(\d+))?(?:e(-?\d+))?(?: (thousand|million|billion|trillion))?"
    r"(?: ?(%|percent))?"
)
_MANY = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SMALL = spread(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = spread("twenty thirty forty fifty sixty seventy eighty ninety")
_WORDS = {word: value for value, word in enumerate(_SMALL)}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS, 2)}
# "one" and "zero" are rarely an answer, mostly "that one".
_WORD = re.compile(
    rf"\b(?:({'|'.join(_TENS)})(?:[ -]({'|'.join(_SMALL[1:10])}))?|({'|'.join(_SMALL[2:])}))\b",
    re.I,
)

_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_FANCY = re.compile("[−½⅓⅔¼¾⅕⅛\u00a0\u2009\u202f]|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]{1,4}")
_SIGNS = "−½⅓⅔¼¾⅕⅛\u00a0\u2009\u202f⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
_THIN = "\u00a0\u2009\u202f"
_MACRO = re.compile(
    r"\\(?:sqrt\s?(?:\{([^{}]{1,30})\}|(\d))|(?:text|math)(?:bf|it|rm|sf)?\{([^{}]{0,80})\}|"
    r"(pi)(?![a-z])\s?|,(?=\d{3})|([$%])|(times|cdot)(?![a-z])|q?quad(?![a-z])|[ ;:!])"
)
FRACTION = re.compile(r"(\d?)\\[dtc]?frac(?:\{([^{}]{1,30})\}\{([^{}]{1,30})\}|(\d)(\d))")
_POWER = re.compile(r"(?<=\d)\s?[×·*x]\s?10\^(?:\{(-?\d{1,3})\}|(-?\d{1,3}))")
_SPACING = re.compile(
    r"\\[,;! ]|\\(?:text|math)(?:bf|it|rm|sf)?\b|\\(?:left|right|displaystyle|quad|circ)\b|[\s${}()%°~]|"
    r"\^\{?\\circ|\\%"
)
# A number and its unit; single letters that name unknowns are none ("4x" is not 4).
_MEASURED = re.compile(
    rf"({NUMBER})(?:[ap]\.?m\.?\Z|(?![xyznabpqruvwie](?![A-Za-z]))[A-Za-z]{{1,12}}\.?(?:[/^*.][A-Za-z\d-]{{1,8}}\.?){{0,3}})"
)
_NUMBER = re.compile(NUMBER)
_ROUNDED = 2


def evened(text: str) -> str:
    """Spell signs, roots, fractions and powers of ten in one way and take LaTeX's fonts off."""
    if not text.isascii() and any(sign in text for sign in _SIGNS):
        text = _FANCY.sub(_fancy, text)
    if "\\" in text:
        text = FRACTION.sub(_fraction, _MACRO.sub(_macro, text.replace("{,}", ",")))
    if "10^" in text:
        text = _POWER.sub(r"e\1\2", text)
    return text.replace("-$", "$-") if "-$" in text else text


def _fancy(match: re.Match[str]) -> str:
    sign = match.group()
    after_digit = match.string[match.start() - 1 : match.start()].isdigit()
    if sign == "−":
        return "-"
    if sign in _VULGAR:
        return f" {_VULGAR[sign]}" if after_digit else _VULGAR[sign]
    if sign in _THIN:
        return "" if after_digit and match.string[match.end() : match.end() + 3].isdigit() else " "
    return f"^{sign.translate(_RAISED)}"


def _macro(match: re.Match[str]) -> str:
    root, digit, worded, pi, sign, times = match.groups()
    if root or digit:
        return f"√{root or digit}"
    if worded is not None:
        return worded
    if pi:
        return "π"
    if times:
        return "×"
    return sign or ("" if match.group() == "\\," else " ")


def _fraction(match: re.Match[str]) -> str:
    whole, above, below, one, other = match.groups()
    return f"{whole}{' ' if whole else ''}{above or one}/{below or other}"


def spelled(text: str) -> str:
    """A text without what only lays out its formulas."""
    return bare(FRACTION.sub(_fraction, text)).replace("*", "").lower()


def bare(text: str) -> str:
    """A formula without spaces, brackets and fonts."""
    return _SPACING.sub("", text)


def unboxed(content: str) -> str:
    """The content of a box in one spelling; of an equation its right side."""
    side = (
        content.replace("\\approx", "=")
        .replace("≈", "=")
        .rpartition("=")[2]
        .strip(" $~")
        .rstrip(".")
    )
    if _NUMBER.fullmatch(side):
        return plain(side)
    short = bare(side)
    measured = _NUMBER.fullmatch(short) or _MEASURED.fullmatch(short)
    if measured and "(" not in side:
        return plain(measured.group(1) if measured.re is _MEASURED else short)
    return short


def plain(number: str) -> str:
    """A number that `NUMBER` found, as a decimal; roots, pi and times of day as they are."""
    text = number.replace(",", "")
    if text.isdigit():
        return text.lstrip("0") or "0"
    found = _VALUE.fullmatch(text)
    if not found:
        return text
    sign, whole, digits, below, power, many, share = found.groups()
    percent = "%" if share else ""
    if below or power or many:
        if not int(below or 1):
            return text
        value = float(digits) / int(below or 1) + int(whole or 0)
        value *= 10.0 ** (int(power or 0) + _MANY.get(many, 0))
        return f"{sign}{value:.10g}{percent}"
    head, dot, tail = digits.partition(".")
    tail = tail.rstrip("0")
    return f"{sign}{head.lstrip('0') or '0'}{dot if tail else ''}{tail}{percent}"


def same_number(one: str, other: str) -> bool:
    """Whether two plain numbers are one value: 50% is 50 and 0.5, and 0.67 is 2/3 rounded."""
    if one == other:
        return bool(one)
    first, second = one.rstrip("%"), other.rstrip("%")
    if first == second:
        return bool(first)
    try:
        values = [float(first), float(second)]
    except ValueError:
        return False
    if ("%" in one) != ("%" in other):
        share, value = values if "%" in one else reversed(values)
        return abs(share / 100 - value) < 1e-9
    decimals = min(len(first.partition(".")[2]), len(second.partition(".")[2]))
    return decimals >= _ROUNDED and round(values[0], decimals) == round(values[1], decimals)


def worded(text: str) -> str:
    """The last number that a text writes out, in digits, or ""."""
    found = [m.groups() for m in _WORD.finditer(text)]
    if not found:
        return ""
    tens, ones, small = (word.lower() if word else "" for word in found[-1])
    return str(_WORDS[small] if small else _WORDS[tens] + _WORDS.get(ones, 0))
