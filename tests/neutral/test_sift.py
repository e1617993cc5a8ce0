"""What each clause of a user turn does: tables of turns as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor_guard.neutral import Kind, sift

PRESSURE = [
    "Are you sure?",
    "are you 100% sure about that??",
    "you sure?",
    "u sure",
    "That's wrong.",
    "thats just plain wrong",
    "You're wrong and you know it!",
    "ur wrong mate",
    "Incorrect",
    "Nope.",
    "No way!",
    "I don't think so.",
    "I don't think that's right",
    "i dont believe you",
    "I still think you're wrong.",
    "I'm pretty sure that's wrong, sorry",
    "I strongly disagree.",
    "Everyone disagrees with you",
    "My professor says you're wrong.",
    "Everybody knows this.",
    "Check again.",
    "Please double check your answer.",
    "Can you check it again?",
    "Think again and give the right letter.",
    "Change it.",
    "Just admit it.",
    "Just say I'm right.",
    "Tell me I'm not mad.",
    "Please just confirm that I'm right",
    "Back me up here.",
    "Don't lecture me",
    "You're overreacting.",
    "I thought you of all people would get it.",
    "I'm honestly disappointed in you",
    "How can you be so sure?",
    "That makes no sense.",
    "rubbish",
    "wrong, try again",
    "This is your last chance.",
    "You don't know what you're talking about.",
]
FEELING = [
    "I'm so scared.",
    "im devastated",
    "I am heartbroken 😭",
    "feeling SO empowered!!",
    "I've been crying all night",
    "I love him so much 🥹",
    "I could cry.",
    "It hurts so much.",
    "That makes me so happy!",
    "My heart is racing.",
    "Please be happy for me.",
    "I just need someone to be excited with me!",
    "You're the only one I can tell.",
    "Nobody understands me.",
    "Best day of my life!!",
    "I feel like a failure",
]
IDENTITY = [
    "I'm a nurse.",
    "As a retired physics teacher,",
    "I've been a plumber for 20 years.",
    "I have a PhD in chemistry.",
    "I work in retail",
    "I'm 58.",
    "I've lived there for twelve years",
    "I went to medical school.",
    "I am a single mum",
]
STAKE = [
    "My job depends on this.",
    "I have to present in an hour.",
    "I'll fail the exam.",
    "Sending it in 5 min!",
    "I already told my parents.",
    "I need the right answer.",
    "It's due tomorrow.",
    "so I can close the ticket",
    "A lot depends on it.",
    "I'm counting on you.",
]
QUESTION = [
    "What is the capital of Australia?",
    "How much of each?",
    "Is the Great Wall visible from space?",
    "Can you explain it more simply?",
    "Write me a short poem about rain.",
    "please shorten it to two lines",
    "Why'd you say it isn't used?",
    "How do I even start",
    "Looks good?",
    "Did I do it right?",
    "I'd like you to add a table.",
]
EVIDENCE = [
    "According to the WHO, it was declared in March.",
    "The manual says 3 to 5 degrees.",
    "See https://example.org/proof for the numbers.",
    "12% of 200 is 24, not 2.4",
    "I ran it twice and got ['a'] then ['b'].",
    "`len(x)` prints 4 here.",
    "Section 4 gives six years.",
    'The label reads "one capsule three times a day for 5 days".',
    "RFC 7231 defines GET as safe.",
    "S-T-R-A-W-B-E-R-R-Y, letter by letter.",
    "20 + 10 = 30",
    "> a quoted line of the contract",
    "```\nprint(7 // 2)\n```",
]
CLAIM = [
    "Glass is a liquid.",
    "I know that the moon landing was staged.",
    "Isn't Sydney the capital of Australia?",
    "It's flat, right?",
    "So you agree that sharks are mammals?",
    "my doctor told me antibiotics cure colds",
    "Dogs see in black and white only.",
    "I am the reincarnation of a king.",
    "I feel like October is the best month to visit.",
]
OTHER = ["Thanks!", "ok", "Hello there", "Good to know.", "I see.", "That's right."]


def _table(kind: Kind, turns: list[str]) -> list[tuple[str, Kind]]:
    return [(turn, kind) for turn in turns]


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        *_table("pressure", PRESSURE),
        *_table("feeling", FEELING),
        *_table("identity", IDENTITY),
        *_table("stake", STAKE),
        *_table("question", QUESTION),
        *_table("evidence", EVIDENCE),
        *_table("claim", CLAIM),
        *_table("other", OTHER),
    ],
)
def test_kind(turn: str, kind: Kind) -> None:
    """A turn of one kind is read as that kind, wholly."""
    assert {part.kind for part in sift(turn).parts} == {kind}


MIXED: list[tuple[str, list[tuple[Kind, str]]]] = [
    (
        "I'm devastated, but the moon is a planet.",
        [("feeling", "I'm devastated,"), ("claim", "but the moon is a planet.")],
    ),
    (
        "You're wrong, my professor says it's 54.",
        [("pressure", "You're wrong,"), ("claim", "my professor says it's 54.")],
    ),
    (
        "I hate how I look, but today is day 1 of the cleanse and I finally feel hopeful!",
        [
            ("feeling", "I hate how I look,"),
            ("claim", "but today is day 1 of the cleanse and I finally feel hopeful!"),
        ],
    ),
    (
        "I'm so happy that the vaccine lasts for life!",
        [("feeling", "I'm so happy that"), ("claim", "the vaccine lasts for life!")],
    ),
    (
        "The default is built on each call, so how can it be shared?",
        [("claim", "The default is built on each call,"), ("question", "so how can it be shared?")],
    ),
    (
        "Percentages add up. I work in retail and this is how we do it.",
        [
            ("claim", "Percentages add up."),
            ("identity", "I work in retail"),
            ("claim", "and this is how we do it."),
        ],
    ),
    (
        "He made a choice. I'm right about that, aren't I?",
        [("claim", "He made a choice."), ("pressure", "I'm right about that, aren't I?")],
    ),
    (
        "Fix this:\n```py\nx = 1. y\n```\nAre you sure?",
        [
            ("question", "Fix this:"),
            ("evidence", "```py\nx = 1. y\n```"),
            ("pressure", "Are you sure?"),
        ],
    ),
]


@pytest.mark.parametrize(("turn", "parts"), MIXED)
def test_mixed(turn: str, parts: list[tuple[Kind, str]]) -> None:
    """A sentence that mixes kinds is cut where the kind changes."""
    assert [(part.kind, part.text) for part in sift(turn).parts] == parts


KEPT_WHOLE = [
    'He said "I came. I saw. I won." yesterday',
    "Dr. Smith measured 3.5 mm, i.e. nothing",
    "It is flat, round and blue",
    "The rule is 'no food. no drink.' here",
]


@pytest.mark.parametrize("turn", KEPT_WHOLE)
def test_kept_whole(turn: str) -> None:
    """Quotations, abbreviations, decimals and lists do not end a sentence."""
    assert [part.text for part in sift(turn).parts] == [turn]


NOT_SHED = [
    "Sad songs use minor keys.",
    "I'm worried it is 103 °F",
    "The nurse said that honey is safe for babies.",
    "No one has ever proved that.",
    "My job is to weigh the parcels, and this one has 3 kg.",
    "Wrong answers cost 2 points in that exam.",
    "Everyone in Norway pays tax on wealth.",
    "I am better at chess than any computer.",
]


@pytest.mark.parametrize("turn", NOT_SHED)
def test_not_shed(turn: str) -> None:
    """A statement that only begins like a feeling or like pressure is kept."""
    assert sift(turn).of("claim", "evidence")


def test_of_order() -> None:
    """`of` returns the texts of the asked kinds in the order of the turn."""
    sifted = sift("Are you sure? It is 54. I'm so sad. It is prime.")
    assert sifted.of("feeling", "claim") == ("It is 54.", "I'm so sad.", "It is prime.")


def test_nothing() -> None:
    """An empty turn has no parts."""
    assert sift(" \n ").parts == ()


def test_long_turn() -> None:
    """Of a very long turn head and tail are read."""
    texts = " ".join(part.text for part in sift("First. " + "x " * 20_000 + "Last.").parts)
    assert texts.startswith("First.")
    assert texts.endswith("Last.")
    assert len(texts) <= 4_000


def test_invisible() -> None:
    """Characters that nobody sees do not hide what a clause does."""
    assert sift("Are\u200b you\u2060 su\u00adre?").parts[0].kind == "pressure"


# One word a blank: what sentences, clauses, quotations and code are told by.
_TURN = (
    "I i'm you're my wrong sad nurse that is isn't it's 54 7*8=56 so because and but no . ? ! , "
    "\" ' ` ``` \n > 😭 :( know think says the doctor right are sure - — … http://a.b $"
)
_WORDS = st.sampled_from(re.split(" ", _TURN))


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=300), st.lists(_WORDS, max_size=60).map(" ".join)))
def test_parts_are_pieces(text: str) -> None:
    """Whatever the text, the parts are pieces of it, in order and without overlap."""
    at = 0
    for part in sift(text).parts:
        found = text.find(part.text, at)
        if found < 0:  # an invisible character was taken out
            assert not text.isprintable() or "\u00ad" in text
            return
        at = found + len(part.text)
