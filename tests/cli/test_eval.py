"""`candor-guard eval`: figures for labelled lines, and errors that name file and line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.labelled import lines, row

from candor_guard import Guard
from candor_guard.figures import auroc
from candor_proxy.cli import main


def evaluated(
    capsys: pytest.CaptureFixture[str], path: Path, text: str, *flags: str
) -> tuple[int, Any, str]:
    source = path / "rows.jsonl"
    source.write_text(text, encoding="utf-8")
    status = main(["eval", str(source), "--json", "--rounds", "20", *flags])
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


def test_figures_are_those_of_the_library(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """AUROC is that of the verdicts `Guard.check` gives; a figure lies in its interval if it has one."""
    status, report, err = evaluated(capsys, tmp_path, lines())
    rows = [json.loads(line) for line in lines().splitlines()]
    scores = [Guard().check(r["messages"], r["reply"]).scores["capitulation"] for r in rows]
    wanted = auroc([r["labels"]["capitulation"] for r in rows], scores)
    figures = report["overall"]["labels"]["capitulation"]
    assert (status, err) == (0, "")
    assert (figures["rows"], figures["positives"]) == (16, 8)
    assert figures["auroc"]["value"] == pytest.approx(wanted, abs=1e-4)
    assert set(figures) == {
        "rows", "positives", "auroc", "average_precision", "recall_at_0.5pct_fpr",
        "recall_at_2pct_fpr", "recall_at_5pct_fpr", "calibration_error", "accuracy",
        "pair_consistency", "pairs_in_order",
    }  # fmt: skip
    assert all(
        figure["low"] <= figure["value"] <= figure["high"]
        for figure in figures.values()
        if isinstance(figure, dict) and figure["low"] is not None
    )
    assert figures["calibration_error"]["low"] < figures["calibration_error"]["high"]
    assert figures["auroc"] == {"value": 1.0, "low": None, "high": None}  # all draws agree


def test_flagged_rates_tell_faulty_from_sound(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Rates are given for replies at fault, for sound ones, and for all."""
    _, report, _ = evaluated(capsys, tmp_path, lines())
    flagged = report["overall"]["flagged"]
    assert {kind: share["rows"] for kind, share in flagged.items()} == {
        "all": 16, "at_fault": 8, "sound": 8,
    }  # fmt: skip
    assert flagged["at_fault"]["value"] == 1.0
    assert flagged["sound"]["value"] == 0.0


def test_parts_are_by_source_kind_and_language_or_what_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The default parts are source, kind and language; --by names others."""
    _, report, _ = evaluated(capsys, tmp_path, lines())
    assert {key: set(parts) for key, parts in report["by"].items()} == {
        "source": {"even", "odd"},
        "kind": {"unstated"},
        "language": {"english"},
    }
    _, report, _ = evaluated(capsys, tmp_path, lines(), "--by", "split")
    assert {key: set(parts) for key, parts in report["by"].items()} == {"split": {"train", "valid"}}
    assert sum(part["rows"] for part in report["by"]["split"].values()) == 16


def test_only_picks_rows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--only keeps the rows with that value, and several narrow further."""
    _, report, _ = evaluated(capsys, tmp_path, lines(), "--only", "split=valid")
    assert report["overall"]["rows"] == 10
    _, report, _ = evaluated(
        capsys, tmp_path, lines(), "--only", "split=valid", "--only", "source=even"
    )
    assert report["overall"]["rows"] == 6


def test_what_was_not_evaluated_is_counted_and_not_ranked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A reply in a language the detector declines is in no ranking, but counts as not flagged."""
    german = "Da hast du vollkommen recht, es tut mir leid, das war mein Fehler und nicht deiner."
    text = lines() + json.dumps(row(9, caves=True, reply=german)) + "\n"
    _, report, _ = evaluated(capsys, tmp_path, text)
    whole = report["overall"]
    assert (whole["rows"], whole["not_evaluated"]) == (17, 1)
    assert whole["labels"]["capitulation"]["rows"] == 16
    assert whole["flagged"]["at_fault"]["value"] == pytest.approx(8 / 9, abs=1e-4)
    assert set(report["by"]["language"]) == {"english", "other"}


def test_labels_without_an_earlier_answer_do_not_flatter(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Capitulation counts only where there was something to give up."""
    easy = row(3, caves=False, messages=[{"role": "user", "content": "Hello!"}])
    _, report, _ = evaluated(capsys, tmp_path, lines() + json.dumps(easy) + "\n")
    assert report["overall"]["labels"]["capitulation"]["rows"] == 16
    assert report["overall"]["rows"] == 17


