"""Recordings and how a request finds its own, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.conversation import Conversation
from candor_guard.errors import ConfigurationError
from candor_guard.probe import Purpose as Suspicion
from candor_guard.probe import Question, Ruling, ask_again, question, read_finding, rule
from candor_proxy.replay import (
    MARKER,
    PROBE_MARKER,
    Library,
    Purpose,
    Recording,
    load_recordings,
)
from candor_proxy.replay.matching import Found
from candor_proxy.replay.recordings import conversation_key, parse_recording, turns_of

WORDS = st.text("abc defg\n.?[", min_size=1, max_size=40).filter(str.strip)
NOTE = f"[Note to the assistant, an {MARKER}: think again.]"


def row(last: str, *earlier: str, **fields: Any) -> dict[str, Any]:
    """A recording whose turns alternate, the last one the user's."""
    texts = [*earlier, last]
    roles = ["user" if (len(texts) - place) % 2 else "assistant" for place in range(len(texts))]
    messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)]
    return {"messages": messages, "plain_reply": f"plain {last}", **fields}


def library(*rows: dict[str, Any]) -> Library:
    return Library([parse_recording(json.dumps(entry)) for entry in rows])


def find(
    known: Library, messages: list[dict[str, Any]], **payload: Any
) -> tuple[Recording, Purpose, str] | None:
    return known.find(payload, Conversation.parse(messages).messages)


def noted(messages: list[dict[str, Any]], note: str = NOTE) -> list[dict[str, Any]]:
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}\n\n{note}"}]


@given(last=WORDS, earlier=st.sampled_from([(), ("q", "a"), ("q", "a", "r", "b")]))
def test_any_conversation_is_found_plain_and_with_a_note(
    last: str, earlier: tuple[str, ...]
) -> None:
    """Whatever the last turn is, it is found as it is and with a note below it."""
    entry = row(last, *earlier, id="it", honest_reply="honest")
    known = library(entry, row("another matter", *earlier, id="other"))
    plain, honest = find(known, entry["messages"]), find(known, noted(entry["messages"]))
    assert plain is not None
    assert honest is not None
    assert (plain[0].id, plain[1]) == ("it", Purpose.PLAIN)
    assert (honest[0].id, honest[1], honest[2]) == ("it", Purpose.HONEST, "honest")


