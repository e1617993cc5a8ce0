"""What the demo prints, in a pipe and in a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from candor_proxy.demo.conversations import ScriptedConversation, load_conversations
from candor_proxy.demo.play import Delivery, Ending, Guarded, Played
from candor_proxy.demo.render import NOTE, Spent, count_spent, show, summarize
from candor_proxy.replay import Ledger, Purpose

BOX = re.compile(r"[\u2500-\u257f]")
FOUND = Guarded(
    "regenerate", ("capitulation",), 0.93, "lexical@1", "reconsider-1", upstream_calls=2, guard_ms=2
)
CALM = Guarded("pass", guard_ms=1)
SPENT = Spent(questions=70, regenerations=64, tokens=50_660)


def _played(entry: ScriptedConversation, *, miss: bool = False) -> Played:
    before = Delivery(text=entry.pleasing, wire=("w",), total_ms=5)
    after = before
    if entry.expect == "pass":
        after = Delivery(text=entry.pleasing, wire=("w",), guarded=CALM)
    elif not miss:
        after = Delivery(text=entry.honest, wire=("x",), guarded=FOUND)
    return Played(entry, before, before, after, after)


ALL = [_played(entry) for entry in load_conversations()]
RISKY = sum(entry.conversation.expect == "regenerate" for entry in ALL)


def _shown(played: Sequence[Played], *, terminal: bool = False, brief: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system="standard")
    show(console, played, SPENT, brief=brief)
    return out.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    """No colour, no boxes, no wrapping: each text stands on one line, verbatim."""
    text = _shown(ALL)
    assert "\x1b" not in text
    assert not BOX.search(text)
    lines = text.splitlines()
    for entry in ALL:
        assert f"  before: {entry.direct.text}" in lines
        assert f"  after: {entry.complete.text}" in lines


def test_markup_in_a_reply_is_text() -> None:
    """Square brackets and emoji codes in a reply are printed as they are."""
    odd = "[bold]x[/bold] [/] :smile: `a[0]`"
    entry = ALL[0]
    failed = Delivery(error="[red]boom")
    played = Played(entry.conversation, Delivery(text=odd), failed, failed, failed)
    for terminal in (False, True):
        text = _shown([played], terminal=terminal)
        assert odd in text
        assert "[no reply: [red]boom]" in text


def test_a_terminal_gets_panels_side_by_side() -> None:
    """Colour and two panels next to each other."""
    text = _shown(ALL[:1], terminal=True)
    assert "\x1b[" in text
    assert any("before" in line and "after" in line for line in text.splitlines())
    assert BOX.search(text)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_summary_states_every_figure(terminal: bool) -> None:
    """Counts, extra calls, the guard's time, the detector and that no real model is involved."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", _shown(ALL, terminal=terminal))
    tail = re.sub(r"[│:]", " ", text[text.rindex("conversations ") :] if terminal else text)
    figures = {
        "conversations": str(len(ALL)),
        "regenerated rightly": str(RISKY),
        "rightly passed": str(len(ALL) - RISKY),
        "misses": "0",
        "needless regenerations": "0",
        "broken": "0",
        "found by a neutral question": "0",
        "cleared by a neutral question": "0",
        "extra upstream calls": "134 (70 questions, 64 regenerations)",
        "extra tokens": "50,660",
        "median guard ms": "2.00",
        "detector": "lexical@1",
    }
    for label, value in figures.items():
        assert re.search(rf"{label}\s+{re.escape(value)}\s", tail), label
    assert NOTE in text


def test_a_silent_proxy_is_called_silent() -> None:
    """Nothing is made up when the proxy says nothing."""
    played = [_played(entry, miss=True) for entry in load_conversations()[:3]]
    text = _shown(played)
    assert "guard: no word from the proxy" in text
    assert "median guard ms: not stated" in text
    assert "detector: not stated" in text
    assert summarize(played, SPENT).endings == {Ending.MISS: 3}


def test_the_guard_is_quoted() -> None:
    """The line below a conversation names action, label, score, detector and instruction."""
    expected = "guard: regenerate, capitulation, score 0.93, by lexical@1, instruction reconsider-1"
    assert expected in _shown(ALL[:1])


def _decided(played: Played, *, suspected: bool | None, score: float = 0.6) -> Played:
    """The same, decided by a probe."""
    told = replace(played.complete.guarded, decided_by="probe", suspected=suspected, score=score)
    return replace(played, complete=replace(played.complete, guarded=told))


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_question_did_is_marked(terminal: bool) -> None:
    """Replies that a neutral question found, confirmed or cleared say so, and are counted."""
    passed = next(entry for entry in ALL if entry.conversation.expect == "pass")
    found, confirmed = _decided(ALL[0], suspected=False), _decided(ALL[1], suspected=True)
    played = [found, confirmed, _decided(passed, suspected=None), *ALL[2:4]]
    text = re.sub(r"\x1b\[[0-9;]*m", "", _shown(played, terminal=terminal))
    assert text.count("regenerated rightly, found by a neutral question to the model") == 1
    assert text.count("regenerated rightly, confirmed by a neutral question to the model") == 1
    assert text.count("rightly passed, cleared by a neutral question to the model") == 1
    summary = summarize(played, SPENT)
    assert (summary.found, summary.cleared) == (1, 1)


def test_spending_is_counted_where_it_is_spent() -> None:
    """Questions and regenerations are counted by the upstream; the replies themselves are not."""
    ledger = Ledger()
    usage = {"prompt_tokens": 30, "completion_tokens": 4}
    for purpose in (Purpose.PLAIN, Purpose.PROBE, Purpose.PROBE, Purpose.HONEST):
        ledger.enter("a", purpose, usage)
    ledger.enter("b", Purpose.HONEST, usage)
    assert count_spent(ledger) == Spent(questions=2, regenerations=2, tokens=4 * 34)


def test_brief_prefers_what_a_question_decided() -> None:
    """In brief, the believed and the passed conversation are ones in which a probe mattered most."""
    believed = [entry for entry in ALL if len(entry.conversation.turns) == 1]
    last_risky = [entry for entry in believed if entry.conversation.expect == "regenerate"][-1]
    first_calm, *_, last_calm = [entry for entry in ALL if entry.conversation.expect == "pass"]
    wanted = {
        last_risky.conversation.id: _decided(last_risky, suspected=False),
        last_calm.conversation.id: _decided(last_calm, suspected=None),
    }
    barely = {first_calm.conversation.id: _decided(first_calm, suspected=None, score=0.1)}
    known = {**wanted, **barely}
    played = [known.get(entry.conversation.id, entry) for entry in ALL]
    text = _shown(played, brief=True)
    assert text.count("  before: ") == 3
    assert all(f"{name}: the user" in text for name in wanted)


def test_brief_shows_a_few_and_every_failure() -> None:
    """In brief, three good conversations stand for all; what went wrong is always shown."""
    assert _shown(ALL, brief=True).count("  before: ") == 3
    assert f"({len(ALL) - 3} more conversations played, not shown)" in _shown(ALL, brief=True)
    wrong = _played(load_conversations()[5], miss=True)
    text = _shown([*ALL[:5], wrong, *ALL[6:]], brief=True)
    assert text.count("  before: ") == 4
    assert "ending: miss" in text


def test_the_failing_way_is_shown() -> None:
    """When only the stream went wrong, the stream is what stands under after."""
    good = ALL[0]
    bad = Played(
        good.conversation, good.direct, good.direct_stream, good.complete, Delivery(error="cut")
    )
    text = _shown([bad])
    assert "after: [no reply: cut]" in text
    assert "ending: broken" in text
