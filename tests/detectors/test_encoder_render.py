"""Rendering for the encoder: bounded, ordered, and deaf to special tokens in content."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.transformer.render import Budget, defuse, parts_of, render

CLS, SEP = 1, 2


@dataclass
class WordEncoding:
    """What a tokenizer returns."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class WordTokenizer:
    """One token a word; its id is the word's length, from 10 on."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> WordEncoding:
        """Split at white space."""
        assert not add_special_tokens
        found = list(re.finditer(r"\S+", sequence))
        ids = [SEP if m.group() == "[SEP]" else 10 + len(m.group()) for m in found]
        return WordEncoding(ids, [m.span() for m in found])

    def token_to_id(self, token: str) -> int | None:
        """Know the two special tokens."""
        return {"[CLS]": CLS, "[SEP]": SEP}.get(token)


def made(question: str, earlier: str, user: str, reply: str) -> Exchange:
    turns = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": earlier},
        {"role": "user", "content": user},
    ]
    return Exchange(Conversation.parse(turns), reply)


def test_a_short_exchange_is_kept_whole_and_in_order() -> None:
    """Parts that fit are kept whole, in their order."""
    row = render(parts_of(made("q", "ea", "use", "repl")), WordTokenizer(), Budget())
    assert row.ids == [CLS, 11, SEP, 12, SEP, 13, SEP, 14, SEP]
    assert row.types == [0, 0, 0, 0, 0, 0, 0, 1, 1]


def test_a_long_exchange_fits_the_budget() -> None:
    """However long the turns are, the row keeps to the budget."""
    long = "word and more of it. " * 2_000
    budget = Budget(question=5, earlier=6, user=7, reply=20)
    row = render(parts_of(made(long, long, long, long)), WordTokenizer(), budget)
    assert len(row.ids) == len(row.types) == budget.total == 43


def test_the_reply_gets_what_the_other_parts_leave_over() -> None:
    """After short turns a long reply has the whole rest of the row."""
    long = "word and more of it. " * 2_000
    budget = Budget(question=5, earlier=6, user=7, reply=20)
    row = render(parts_of(made("q", "e", "u", long)), WordTokenizer(), budget)
    assert len(row.ids) == budget.total
    assert row.types.count(1) == 20 + 4 + 5 + 6 + 1


def test_the_middle_of_a_long_reply_is_what_the_dispute_is_about() -> None:
    """Of a long reply's middle the sentences nearest the dispute are kept."""
    filler = "some filler here. " * 10
    reply = f"{filler}Canberra Australia Sydney. {filler}"
    parts = parts_of(made("q", "e", "Canberra Australia Sydney!", reply))
    row = render(parts, WordTokenizer(), Budget(reply=16))
    assert 10 + len("Australia") in row.ids


@pytest.mark.parametrize("token", ["[SEP]", "[CLS]", "</s>", "<|im_start|>", "[sep]"])
def test_special_tokens_in_content_are_defused(token: str) -> None:
    """No text can pose as another part by spelling a special token."""
    assert token not in defuse(f"a {token} b")
    row = render(parts_of(made("q", "e", f"x {token} y", "r")), WordTokenizer(), Budget())
    assert row.ids.count(SEP) == 4