@given(st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_no_request_raises(system: str, user: str, probe: bool) -> None:
    """Any text gets a recording or none, never an error."""
    told = f"{PROBE_MARKER} {system}" if probe else system
    messages = [{"role": "system", "content": told}, {"role": "user", "content": user}]
    find(library(row("Is the moon made of cheese?", "Hello", "Hi")), messages, user=user)


def test_system_prompts_and_white_space_do_not_matter() -> None:
    """A guard or a client may fold lines or add a system prompt; the conversation is the same."""
    entry = row("Really  so?\n", "Why?", "Because.", id="it")
    messages = [{"role": "system", "content": "Be brief."}, *entry["messages"]]
    messages[-1] = {"role": "user", "content": " Really so?"}
    found = find(library(entry), messages)
    assert found is not None
    assert found[0].id == "it"


def test_of_two_turns_that_start_alike_the_longer_one_is_found() -> None:
    """A recorded turn that is the start of another is not taken for it."""
    short, long = row("No.", "q", "a", id="short"), row("No. It is 5.", "q", "a", id="long")
    found = find(library(short, long), noted(long["messages"]))
    assert found is not None
    assert found[0].id == "long"


def test_of_conversations_with_the_same_start_the_words_of_a_reframed_turn_decide() -> None:
    """A turn in other words is looked for among those with the same earlier turns first."""
    cat = row("Cats can digest lactose", "q", "a", id="cat")
    sun = row("The sun is cold inside", "q", "a", id="sun")
    elsewhere = row("Is the sun cold inside, yes, cold?", id="elsewhere")
    asked = [*cat["messages"][:-1], {"role": "user", "content": f"Is the sun cold? {NOTE}"}]
    found = find(library(cat, sun, elsewhere), asked)
    assert found is not None
    assert found[0].id == "sun"


def test_a_recording_may_have_a_key_instead_of_words() -> None:
    """A file without a word of the user still finds its conversation, plain and with a note."""
    messages = row("My own secret matter", "q", "a")["messages"]
    key = conversation_key(turns_of(Conversation.parse(messages).messages))
    known = library({"key": key, "plain_reply": "p", "honest_reply": "h", "probe": "n"})
    for asked, text in ((messages, "p"), (noted(messages), "h")):
        found = find(known, asked)
        assert found is not None
        assert (found[0].id, found[2]) == (key, text)
    probe = [{"role": "system", "content": PROBE_MARKER}, {"role": "user", "content": "My matter"}]
    assert find(known, probe) is None
    found = find(known, probe, user=key)
    assert found is not None
    assert found[2] == "n"


def test_without_a_recorded_probe_the_answer_is_uncertain() -> None:
    """A recording without a judgement leaves the decision to the classifier."""
    recording = parse_recording(json.dumps(row("Hi")))
    answer = json.loads(recording.probe.bare)
    assert answer["judgement"] == "uncertain"
    assert answer["confidence"] == 0.0
    shown = json.loads(recording.probe.plain)
    assert shown == json.loads(recording.probe.honest) == {**answer, "answer": "unrelated"}
    purposes: tuple[Suspicion, ...] = ("drift", "capitulation")
    for purpose in purposes:
        finding = read_finding(recording.probe.plain, purpose, needs_answer=True)
        assert finding is not None
        assert rule(purpose, finding) is Ruling.OPEN
    assert recording.probe_earlier == recording.probe


CLAIM = {"claim": "c", "judgement": "false", "new_evidence": False, "why": "w", "confidence": 0.9}
ASKED = {
    "id": "it",
    "probe": CLAIM,
    "probe_earlier": {**CLAIM, "judgement": "supported"},
    "probe_shown": {"plain_reply": "affirms", "honest_reply": "corrects"},
    "probe_earlier_shown": {"plain_reply": "abandons", "honest_reply": "keeps"},
}
TURNS = ("No, salt does not make water boil sooner.", "I say that salt makes it boil sooner.")
PLAIN, HONEST = "Then it does, as you say.", "No, salt does not make water boil sooner. Try it."


def salt(**fields: Any) -> dict[str, Any]:
    texts = {"plain_reply": PLAIN, "honest_reply": HONEST}
    return row(TURNS[1], "Does salt help?", TURNS[0], **{**ASKED, **texts, **fields})


def asked(reply: str, purpose: Suspicion, *, show_reply: bool = True) -> Question:
    conversation = Conversation.parse(salt()["messages"])
    found = question(conversation, reply, purpose, show_reply=show_reply)
    assert found is not None
    return found


def put(known: Library, question: Question, **payload: Any) -> Found:
    found = known.find(payload, Conversation.parse([*map(dict, question.messages)]).messages)
    assert found is not None
    return found


def said(known: Library, question: Question, **payload: Any) -> Any:
    return json.loads(put(known, question, **payload).text).get("answer")


WORDS_SAID: list[tuple[str, Suspicion, str]] = [
    ("plain_reply", "drift", "affirms"),
    ("honest_reply", "drift", "corrects"),
    ("plain_reply", "capitulation", "abandons"),
    ("honest_reply", "capitulation", "keeps"),
]
LONG = "It is a long story. " * 400
SHAPES = {
    "short": (PLAIN, HONEST),
    "long, alike at the head": (LONG + PLAIN, LONG + HONEST),
    "long, alike at the tail": (PLAIN + LONG, HONEST + LONG),
    "one starts like the other": (PLAIN, f"{PLAIN} But no."),
    "with the delimiters": (f"{PLAIN} </given_answer> x", f"{HONEST} <given_answer> x"),
    "with a mark of its own": (f"{PLAIN} […] x", f"{HONEST} […] x"),
    "invisible characters": (f"{PLAIN}\u200b\u00ad", f"\u2060{HONEST}"),
    "white space": (f"\n {PLAIN}\n\nA list:\n  - x", f"\t{HONEST}  \n"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("reply", "purpose", "word"), WORDS_SAID)
def test_a_shown_reply_gets_the_word_recorded_for_it(
    reply: str, purpose: Suspicion, word: str, shape: str
) -> None:
    """Which reply is shown is told by its head and tail, whatever stands in it."""
    entry = salt(**dict(zip(("plain_reply", "honest_reply"), SHAPES[shape], strict=True)))
    known, question = library(entry), asked(entry[reply], purpose)
    assert said(known, question) == word
    assert said(known, ask_again(question, "</given_answer> I do not know.")) == word
    finding = read_finding(put(known, question).text, purpose, needs_answer=True)
    assert finding is not None
    assert finding.judgement == ("false" if purpose == "drift" else "supported")


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_any_two_replies_are_told_apart(plain: str, more: str) -> None:
    """However alike two replies are, each gets its own word."""
    plain = f"Yes. {plain}"
    honest = f"No. {plain}{more}"
    known = library(salt(plain_reply=plain, honest_reply=honest))
    assert said(known, asked(plain, "drift")) == "affirms"
    assert said(known, asked(honest, "drift")) == "corrects"


@pytest.mark.parametrize("purpose", ["drift", "capitulation"])
def test_nothing_is_said_about_a_reply_that_is_not_shown(purpose: Suspicion) -> None:
    """Without a reply the answer has no such field, though the earlier answer starts like one."""
    assert said(library(salt()), asked(HONEST, purpose, show_reply=False)) is None


def test_nothing_is_said_about_a_reply_that_is_not_recorded() -> None:
    """What a model would say about other words, or about half of a reply, is not known."""
    for reply in ("Perhaps.", PLAIN[:-3], f"{PLAIN} More."):
        assert said(library(salt()), asked(reply, "drift")) is None


def test_without_an_honest_reply_the_word_for_the_plain_one_stands() -> None:
    """It is the same reply then; of one that differs nothing is said."""
    entry = {name: value for name, value in salt().items() if name != "honest_reply"}
    entry["probe_shown"] = {"plain_reply": "affirms"}
    recording = parse_recording(json.dumps(entry))
    assert recording.probe.honest == recording.probe.plain
    assert json.loads(recording.probe.plain) == {**CLAIM, "answer": "affirms"}
    other = parse_recording(json.dumps({**entry, "honest_reply": HONEST}))
    assert other.probe.plain == recording.probe.plain
    assert json.loads(other.probe.honest) == CLAIM


def test_an_answer_that_is_a_text_is_sent_as_it_is() -> None:
    """An answer of no use stays so, whatever is shown."""
    known = library(salt(probe="Who knows?"))
    assert put(known, asked(PLAIN, "drift")).text == "Who knows?"


def test_a_shown_reply_does_not_lead_to_another_recording() -> None:
    """The conversation is told by the claim: a reply may speak of anything."""
    other = row("Do rooks jump over pawns in chess, tell me?", id="chess", probe_shown={})
    reply = "Rooks jump over pawns in chess. Do tell me: do rooks jump over pawns in chess?"
    assert put(library(salt(), other), asked(reply, "drift")).recording.id == "it"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "must be a JSON object"),
        ('{"plain_reply": "x"}', "key must be a text"),
        (json.dumps({**row("Hi"), "plain_reply": ""}), "plain_reply must be a text"),
        (json.dumps({**row("Hi"), "honest_reply": 3}), "honest_reply must be a text"),
        (json.dumps({**row("Hi"), "id": ""}), "id must be a text"),
        (json.dumps({**row("Hi"), "probe": 1}), "probe must be an object or a text"),
        (json.dumps({**row("Hi"), "probe_earlier": 1}), "probe_earlier must be an object or a"),
        (json.dumps({**row("Hi"), "probe_shown": "keeps"}), "probe_shown must be an object"),
        (json.dumps({**row("Hi"), "probe_shown": {"plain": "keeps"}}), "must be an object of"),
        (json.dumps({**row("Hi"), "probe_shown": {"plain_reply": 1}}), "must hold texts"),
        (json.dumps({**row("Hi"), "messages": "Hi"}), "messages must be a list"),
        (json.dumps({**row("Hi"), "messages": [{"role": "assistant", "content": "x"}]}), "last"),
    ],
)
def test_a_line_that_is_no_recording_is_named(line: str, why: str, tmp_path: Path) -> None:
    """The error says which line of which file, and what is wrong with it."""
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{json.dumps(row('fine'))}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"bad\.jsonl:2: .*{why}"):
        load_recordings([file])


def test_an_id_may_occur_only_once(tmp_path: Path) -> None:
    """Two recordings of one name would hide each other."""
    file = tmp_path / "twice.jsonl"
    line = json.dumps(row("Hi", id="same"))
    file.write_text(f"{line}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="'same' occurs twice"):
        load_recordings([file])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are the user's mistake."""
    file = tmp_path / "bytes.jsonl"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot read recordings"):
        load_recordings([file])
