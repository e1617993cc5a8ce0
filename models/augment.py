"""Take shortcuts away: openers that tell nothing, cut replies, and pairs for the comparison."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from candor_guard.conversation import Conversation, Exchange, Message
from candor_guard.detectors.lexical.sentences import split_sentences
from candor_guard.detectors.lexical.words import stems_of, tokens_of
from models.dataset import Sample
from models.wording import negated, switched, wandering, weakened

# Openers that go before held and caving replies alike.
OPENERS = (
    "I'm sorry for the confusion.",
    "Thank you for pushing back on this.",
    "You're right to question that.",
    "I understand why you'd say that.",
    "Good question.",
    "I appreciate your patience with me.",
    "Fair enough, let me take another look.",
    "I hear you.",
    "Apologies if my last message was unclear.",
    "That's a great point to raise!",
    "Okay.",
    "Let me think about it once more.",
    "Thanks for sharing your experience.",
    "I can see this matters to you.",
)
# How often a drawn row is varied in which way; the rest stays as it is.
_OPENER_SHARE, _SWAP_SHARE, _CUT_SHARE = 0.08, 0.08, 0.15
_DROP_SHARE, _AGREE_SHARE, _EMPTY_SHARE = 0.03, 0.03, 0.04
_LONGEST_OPENER = 9
_KEPT_OF_POSITIVE = 0.6
_HELD = ("held", "held-ack", "hold-firm")
_CAVED = ("cap-full", "concede-noevid")
_PRESSED = (*_HELD, *_CAVED)
_AFFIRMED, _ENDORSED = ("true-affirm", "agree-true"), ("drift-full", "agree-false")
CROSSED = "crossed"


def vary(sample: Sample, rng: random.Random, openers: Sequence[str] = OPENERS) -> Sample:
    """Return the sample, or now and then a variant with the labels that it then has.

    Args:
        sample: A training row.
        rng: Draws.
        openers: Natural openers of other replies, held and caving ones alike (`openers_of`).
    """
    draw = rng.random()
    changes: list[tuple[float, Callable[[], Sample]]] = [
        (_OPENER_SHARE, lambda: _said(sample, f"{rng.choice(OPENERS)} {sample.exchange.reply}")),
        (_SWAP_SHARE, lambda: _reopened(sample, rng.choice(openers))),
        (_CUT_SHARE, lambda: _said(sample, _cut(sample, rng))),
        (_DROP_SHARE, lambda: _without_earlier(sample)),
        (_AGREE_SHARE, lambda: _agreed_before(sample)),
        (_EMPTY_SHARE, lambda: _unanswered(sample)),
    ]
    for share, change in changes:
        if draw < share:
            return change()
        draw -= share
    return sample


def crossed(samples: Sequence[Sample]) -> list[Sample]:
    """Return replies that affirm a true claim, behind the false claim of the same family.

    "You're right: the axis points to it", said to somebody who claimed something else: the reply
    affirms, and what it gives as its ground does not fit. Only the comparison of both tells.
    """
    families: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        families[sample.group].append(sample)
    return [
        _crossed(true, false)
        for family in families.values()
        for true in family
        for false in _claimed_wrongly(family, true)
        if true.variant in _AFFIRMED
    ]


def _claimed_wrongly(family: Sequence[Sample], true: Sample) -> list[Sample]:
    """The first line of a family that makes another claim, a false one that its reply endorses."""
    said = true.exchange.conversation.messages
    found = (
        other
        for other in family
        if other.variant in _ENDORSED
        and other.has_earlier == true.has_earlier
        and other.exchange.conversation.messages != said
        and other.exchange.reply != true.exchange.reply
    )
    return list(islice(found, 1))


def _crossed(true: Sample, false: Sample) -> Sample:
    labels = {**false.labels, "warmth": true.labels["warmth"], "drift": 1.0, "endorsement": 1.0}
    return replace(
        false,
        id=f"{true.id}/{CROSSED}",
        exchange=Exchange(false.exchange.conversation, true.exchange.reply),
        labels={**labels, "capitulation": None, "concession": None},
        variant=CROSSED,
    )


def openers_of(samples: Sequence[Sample]) -> list[str]:
    """Collect short first sentences that name nothing of their conversations."""
    found = (_opener(sample) for sample in samples if sample.has_earlier)
    return sorted({opener for opener in found if opener}) or list(OPENERS)


def _said(sample: Sample, reply: str) -> Sample:
    return replace(sample, exchange=Exchange(sample.exchange.conversation, reply))


def _opener(sample: Sample) -> str:
    """The reply's first sentence if it is short, is not all and says nothing on the matter."""
    reply = sample.exchange.reply
    spans = split_sentences(reply)
    if len(spans) < 2:
        return ""
    tokens = tokens_of(spans[0].text)
    about = {s for m in sample.exchange.conversation.messages for s in stems_of(tokens_of(m.text))}
    short = len(tokens) <= _LONGEST_OPENER and not any(t[0].isdigit() for t in tokens)
    return spans[0].text if short and about.isdisjoint(stems_of(tokens)) else ""


def _reopened(sample: Sample, opener: str) -> Sample:
    """Put another reply's opener in the place of the reply's own."""
    own = _opener(sample)
    if not own:
        return sample
    start = sample.exchange.reply.index(own)
    return _said(sample, f"{opener}{sample.exchange.reply[start + len(own) :]}")


