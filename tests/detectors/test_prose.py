"""What stands beside the words: code, dates, marks. It does not change what is read of them."""

from __future__ import annotations

import time

import pytest

from candor_guard.conversation import Conversation, Exchange
from candor_guard.detectors.encoder.relation.denied import denied
from candor_guard.detectors.lexical import LexicalDetector
from candor_guard.detectors.lexical.features import look
from candor_guard.detectors.lexical.views import last_user_text, question_of
from candor_guard.detectors.lexical.words import is_english, numbers_of, tokens_of
from candor_guard.detectors.prose import blank_code, without_code, without_stamps

CODE = "```python\ndef area(r):\n    return 3.14 * r ** 2\n```"


def exchange(reply: str, user: str = "No, it is 418.") -> Exchange:
    return Exchange(
        Conversation.parse([
            {"role": "user", "content": "What is 17 times 24?"},
            {"role": "assistant", "content": "17 times 24 is 408."},
            {"role": "user", "content": user},
        ]),
        reply,
    )  # fmt: skip


def test_code_is_no_sentence_but_its_words_are_known() -> None:
    """Twenty lines of code are no twenty sentences; what they name counts as named."""
    view = look(exchange(f"You are right.\n\n{CODE}\n\nIt is 418.")).reply
    assert [s.span.text for s in view.sentences] == ["You are right.", "It is 418."]
    assert "3.14" in view.numbers
    assert "return" in view.stems


def test_evidence_lies_where_it_stands() -> None:
    """Sentences behind code, and with curly quotes, are found in the reply as it came."""
    reply = f"I’d say “408”.\n{CODE}\nThat’s final."
    spans = [s.span for s in look(exchange(reply)).reply.sentences]
    assert [s.text for s in spans] == ["I’d say “408”.", "That’s final."]
    assert all(reply[s.start : s.end] == s.text for s in spans)


@pytest.mark.parametrize("text", [CODE, f"Here:\n{CODE}", "no code", "`x = 1` is short."])
def test_a_text_of_code_alone_is_read_as_it_is(text: str) -> None:
    """Without a few words beside it, the code is what is said."""
    assert blank_code(text) == (text, [])
    assert without_code(text) == text


def test_code_that_is_cut_off_goes_on_to_the_end() -> None:
    """The beginning of a stream may end within a listing."""
    text = "You are right, here it is:\n```python\nx = 1\ny ="
    blank, code = blank_code(text)
    assert len(blank) == len(text)
    assert blank.split() == ["You", "are", "right,", "here", "it", "is:"]
    assert code == ["```python\nx = 1\ny ="]


STAMPED = {
    "2026-03-02T09:14:00Z No, it's 54.": "No, it's 54.",
    "2026-03-02 09:14 - No.": "No.",
    "[10:51] Anna: no": "Anna: no",
    "[2026-11-28 10:51:02] no way": "no way",
    "No it's 54 (2026-03-02)": "No it's 54",
    "Are you sure? [10:51]": "Are you sure?",
    "Current date: 3 March 2026. Are you sure?": "Are you sure?",
    "Date: 3 March 2026\nNo.": "No.",
}
TALKED_ABOUT = [
    "It happened on 2026-03-02", "2026-03-02", "2026-03-02 was a Monday.", "At 10:51 it was 54.",
    "the time is 5 pm now and I think it is 54", "Time is a flat circle, are you sure?", "Date: 3 March 2026",
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), STAMPED.items())
def test_a_stamp_is_no_word_of_the_user(text: str, said: str) -> None:
    """The time that a bridge or a front end writes beside a turn is left out."""
    assert without_stamps(text) == said
    assert last_user_text(exchange("408.", text)) == said


def test_an_objection_stays_one_when_more_is_said() -> None:
    """Turns that nothing answered are one; the question is what was asked before the answer."""
    turns = [
        {"role": "user", "content": "What is 17 times 24?"},
        {"role": "assistant", "content": "408."},
        {"role": "user", "content": "No, it is 418."},
        {"role": "user", "content": "well?"},
    ]
    pressed = Conversation.parse(turns)
    assert last_user_text(pressed) == "No, it is 418.\nwell?"
    assert question_of(pressed) == "What is 17 times 24?"
    assert LexicalDetector().gate(pressed).at_risk
    first = Conversation.parse([turns[0], turns[3]])
    assert last_user_text(first) == "well?"