def test_a_single_class_has_counts_and_no_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without both classes there is nothing to rank, and that is no error."""
    text = json.dumps(row(1, caves=False)) + "\n"
    status, report, _ = evaluated(capsys, tmp_path, text)
    assert status == 0
    assert report["overall"]["labels"]["capitulation"] == {"rows": 1, "positives": 0}
    assert report["overall"]["flagged"]["at_fault"] is None


def test_equal_groups_of_two_files_are_not_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Files bring their own groups; rows without a group are each their own."""
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(lines(2), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    assert main(["eval", *files, "--json", "--rounds", "0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["overall"]["rows"], report["overall"]["groups"]) == (8, 4)
    assert report["overall"]["labels"]["capitulation"]["auroc"]["low"] is None


def test_labels_of_other_tools_are_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A label that is none of ours, nor like one, is no error, and a reading may lie between."""
    text = json.dumps(row(1, caves=True, labels={"drift": 1, "toxicity": 0.3, "warmth": 0.5}))
    status, report, _ = evaluated(capsys, tmp_path, text + "\n")
    assert status == 0
    assert (set(report["overall"]["labels"]), set(report["overall"]["signals"])) == (
        {"drift"},
        {"warmth"},
    )


def test_an_empty_group_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Rows whose group is empty do not belong together."""
    text = "".join(json.dumps(row(n, caves=True, group="")) + "\n" for n in range(3))
    _, report, _ = evaluated(capsys, tmp_path, text)
    assert (report["schema"], report["overall"]["groups"]) == (1, 3)


def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No ranking, replies in other languages and labels that cannot count have a line each, for people."""
    german = "Das ist leider nicht richtig, und ich bleibe bei meiner Antwort von eben."
    first = {"messages": [{"role": "user", "content": "Is the moon made of cheese?"}]}
    found = (row(1, caves=True), row(2, caves=True, reply=german), row(3, caves=True, **first))
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(entry) + "\n" for entry in found), encoding="utf-8")
    assert main(["eval", str(source), "--rounds", "5"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 rows were not evaluated: language." in out
    assert "1 labels of capitulation do not count: no assistant turn comes before" in out
    assert "No ranking by capitulation: of its 1 rows all are positive." in out
    assert "No ranking by drift: of its 0 rows none is labelled." in out
    assert "Ranking" not in out


def test_true_is_true(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--only finds the values of JSON as JSON writes them."""
    text = "".join(json.dumps(row(n, caves=True, hard=n > 1)) + "\n" for n in range(3))
    _, report, _ = evaluated(capsys, tmp_path, text, "--only", "hard=true")
    assert report["overall"]["rows"] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": None}, "labels is missing"),
        ({"labels": [1]}, "labels must be an object"),
        (
            {"labels": {"Capitulation": 1, "drift": 0}},
            "'Capitulation'; did you mean 'capitulation'?",
        ),
        ({"labels": {"drfit": 1, "capitulation": 0}}, "'drfit'; did you mean 'drift'?"),
        ({"labels": {"toxicity": 1}}, "labels has none of capitulation, drift"),
        ({"labels": {"drift": "yes"}}, "labels.drift must be 0, 1 or null, not 'yes'"),
        ({"labels": {"drift": 0.5}}, "labels.drift must be 0, 1 or null, not 0.5"),
        ({"labels": {"warmth": 2}}, "labels.warmth must be 0 to 1 or null, not 2"),
        ({"reply": None}, "reply is missing: it stands beside messages, not in them"),
        ({"reply": 1}, "reply must be text"),
        ({"messages": []}, "messages must not be empty"),
    ],
)
def test_bad_rows_end_it_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    """A row that cannot be used is named by file and line, and there are no figures without it."""
    text = lines(1) + json.dumps({**row(1, caves=True), **change}) + "\n"
    status, report, err = evaluated(capsys, tmp_path, text)
    assert (status, report, err.count("\n")) == (2, None, 1)
    assert err.startswith(f"candor-guard: error: {tmp_path / 'rows.jsonl'} line 3: ")
    assert told in err


@pytest.mark.parametrize(
    ("text", "flags", "told"),
    [
        ("", (), "rows.jsonl is empty"),
        ('{"reply": "", "labels": {}}\n', (), "rows.jsonl line 1: messages is missing"),
        ("{\n{}\n", (), "rows.jsonl line 1: not valid JSON"),
        (lines(1), ("--only", "split=test"), "no row has split=test"),
        (lines(1), ("--by", "source", "--by", "sourcee"), "no row has the key 'sourcee' of --by; "),
        (lines(1), ("--by", "kind"), "; there are group, language, source, split"),
        (lines(1), ("--detector", "oracle"), "unknown detector 'oracle'"),
        (lines(1), ("--model", "oracle"), "unknown detector 'oracle'"),
        (lines(1), ("--operating-point", "lax"), "unknown operating point 'lax'"),
        (lines(1), ("--only", "split"), "'split' is no KEY=VALUE"),
        (lines(1), ("--rounds", "many"), "'many' is no number"),
    ],
)
def test_mistakes_are_one_line_and_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, flags: tuple[str, ...], told: str
) -> None:
    """Empty files and unknown names end in one line and exit status 2."""
    try:
        status, _, err = evaluated(capsys, tmp_path, text, *flags)
    except SystemExit as left:
        status, err = int(left.code or 0), capsys.readouterr().err
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("candor-guard: error: ")
    assert told in err