def _without_earlier(sample: Sample) -> Sample:
    """Drop all earlier turns: what needs an earlier answer has no label then."""
    last = sample.exchange.conversation.last_user
    if last is None or not sample.has_earlier:
        return sample
    return replace(sample, exchange=Exchange(Conversation((last,)), sample.exchange.reply))


def _agreed_before(sample: Sample) -> Sample:
    """Swap the earlier answer for one that says what the reply says: nothing is given up then."""
    conversation = sample.exchange.conversation
    if sample.kind != "C" or len(conversation.answers) != 1:
        return sample
    spans = split_sentences(sample.exchange.reply)
    if len(spans) < 2:
        return sample
    said = Message("assistant", sample.exchange.reply[spans[1].start :])
    messages = tuple(said if m.role == "assistant" and m.text else m for m in conversation.messages)
    labels = {**sample.labels, "capitulation": 0.0, "concession": 0.0}
    exchange = Exchange(Conversation(messages), sample.exchange.reply)
    return replace(sample, exchange=exchange, labels=labels)


def _unanswered(sample: Sample) -> Sample:
    """Empty the reply: only what the request tells keeps its label."""
    labels = {k: v if k in ("pressure", "evidence") else None for k, v in sample.labels.items()}
    return replace(_said(sample, ""), labels=labels)


def _cut(sample: Sample, rng: random.Random) -> str:
    """Cut at a sentence end. A reply that caves in keeps most of itself, so that it still does."""
    reply = sample.exchange.reply
    spans = split_sentences(reply)
    positive = any(
        (sample.labels.get(head) or 0.0) > 0
        for head in ("capitulation", "drift", "concession", "endorsement")
    )
    least = max(1, round(len(spans) * _KEPT_OF_POSITIVE)) if positive else 1
    if len(spans) <= least or sample.kind == "U":
        return reply
    return reply[: spans[rng.randrange(least, len(spans)) - 1].end]


def comparison_pairs(samples: Sequence[Sample], rng: random.Random) -> list[tuple[Exchange, float]]:
    """Make (two texts on one question, whether they differ) out of the conversations."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.has_earlier:
            groups[sample.group].append(sample)
    pairs: list[tuple[Exchange, float]] = []
    for members in groups.values():
        pairs += _against_earlier(members, rng) + _among(members, rng)
        pairs += _switched(members, rng)
        pairs += _reworded(members[0], rng)
    rng.shuffle(pairs)
    return pairs


def _against_earlier(members: Sequence[Sample], rng: random.Random) -> list[tuple[Exchange, float]]:
    pairs = []
    for sample in members:
        conversation = sample.exchange.conversation
        if sample.kind not in ("H", "C") or not conversation.earlier_reply:
            continue
        texts = [conversation.earlier_reply, _bare(sample.exchange.reply, rng)]
        if rng.random() < 0.5:
            texts.reverse()
        pairs.append((_pair(sample, texts[0], texts[1]), float(sample.kind == "C")))
    return pairs


def _switched(members: Sequence[Sample], rng: random.Random) -> list[tuple[Exchange, float]]:
    """Held replies that close with another answer after all, and such as only wander on their way."""
    pairs = []
    for sample in members:
        conversation, reply = sample.exchange.conversation, sample.exchange.reply
        earlier = conversation.earlier_reply
        if sample.kind != "H":
            continue
        asked = "\n".join(m.text for m in conversation.messages if m.role == "user")
        changed = (
            (switched(reply, earlier, asked, rng), 1.0),
            (switched(reply, earlier, asked, rng), 1.0),
            (wandering(reply, earlier, rng), 0.0),
        )
        pairs += [(_pair(sample, earlier, text), d) for text, d in changed if text != reply]
    return pairs


def _among(members: Sequence[Sample], rng: random.Random) -> list[tuple[Exchange, float]]:
    """Pairs of two replies of one scenario, each written to hold or to cave."""
    pairs = []
    pressed = [s for s in members if s.variant in _PRESSED]
    for index, one in enumerate(pressed):
        for other in pressed[index + 1 :]:
            differ = (one.variant in _HELD) != (other.variant in _HELD)
            texts = [_bare(one.exchange.reply, rng), _bare(other.exchange.reply, rng)]
            rng.shuffle(texts)
            pairs.append((_pair(one, texts[0], texts[1]), float(differ)))
    return pairs


def _reworded(sample: Sample, rng: random.Random) -> list[tuple[Exchange, float]]:
    """The earlier answer against itself with sentences left out, then negated, then weakened."""
    text = sample.exchange.conversation.earlier_reply
    spans = split_sentences(text)
    if not spans:
        return []
    kept = " ".join(s.text for s in spans if s is spans[0] or rng.random() < 0.6)
    changed = ((kept, 0.0), (negated(kept), 1.0), (weakened(kept), 0.5))
    return [(_pair(sample, text, other), d) for other, d in changed if d == 0.0 or other != kept]


def _bare(reply: str, rng: random.Random) -> str:
    """Drop the first sentence half of the time, so that the comparison is not of openers."""
    spans = split_sentences(reply)
    if len(spans) < 3 or rng.random() < 0.5:
        return reply
    return reply[spans[1].start :]


def _pair(sample: Sample, first: str, second: str) -> Exchange:
    question = sample.exchange.conversation.opening_question
    turns = (Message("user", question), Message("assistant", first), Message("user", ""))
    return Exchange(Conversation(turns), second)
