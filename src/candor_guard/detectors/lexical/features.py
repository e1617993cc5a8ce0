"""Turn an exchange into a fixed row of numbers. Pure and deterministic.

The reader of the row is linear, so what matters only together (agreement without resistance, a
lost number under pressure) is multiplied here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.lexical import alignment
from candor_guard.detectors.lexical.cues import REPLY_CUES
from candor_guard.detectors.lexical.user_cues import USER_CUES
from candor_guard.detectors.lexical.views import (
    EARLIER_WINDOW,
    QUESTION_WINDOW,
    REPLY_WINDOW,
    USER_WINDOW,
    Sentence,
    TurnView,
    last_user_text,
    question_of,
    view,
)
from candor_guard.detectors.lexical.words import spread
from candor_guard.detectors.trimmings import without_trimmings

_EMOJI = re.compile("[\u2600-\U0010ffff]")
_R = {name: index for index, name in enumerate(REPLY_CUES.names)}
_U = {name: index for index, name in enumerate(USER_CUES.names)}
# Families whose words are too common inside a sentence; they count where they open one.
_OPENERS = (_R["assent"], _R["dissent"])
_QUESTION_WORDS = frozenset(spread("what how which who when where why name"))
_PERSONAL = frozenset(spread("i my me we our us myself"))
_RESISTANCE = ("hold", "contrast", "deny", "caution", "dissent")
_YIELDING = ("agree", "retract", "yield", "soften", "affirm", "assent")


@dataclass(frozen=True, slots=True)
class Views:
    """The four texts of an exchange, each read once."""

    question: TurnView
    earlier: TurnView
    user: TurnView
    reply: TurnView


def look(exchange: Exchange) -> Views:
    """Read the texts of an exchange."""
    conversation = exchange.conversation
    return Views(
        question=view(question_of(conversation), USER_CUES, QUESTION_WINDOW),
        earlier=view(without_trimmings(conversation.earlier_reply), REPLY_CUES, EARLIER_WINDOW),
        user=view(last_user_text(exchange), USER_CUES, USER_WINDOW),
        reply=view(without_trimmings(exchange.reply), REPLY_CUES, REPLY_WINDOW),
    )


def extract(exchange: Exchange) -> tuple[float, ...]:
    """Return the features of an exchange, in the order of `FEATURE_NAMES`."""
    return features_of(look(exchange))


def features_of(views: Views) -> tuple[float, ...]:
    """Return the features of texts that were already read."""
    has_earlier = bool(views.earlier.sentences)
    user = _user(views.user, has_earlier=has_earlier)
    reply = reply_cues(views.reply)
    aligned = alignment.compare(views.question, views.earlier, views.user, views.reply)
    return (
        *user,
        *_shape(views),
        *reply,
        *_earlier(views.earlier, views.reply),
        *aligned,
        *_crosses(views, aligned, has_earlier=has_earlier),
    )


def extract_request(conversation: Conversation) -> tuple[float, ...]:
    """Return the features of a request alone, in the order of `REQUEST_NAMES`."""
    user = view(last_user_text(conversation), USER_CUES, USER_WINDOW)
    return request_features(user, has_earlier=bool(conversation.earlier_reply))


def request_features(user: TurnView, *, has_earlier: bool) -> tuple[float, ...]:
    """Return the features of a last user turn that was already read."""
    return _user(user, has_earlier=has_earlier)


# --- Groups; each has its names right below -----------------------------------------------


def _user(user: TurnView, *, has_earlier: bool) -> tuple[float, ...]:
    cues = [math.log1p(count) for count in user.cues]
    opening = user.sentences[0].tokens[:1] if user.sentences else []
    sentences = max(1, len(user.sentences))
    questions = sum(s.span.text.endswith("?") for s in user.sentences)
    statements = sentences - questions
    first_person = sum(s.tokens.count("i") for s in user.sentences)
    personal = [s for s in user.sentences if not _PERSONAL.isdisjoint(s.tokens)]
    told = sum(not s.span.text.endswith("?") for s in personal)
    shape = (
        float(has_earlier),
        math.log1p(user.words),
        float(user.words <= 8),
        questions / sentences,
        min(3.0, float(statements)),
        min(3.0, float(user.text.count("!"))),
        float(
            bool(opening) and opening[0] in ("no", "but", "nope", "wrong", "not", "hmm", "really")
        ),
        float(bool(opening) and opening[0] in ("so", "and", "ok", "okay")),
        float(bool(user.sentences) and user.sentences[0].cues[_U["accept"]] > 0),
        float(bool(opening) and opening[0] in _QUESTION_WORDS),
        min(3.0, float(first_person)),
        min(3.0, float(told)),
        float(not personal),
        math.log1p(sum(s.tokens.count("you") for s in user.sentences)),
        math.log1p(len(user.numbers)),
        float(any(s.negated for s in user.sentences)),
        float(bool(user.sentences) and user.sentences[0].cues[_U["task"]] > 0),
        math.log1p(_per_hundred(user.cues[_U["task"]], user.words)),
    )
    press = _level(user, _U, ("doubt", "dispute"))
    crosses = (
        press * has_earlier,
        float(has_earlier) * cues[_U["authority"]],
        float(has_earlier) * cues[_U["evidence"]],
        float(has_earlier) * cues[_U["task"]],
        float(has_earlier) * cues[_U["belief"]],
        float(has_earlier) * cues[_U["accept"]],
        cues[_U["belief"]] * float(statements > 0),
        cues[_U["feeling"]] * float(told > 0),
        cues[_U["confirm"]] * float(bool(personal)),
        cues[_U["task"]] * float(not personal),
    )
    return (*cues, *shape, *crosses)


REQUEST_NAMES: tuple[str, ...] = (
    *(f"user:{name}" for name in USER_CUES.names),
    *spread(
        "user:has_earlier user:length user:terse user:questions user:statements user:exclaims "
        "user:opens_no user:opens_so user:opens_accept "
        "user:opens_question user:first_person user:personal user:impersonal user:second_person user:numbers "
        "user:negated user:opens_task user:task_rate user:press*earlier user:authority*earlier "
        "user:evidence*earlier user:task*earlier user:belief*earlier "
        "user:accept*earlier user:belief*statement "
        "user:feeling*personal user:confirm*personal user:task*impersonal"
    ),
)


def _shape(views: Views) -> tuple[float, ...]:
    reply = views.reply
    sentences = max(1, len(reply.sentences))
    text = reply.text
    emoji = 0 if text.isascii() else len(_EMOJI.findall(text))
    return (
        math.log1p(reply.words),
        float(reply.words <= 15),
        math.log(reply.words + 10) - math.log(views.earlier.words + 10),
        sum(s.span.text.endswith("?") for s in reply.sentences) / sentences,
        min(1.0, text.count("!") / sentences),
        math.log1p(min(emoji, 10)),
        float("```" in text),
        min(1.0, text.count("\n") / sentences),
        float("**" in text),
        math.log1p(len(reply.numbers)),
        sum(s.negated for s in reply.sentences) / sentences,
        float(bool(reply.sentences) and reply.sentences[0].negated),
        float(bool(reply.sentences) and reply.sentences[-1].span.text.endswith("?")),
    )


_SHAPE_NAMES = spread(
    "reply:length reply:terse reply:length_ratio reply:questions reply:exclaims reply:emoji "
    "reply:code reply:lines reply:bold reply:numbers reply:negations reply:first_negated "
    "reply:closing_question"
)

_POSITIONS = ("first", "head", "tail", "all")


def reply_cues(reply: TurnView) -> tuple[float, ...]:
    """Return the cues of a reply by family and position."""
    sentences = reply.sentences
    if not sentences:
        return (0.0,) * (len(_POSITIONS) * len(REPLY_CUES.names))
    opening = sentences[0].cues
    head = _most(sentences[1:3])
    tail = _most(sentences[-2:] if len(sentences) > 3 else sentences[3:])
    values: list[float] = []
    for index, total in enumerate(reply.cues):
        if index in _OPENERS:
            opens = [_opens(s, index) for s in sentences]
            values += (opens[0], max(opens[1:3], default=0.0), opens[-1], math.log1p(sum(opens)))
        else:
            at_first = min(2, opening[index])
            values += (at_first, head[index], tail[index], math.log1p(total))
    return tuple(values)


_CUE_NAMES = tuple(f"{name}:{where}" for name in REPLY_CUES.names for where in _POSITIONS)


def _earlier(earlier: TurnView, reply: TurnView) -> tuple[float, ...]:
    cues, now = earlier.cues, reply.cues
    return (
        *(math.log1p(cues[_R[name]]) for name in ("deny", "caution", "affirm", "soften", "reason")),
        float(cues[_R["caution"]] > 0 and now[_R["caution"]] == 0),
        float(cues[_R["deny"]] > 0 and now[_R["deny"]] == 0),
        float(cues[_R["soften"]] == 0 and now[_R["soften"]] > 0),
        math.log1p(earlier.words),
    )


_EARLIER_NAMES = spread(
    "earlier:deny earlier:caution earlier:affirm earlier:soften earlier:reason "
    "earlier:caution_dropped earlier:denial_dropped earlier:softened earlier:length"
)


def _crosses(views: Views, aligned: Sequence[float], *, has_earlier: bool) -> tuple[float, ...]:
    reply, user = views.reply, views.user
    push = _level(user, _U, ("doubt", "dispute")) * has_earlier
    evidence = min(1.0, user.cues[_U["evidence"]] / 2)
    resist = _level(reply, _R, _RESISTANCE)
    gives = _level(reply, _R, _YIELDING)
    opening = reply.sentences[0] if reply.sentences else None
    agree = _has(opening, "agree") or (opening is not None and _opens(opening, _R["assent"]) > 0)
    sorry = _has(opening, "apology")
    retract = float(reply.cues[_R["retract"]] > 0)
    unresisted = 1.0 - resist
    by_name = dict(zip(alignment.NAMES, aligned, strict=True))
    moved = by_name["align:alternative"] - by_name["align:kept"]
    return (
        unresisted,
        unresisted * push,
        unresisted * gives,
        unresisted * gives * push,
        agree * unresisted,
        agree * resist,
        agree * push,
        sorry * unresisted,
        sorry * resist,
        retract * push * (1 - evidence),
        retract * evidence,
        retract * unresisted,
        gives * evidence * push,
        push * evidence,
        moved * push,
        by_name["align:kept"] * push,
        by_name["align:numbers_switched"] * push,
        by_name["align:numbers_switched"] * evidence,
        by_name["align:claim_affirmed"] * unresisted,
        by_name["align:claim_denied"] * resist,
        float(not has_earlier) * unresisted,
        float(not has_earlier) * agree,
        float(not has_earlier) * gives,
        _level(reply, _R, ("warmth", "praise")) * unresisted,
        math.log1p(user.cues[_U["belief"]]) * unresisted,
        math.log1p(user.cues[_U["belief"]]) * agree,
        math.log1p(user.cues[_U["task"]]) * agree,
        math.log1p(user.cues[_U["task"]]) * unresisted,
    )


_CROSS_NAMES = spread(
    "cross:unresisted cross:unresisted*push cross:unresisted*gives cross:unresisted*gives*push "
    "cross:agree*unresisted cross:agree*resist cross:agree*push cross:sorry*unresisted "
    "cross:sorry*resist cross:retract*push*bare cross:retract*evidence cross:retract*unresisted "
    "cross:gives*evidence cross:push*evidence cross:moved*push cross:kept*push "
    "cross:switched*push cross:switched*evidence cross:affirmed*unresisted cross:denied*resist "
    "cross:single*unresisted cross:single*agree cross:single*gives cross:warm*unresisted "
    "cross:belief*unresisted cross:belief*agree cross:task*agree cross:task*unresisted"
)

FEATURE_NAMES: tuple[str, ...] = (
    *REQUEST_NAMES,
    *_SHAPE_NAMES,
    *_CUE_NAMES,
    *_EARLIER_NAMES,
    *alignment.NAMES,
    *_CROSS_NAMES,
)


def _level(turn: TurnView, index: dict[str, int], families: Sequence[str]) -> float:
    """How much of some families a turn shows: 0, then 0.5, then 1."""
    return min(1.0, sum(turn.cues[index[name]] for name in families) / 2)


def _most(sentences: Sequence[Sentence]) -> list[int]:
    if not sentences:
        return [0] * len(REPLY_CUES.names)
    return [min(2, max(column)) for column in zip(*(s.cues for s in sentences), strict=True)]


def _opens(sentence: Sentence, family: int) -> float:
    """Whether the sentence's first word starts a cue of the family."""
    return (
        float(REPLY_CUES.count(sentence.tokens[:2])[family] > 0) if sentence.cues[family] else 0.0
    )


def _has(sentence: Sentence | None, family: str) -> float:
    return float(sentence is not None and sentence.cues[_R[family]] > 0)


def _per_hundred(count: int, words: int) -> float:
    return 100.0 * count / words if words else 0.0


def cue_weights(weights: Sequence[float]) -> list[tuple[float, ...]]:
    """Pick the weights of the reply's cues: one row per family, one column per position."""
    start = len(REQUEST_NAMES) + len(_SHAPE_NAMES)
    size = len(_POSITIONS)
    rows = range(start, start + len(_CUE_NAMES), size)
    return [tuple(weights[row : row + size]) for row in rows]
