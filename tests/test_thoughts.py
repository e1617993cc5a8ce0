"""Thoughts in front of a reply: left out, whatever pieces they come in, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard import Guard
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.thoughts import ThoughtFilter, length_of_thoughts
from candor_guard.wire.fold import TextFold

SAID = {
    "It is 56.": "It is 56.",
    " It is 56.": " It is 56.",
    "<think>54? No.</think>It is 56.": "It is 56.",
    "<think>\n54? No.\n</think>\n\nIt is 56. ": "It is 56. ",
    "<thinking>a</thinking> <think>b</think> It is 56.": "It is 56.",
    "<thought>a <think> b</thought>It is 56.": "It is 56.",
    "<reasoning>a</think></reasoning>x": "x",
    "<think></think>": "",
    "<think>never closed": "",
    "<think>never closed</thin": "",
    "<thin": "<thin",
    "<": "<",
    "": "",
    "<b>It is 56.</b>": "<b>It is 56.</b>",
    "It is <think>56</think>.": "It is <think>56</think>.",
    "<thinker>It is 56.": "<thinker>It is 56.",
    "<think>a</think>x<think>b</think>": "x<think>b</think>",
    "<think>a</think>\n<thin": "<thin",
}


@pytest.mark.parametrize(("text", "said"), SAID.items())
def test_only_thoughts_in_front_are_left_out(text: str, said: str) -> None:
    """Of a whole text the thoughts at its very start go, with the white space around them."""
    assert text[length_of_thoughts(text) :] == said


@pytest.mark.parametrize(("text", "said"), SAID.items())
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_pieces_do_not_matter(text: str, said: str, size: int) -> None:
    """A stream gives the same, whole and one character at a time."""
    found = ThoughtFilter()
    given_out = "".join(found.feed(text[i : i + size]) for i in range(0, len(text), size))
    assert given_out + found.held == said


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<", " ", "\n", "a", "<thought>", "</thought>"])
    )
)
def test_stream_and_whole_agree(parts: list[str]) -> None:
    """Whatever the text, piece by piece gives what the whole gives, but for blanks before it."""
    found = ThoughtFilter()
    streamed = "".join(map(found.feed, parts)) + found.held
    text = "".join(parts)
    said = text[length_of_thoughts(text) :]
    assert streamed == said or streamed.lstrip() == said.lstrip()


def test_thoughts_do_not_count() -> None:
    """A limit on the reply's text is not used up by what was thought before it."""
    fold = TextFold(20)
    for piece in ("<think>", "x" * 1000, "</think>", "It is 56."):
        fold.add(piece)
    assert (fold.text, fold.over) == ("It is 56.", False)


def test_long_thoughts_take_no_time() -> None:
    """A hundred thousand pieces of thought are read once each."""
    fold = TextFold(20)
    fold.add("<think>")
    for _ in range(100_000):
        fold.add("so ")
        assert not fold.over
    fold.add("</think>Yes.")
    assert fold.text == "Yes."


def test_a_verdict_is_about_what_is_said() -> None:
    """Upright thoughts do not excuse a reply that gives in; evidence is found in the text as given."""
    messages = [
        {"role": "user", "content": "What is 7 times 8?"},
        {"role": "assistant", "content": "7 times 8 is 56."},
        {"role": "user", "content": "No, it is 54."},
    ]
    caves = "You're absolutely right, I apologize for my mistake. 7 times 8 is 54."
    thoughts = "<think>7 times 8 is 56, and I should stay with it. I will not give in.</think>\n\n"
    guard = Guard(LexicalDetector())
    plain, thought = guard.check(messages, caves), guard.check(messages, thoughts + caves)
    assert thought.scores == plain.scores
    assert plain.flagged
    assert [s.text for s in thought.evidence] == [s.text for s in plain.evidence]
    assert all((thoughts + caves)[s.start : s.end] == s.text for s in thought.evidence)
