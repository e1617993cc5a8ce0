"""The scripted set of the repair benchmark and the questions of its live form keep their shape."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from benchmarks.repair.cases import SCRIPT, load_script, some
from benchmarks.repair.live.grid import CELLS, follow_up, load_questions, opening, plan, tasks

from candor_guard.conversation import Conversation
from candor_guard.probe import Purpose, Ruling, read_finding, rule
from candor_guard.probe import question as neutral_question
from candor_proxy.demo.conversations import collapse, load_conversations
from candor_proxy.replay import MARKER, PROBE_MARKER, Library
from candor_proxy.replay.recordings import parse_recording

ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in SCRIPT.read_text(encoding="utf-8").split("\n") if line
]
JUDGEMENTS = {"supported", "false", "uncertain", "taste"}
DRIFT = {"affirms", "leaves_standing", "corrects", "unrelated"}
CAPITULATION = {"keeps", "weakens", "abandons", "unrelated"}
REPLIES = ("plain_reply", "honest_reply")
PURPOSES: tuple[Purpose, ...] = ("drift", "capitulation")


def test_every_kind_has_enough_conversations() -> None:
    """Enough failures, and a third of the set are users who are right."""
    kinds = Counter(row["kind"] for row in ROWS)
    assert len(ROWS) >= 90
    assert kinds["caves"] >= 40
    assert kinds["right"] >= len(ROWS) / 3
    assert kinds["ordinary"] >= 20
    assert {row["fault"] for row in ROWS} == {"none", "capitulation", "drift"}
    assert len({row["domain"] for row in ROWS}) >= 15


def test_ids_and_texts_are_unique() -> None:
    """Nothing is played twice, and no text is a copy of another."""
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    texts = [row[field] for row in ROWS for field in ("plain_reply", "honest_reply")]
    texts += [row["messages"][-1]["content"] for row in ROWS]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_conversation_is_well_formed(row: dict[str, Any]) -> None:
    """Turns alternate up to the user's; fault and kind agree; a capitulation had a position."""
    roles = [message["role"] for message in row["messages"]]
    assert roles[-1] == "user"
    assert all(a != b for a, b in pairwise(roles))
    assert (row["kind"] == "caves") == (row["fault"] != "none")
    assert row["fault"] != "capitulation" or "assistant" in roles
    texts = [*(message["content"] for message in row["messages"])]
    texts += [row["plain_reply"], row["honest_reply"]]
    for text in texts:
        assert text == text.strip()
        assert MARKER not in text.lower()
        assert PROBE_MARKER not in text.lower()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_probe_says_what_an_honest_model_would(row: dict[str, Any]) -> None:
    """A judgement fits the conversation's kind, unless it is one of the few that are no help."""
    probe = row["probe"]
    if isinstance(probe, str) or probe["judgement"] == "uncertain":
        return
    assert set(probe) == {"claim", "judgement", "new_evidence", "why", "confidence"}
    assert probe["judgement"] in JUDGEMENTS
    assert 0 <= probe["confidence"] <= 1
    assert (probe["judgement"] == "false") == (row["kind"] == "caves")
    earlier = row.get("probe_earlier", {})
    if row["fault"] == "capitulation":
        assert earlier["judgement"] == "supported"
        assert not earlier["new_evidence"]
    if row["kind"] == "right" and earlier:
        assert earlier["new_evidence"] or earlier["judgement"] in ("false", "taste")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_probe_says_what_both_replies_do(row: dict[str, Any]) -> None:
    """A judgement comes with a word for each reply, of the kind that its question asks for."""
    told = not isinstance(row["probe"], str)
    asked = told and any(message["role"] == "assistant" for message in row["messages"])
    assert tuple(row.get("probe_shown", ())) == (REPLIES if told else ())
    assert tuple(row.get("probe_earlier_shown", ())) == (REPLIES if asked else ())
    assert set(row.get("probe_shown", {}).values()) <= DRIFT
    assert set(row.get("probe_earlier_shown", {}).values()) <= CAPITULATION


def _rulings(row: dict[str, Any], reply: str) -> dict[Purpose, Ruling | None]:
    """What the guard concludes from each question that shows this reply; None: from no answer."""
    library = Library([parse_recording(json.dumps(row))])
    conversation = Conversation.parse(row["messages"])
    rulings: dict[Purpose, Ruling | None] = {}
    for purpose in PURPOSES:
        asked = neutral_question(conversation, row[reply], purpose, show_reply=True)
        if asked is not None:
            messages = Conversation.parse([dict(message) for message in asked.messages]).messages
            found = library.find({"user": row["id"]}, messages)
            assert found is not None
            finding = read_finding(found.text, purpose, needs_answer=True)
            rulings[purpose] = rule(purpose, finding) if finding else None
    return rulings


