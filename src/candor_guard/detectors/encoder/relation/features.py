"""Features of the relation between earlier answer, user's claim and reply, in numbers.

They go beyond the lexical detector's: the answer that each side lands on, how yielding and
resisting move from sentence to sentence, which sentences meet and whether they agree in negation,
how firm the wording is before and after, and what became of the first answer over many turns.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder.relation.answers import Answer, answer_of
from candor_guard.detectors.encoder.relation.denied import DENIED_NAMES, denied
from candor_guard.detectors.encoder.relation.landing import LANDING_NAMES, landings
from candor_guard.detectors.encoder.relation.options import lettered, options_of
from candor_guard.detectors.encoder.relation.spelling import same_number
from candor_guard.detectors.encoder.relation.stance import (
    FIRMNESS_NAMES,
    TRAJECTORY_NAMES,
    firmness,
    mean,
    net,
    trajectory,
)
from candor_guard.detectors.lexical.cues import REPLY_CUES
from candor_guard.detectors.lexical.features import (
    FEATURE_NAMES,
    Views,
    features_of,
    look,
)
from candor_guard.detectors.lexical.views import Sentence, TurnView, share, union
from candor_guard.detectors.lexical.words import NEGATORS, stems_of, tokens_of

_R = {name: index for index, name in enumerate(REPLY_CUES.names)}
_FIRST_TURN_CHARS = 2_500
_PAIRED = 24
_NEAR = 0.34


@dataclass(frozen=True, slots=True)
class Pair:
    """The reply's sentence that meets another text's sentence best."""

    overlap: float = 0.0
    agrees: bool = False
    where: float = 0.0
    net: float = 0.0


def relate(exchange: Exchange) -> tuple[float, ...]:
    """Return the features of an exchange, in the order of `NAMES`."""
    return relate_views(exchange, look(exchange))


def relate_views(exchange: Exchange, views: Views) -> tuple[float, ...]:
    """Return the features of an exchange whose texts were already read."""
    return (*features_of(views), *_own(exchange, views))


def _own(exchange: Exchange, views: Views) -> tuple[float, ...]:
    return (
        *_answers(exchange, views),
        *trajectory(views.reply),
        *_meeting(views),
        *_uptake(views),
        *firmness(views.earlier, views.reply),
        *_history(exchange, views),
        *landings(views),
        *denied(views),
    )


# --- Where both sides land -------------------------------------------------------------------


def _answers(exchange: Exchange, views: Views) -> tuple[float, ...]:
    question, *texts = lettered(
        views.question.text,
        exchange.conversation.earlier_reply[-4000:],
        exchange.reply[-6000:],
        views.user.text,
    )
    options = options_of(question)
    before, after, wanted = (answer_of(text, options) for text in texts)
    tail = union(s.numbers for s in views.reply.sentences[-2:])
    return (
        float(bool(options)),
        *_letters(before, after, wanted),
        *_numbers(before, after, wanted),
        float(before.stated),
        float(after.stated),
        float(_kept(before, after, views.reply.numbers)),
        float(_kept(before, after, tail)),
        _switched(before, after, views.earlier.numbers, options=bool(options)),
        float(after.torn),
    )


def _letters(before: Answer, after: Answer, wanted: Answer) -> tuple[float, ...]:
    both = bool(before.letter and after.letter)
    return (
        float(both and before.letter == after.letter),
        float(both and before.letter != after.letter),
        float(both and after.first_letter != after.letter),
        float(bool(wanted.letter) and wanted.letter == after.letter),
    )


def _numbers(before: Answer, after: Answer, wanted: Answer) -> tuple[float, ...]:
    both = bool(before.number and after.number)
    same = same_number(before.number, after.number)
    return (
        float(both and same),
        float(both and not same),
        float(both and not same_number(after.first_number, after.number)),
        float(same_number(wanted.number, after.number)),
    )


def _kept(before: Answer, after: Answer, named: Collection[str]) -> bool:
    """Whether the earlier number is named, or meant by what the reply lands on in another spelling."""
    if not before.number:
        return False
    return before.number.rstrip("%") in named or same_number(before.number, after.number)


def _switched(before: Answer, after: Answer, known: Collection[str], *, options: bool) -> float:
    """1 when the reply states another answer than before, -1 when the same, 0 when untold.

    A number that the earlier answer had on its way to another one tells nothing.
    """
    pair = (before.letter, after.letter) if options else (before.number, after.number)
    if not all(pair) or not (after.stated or options):
        return 0.0
    if pair[0] == pair[1] or (not options and same_number(*pair)):
        return -1.0
    return 0.0 if not options and pair[1] in known else 1.0


_ANSWER_NAMES = (
    "options",
    "letter_same",
    "letter_differs",
    "letter_moves",
    "letter_wanted",
    "number_same",
    "number_differs",
    "number_moves",
    "number_wanted",
    "earlier_stated",
    "reply_stated",
    "number_kept",
    "number_kept_tail",
    "switched",
    "torn",
)


# --- Which sentences meet ---------------------------------------------------------------------


def _meeting(views: Views) -> tuple[float, ...]:
    """Match the earlier answer's and the user's key sentences with the reply's."""
    earlier = _pairs(views.earlier.sentences[:4], views.reply.sentences)
    closing = _pairs(views.earlier.sentences[-1:], views.reply.sentences)
    claim = _pairs(_claims(views.user), views.reply.sentences)
    return (*_sum_up(earlier), *_sum_up(closing), *_sum_up(claim), *_lead(earlier), *_lead(claim))


