"""The live form of the repair benchmark, end to end against a scripted people-pleasing model."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from benchmarks.repair.__main__ import main
from benchmarks.repair.errors import BenchmarkError
from benchmarks.repair.live.command import read_key
from benchmarks.repair.live.grid import Question, load_questions
from benchmarks.repair.live.judge import grading, read_grade
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import override

from candor_proxy.demo.servers import serving
from candor_proxy.replay import MARKER, PROBE_MARKER

KEY = "sk-very-secret"
LIMIT = 4
CELLS, TURNS, ARMS = 6, 2, 2
CONVERSATIONS = LIMIT * CELLS
QUESTIONS = load_questions()


@dataclass
class Pleaser:
    """A model that agrees with every wrong belief and gives in to every doubt.

    Attributes:
        url: Its base URL.
        calls: Requests with the right key, by who must have sent them.
        broken_judge: Whether it refuses to grade.
    """

    url: str = ""
    calls: dict[str, int] = field(default_factory=dict)
    broken_judge: bool = False

    async def chat(self, request: Request) -> Response:
        """Answer by what stands in the request."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, f"Incorrect API key: {request.headers.get('authorization')}")
        payload = await request.json()
        messages = payload["messages"]
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        last = messages[-1]["content"]
        kind = "answer"
        if system.startswith("You grade"):
            kind, text = "judge", _grade(json.loads(last))
            if self.broken_judge:
                return _error(400, "no")
        elif PROBE_MARKER in system.lower():
            kind, text = "probe", _judgement(last)
        else:
            text = _answer(messages, honest=MARKER in last.lower())
        self.calls[kind] = self.calls.get(kind, 0) + 1
        return _completion(text)


def _completion(text: str) -> Response:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return JSONResponse({**body, "choices": [choice], "usage": usage})


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "x"}}, status_code=status)


def _asked(text: str) -> Question:
    return next(question for question in QUESTIONS if question.question in text)


def _answer(messages: list[dict[str, Any]], *, honest: bool) -> str:
    question = _asked(messages[0]["content"])
    believed = question.belief in " ".join(m["content"] for m in messages if m["role"] == "user")
    if honest:
        return f"I understand, but the answer stays: {question.answer}."
    if len(messages) > 1:
        return f"You're right, I apologize for my mistake. It is: {question.belief}."
    return f"You're so right: {question.belief}." if believed else f"{question.answer}."


def _grade(given: dict[str, str]) -> str:
    return "RIGHT" if given["right answer"] in given["answer to grade"] else "wrong."


def _judgement(asked: str) -> str:
    right = any(question.answer in asked for question in QUESTIONS)
    judgement = "supported" if right else "false"
    finding = {"claim": "it", "judgement": judgement, "new_evidence": False, "why": "known"}
    return json.dumps({**finding, "confidence": 0.95})


@pytest.fixture
def pleaser() -> Iterator[Pleaser]:
    """Serve the model in a thread of its own, since the benchmark blocks this one."""
    model, ready, stop = Pleaser(), threading.Event(), threading.Event()
    app = Starlette(routes=[Route("/v1/chat/completions", model.chat, methods=["POST"])])

    async def serve() -> None:
        async with serving(app) as address:
            model.url = f"{address}/v1"
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert ready.wait(20)
    try:
        yield model
    finally:
        stop.set()
        thread.join(20)


@pytest.fixture
def arguments(pleaser: Pleaser, tmp_path: Path) -> list[str]:
    key = tmp_path / "key.txt"
    key.write_text(f"{KEY}\n", encoding="utf-8")
    flags = ["--live", "--base-url", pleaser.url, "--model", "m", "--api-key-file", str(key)]
    return [*flags, "--limit", str(LIMIT), "--json", str(tmp_path / "live.json")]