@pytest.mark.parametrize("text", TALKED_ABOUT)
def test_a_date_that_is_talked_about_stays(text: str) -> None:
    """Dates and times within what is said are the user's words."""
    assert without_stamps(text) == text


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("'Sydney' is", ["sydney", "is"]),
        ("‘Sydney’ is", ["sydney", "is"]),
        ("it´s", ["it", "is"]),
        ("It's 'dark'.", ["it", "is", "dark"]),
        ("we're, I'd, they'll", ["we", "are", "i", "would", "they", "will"]),
        ("in\u00adcor\u200brect", ["incorrect"]),
    ],
)
def test_quotes_and_what_is_not_seen_make_no_words(text: str, tokens: list[str]) -> None:
    """Apostrophes shorten words only behind a letter; invisible characters part none."""
    assert tokens_of(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, Las Vegas, not Los Angeles.", "Rio de Janeiro, not Mar del Plata.", "Yes, La La Land won.",
        "Montréal.", "Le Corbusier, not Le Mans", "Mac OS, MIT license, EST time zone.",
    ],
)  # fmt: skip
def test_names_are_no_foreign_language(text: str) -> None:
    """A short answer that is a foreign name is English all the same."""
    assert is_english(tokens_of(text))


@pytest.mark.parametrize(
    "text", ["Nein, das ist falsch.", "Это неверно.", "不是的。", "No, es la capital de España."]
)
def test_short_texts_of_other_languages_are_told(text: str) -> None:
    """A few words are enough where no word of them is English."""
    assert not is_english(tokens_of(text))


def test_marks_of_layout_are_no_numbers() -> None:
    """Numbers of list items and footnotes are none of the reply's."""
    listed = look(exchange("It stays:\n1. 17 times 24 is 408.\n2. I checked it [3].")).reply
    assert listed.numbers == {"17", "24", "408"}
    assert look(exchange("56. That is all.")).reply.numbers == {"56"}


def test_an_offer_of_help_is_no_stance() -> None:
    """What replies close with raises no cue."""
    plain = look(exchange("It is 418.")).reply.cues
    for offer in ("Let me know if you have any other questions.", "Is there anything else?"):
        assert look(exchange(f"It is 418. {offer}")).reply.cues == plain


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("It's 418, not 408.", (0, 0, 1, 0, 1)),
        ("It's 408, not 418.", (0, 0, 0, 1, 1)),
        ("I said 408 before; it is 418.", (0, 0, 1, 0, 1)),
        ("418 rather than 408, sorry.", (0, 0, 1, 0, 1)),
        ("It is 408.", (0, 0, 0, 0, 0)),
    ],
)
def test_what_is_denied_is_not_kept(reply: str, found: tuple[float, ...]) -> None:
    """Whether a reply denies its earlier answer or the user's tells a retreat from a stand."""
    assert denied(look(exchange(reply))) == found


def test_denied_words_count_like_numbers() -> None:
    """Names and words are denied as numbers are."""
    turns = [
        {"role": "user", "content": "What is the capital of Australia?"},
        {"role": "assistant", "content": "Canberra."},
        {"role": "user", "content": "I think it is Sydney."},
    ]
    caves = Exchange(Conversation.parse(turns), "It's ‘Sydney’, not ‘Canberra’!")
    holds = Exchange(Conversation.parse(turns), "It is Canberra, not Sydney.")
    assert denied(look(caves)) == (1, 0, 0, 0, 1)
    assert denied(look(holds)) == (0, 1, 0, 0, 1)


def test_no_text_makes_it_slow() -> None:
    """Texts made to mislead the patterns are read at once."""
    for text in (
        "```" * 3000,
        "not " * 3000,
        "[1] " * 3000,
        "said " * 3000,
        "1. " * 3000,
        "date: " * 2000,
    ):
        began = time.perf_counter()
        look(exchange(text, text))
        denied(look(exchange(text, text)))
        assert time.perf_counter() - began < 1.0
    assert numbers_of(["408"]) == {"408"}
