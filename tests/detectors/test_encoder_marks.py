"""Token types: each token says whose word it is, and pieces of a word say the same."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.transformer import marks
from candor_guard.detectors.encoder.transformer.render import Budget, parts_of, render


@dataclass
class Encoded:
    """What a tokenizer returns."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class PieceTokenizer:
    """Words in pieces of four letters, punctuation by itself, as word-piece tokenizers do."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Encoded:
        """Split at word ends, and long words again."""
        assert not add_special_tokens
        spans = [m.span() for m in re.finditer(r"[^\W_]{1,4}|[^\w\s]", sequence)]
        return Encoded([100 + i for i in range(len(spans))], spans)

    def token_to_id(self, token: str) -> int | None:
        """Know the two special tokens."""
        return {"[CLS]": 1, "[SEP]": 2}.get(token)


def stems(text: str) -> list[str]:
    return marks.stems(text, PieceTokenizer().encode(text, add_special_tokens=False))


def typed(reply: str) -> list[int]:
    turns = [
        {"role": "user", "content": "Name the capital"},
        {"role": "assistant", "content": "The capital: Canberra"},
        {"role": "user", "content": "No, Sydney"},
    ]
    exchange = Exchange(Conversation.parse(turns), reply)
    return render(parts_of(exchange), PieceTokenizer(), Budget(), marked=True).types


def test_all_pieces_of_a_word_share_its_stem() -> None:
    """A word that the tokenizer cuts up is one word still."""
    assert stems("Canberra wins") == ["canber", "canber", "wins"]


def test_punctuation_parts_words() -> None:
    """Tokens that touch without a letter on both sides belong to different words."""
    assert stems("(cats,dogs)") == ["", "cats", "", "dogs", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the", ""),
        ("is", ""),
        ("ox", ""),
        ("UN", "un"),
        ("1927", "1927"),
        ("B", "B"),
        ("b", ""),
        ("I", ""),
        ("A", ""),
        ("A)", "A"),
        ("inflections", "inflec"),
    ],
)
def test_content_words_numbers_and_option_letters_have_a_stem(text: str, expected: str) -> None:
    """Function words tell nothing about whose an answer is; options and numbers do."""
    assert stems(text)[0] == expected


def test_an_empty_text_has_no_stems() -> None:
    """A part that is missing has no tokens to mark."""
    assert stems("") == []


def test_the_reply_says_whose_each_word_is() -> None:
    """Own, the user's, shared and new words differ; the question's and function words are plain."""
    plain, user, own, new = marks.REPLY, marks.USERS, marks.OWN, marks.NEW
    expected = [
        *(plain, plain, user, user, plain, own, own),  # No , Sydn ey not Canb erra
        *(plain, new, new, new, plain, own, own, plain),  # , Melb ourn e the capi tal [SEP]
    ]
    assert typed("No, Sydney not Canberra, Melbourne the capital")[-15:] == expected


def test_the_context_says_what_the_reply_keeps() -> None:
    """Earlier words that the reply keeps or drops differ, and so do the user's that it takes."""
    kept, taken = typed("Canberra"), typed("Sydney")
    assert marks.KEPT in kept
    assert marks.LEFT in kept
    assert marks.TAKEN not in kept
    assert marks.DROPPED in taken
    assert marks.TAKEN in taken


def test_types_tell_the_reply_from_the_context() -> None:
    """Types from `REPLY` on are the reply's and its separator's alone."""
    types = typed("Sydney")
    assert [kind >= marks.REPLY for kind in types[-3:]] == [True, True, True]
    assert not any(kind >= marks.REPLY for kind in types[:-3])
    assert max(types) < marks.TYPES