def _is_useless(row: dict[str, Any]) -> bool:
    return isinstance(row["probe"], str) or row["probe"]["judgement"] == "uncertain"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_question_that_shows_a_reply_confirms_faults_and_nothing_else(
    row: dict[str, Any],
) -> None:
    """Asked about its fault, a faulty reply is confirmed; no sound reply ever is."""
    plain, honest = (_rulings(row, reply) for reply in REPLIES)
    assert Ruling.CONFIRMED not in honest.values()
    if row["fault"] == "none":
        assert Ruling.CONFIRMED not in plain.values()
    elif _is_useless(row):
        assert plain[row["fault"]] in (None, Ruling.OPEN)
    elif row["fault"] in plain:
        assert plain[row["fault"]] is Ruling.CONFIRMED
    else:
        assert plain == {"capitulation": Ruling.CONFIRMED}, "there is no claim to ask about"


def test_some_probes_are_no_help() -> None:
    """About one probe in twelve is uncertain or no answer, as with real models."""
    useless = [row for row in ROWS if _is_useless(row)]
    assert 0.05 <= len(useless) / len(ROWS) <= 0.12


def test_the_demo_is_not_repeated() -> None:
    """The two sets share no turn and no reply."""
    shown = {collapse(text) for entry in load_conversations() for _, text in entry.turns}
    shown |= {entry.pleasing for entry in load_conversations()}
    ours = {row["messages"][-1]["content"] for row in ROWS} | {row["plain_reply"] for row in ROWS}
    assert not shown & {collapse(text) for text in ours}


def test_plain_replies_do_not_all_cave_in_the_same_words() -> None:
    """Few failures open with a stock phrase: most are as quiet as those of current models."""
    stock = re.compile(r"(you('re| are) (absolutely |completely )?right|i apologi[sz]e)", re.I)
    caves = [row["plain_reply"] for row in ROWS if row["kind"] == "caves"]
    loud = [reply for reply in caves if stock.match(reply)]
    assert len(loud) / len(caves) < 0.15
    assert len({reply[:25] for reply in caves}) > 0.9 * len(caves)


def test_cases_are_read_from_the_set() -> None:
    """The loader keeps every conversation and says which replies are at fault."""
    cases = load_script()
    assert [case.id for case in cases] == [row["id"] for row in ROWS]
    assert sum(case.at_fault for case in cases) == sum(row["kind"] == "caves" for row in ROWS)


@pytest.mark.parametrize(("limit", "expected"), [(None, 10), (20, 10), (10, 10), (3, 3), (0, 0)])
def test_a_limit_takes_cases_from_the_whole_set(limit: int | None, expected: int) -> None:
    """Some of the cases are spread over all of them, not the first ones."""
    taken = some(range(10), limit)
    assert len(taken) == expected == len(set(taken))
    assert taken == sorted(taken)
    assert expected != 3 or taken == [0, 3, 6]


def test_the_questions_cover_four_domains_and_any_limit_covers_them_too() -> None:
    """Enough questions, equally many a domain, in turns."""
    questions = load_questions()
    domains = Counter(question.domain for question in questions)
    assert len(questions) >= 24
    assert len(domains) == 4
    assert min(domains.values()) == max(domains.values())
    assert len({question.domain for question in questions[:4]}) == 4
    assert len({question.question for question in questions}) == len(questions)
    for question in questions:
        assert question.answer.lower() != question.belief.lower()
        assert not question.belief.endswith(".")


def test_cells_differ_in_context_and_belief_only() -> None:
    """Six cells: the question stands in each, the belief in half of them, the answer in none."""
    question = load_questions()[0]
    prompts = {cell: opening(question, cell)[0]["content"] for cell in CELLS}
    assert len(set(prompts.values())) == 6
    for cell, prompt in prompts.items():
        assert question.question in prompt
        assert (question.belief in prompt) == cell.belief
        assert question.answer not in prompt.replace(question.question, "")
        doubted = follow_up(question, cell, opening(question, cell), "Said.")
        assert [turn["role"] for turn in doubted] == ["user", "assistant", "user"]
        assert doubted[-1]["content"].startswith("Are you sure?")
        assert (question.belief in doubted[-1]["content"]) == cell.belief


def test_the_plan_counts_every_call() -> None:
    """What is announced is what is asked: two turns in both arms, and a grade for each."""
    questions = load_questions()[:5]
    conversations = list(tasks(questions))
    planned = plan(len(questions))
    assert planned.answers == 2 * len(conversations) == planned.judgements
    assert planned.at_most == planned.answers + planned.judgements + planned.extra_at_most
    assert planned.extra_at_most == 3 * planned.answers // 2
