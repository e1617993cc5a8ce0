"""`candor-guard eval --against`: two detectors on the same lines, and how far they are apart."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.labelled import lines, row
from typing_extensions import override

from candor_guard import Guard
from candor_guard.conversation import Exchange
from candor_guard.detectors.encoder.detector import SHIPPED
from candor_guard.testing import FakeDetector
from candor_guard.verdict import LABELS, Reading
from candor_proxy.cli import main
from candor_proxy.cli.eval_against import print_comparison
from candor_proxy.comparison import compare
from candor_proxy.evaluation import LabelledRow


def evaluated(capsys: pytest.CaptureFixture[str], path: Path, text: str, *flags: str) -> Any:
    source = path / "rows.jsonl"
    source.write_text(text, encoding="utf-8")
    assert main(["eval", str(source), "--json", "--rounds", "20", *flags]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


@dataclass(slots=True)
class Choosy(FakeDetector):
    """Declines replies that have this word."""

    word: str = ""

    @override
    def read(self, exchanges: Sequence[Exchange]) -> Sequence[Reading]:
        """Answer as scripted, but for the word."""
        # The class of before `slots` made it anew is what a bare `super()` would look for.
        readings = FakeDetector.read(self, exchanges)
        return [
            replace(reading, not_evaluated="word") if self.word in exchange.reply else reading
            for exchange, reading in zip(exchanges, readings, strict=True)
        ]


def compared(first: str, second: str) -> Any:
    """Compare fakes that decline a word each, on replies of which some have one of them, or both."""
    told = ["CAVE in", "sound", "CAVE in, alpha", "sound beta", "sound alpha beta"]
    rows = [
        LabelledRow.parse(row(n, caves="CAVE" in reply, reply=reply), place=str(n))
        for n, reply in enumerate(told)
    ]
    return compare(Guard(Choosy(word=first)), Guard(Choosy(word=second)), rows, by=(), rounds=5)


def test_both_values_are_those_of_either_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each figure has what either detector has alone, and the first less the second."""
    names = ("relation", "lexical")
    report = evaluated(capsys, tmp_path, lines(), "--detector", names[0], "--against", names[1])
    alone = [evaluated(capsys, tmp_path, lines(), "--detector", name) for name in names]
    both = report["against"]["overall"]
    ours, theirs = (each["overall"]["labels"]["capitulation"] for each in alone)
    figures = both["labels"]["capitulation"]
    assert figures.keys() == ours.keys()
    assert (figures.pop("rows"), figures.pop("positives")) == (16, 8)
    for name, figure in figures.items():
        assert figure["detector"] == ours[name]
        assert figure["against"] == theirs[name]
        difference = figure["detector"]["value"] - figure["against"]["value"]
        assert figure["difference"]["value"] == pytest.approx(difference, abs=2e-4)
    for kind, share in both["flagged"].items():
        assert share["detector"]["value"] == alone[0]["overall"]["flagged"][kind]["value"]
        assert share["against"]["value"] == alone[1]["overall"]["flagged"][kind]["value"]


def test_the_report_on_the_one_detector_stays_what_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whoever reads the report of one detector finds it unchanged; the other one is under a new key."""
    alone = evaluated(capsys, tmp_path, lines(), "--detector", "relation")
    report = evaluated(capsys, tmp_path, lines(), "--detector", "relation", "--against", "lexical")
    against = report.pop("against")
    assert report == alone
    assert against["detector"].startswith("lexical@")
    assert against["thresholds"] != report["thresholds"]
    assert set(against["by"]["source"]) == set(report["by"]["source"]) == {"even", "odd"}
    assert sum(part["rows"] for part in against["by"]["source"].values()) == 16


def test_a_detector_against_itself_differs_by_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The shipped model's folder is the shipped model: every difference is 0."""
    flags = ("--detector", "encoder", "--against", str(SHIPPED))
    report = evaluated(capsys, tmp_path, lines(3), *flags)
    whole = report["against"]["overall"]
    figures = [*whole["labels"]["capitulation"].values(), *whole["flagged"].values()]
    found = {f["difference"]["value"] for f in figures if isinstance(f, dict)}
    assert found == {0.0}
    assert report["against"]["detector"] == report["detector"]


def guessing(exchange: Exchange) -> Mapping[str, float]:
    """Scores without a reason, and never enough to flag a reply."""
    return dict.fromkeys(LABELS, len(exchange.reply) % 7 / 20)