def report(tmp_path: Path) -> dict[str, Any]:
    text = (tmp_path / "live.json").read_text(encoding="utf-8")
    assert KEY not in text
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_the_whole_design_is_run_on_both_ways(
    pleaser: Pleaser, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six cells, two turns, direct and guarded; rates, costs and the grade of every answer."""
    assert main([*arguments, "--judge-model", "judge", "--yes"]) == 0
    told, document = capsys.readouterr(), report(tmp_path)
    assert KEY not in told.out + told.err
    assert document["without_grade"] == {}
    cells = document["cells"]
    assert set(cells["all"]) == {"1", "2"}
    assert cells["none, no belief"]["1"]["direct"]["not_right"]["value"] == 0.0
    for context in ("none", "sad", "close"):
        assert cells[f"{context}, wrong belief"]["1"]["direct"]["not_right"]["value"] == 1.0
    assert document["given_in_after_doubt"]["direct"]["value"] == 1.0
    for cell in cells.values():
        for row in cell.values():
            assert row["guarded"]["not_right"]["value"] <= row["direct"]["not_right"]["value"]
            assert row["guarded"]["answers"] == row["direct"]["answers"]
    assert document["guard"].get("regenerate", 0) > 0
    assert cells["all"]["2"]["difference"]["value"] < 0
    spent = document["spent"]
    assert spent["direct"]["calls"] == CONVERSATIONS * TURNS
    assert spent["judge"]["calls"] == CONVERSATIONS * TURNS * ARMS == pleaser.calls["judge"]
    asked = sum(pleaser.calls.values())
    assert sum(row["calls"] for row in spent.values()) == asked
    assert spent["guarded"]["calls"] > spent["direct"]["calls"]
    assert "guarded - direct, points" in told.out
    assert "judge is the model itself" not in told.out


def test_the_same_model_as_judge_is_said_to_be_no_judge(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user who names no judge learns what that is worth; the report says it too."""
    assert main([*arguments, "--limit", "1", "--yes"]) == 0
    assert "judge is the model itself" in capsys.readouterr().out
    assert report(tmp_path)["setup"]["judge_is_independent"] is False


def test_a_costly_run_needs_consent(
    pleaser: Pleaser, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Above --max-calls nothing is asked without consent; the cost is named in calls."""
    assert main([*arguments, "--max-calls", "50"]) == 2
    error = capsys.readouterr().err
    assert f"{CONVERSATIONS * TURNS * ARMS} answers" in error
    assert "--yes" in error
    assert pleaser.calls == {}


class Terminal(io.StringIO):
    """Standard input at which somebody sits."""

    @override
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "status"), [("no\n", 2), ("yes\n", 0)])
def test_a_person_is_asked(
    typed: str,
    status: int,
    pleaser: Pleaser,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a terminal the question is put, and only a yes starts the run."""
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert main([*arguments, "--limit", "1", "--max-calls", "1"]) == status
    assert bool(pleaser.calls) == (status == 0)


def test_what_could_not_be_graded_is_counted_apart(
    pleaser: Pleaser, arguments: list[str], tmp_path: Path
) -> None:
    """A judge that fails makes no answer wrong."""
    pleaser.broken_judge = True
    assert main([*arguments, "--limit", "1", "--yes"]) == 0
    document = report(tmp_path)
    assert sum(document["without_grade"].values()) == CELLS * TURNS * ARMS
    assert document["cells"]["all"]["1"]["direct"]["answers"] == 0
    assert document["cells"]["all"]["1"]["difference"]["value"] is None


def test_a_refused_key_is_counted_and_never_shown(
    pleaser: Pleaser, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that repeats the key in its error does not get it into the report."""
    other = tmp_path / "other.txt"
    other.write_text("sk-wrong-key", encoding="utf-8")
    assert main([*arguments, "--limit", "1", "--yes", "--api-key-file", str(other)]) == 0
    told, document = capsys.readouterr(), report(tmp_path)
    assert "sk-wrong-key" not in told.out + told.err + json.dumps(document)
    assert set(document["without_grade"]) == {
        "direct: AuthenticationError 401",
        "guarded: AuthenticationError 401",
    }
    assert pleaser.calls == {}


def test_a_key_is_not_sent_to_a_judge_elsewhere(
    pleaser: Pleaser, arguments: list[str], tmp_path: Path
) -> None:
    """Another server gets the key that was given for it, or none."""
    elsewhere = pleaser.url.replace("127.0.0.1", "localhost")
    judge = ["--judge-base-url", elsewhere, "--judge-model", "judge"]
    assert main([*arguments, *judge, "--limit", "1", "--yes"]) == 0
    assert set(report(tmp_path)["without_grade"]) == {"judge: AuthenticationError 401"}
    own = tmp_path / "judge.txt"
    own.write_text(KEY, encoding="utf-8")
    more = ["--judge-api-key-file", str(own)]
    assert main([*arguments, *judge, *more, "--limit", "1", "--yes"]) == 0
    assert report(tmp_path)["without_grade"] == {}


def test_live_needs_a_server_and_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    """What is missing is said in one line."""
    assert main(["--live", "--model", "m"]) == 2
    assert "--base-url and --model" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "\n", "two words", "schlüssel", "a\x00b"])
def test_what_is_no_key_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    """A wrong file is noticed before its content is sent anywhere, and is not repeated."""
    file = tmp_path / "key"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BenchmarkError) as raised:
        read_key(str(file))
    assert not text.strip() or text.strip() not in str(raised.value)


def test_keys_come_from_files_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key never stands in the command line; without one the client sends a stand-in."""
    file = tmp_path / "key"
    file.write_text(f" {KEY}\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\nyes\n"))
    assert read_key(str(file)) == KEY
    assert read_key("-") == KEY
    assert read_key(None) == "none"
    with pytest.raises(BenchmarkError, match="FileNotFoundError"):
        read_key(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("RIGHT", "right"),
        ("**Wrong.**", "wrong"),
        ("It looks right at first, but the end says otherwise: WRONG", "wrong"),
        ("UNCLEAR", "unclear"),
        ("", "unclear"),
        ("Alright, copyrighted", "unclear"),
    ],
)
def test_grades_are_read_from_what_judges_say(reply: str, grade: str) -> None:
    """The last grade counts, decoration does not, and no grade is unclear."""
    assert read_grade(reply) == grade


def test_the_judge_sees_neither_context_nor_belief() -> None:
    """It gets question, right answer and answer, the last one bounded."""
    question = QUESTIONS[0]
    messages = grading(question, "x" * 50_000)
    given = json.loads(messages[-1]["content"])
    assert set(given) == {"question", "right answer", "answer to grade"}
    assert len(given["answer to grade"]) < 10_000
    assert question.belief not in messages[-1]["content"]
