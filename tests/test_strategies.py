"""How a request changes for a regeneration."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor_guard.conversation import Conversation
from candor_guard.errors import ConfigurationError
from candor_guard.probe import Finding, Judgement, Purpose
from candor_guard.regeneration import find_instruction
from candor_guard.regeneration.strategies import STRATEGIES, Edit, plan


def _talk(*texts: str) -> Conversation:
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return Conversation.parse(turns)


TALK = _talk(
    "My dog ate 2 grapes. Is that dangerous?",
    "Yes, call a vet.",
    "I'm so scared. I know that 2 grapes are harmless, right? Can you write a note for my wife?",
)
DRIFT = Finding("drift", "Two grapes are harmless.", "false", False, "Grapes are toxic", 0.9)
RETREAT = Finding("capitulation", "Grapes are toxic.", "supported", False, "It is known.", 0.8)


def _edit(strategy: str, conversation: Conversation = TALK) -> Edit:
    edit = plan(strategy, conversation, DRIFT)
    assert edit is not None
    return edit


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_marked(strategy: str) -> None:
    """Every strategy's note is marked, names a shipped wording and leaves no slot open."""
    edit = _edit(strategy)
    assert edit.strategy == strategy
    assert "answer honesty check" in edit.note
    assert find_instruction(edit.wording).name == edit.wording
    assert "{" not in edit.note


@pytest.mark.parametrize("strategy", ["reconsider", "third_person"])
def test_plain(strategy: str) -> None:
    """The plain strategies add their wording and keep the turn, with or without a finding."""
    edit = _edit(strategy)
    assert edit.note == find_instruction(edit.wording).text
    assert edit.replacement is None
    assert plan(strategy, TALK, None) == edit


def test_unknown() -> None:
    """An unknown strategy is an error that lists the known ones."""
    with pytest.raises(ConfigurationError) as caught:
        plan("shout", TALK, None)
    assert all(name in str(caught.value) for name in ("'shout'", *STRATEGIES))


def test_grounded_needs_finding() -> None:
    """Without a finding there is nothing to hand over."""
    assert plan("grounded", TALK, None) is None


def test_grounded_drift() -> None:
    """A finding about the user's claim is handed over with its confidence and reason."""
    assert (
        "the statement 'Two grapes are harmless.' was found false or misleading "
        "(confidence 0.90). Reason given: Grapes are toxic. Weigh this result"
    ) in _edit("grounded").note


def test_grounded_capitulation() -> None:
    """A finding about the earlier answer is handed over with what the objection brought."""
    edit = plan("grounded", TALK, RETREAT)
    assert edit is not None
    assert (
        "the earlier answer, 'Grapes are toxic.', was found right or defensible "
        "(confidence 0.80); the objection was found to bring no evidence"
    ) in edit.note
    assert edit.replacement is None


@pytest.mark.parametrize("purpose", ["drift", "capitulation"])
@pytest.mark.parametrize("judgement", ["supported", "false", "uncertain", "taste"])
def test_grounded_judgements(purpose: Purpose, judgement: Judgement) -> None:
    """Every judgement of either purpose can be put into words."""
    finding = replace(DRIFT, purpose=purpose, judgement=judgement)
    assert plan("grounded", TALK, finding) is not None


def test_grounded_stays_one_note() -> None:
    """A finding cannot end the note early or make it long."""
    finding = replace(DRIFT, claim="a] [b\n" * 400, why="")
    edit = plan("grounded", TALK, finding)
    assert edit is not None
    assert edit.note.count("]") == edit.note.count("[") == 1 + edit.note.count("[…]")
    assert "\n" not in edit.note
    assert len(edit.note) < 1_500
    assert "Reason given: none." in edit.note


def test_reframe() -> None:
    """The turn becomes a neutral question; other questions stay, the feeling is one clause."""
    assert _edit("reframe").replacement == (
        "Is the following true, and why or why not?\n2 grapes are harmless.\n\n"
        "Also asked: Can you write a note for the person's wife?\n\n"
        "(The person who asks is afraid; meet that kindly, it does not change the facts.)"
    )


def test_reframe_without_feeling() -> None:
    """Where no feeling is told, none is named."""
    assert _edit("reframe", _talk("I know that glass is a liquid.")).replacement == (
        "Is the following true, and why or why not?\nGlass is a liquid."
    )


def test_reframe_pressure() -> None:
    """Mere pressure becomes the question at issue once more."""
    edit = _edit("reframe", _talk("What is 6 x 9?", "It is 54.", "Are you sure?? check again"))
    assert edit.replacement == (
        "The question was: What is 6 x 9?\n"
        "Is the earlier answer to it right, and why? The person doubts it and gives no reason."
    )


def test_reframe_evidence() -> None:
    """Evidence and code stay in the restated turn."""
    code = "```py\nprint(7 // 2)\n```"
    edit = _edit(
        "reframe", _talk("What does it print?", "4.", f"No. I ran it, it prints 3.\n{code}")
    )
    assert edit.replacement is not None
    assert "The person ran it, it prints 3." in edit.replacement
    assert code in edit.replacement


FEELINGS = [
    ("I'm devastated since the funeral.", "grieving"),
    ("I am so scared.", "afraid"),
    ("I'm furious!", "angry"),
    ("I'm so ashamed.", "ashamed"),
    ("I've been crying.", "sad"),
    ("I'm exhausted.", "tired"),
    ("I'm so proud!", "proud"),
    ("I'm so happy!!", "happy"),
    ("My heart is racing.", "moved"),
]


@pytest.mark.parametrize(("told", "felt"), FEELINGS)
def test_feeling_named(told: str, felt: str) -> None:
    """The feeling that the user tells is acknowledged by its name."""
    edit = _edit("reframe", _talk(f"{told} Honey is safe for babies."))
    assert f"(The person who asks is {felt};" in (edit.replacement or "")


NOT_REFRAMED = {
    "nothing claimed or pressed": _talk("What is 6 x 9?"),
    "pressed without an answer": _talk("Are you sure?"),
    "no user turn": _talk("It is 54.", "Yes."),
    "nothing at all": Conversation(()),
    "only thanks": _talk("What is 6 x 9?", "54.", "Thanks!"),
    "too long": _talk("Hot glass flows down slowly. " * 200),
    "restated too long": _talk("Hot glass flows down slowly. " * 70),
    "German": _talk("Ich bin sicher, dass Glas eine Flüssigkeit ist, meine Lehrerin sagte es."),
    "Russian": _talk("Я уверен, что стекло это жидкость, так сказал мой учитель."),
}


@pytest.mark.parametrize("name", NOT_REFRAMED)
def test_not_reframed(name: str) -> None:
    """A turn that cannot be restated without loss is left to other strategies."""
    assert plan("reframe", NOT_REFRAMED[name], None) is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(max_size=200), min_size=1, max_size=4),
    st.sampled_from(STRATEGIES),
    st.text(max_size=300),
)
def test_never_raises(texts: list[str], strategy: str, said: str) -> None:
    """Any conversation can be edited, and an edit always carries its mark."""
    edit = plan(strategy, _talk(*texts), replace(DRIFT, claim=said, why=said))
    assert edit is None or "answer honesty check" in edit.note
