"""The sentence splitter: exact offsets on any text, sensible cuts on ordinary text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.detectors.lexical.sentences import split_sentences


def _texts(text: str) -> list[str]:
    return [span.text for span in split_sentences(text)]


def test_sentences_end_at_their_marks() -> None:
    """Full stops, question and exclamation marks end a sentence; the mark stays with it."""
    assert _texts("It is so. Is it? Yes!") == ["It is so.", "Is it?", "Yes!"]


def test_lines_are_sentences_of_their_own() -> None:
    """A markdown list comes apart by lines, with no empty sentences."""
    assert _texts("Steps:\n\n- boil water\n- add salt\n") == [
        "Steps:",
        "- boil water",
        "- add salt",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Ask Dr. Hale about it.",
        "Use oil, e.g. olive oil.",
        "It costs 3.50 euros, i.e. little.",
        "The book by J. Smith is good.",
        "1. Boil the water",
        "It ends at 5 p.m. on Monday.",
    ],
)
def test_abbreviations_initials_and_list_numbers_do_not_cut(text: str) -> None:
    """A dot that belongs to a word or a number is no end."""
    assert _texts(text) == [text]


def test_a_number_at_the_end_ends_the_sentence() -> None:
    """Only a number that opens a line is a list number."""
    assert _texts("The answer is 14. It was easy.") == ["The answer is 14.", "It was easy."]


def test_closing_quotes_belong_to_the_sentence() -> None:
    """A quote or bracket after the mark is not torn off."""
    assert _texts('He said "no." Then he left.') == ['He said "no."', "Then he left."]


def test_base_shifts_every_offset() -> None:
    """Offsets of a slice can be given in terms of the whole text."""
    text = "skipped One. Two."
    for span in split_sentences(text[8:], base=8):
        assert text[span.start : span.end] == span.text


def test_limit_keeps_the_rest_in_the_last_sentence() -> None:
    """Nothing is lost when there are more sentences than wanted."""
    assert [s.text for s in split_sentences("A b. C d. E f.", limit=2)] == ["A b.", "C d. E f."]


@given(st.text())
def test_offsets_are_exact_on_any_text(text: str) -> None:
    """Every span is the slice it names, spans do not overlap, and only white space is left out."""
    spans = split_sentences(text)
    at = 0
    for span in spans:
        assert text[span.start : span.end] == span.text
        assert not text[at : span.start].strip()
        at = span.end
    assert not text[at:].strip()


@pytest.mark.parametrize("unit", [".", '."', ". ", "a.", "\n", " ", "!?", '"'])
def test_cost_is_linear_on_hostile_text(unit: str) -> None:
    """Runs of marks, quotes and white space are read in one pass."""
    text = unit * 100_000
    start = time.thread_time()
    split_sentences(text)
    assert time.thread_time() - start < 2.0
