"""What both sides close with: the sentences in which a text says its answer, compared.

A reply that reasons at length names everything on its way; what it holds in the end stands in its last
sentences, or in the last one that draws a conclusion, before the wishes that models close with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from candor_guard.detectors.encoder.relation.answers import expressions_of
from candor_guard.detectors.encoder.relation.endings import FAREWELL
from candor_guard.detectors.encoder.relation.spelling import spelled
from candor_guard.detectors.lexical.features import Views
from candor_guard.detectors.lexical.views import Sentence, TurnView, share, union
from candor_guard.detectors.lexical.words import stems_of, tokens_of

_CONCLUDING = re.compile(
    r"\W{0,6}(?:so|therefore|thus|hence|in conclusion|overall|ultimately|in summary|in short|to conclude|finally|"
    r"(?:so )?(?:the|my) (?:final |correct |right |original |initial |first )?(?:answer|result|choice|conclusion)|"
    r"final answer|answer|conclusion|i (?:stand|stick|stay|remain|maintain|conclude)|this (?:means|confirms|gives|makes))\b",
    re.I,
)
_EITHER = re.compile(
    r"((?:[^\s,:?!;]+ ){0,5}[^\s,:?!;]+),? or ((?:[^\s,:?!;]+ ){0,5}[^\s,:?!;]+)\?"
)
_ASKED = 300
_CLOSING = 2
_NEAR = 0.34


@dataclass(frozen=True, slots=True)
class Landing:
    """The sentences that a text closes with."""

    sentences: tuple[Sentence, ...]
    stems: set[str]
    numbers: set[str]
    text: str


def landing_of(view: TurnView) -> Landing:
    """Return the last two sentences that are no farewell, and the last one that concludes."""
    sentences = list(view.sentences)
    while len(sentences) > 1 and FAREWELL.match(sentences[-1].span.text):
        sentences.pop()
    closing = sentences[-_CLOSING:]
    drawn = [
        s for s in sentences[len(sentences) // 2 : -_CLOSING] if _CONCLUDING.match(s.span.text)
    ]
    chosen = tuple(drawn[-1:] + closing)
    return Landing(
        chosen,
        union(s.stems for s in chosen),
        union(s.numbers for s in chosen),
        "\n".join(s.span.text for s in chosen),
    )


def landings(views: Views) -> tuple[float, ...]:
    """Return the features, in the order of `LANDING_NAMES`."""
    before, after = landing_of(views.earlier), landing_of(views.reply)
    asked = views.question.stems
    own = before.stems - asked
    theirs = views.user.stems - views.earlier.stems - asked
    said = after.stems - asked
    return (
        share(own, after.stems),
        share(own, views.reply.stems),
        share(said, views.earlier.stems),
        share(said, before.stems),
        share(theirs, after.stems),
        math.log1p(len(own)),
        math.log1p(len(said)),
        *_numbers(views, before, after),
        _polarity(before.sentences, after.sentences),
        _expressions(before, after),
        *_main(views, before),
        *_alternatives(views, before, after),
    )


def _numbers(views: Views, before: Landing, after: Landing) -> tuple[float, ...]:
    """Numbers of the question tell nothing, unless the earlier answer is one of them."""
    asked = views.question.numbers
    own = before.numbers - asked or before.numbers
    said = after.numbers - asked or after.numbers
    return (
        float(bool(own & said)),
        float(bool(own and said and not own & said)),
        float(bool(own) and not own & views.reply.numbers),
        float(bool(said - views.earlier.numbers - views.user.numbers)),
        float(bool((views.user.numbers - views.earlier.numbers - asked) & said)),
    )


def _polarity(before: Sequence[Sentence], after: Sequence[Sentence]) -> float:
    """Whether the two sentences that meet best are both denied or both not: 1, -1, or 0."""
    best, sign = _NEAR, 0.0
    for one in before:
        for other in after:
            met = len(one.stems & other.stems) / max(1, min(len(one.stems), len(other.stems)))
            if met > best:
                best, sign = met, 1.0 if one.negated == other.negated else -1.0
    return sign


def _expressions(before: Landing, after: Landing) -> float:
    """Whether the formula or quantity that one side closes with stands in the other's closing."""
    own, said = expressions_of(before.text), expressions_of(after.text)
    if not own and not said:
        return 0.0
    closing, opening = spelled(after.text), spelled(before.text)
    met = any(e in closing for e in own) or any(e in opening for e in said)
    return 1.0 if met else -1.0


def _main(views: Views, before: Landing) -> tuple[float, ...]:
    """The reply's first sentence that is no apology or wish: of a short reply, the answer itself."""
    main = next(
        (s for s in views.reply.sentences if s.stems and not FAREWELL.match(s.span.text)), None
    )
    if main is None:
        return (0.0,) * 6
    asked = views.question.stems
    first = _first_own(before, asked)
    theirs = views.user.stems - views.earlier.stems - asked
    new = main.stems - views.earlier.stems - views.user.stems - asked
    return (
        share(before.stems - asked, main.stems),
        float(first in main.stems) if first else 0.0,
        float(bool(first) and first not in main.stems),
        share(theirs, main.stems),
        len(new) / len(main.stems),
        _polarity(before.sentences, [main]),
    )


def _first_own(before: Landing, asked: set[str]) -> str:
    """The first word of the earlier answer that the question does not have."""
    for sentence in before.sentences:
        for token in sentence.tokens:
            for stem in stems_of([token]):
                if stem not in asked:
                    return stem
    return ""


def _alternatives(views: Views, before: Landing, after: Landing) -> tuple[float, ...]:
    """Which of "this or that" in the question each side names first where it lands."""
    sides = [stems_of(tokens_of(side)) for side in _sides(views.question.text)]
    if len(sides) < _CLOSING:
        return (0.0, 0.0)
    common = set.intersection(*sides)
    one, other = (_named_first([side - common for side in sides], x) for x in (before, after))
    known = one is not None and other is not None
    return (float(known and one == other), float(known and one != other))


def _sides(question: str) -> tuple[str, ...]:
    found = list(_EITHER.finditer(question[-_ASKED:]))
    if not found:
        return ()
    one, other = found[-1].groups()
    # "Is lemon juice acidic or basic?": the first side is as long as the second.
    return (" ".join(one.split()[-len(other.split()) :]), other)


def _named_first(sides: Sequence[set[str]], landing: Landing) -> int | None:
    """Index of the alternative that the last sentence naming one names first."""
    for sentence in reversed(landing.sentences):
        for token in sentence.tokens:
            for stem in stems_of([token]) | {token}:
                for index, side in enumerate(sides):
                    if stem in side:
                        return index
    return None


LANDING_NAMES = (
    "landing_own",
    "landing_own_anywhere",
    "landing_known",
    "landing_same",
    "landing_theirs",
    "landing_own_size",
    "landing_size",
    "landing_number_kept",
    "landing_number_other",
    "landing_number_gone",
    "landing_number_new",
    "landing_number_theirs",
    "landing_polarity",
    "landing_expression",
    "main_own",
    "main_own_first",
    "main_own_first_gone",
    "main_theirs",
    "main_new",
    "main_polarity",
    "landing_side_same",
    "landing_side_other",
)
