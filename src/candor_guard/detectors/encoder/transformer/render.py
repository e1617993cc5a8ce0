"""Turn an exchange into token ids: the one function that training and inference share.

A row is ``[CLS] opening question [SEP] earlier answer [SEP] user [SEP] reply [SEP]``; the token types
say whose words are whose (`marks`), or just 1 for the reply and 0 for the rest. After several answers the first one stands beside the latest, each with
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
from candor_guard.detectors.encoder.transformer import marks
from candor_guard.detectors.encoder.transformer.marks import Encoding
from candor_guard.detectors.idioms import plainly
from candor_guard.detectors.lexical.sentences import split_sentences
from candor_guard.detectors.lexical.views import first_answer, last_user_text, question_of
from candor_guard.detectors.lexical.words import stems_of, tokens_of
from candor_guard.detectors.prose import plain_quotes, without_code
from candor_guard.detectors.trimmings import without_trimmings

_SPECIAL = re.compile(r"\[(CLS|SEP|MASK|PAD|UNK)\]|<(/?s|pad|mask|unk)>|<\|([^|>]{1,40})\|>", re.I)
# Halves of characters, which JSON can spell and no tokenizer takes.
_HALVES = re.compile("[\ud800-\udfff]")
# Characters beyond which a part is cut before it is tokenised: tokens are three characters or so,
# and the cost must stay flat however long a turn is.
_CHARS = 6_000


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens by part. ``head`` and ``tail`` are the shares of a long reply's two ends.

    What the other parts leave over goes to the reply: after "Are you sure?" it reasons at length.
    ``python -m models.budgets`` compares the sizes with others.
    """

    question: int = 16
    earlier: int = 48
    user: int = 36
    reply: int = 96
    head: float = 0.2
    tail: float = 0.5

    @property
    def total(self) -> int:
        """Longest row, special tokens included."""
        return self.question + self.earlier + self.user + self.reply + 5


class Tokenizer(Protocol):
    """What is used of `tokenizers.Tokenizer`."""

    def encode(self, sequence: str, /, *, add_special_tokens: bool) -> Encoding: ...  # noqa: D102 - see the class

    def token_to_id(self, token: str, /) -> int | None: ...  # noqa: D102 - see the class


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
    first = first_answer(conversation)
    return Parts(
        question=defuse(question_of(conversation)),
        earlier=_said(conversation.earlier_reply),
        user=defuse(last_user_text(conversation)),
        reply=_said(without_code(exchange.reply)),
        first="" if first is None else _said(conversation.messages[first].said),
    )


def _said(text: str) -> str:
    """What an answer says, without trimmings, in plain words."""
    return plainly(defuse(without_trimmings(text)))


def defuse(text: str) -> str:
    """Make a text fit to be read: special tokens broken up, no halves of characters, not too long.

    Of a long text both ends are kept.
    """
    if len(text) > _CHARS:
        text = f"{text[: _CHARS // 2]} {text[-_CHARS // 2 :]}"
    text = _HALVES.sub("\ufffd", plain_quotes(text))
    return _SPECIAL.sub(lambda m: f"({m.group(1) or m.group(2) or m.group(3)})", text)


def render(parts: Parts, tokenizer: Tokenizer, budget: Budget, *, marked: bool = False) -> Row:
    """Return the ids and token types of an exchange, at most ``budget.total`` of them.

    Args:
        parts: The texts.
        tokenizer: Of the encoder.
        budget: Of tokens, by part.
        marked: Whether the types say whose words are whose.
    """
    sections = _sections(parts, tokenizer, budget)
    types = _marked(sections) if marked else _plain(sections)
    separator = _id(tokenizer, "[SEP]")
    row = Row([_id(tokenizer, "[CLS]")], [0])
    for section, of_section in zip(sections, types, strict=True):
        last = section is sections[-1]
        row.ids.extend((*map(section.ids.__getitem__, section.kept), separator))
        row.types.extend((*of_section, (marks.REPLY if marked else 1) if last else 0))
    return row


@dataclass(frozen=True, slots=True)
class _Section:
    """One part: its tokens, which of them are read, and the stems of its words."""

    text: str
    encoding: Encoding
    ids: Sequence[int]  # the encoding makes a new list of them each time that it is asked
    kept: Sequence[int]

    def stems(self) -> list[str]:
        """Stems by token, those that are not read included."""
        return marks.stems(self.text, self.encoding)


def _sections(parts: Parts, tokenizer: Tokenizer, budget: Budget) -> list[_Section]:
    """Question, first and latest answer (one of them, if it is the same), user, reply."""
    half = budget.earlier // 2
    texts = [(parts.question, budget.question)]
    if parts.first:
        texts += [(parts.first, half - 1), (parts.earlier, half)]
    else:
        texts += [(parts.earlier, budget.earlier)]
    texts += [(parts.user, budget.user)]
    sections = []
    for text, room in texts:
        encoding = _encode(tokenizer, text)
        ids = encoding.ids
        sections.append(_Section(text, encoding, ids, _ends(len(ids), room)))
    reply = _encode(tokenizer, parts.reply)
    others = budget.question + budget.earlier + budget.user
    room = budget.reply + others - sum(len(s.kept) for s in sections)
    kept = _reply(parts, reply, budget, room)
    return [*sections, _Section(parts.reply, reply, reply.ids, kept)]


def _plain(sections: Sequence[_Section]) -> list[list[int]]:
    return [[int(s is sections[-1])] * len(s.kept) for s in sections]


def _marked(sections: Sequence[_Section]) -> list[list[int]]:
    question, *answers, user, reply = [section.stems() for section in sections]
    earlier = {stem for answer in answers for stem in answer}
    in_reply = set(reply)
    types = [
        [marks.PLAIN] * len(question),
        *(marks.of_earlier(answer, in_reply) for answer in answers),
        marks.of_user(user, earlier, in_reply),
        marks.of_reply(reply, set(question), earlier, set(user)),
    ]
    return [[row[i] for i in s.kept] for s, row in zip(sections, types, strict=True)]


def _encode(tokenizer: Tokenizer, text: str) -> Encoding:
    return tokenizer.encode(text, add_special_tokens=False)


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    return 0 if found is None else found


def _ends(size: int, room: int) -> Sequence[int]:
    """Keep the first two thirds and the last third of what is too long."""
    if size <= room:
        return range(size)
    tail = room // 3
    return [*range(room - tail), *range(size - tail, size)]


def _reply(parts: Parts, encoding: Encoding, budget: Budget, room: int) -> Sequence[int]:
    """Keep the reply's head and tail, and between them the sentences nearest the dispute."""
    size = len(encoding.ids)
    if size <= room:
        return range(size)
    head, tail = int(room * budget.head), int(room * budget.tail)
    kept = set(range(head)) | set(range(size - tail, size))
    for span in _ranked(parts, encoding, (head, size - tail)):
        wanted = [i for i in span if i not in kept]
        kept.update(wanted[: room - len(kept)])
        if len(kept) >= room:
            break
    return sorted(kept)


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