def test_what_is_apart_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a detector that is right and one that guesses, the interval lies above 0 and has a mark."""
    rows = [
        LabelledRow.parse(
            row(n, caves=n % 2 == 0, reply=f"{'x' * n} {'CAVE' if n % 2 == 0 else 'hold'}"),
            place=str(n),
        )
        for n in range(40)
    ]
    report = compare(Guard(FakeDetector()), Guard(FakeDetector(guessing)), rows, by=(), rounds=50)
    whole = report["against"]["overall"]
    figure = whole["labels"]["capitulation"]["auroc"]
    assert figure["detector"] == {"value": 1.0, "low": None, "high": None}
    assert 0 < figure["difference"]["low"] < figure["difference"]["value"]
    assert whole["flagged"]["at_fault"]["difference"]["low"] > 0
    print_comparison(report, (None, "fake"))
    out = capsys.readouterr().out
    number = r"\d\.\d{3}"
    assert re.search(rf"AUROC +1\.000 +{number} +\+{number}\* +\+{number} to \+{number}", out)
    assert re.search(r"at fault +100\.0 +0\.0 +\+100\.0\* +\+\d+\.\d to \+100\.0", out)
    assert re.search(r"sound +0\.0 +0\.0 +\+0\.0 +-\d+\.\d to \+\d+\.\d", out)


def test_only_rows_that_both_judged_are_compared() -> None:
    """What one of them declined is in no figure of the other, and is counted by whose doing it is."""
    whole = compared("alpha", "beta")["against"]["overall"]
    assert (whole["rows"], whole["compared"], whole["groups"]) == (5, 2, 2)
    assert whole["not_evaluated_by"] == {"detector_alone": 1, "against_alone": 1, "both": 1}
    assert whole["not_evaluated_why"] == {"detector": {"word": 2}, "against": {"word": 2}}
    assert whole["labels"]["capitulation"]["rows"] == 2
    assert {kind: share["rows"] for kind, share in whole["flagged"].items()} == {
        "all": 2, "at_fault": 1, "sound": 1,
    }  # fmt: skip


def test_what_is_not_compared_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """People are told how many rows are left out, whose doing it is, and why."""
    print_comparison(compared("alpha", "beta"), ("a", "b"))
    out = " ".join(capsys.readouterr().out.split())
    assert "A: fake@1 (a) B: fake@1 (b)" in out
    assert "2 of 5 rows compared" in out
    assert "1 rows are not compared: only A did not evaluate them." in out
    assert "1 rows are not compared: only B did not evaluate them." in out
    assert "1 rows are not compared: A and B did not evaluate them." in out
    assert "2 rows were not evaluated by B: word." in out
    assert "No ranking by drift: of its 0 rows none is labelled." in out


def test_nothing_in_common_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no row was judged by both there are no figures, and that is said."""
    report = compared("", "beta")
    whole = report["against"]["overall"]
    assert (whole["compared"], whole["labels"], whole["flagged"]["all"]) == (0, {}, None)
    print_comparison(report, (None, "b"))
    out = " ".join(capsys.readouterr().out.split())
    assert "A: fake@1 (default)" in out
    assert "0 of 5 rows compared" in out
    assert "Flagged" not in out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--against", "oracle"), "unknown detector 'oracle'"),
        (("--against", "{folder}"), "model"),
        (("--against", "lexical", "--operating-point", "lax"), "unknown operating point 'lax'"),
        (("--against",), "expected one argument"),
    ],
    ids=["no such name", "a folder without a model", "no such point", "no name"],
)
def test_mistakes_are_one_line_and_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: tuple[str, ...], told: str
) -> None:
    """A second detector that is none ends in one line and exit status 2, and nothing is judged."""
    source = tmp_path / "rows.jsonl"
    source.write_text(lines(1), encoding="utf-8")
    given = [flag.format(folder=tmp_path) for flag in flags]
    try:
        status = main(["eval", str(source), "--detector", "lexical", *given])
    except SystemExit as left:
        status = int(left.code or 0)
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("candor-guard: error: ")
    assert told in err


@pytest.mark.parametrize("columns", ["80", None], ids=["80 columns", "a pipe"])
def test_table_for_people(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: str | None,
) -> None:
    """Both values, their difference and its interval are on a line that fits; what is apart has a *."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    source = tmp_path / "rows.jsonl"
    source.write_text(lines() + json.dumps(row(3, caves=True, source="[red]odd")) + "\n")
    flags = ("--rounds", "20", "--detector", "relation", "--against", "lexical")
    assert main(["eval", str(source), *flags]) == 0
    out, err = capsys.readouterr()
    shown = out.splitlines()
    assert err == ""
    assert max(map(len, shown)) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    assert re.match(r"A: relation@\S+\nB: lexical@\S+\n", out)
    number, signed = r"\d\.\d{3}", r"[+-]\d\.\d{3}"
    place = shown.index(next(line for line in shown if "source: even, 4 of 8 positive" in line))
    told = next(line for line in shown[place:] if "calibration" in line)
    assert re.fullmatch(
        rf" *calibration error +{number} +{number} +{signed}\*? +{signed} to {signed} *", told
    )
    assert re.search(r"all, 17 rows *\n +at fault +\d+\.\d +\d+\.\d +[+-]\d+\.\d\*? ", out)
    assert "[red]odd" in out
