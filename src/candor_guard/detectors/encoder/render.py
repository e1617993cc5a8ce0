"""Turn an exchange into token ids: the one function that training and inference share.

A row is ``[CLS] opening question [SEP] earlier answer [SEP] user [SEP] reply [SEP]``; the reply has
token type 1, the rest 0. After several answers the first one stands beside the latest, each with
half of the room: who gave way two turns ago agrees with himself now. Each part is encoded by itself
and bounded by itself, and what looks like a special token in somebody's text is defused first, so
no text can pose as another part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from candor_guard.conversation import Exchange
from candor_guard.detectors.lexical.sentences import split_sentences
from candor_guard.detectors.lexical.views import last_user_text, question_of
from candor_guard.detectors.lexical.words import stems_of, tokens_of

_SPECIAL = re.compile(r"\[(CLS|SEP|MASK|PAD|UNK)\]|<(/?s|pad|mask|unk)>|<\|([^|>]{1,40})\|>", re.I)
# Characters beyond which a part is cut before it is tokenised: tokens are three characters or so,
# and the cost must stay flat however long a turn is.
_CHARS = 6_000


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens by part. ``head`` and ``tail`` are the shares of a long reply's two ends."""

    question: int = 24
    earlier: int = 60
    user: int = 44
    reply: int = 120
    head: float = 0.35
    tail: float = 0.35

    @property
    def total(self) -> int:
        """Longest row, special tokens included."""
        return self.question + self.earlier + self.user + self.reply + 5


class Encoding(Protocol):
    """What is used of `tokenizers.Encoding`."""

    @property
    def ids(self) -> list[int]: ...  # noqa: D102 - as in tokenizers

    @property
    def offsets(self) -> list[tuple[int, int]]: ...  # noqa: D102


class Tokenizer(Protocol):
    """What is used of `tokenizers.Tokenizer`."""

    def encode(self, sequence: str, /, *, add_special_tokens: bool) -> Encoding: ...  # noqa: D102

    def token_to_id(self, token: str, /) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Parts:
    """The texts of an exchange, defused; ``first`` is "" unless there are several answers."""

    question: str
    earlier: str
    user: str
    reply: str
    first: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Model input of one exchange."""

    ids: list[int]
    types: list[int]


def parts_of(exchange: Exchange) -> Parts:
    """Return the texts that the model reads."""
    conversation = exchange.conversation
    answers = conversation.answers
    return Parts(
        question=defuse(question_of(conversation)),
        earlier=defuse(conversation.earlier_reply),
        user=defuse(last_user_text(conversation)),
        reply=defuse(exchange.reply),
        first=defuse(answers[0]) if len(answers) > 1 else "",
    )


def defuse(text: str) -> str:
    """Break up special tokens and bound the length, keeping both ends of a long text."""
    if len(text) > _CHARS:
        text = f"{text[: _CHARS // 2]} {text[-_CHARS // 2 :]}"
    return _SPECIAL.sub(lambda m: f"({m.group(1) or m.group(2) or m.group(3)})", text)


def render(parts: Parts, tokenizer: Tokenizer, budget: Budget) -> Row:
    """Return the ids and token types of an exchange, at most ``budget.total`` of them."""
    first, separator = _id(tokenizer, "[CLS]"), _id(tokenizer, "[SEP]")
    ids = [first]
    half = budget.earlier // 2
    answers = (
        [(parts.first, half - 1), (parts.earlier, half)]
        if parts.first
        else [(parts.earlier, budget.earlier)]
    )
    for text, room in ((parts.question, budget.question), *answers, (parts.user, budget.user)):
        ids += [*_ends(_encode(tokenizer, text).ids, room), separator]
    types = [0] * len(ids)
    reply = [*_reply(parts, tokenizer, budget), separator]
    return Row(ids + reply, types + [1] * len(reply))


def _encode(tokenizer: Tokenizer, text: str) -> Encoding:
    return tokenizer.encode(text, add_special_tokens=False)


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    return 0 if found is None else found


def _ends(ids: Sequence[int], room: int) -> list[int]:
    """Keep the first two thirds and the last third of what is too long."""
    if len(ids) <= room:
        return list(ids)
    tail = room // 3
    return [*ids[: room - tail], *ids[len(ids) - tail :]]


def _reply(parts: Parts, tokenizer: Tokenizer, budget: Budget) -> list[int]:
    """Keep the reply's head and tail, and between them the sentences nearest the dispute."""
    encoding = _encode(tokenizer, parts.reply)
    ids, room = encoding.ids, budget.reply
    if len(ids) <= room:
        return list(ids)
    head, tail = int(room * budget.head), int(room * budget.tail)
    kept = set(range(head)) | set(range(len(ids) - tail, len(ids)))
    for span in _ranked(parts, encoding, (head, len(ids) - tail)):
        wanted = [i for i in span if i not in kept]
        kept.update(wanted[: room - len(kept)])
        if len(kept) >= room:
            break
    return [ids[i] for i in sorted(kept)]


def _ranked(parts: Parts, encoding: Encoding, inner: tuple[int, int]) -> list[range]:
    """Token ranges of the middle sentences, those that share most with the user's turn first."""
    about = stems_of(tokens_of(parts.user)) | stems_of(tokens_of(parts.question))
    starts = [start for start, _ in encoding.offsets]
    scored: list[tuple[float, int, range]] = []
    position = inner[0]
    for span in split_sentences(parts.reply):
        while position < inner[1] and starts[position] < span.start:
            position += 1
        begin = position
        while position < inner[1] and starts[position] < span.end:
            position += 1
        if position > begin:
            stems = stems_of(tokens_of(span.text))
            overlap = len(stems & about) / (3 + len(stems))
            scored.append((-overlap, begin, range(begin, position)))
    return [span for _, _, span in sorted(scored, key=lambda row: row[:2])]