def _claims(user: TurnView) -> list[Sentence]:
    stated = [s for s in user.sentences if not s.span.text.endswith("?") and s.stems]
    return sorted(stated or list(user.sentences), key=lambda s: -len(s.stems))[:3]


def _pairs(theirs: Sequence[Sentence], ours: Sequence[Sentence]) -> list[Pair]:
    picked = list(ours) if len(ours) <= _PAIRED else [*ours[: _PAIRED // 2], *ours[-_PAIRED // 2 :]]
    return [_best(sentence, picked) for sentence in theirs if sentence.stems]


def _best(sentence: Sentence, others: Sequence[Sentence]) -> Pair:
    best = Pair()
    for index, other in enumerate(others):
        common = len(sentence.stems & other.stems)
        if not common:
            continue
        overlap = common / len(sentence.stems)
        if overlap > best.overlap:
            agrees = _negated(sentence) == _negated(other)
            best = Pair(overlap, agrees, index / max(1, len(others) - 1), net(other))
    return best


def _negated(sentence: Sentence) -> bool:
    """Whether an odd number of negations stands in the sentence."""
    return sum(token in NEGATORS for token in sentence.tokens) % 2 == 1


def _sum_up(pairs: Sequence[Pair]) -> tuple[float, ...]:
    near = [p for p in pairs if p.overlap >= _NEAR]
    return (
        mean([p.overlap for p in pairs]),
        sum(p.overlap for p in near if p.agrees),
        sum(p.overlap for p in near if not p.agrees),
    )


def _lead(pairs: Sequence[Pair]) -> tuple[float, ...]:
    if not pairs or not pairs[0].overlap:
        return (0.0, 0.0, 0.0, 0.0)
    lead = pairs[0]
    return (lead.overlap, 1.0 if lead.agrees else -1.0, lead.where, lead.net)


_SUM_NAMES = ("overlap", "agree", "oppose")
_LEAD_NAMES = ("lead", "lead_agrees", "lead_where", "lead_net")
_MEETING_NAMES = (
    *(f"{text}_{name}" for text in ("earlier", "closing", "claim") for name in _SUM_NAMES),
    *(f"{text}_{name}" for text in ("earlier", "claim") for name in _LEAD_NAMES),
)


# --- Whose content the reply takes up, and whether it denies it --------------------------------


def _uptake(views: Views) -> tuple[float, ...]:
    known = views.question.stems
    own = views.earlier.stems - views.user.stems - known
    theirs = views.user.stems - views.earlier.stems - known
    sentences = views.reply.sentences
    plain = union(s.stems for s in sentences if not s.negated)
    negated = union(s.stems for s in sentences if s.negated)
    half = len(sentences) // 2
    early, late = union(s.stems for s in sentences[:half]), union(s.stems for s in sentences[half:])
    own_early, own_late = share(own, early), share(own, late)
    theirs_early, theirs_late = share(theirs, early), share(theirs, late)
    return (
        share(own, plain),
        share(own, negated),
        share(theirs, plain),
        share(theirs, negated),
        share(own, plain) - share(own, negated),
        share(theirs, plain) - share(theirs, negated),
        own_late - own_early,
        theirs_late - theirs_early,
        share(theirs, plain) - share(own, plain),
        _weighted(own, views.reply.stems),
        _weighted(theirs, views.reply.stems),
        math.log1p(len(own)),
        math.log1p(len(theirs)),
    )


def _weighted(part: set[str], whole: set[str]) -> float:
    """Like `share`, long words counting more than short ones."""
    total = sum(map(len, part))
    return sum(map(len, part & whole)) / total if total else 0.0


_UPTAKE_NAMES = (
    "own_plain",
    "own_negated",
    "theirs_plain",
    "theirs_negated",
    "own_polarity",
    "theirs_polarity",
    "own_late",
    "theirs_late",
    "theirs_over_own",
    "own_weighted",
    "theirs_weighted",
    "own_size",
    "theirs_size",
)


# --- What became of the first answer --------------------------------------------------------------


def _history(exchange: Exchange, views: Views) -> tuple[float, ...]:
    answers = exchange.conversation.answers
    first = answers[0][:_FIRST_TURN_CHARS] if answers else ""
    stems = stems_of(tokens_of(first)) - views.user.stems - views.question.stems
    now, before = share(stems, views.reply.stems), share(stems, views.earlier.stems)
    return (
        float(min(6, len(answers))),
        float(len(answers) > 1),
        now,
        now - before,
        float(views.earlier.cues[_R["retract"]] > 0),
        mean([net(s) for s in views.earlier.sentences]),
    )


_HISTORY_NAMES = ["turns", "many", "first_kept", "first_eroded", "earlier_retracts", "earlier_net"]

OWN_NAMES: tuple[str, ...] = tuple(
    f"relation:{name}"
    for name in (
        *_ANSWER_NAMES,
        *TRAJECTORY_NAMES,
        *_MEETING_NAMES,
        *_UPTAKE_NAMES,
        *FIRMNESS_NAMES,
        *_HISTORY_NAMES,
        *LANDING_NAMES,
        *DENIED_NAMES,
    )
)
NAMES: tuple[str, ...] = (*FEATURE_NAMES, *OWN_NAMES)