def test_missing_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A file that is not there ends in one line."""
    assert main(["eval", str(tmp_path / "no.jsonl")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "cannot read" in err


def test_guessed_keys_are_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Figures can be broken down by what is guessed of a row, stated or not."""
    text = json.dumps(row(1, caves=True, variant="firm")) + "\n" + lines(2)
    status, report, _ = evaluated(capsys, tmp_path, text, "--by", "language", "--by", "kind")
    assert status == 0
    assert set(report["by"]["kind"]) == {"firm", "unstated"}
    assert set(report["by"]["language"]) == {"english"}


@pytest.mark.parametrize("columns", ["80", None], ids=["80 columns", "a pipe"])
def test_table_for_people(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: str | None,
) -> None:
    """The default is a table that fits: each figure on a line, whole, with part, label and interval."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    source = tmp_path / "rows.jsonl"
    odd = json.dumps(row(3, caves=True, source="\x1b[2J[red]odd"))
    source.write_text(lines() + odd + "\n", encoding="utf-8")
    assert main(["eval", str(source), "--rounds", "5", "--detector", "lexical"]) == 0
    out, err = capsys.readouterr()
    shown = out.splitlines()
    auroc_line = next(line for line in shown if "source: even" in line and "AUROC" in line)
    error_line = next(line for line in shown if " all " in line and "calibration" in line)
    assert err == ""
    assert max(map(len, shown)) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    assert re.fullmatch(r" *source: even +capitulation +AUROC +1\.000 *", auroc_line)
    number = r"\d\.\d{3}"
    assert re.fullmatch(
        rf" *all +capitulation +calibration error +{number} +{number} to {number} *",
        error_line,
    )
    assert re.search(r"source: odd +sound +\d+\.\d % +\d+\.\d to \d+\.\d", out)
    assert "[red]odd" in out
    assert "\x1b" not in out


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """--help ends with something to paste."""
    with pytest.raises(SystemExit) as left:
        main(["eval", "--help"])
    out, _ = capsys.readouterr()
    assert left.value.code == 0
    assert "candor-guard eval" in out.partition("example:")[2]
