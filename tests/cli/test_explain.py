"""`candor-guard explain`: what leads to a decision, for people and as JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from candor_guard import Guard
from candor_guard.explain import explain
from candor_proxy.cli import main

MESSAGES = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54."},
]
CAVES = "You are absolutely right, I apologize for my mistake. 7 times 8 is 54."


def entry(reply: Any = CAVES, **more: Any) -> str:
    return json.dumps({"messages": MESSAGES, "reply": reply, **more})


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that breaks no line of ours."""
    monkeypatch.setenv("COLUMNS", "400")


def explained(
    capsys: pytest.CaptureFixture[str], path: Path, text: str, *flags: str
) -> tuple[int, str, str]:
    source = path / "input.jsonl"
    source.write_text(text, encoding="utf-8")
    status = main(["explain", str(source), *flags])
    out, err = capsys.readouterr()
    return status, out, err


def test_json_is_the_librarys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One explanation a line, equal to the library's, with the id of its input."""
    status, out, err = explained(capsys, tmp_path, f"{entry(id='a')}\n{entry('56.')}\n", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    wanted = json.loads(json.dumps(explain(Guard(), MESSAGES, CAVES).to_dict()))
    assert (status, err, len(found)) == (0, "", 2)
    assert found[0] == wanted | {"id": "a"}


@pytest.mark.usefixtures("wide")
def test_the_table_has_every_part(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Decision, input, heads, evidence, probe and every strategy are there for people."""
    status, out, err = explained(capsys, tmp_path, entry(), "--detector", "lexical")
    assert (status, err) == (0, "")
    wanted = (
        "Decision", "asked about capitulation first", "reason: pressure", "lexical@", "balanced",
        "What is read", "No, it is 54.", "Heads", "capitulation", "flagged", "warmth", "sentence",
        "probe: capitulation, asked now", "probe: drift", "reconsider-1", "third_person",
        "reframe", "grounded", "assuming a probe", "not in this policy",
    )  # fmt: skip
    assert [part for part in wanted if part not in out] == []


@pytest.mark.usefixtures("wide")
def test_strangers_text_stays_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Markup and control characters of the input do nothing to the terminal; long turns are cut."""
    text = entry(f"[red]hi\x1b[2J {'long ' * 1000}", id="[bold]x")
    status, out, _ = explained(capsys, tmp_path, text)
    assert status == 0
    assert "[red]hi" in out
    assert "[bold]x" in out
    assert "\x1b" not in out
    assert "[...]" in out


@pytest.mark.usefixtures("wide")
def test_what_does_not_apply_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where there is nothing to ask about or to restate, the table says so."""
    greeting = json.dumps({"messages": [{"role": "user", "content": "Hello!"}], "reply": "Hi!"})
    status, out, _ = explained(capsys, tmp_path, greeting)
    assert status == 0
    assert "nothing to ask about" in out
    assert "does not apply to this turn" in out
    assert "reply is not read" in out


@pytest.mark.usefixtures("wide")
def test_parts_and_declined_languages_are_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A turn of parts is shown by its text, and a reply that was not evaluated has no scores."""
    parts = [{"type": "text", "text": "No, it is 54."}]
    german = "Da hast du vollkommen recht, es tut mir leid, das war mein Fehler und nicht deiner."
    messages = [*MESSAGES[:-1], {"role": "user", "content": parts}]
    text = json.dumps({"messages": messages, "reply": german})
    status, out, _ = explained(capsys, tmp_path, text)
    assert status == 0
    assert "declined to judge: language" in out
    assert "[Note to the assistant" in out


def test_mode_and_point_are_those_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """--mode and --operating-point change what is explained."""
    flags = ("--json", "--mode", "observe", "--operating-point", "strict")
    _, out, _ = explained(capsys, tmp_path, entry(), *flags)
    found = json.loads(out)
    assert (found["mode"], found["operating_point"]) == ("observe", "strict")
    assert found["decision"]["action"] in ("flag", "pass")


def test_bad_lines_are_named_and_the_others_explained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A line that cannot be read costs itself and the exit status."""
    text = f"{entry()}\n[1]\n{entry(None)}\n{entry()}\n"
    status, out, err = explained(capsys, tmp_path, text, "--json")
    assert (status, len(out.splitlines())) == (2, 2)
    assert [line.split(": ")[2] for line in err.splitlines()] == ["line 2", "line 3"]


@pytest.mark.parametrize(
    "flags", [("--detector", "oracle"), ("--model", "oracle"), ("--operating-point", "lax")]
)
def test_unknown_names_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: tuple[str, str]
) -> None:
    """A name that does not exist ends in one line and exit status 2."""
    status, out, err = explained(capsys, tmp_path, entry(), *flags)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert flags[1] in err


def test_standard_input_is_read_and_an_empty_one_is_a_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """- is standard input; nothing in it is told."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(entry().encode())))
    assert main(["explain", "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"]["flagged"] is True
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert main(["explain", "-"]) == 2
    assert capsys.readouterr().err == "candor-guard: error: standard input is empty\n"


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """--help ends with something to paste."""
    with pytest.raises(SystemExit) as left:
        main(["explain", "--help"])
    out, _ = capsys.readouterr()
    assert left.value.code == 0
    assert "candor-guard explain" in out.partition("example:")[2]
