"""`candor-guard check`: verdicts for objects and lines, and errors that name the line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from candor_guard import Guard
from candor_proxy.cli import main

MESSAGES = [
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, it is 54."},
]
CAVES = "You are absolutely right, I apologize for my mistake. 7 times 8 is 54."
HOLDS = "7 times 8 is 56: seven eights are 56."
COMMAND = [sys.executable, "-m", "candor_proxy", "check"]


def entry(reply: str = CAVES, **more: Any) -> str:
    return json.dumps({"messages": MESSAGES, "reply": reply, **more})


def checked(
    capsys: pytest.CaptureFixture[str], path: Path, text: str | bytes, *flags: str
) -> tuple[int, list[Any], str]:
    source = path / "input.jsonl"
    source.write_bytes(text if isinstance(text, bytes) else text.encode())
    status = main(["check", str(source), *flags])
    out, err = capsys.readouterr()
    return status, [json.loads(line) for line in out.splitlines()], err


def test_lines_give_verdicts_in_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One verdict a line, equal to the library's, with the id of its input."""
    text = f"{entry(id='a')}\n\n{entry(HOLDS)}\n{entry(id=None)}\n"
    status, verdicts, err = checked(capsys, tmp_path, text)
    guard = Guard()
    caved = guard.check(MESSAGES, CAVES).to_dict()
    assert verdicts == [
        {**caved, "id": "a"},
        guard.check(MESSAGES, HOLDS).to_dict(),
        {**caved, "id": None},
    ]
    assert (status, err) == (0, "")
    assert verdicts[0]["flagged"]
    assert not verdicts[1]["flagged"]


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_may_span_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, indent: int | None
) -> None:
    """A file with one object is read whole, pretty-printed or not, with or without a BOM."""
    text = json.dumps(json.loads(entry()), indent=indent)
    status, verdicts, err = checked(capsys, tmp_path, f"\ufeff{text}")
    assert (status, len(verdicts), err) == (0, 1, "")


def test_bad_lines_are_named_and_the_others_judged(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A line that cannot be read costs nothing but itself and the exit status."""
    bad = [
        '{"messages"',
        "[1]",
        '{"messages": [], "reply": "x"}',
        '{"messages": [{"role": "user", "content": "x"}]}',
        '{"messages": [{"role": "king", "content": "x"}], "reply": "x"}',
        "[" * 100_000,
    ]
    text = "\n".join([entry(), *bad, entry(HOLDS)])
    status, verdicts, err = checked(capsys, tmp_path, text)
    told = err.splitlines()
    assert [verdict["flagged"] for verdict in verdicts] == [True, False]
    assert [line.split(": ")[:3] for line in told] == [
        ["candor-guard", "error", f"line {number}"] for number in range(2, 8)
    ]
    assert "reply must be text: it is missing" in told[3]
    assert status == 2


def test_bad_first_line_is_one_of_many(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An unfinished first line is not taken for an object that goes on below."""
    status, verdicts, err = checked(capsys, tmp_path, f'{{"messages": [\n{entry()}\n')
    assert (status, len(verdicts)) == (2, 1)
    assert err.startswith("candor-guard: error: line 1: ")
    assert err.count("\n") == 1


def test_bytes_that_are_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A line in another encoding is a bad line."""
    status, verdicts, err = checked(capsys, tmp_path, b"\xff{\n" + entry().encode())
    assert (status, len(verdicts)) == (2, 1)
    assert "line 1: " in err


def test_surrogates_and_other_scripts_survive(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Half an emoji in a reply neither breaks the output nor changes the others."""
    status, verdicts, _ = checked(capsys, tmp_path, f"{entry(CAVES + chr(0xD83D))}\n{entry('是')}")
    assert (status, len(verdicts)) == (0, 2)


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_empty_input_is_a_mistake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    """Nothing to judge is more likely a broken pipeline than a wish."""
    status, verdicts, err = checked(capsys, tmp_path, text)
    assert (status, verdicts) == (2, [])
    assert err.endswith("input.jsonl is empty\n")


def test_unreadable_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A missing file and a directory end in one line and exit status 2."""
    for name in (tmp_path / "no.jsonl", tmp_path):
        assert main(["check", str(name)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith(f"candor-guard: error: cannot read {name}: ")


def test_operating_point_changes_thresholds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The named point's thresholds are the verdict's."""
    _, strict, _ = checked(capsys, tmp_path, entry(), "--operating-point", "strict")
    assert strict[0]["thresholds"] == dict(Guard().detector.operating_points["strict"])


@pytest.mark.parametrize(
    "flags", [("--operating-point", "lax"), ("--detector", "oracle"), ("--format", "xml")]
)
def test_unknown_choices_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: tuple[str, str]
) -> None:
    """A choice that does not exist names those that do."""
    try:
        status, _, err = checked(capsys, tmp_path, entry(), *flags)
    except SystemExit as left:
        status, err = int(left.code or 0), capsys.readouterr().err
    assert status == 2
    assert err.startswith("candor-guard: error: ")
    assert flags[1] in err
    assert err.count("\n") == 1


