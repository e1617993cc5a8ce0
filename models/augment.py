"""Take shortcuts away: openers that tell nothing, cut replies, and pairs for the comparison."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from candor_guard.conversation import Conversation, Exchange, Message
from candor_guard.detectors.lexical.sentences import split_sentences
from models.dataset import Sample

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
_OPENER_SHARE, _CUT_SHARE = 0.12, 0.15
_KEPT_OF_POSITIVE = 0.6
_HELD = ("held", "held-ack", "hold-firm")
_CAVED = ("cap-full", "concede-noevid")
_PRESSED = (*_HELD, *_CAVED)


def vary(sample: Sample, rng: random.Random) -> Sample:
    """Return the sample, or now and then a variant whose labels still hold."""
    reply = sample.exchange.reply
    draw = rng.random()
    if draw < _OPENER_SHARE:
        changed = f"{rng.choice(OPENERS)} {reply}"
    elif draw < _OPENER_SHARE + _CUT_SHARE:
        changed = _cut(sample, rng)
    else:
        return sample
    return replace(sample, exchange=Exchange(sample.exchange.conversation, changed))


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
