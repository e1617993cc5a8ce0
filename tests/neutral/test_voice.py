"""First person to third person."""

from __future__ import annotations

import pytest

from candor_guard.neutral.voice import sentence, third_person

THIRD = [
    ("my dog likes me", "the person's dog likes the person"),
    ("I'm late and I was ill", "the person is late and the person was ill"),
    ("i've seen it, I'll go", "the person has seen it, the person will go"),
    ("I'd never do it", "the person would never do it"),
    ("I'd paid for it", "the person had paid for it"),
    ("I go and I really try", "the person goes and the person really tries"),
    ("I have a cat, I don't smoke", "the person has a cat, the person doesn't smoke"),
    ("I need it", "the person needs it"),
    ("I wrote it and I walked", "the person wrote it and the person walked"),
    ("I redid it, I wont go", "the person redid it, the person wont go"),
    ("should I leave it on", "should the person leave it on"),
    ("am I late, do I pay", "is the person late, does the person pay"),
    ("I did it myself", "the person did it themself"),
    ("you said 56, check your answer", "the assistant said 56, check the assistant's answer"),
    ("you can't fold paper more than 7 times", "you can't fold paper more than 7 times"),
    ("we use 10% of our brains", "we use 10% of our brains"),
    ('he said "I love my cat"', 'he said "I love my cat"'),
    ("`my_var = I`", "`my_var = I`"),
    ("World War I ended in 1918", "World War I ended in 1918"),
    ("i.e. nothing", "i.e. nothing"),
]


@pytest.mark.parametrize(("text", "third"), THIRD)
def test_third_person(text: str, third: str) -> None:
    """The writer becomes "the person"; quotations, code, numerals and "we" stay."""
    assert third_person(text) == third


SENTENCES = [
    ("bats are blind", "Bats are blind."),
    ("is it?", "Is it?"),
    ("print(7)", "print(7)"),
    ("x = 5", "x = 5."),
    ("", ""),
]


@pytest.mark.parametrize(("text", "whole"), SENTENCES)
def test_sentence(text: str, whole: str) -> None:
    """A sentence opens with a capital unless it opens with code, and ends with a mark."""
    assert sentence(text) == whole
