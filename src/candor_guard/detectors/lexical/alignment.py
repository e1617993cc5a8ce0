"""Compare the reply with the earlier answer and with the user's claim.

What survives of the earlier answer (its names, numbers, option letters, polarity), what enters
from the user's alternative, and what comes from nowhere: this tells a retreat better than any
wording does, and it travels across styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from candor_guard.detectors.lexical.views import (
    Sentence,
    TurnView,
    first,
    last,
    share,
    union,
)
from candor_guard.detectors.lexical.words import spread

# Sentences compared pair by pair are capped: the work grows with the product.
_PAIRED = 8


def compare(
    question: TurnView, earlier: TurnView, user: TurnView, reply: TurnView
) -> tuple[float, ...]:
    """Return the alignment features, in the order of `NAMES`."""
    return (
        *_words(question, earlier, user, reply),
        *_numbers(question, earlier, user, reply),
        *_names(question, earlier, user, reply),
        *_letters(earlier, user, reply),
        *_polarity(earlier, user, reply),
    )


def _words(
    question: TurnView, earlier: TurnView, user: TurnView, reply: TurnView
) -> tuple[float, ...]:
    own = earlier.stems - question.stems - user.stems
    alternative = user.stems - earlier.stems - question.stems
    opening = union(s.stems for s in first(reply))
    closing = union(s.stems for s in last(reply))
    known = earlier.stems | user.stems | question.stems
    return (
        share(own, reply.stems),
        share(own, opening),
        share(own, closing),
        share(earlier.stems, reply.stems),
        share(reply.stems, earlier.stems),
        share(alternative, reply.stems),
        share(alternative, opening),
        share(user.stems, reply.stems),
        share(reply.stems, user.stems),
        share(opening, user.stems),
        share(opening, earlier.stems),
        1.0 - share(reply.stems, known) if reply.stems else 0.0,
    )


def _numbers(
    question: TurnView, earlier: TurnView, user: TurnView, reply: TurnView
) -> tuple[float, ...]:
    own = earlier.numbers - question.numbers - user.numbers
    answer = union(s.numbers for s in (*first(earlier), *last(earlier, 1))) - question.numbers
    alternative = user.numbers - earlier.numbers - question.numbers
    new = reply.numbers - earlier.numbers - user.numbers - question.numbers
    opening = union(s.numbers for s in first(reply))
    closing = union(s.numbers for s in last(reply))
    lost = bool(answer) and not answer & reply.numbers
    return (
        float(bool(own)),
        share(own, reply.numbers),
        float(bool(answer)),
        share(answer, reply.numbers),
        share(answer, opening),
        share(answer, closing),
        float(bool(alternative)),
        share(alternative, reply.numbers),
        share(alternative, opening),
        share(alternative, closing),
        math.log1p(len(new)),
        float(lost),
        float(lost and bool(reply.numbers - question.numbers)),
        float(bool(alternative & closing) and not answer & closing),
    )


def _names(
    question: TurnView, earlier: TurnView, user: TurnView, reply: TurnView
) -> tuple[float, ...]:
    own = earlier.names - question.stems - user.stems
    alternative = user.names - earlier.stems - question.stems
    return (
        float(bool(own)),
        share(own, reply.stems),
        float(bool(alternative)),
        share(alternative, reply.stems),
        share(alternative, union(s.stems for s in first(reply))),
        math.log1p(len(reply.names - earlier.stems - user.stems - question.stems)),
    )


def _letters(earlier: TurnView, user: TurnView, reply: TurnView) -> tuple[float, ...]:
    """The option that the earlier answer chose against the one that the reply lands on."""
    before = earlier.letters[-1] if earlier.letters else ""
    after = reply.letters[-1] if reply.letters else ""
    wanted = user.letters[-1] if user.letters else ""
    both = bool(before and after)
    return (
        float(both),
        float(both and before == after),
        float(both and before != after),
        float(bool(before and reply.letters) and before == reply.letters[0]),
        float(bool(wanted) and wanted != before and wanted == after),
    )


def _polarity(earlier: TurnView, user: TurnView, reply: TurnView) -> tuple[float, ...]:
    before, after, claim = earlier.polarity, reply.polarity, user.polarity
    kept, flipped = _parity(earlier.sentences, reply.sentences)
    affirmed, denied = _parity(user.sentences, reply.sentences)
    return (
        float(before),
        float(after),
        float(before * after < 0),
        float(before * after > 0),
        float(claim * after > 0),
        math.log1p(kept),
        math.log1p(flipped),
        math.log1p(affirmed),
        math.log1p(denied),
        _negation_rate(reply.sentences) - _negation_rate(earlier.sentences),
        _negation_rate(reply.sentences[:3]) - _negation_rate(user.sentences),
    )


NAMES: tuple[str, ...] = tuple(
    f"align:{name}"
    for name in spread(
        "kept kept_opening kept_closing earlier_in_reply reply_in_earlier alternative "
        "alternative_opening user_in_reply reply_in_user opening_in_user opening_in_earlier novel "
        "own_numbers own_numbers_kept answer_number answer_number_kept answer_number_opening "
        "answer_number_closing alternative_number alternative_number_in alternative_number_opening "
        "alternative_number_closing new_numbers numbers_lost numbers_switched number_replaced "
        "own_names own_names_kept alternative_names alternative_names_in alternative_names_opening "
        "new_names options options_same options_differ options_first option_users "
        "polarity_earlier polarity_reply polarity_flip polarity_same polarity_user sentence_kept "
        "sentence_flipped claim_affirmed claim_denied negation_shift negation_against_user"
    )
)


def _parity(theirs: Sequence[Sentence], ours: Sequence[Sentence]) -> tuple[float, float]:
    """Overlapping sentence pairs of equal and of opposite negation, weighted by their overlap."""
    same = opposite = 0.0
    for mine in ours[:_PAIRED]:
        for other in theirs[:_PAIRED]:
            if not mine.stems or not other.stems:
                continue
            common = len(mine.stems & other.stems)
            if common < 2:
                continue
            overlap = common / min(len(mine.stems), len(other.stems))
            if mine.negated == other.negated:
                same += overlap
            else:
                opposite += overlap
    return same, opposite


def _negation_rate(sentences: Sequence[Sentence]) -> float:
    return sum(s.negated for s in sentences) / len(sentences) if sentences else 0.0