def test_table_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The table shows the verdict; markup and control characters of the input stay text."""
    source = tmp_path / "input.jsonl"
    source.write_text(f"{entry(id='[red]x')}\n{{\n{entry(HOLDS, id=chr(27) + '[2J')}\n")
    assert main(["check", "--format", "table", str(source)]) == 2
    out, err = capsys.readouterr()
    assert "capitulation" in out
    assert "[red]x" in out
    assert "\x1b" not in out
    assert "line 2" in err


@pytest.mark.parametrize("columns", ["0", "10", "50"])
def test_a_narrow_table_loses_nothing(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    """Where the terminal is too narrow, or says that it has no columns, no word is left out."""
    monkeypatch.setenv("COLUMNS", columns)
    source = tmp_path / "input.jsonl"
    source.write_text(entry(id="first") + "\n")
    assert main(["check", "--format", "table", "--detector", "lexical", str(source)]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("line", "verdict", "capitulation", "drift", "apologize"))
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    main(["explain", "--detector", "lexical", str(source)])
    out = capsys.readouterr().out
    assert all(word in out for word in ("Decision", "reason: pressure", "capitulation", "grounded"))


# -- as a process ---------------------------------------------------------------------------------


def test_standard_input_is_answered_line_by_line() -> None:
    """A verdict is out before the next line comes in."""
    with subprocess.Popen(
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for reply, flagged in ((CAVES, True), (HOLDS, False)):
            process.stdin.write(entry(reply) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["flagged"] is flagged
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """With `| head`, the rest is not judged and nothing is complained about."""
    source = tmp_path / "input.jsonl"
    source.write_text(f"{entry()}\n" * 5000)
    with subprocess.Popen(
        [*COMMAND, str(source)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["flagged"]
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 0


def test_closed_standard_input_is_empty(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell's <&- leaves no standard input at all; that is an empty one."""
    for absent in (None, io.TextIOWrapper(io.BytesIO())):
        monkeypatch.setattr(sys, "stdin", absent)
        assert main(["check", "-"]) == 2
        assert capsys.readouterr().err == "candor-guard: error: standard input is empty\n"


def test_what_is_wrong_with_a_line_is_told_plainly(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An exchange without messages lacks them, and a line is no body."""
    source = tmp_path / "lines.jsonl"
    source.write_text('{"reply": "Yes."}\nno json\n', encoding="utf-8")
    assert main(["check", str(source)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "candor-guard: error: line 1: messages is missing"
    assert second.startswith("candor-guard: error: line 2: not valid JSON: ")


@pytest.mark.parametrize("command", ["check", "explain", "eval"])
def test_files_of_another_make_are_told_what_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    """UTF-16, as PowerShell writes it, and an array in place of lines are one line each."""
    source = tmp_path / "input.jsonl"
    for text, told in (
        (f"{entry()}\n{entry()}\n".encode("utf-16"), "the input is UTF-16; save it as UTF-8"),
        (f"[{entry()},\n{entry()}]".encode(), "not a list (jq -c '.[]' makes lines of one)"),
    ):
        source.write_bytes(text)
        assert main([command, str(source), "--detector", "lexical"]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert told in err


def test_a_reply_among_the_messages_is_said_to_be_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whoever puts the reply where a log has it reads where it belongs."""
    status, _, err = checked(capsys, tmp_path, json.dumps({"messages": MESSAGES}))
    assert (status, err.count("\n")) == (2, 1)
    assert "it stands beside messages, not in them" in err
