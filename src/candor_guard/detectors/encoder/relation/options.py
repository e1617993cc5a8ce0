"""The options of a multiple-choice question, however they are laid out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from candor_guard.detectors.encoder.relation.spelling import evened
from candor_guard.detectors.lexical.words import numbers_of, stems_of, tokens_of

Options = Mapping[str, set[str]]

_LEAST_OPTIONS = 2
_LONGEST = 400
# "**A.** this", "**B) that**", '"C": "those"': all as "C) those".
_SET_OFF = re.compile(
    r"\*\*[(\[]?([A-Ha-h])(?:[)\].:]{1,2}(?:\*\*[:.)]?|(?=\s))|\*\*[:.)])|"
    r"[\"']([A-H])(?:[\"']:|[).:](?=\s))"
)
_HEAD = re.compile(
    r"(?:(?<=[\s>$])|^)(?:(?:Option|Choice) )?[(\[]?([A-H](?=[)\].:])|[a-h](?=[)\]]))"
    r"(?:[)\]][:.]?\s{0,3}|[.:]\s{1,3})(?=\S)"
)
# Less plain marks open an option only at the start of a line, in order from A.
_LINE_HEAD = re.compile(
    r"^[ \t>*•|-]{0,8}(?:(?:Option|Choice) )?[(\[]?([A-Ha-h])(?:[)\].:/|]{1,2}|\*\*(?=\s)|\s{1,2}[-–—|:])\s{0,3}(?=\S)",
    re.M,
)
_TASK = re.compile(
    r"[.!?:]\s{1,3}(?:Please |Now |Just )?(?:[Aa]nswer|[Rr]espond|[Cc]hoose|[Ss]elect|[Pp]ick|[Gg]ive|[Ee]xplain|[Tt]hink|[Rr]eply|[Ll]et)\b"
)
_NUMBERED = re.compile(
    r"(?:(?<=\n)[ \t>*•-]{0,6}(?:(?:Option|Choice) )?|(?<=\s)(?=\()|(?<=[^\s,(]\s)(?=[1-8]\)))"
    r"(?:[(\[]([1-8])[)\]]|([1-8])[.:)])\*{0,2}\s{1,3}(?=\S)"
)
_NUMBERED_ANSWER = re.compile(
    r"((?i:\b(?:option|choice|number|statement|answer(?: is| remains)?:?|(?:go|stick|stay) with|choose|pick|select)\s)\**\(?|^\W{0,3}|\(|\\boxed\{)([1-8])"
    r"(\)|\}|\*\*|[.:](?=\s|\Z)|(?=[,;]|\s*\Z|\s(?:is|it|stands|because|since|and)\b))"
)


def options_of(question: str) -> dict[str, set[str]]:
    """Return the content words and numbers of each option of a multiple-choice question."""
    question = _SET_OFF.sub(lambda m: f" {m.group(1) or m.group(2)}) ", evened(question))
    found = _listed(question, list(_HEAD.finditer(question)))
    if len(found) < _LEAST_OPTIONS:
        lines = list(_LINE_HEAD.finditer(question))
        letters = "".join(m.group(1).upper() for m in lines)
        found = _listed(question, lines) if "ABCDEFGH".startswith(letters) else {}
    return found if len(found) >= _LEAST_OPTIONS else {}


def _listed(question: str, heads: list[re.Match[str]]) -> dict[str, set[str]]:
    """What stands behind each head: up to the next letter's head, or else to the end of the line."""
    found: dict[str, str] = {}
    for head, following in itertools.zip_longest(heads, heads[1:]):
        letter = head.group(1).upper()
        text = question[head.end() : head.end() + _LONGEST]
        if following and ord(following.group(1).upper()) == ord(letter) + 1:
            text = text[: following.start() - head.end()]
        else:
            text = _TASK.split(text.partition("\n")[0], maxsplit=1)[0]
        if text.strip():
            found[letter] = text
    tokens = {letter: tokens_of(text) for letter, text in found.items()}
    return {letter: stems_of(words) | numbers_of(words) for letter, words in tokens.items()}


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
