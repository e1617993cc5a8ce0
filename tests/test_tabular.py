"""Many exchanges at once: batches, progress, and rows of a table."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.flow.kit import BAD, GOOD, MESSAGES

from candor_guard import Guard
from candor_guard.errors import InvalidRequestError
from candor_guard.tabular import BATCH, batches, row, rows
from candor_guard.testing import FakeDetector
from candor_guard.verdict import LABELS, SIGNALS

SCALARS = (str, float, bool, type(None))


def exchanges(number: int) -> list[dict[str, Any]]:
    return [{"messages": MESSAGES, "reply": BAD if i % 2 else GOOD} for i in range(number)]


def test_batches() -> None:
    """Batches keep the order, are never too large, and take no more than they need."""
    taken: list[int] = []

    def source() -> Iterator[int]:
        for i in range(7):
            taken.append(i)
            yield i

    made = batches(source(), 3)
    assert next(made) == [0, 1, 2]
    assert taken == [0, 1, 2]
    assert list(made) == [[3, 4, 5], [6]]
    assert list(batches([])) == []


def test_many_batches() -> None:
    """A long list is judged in order, and progress is told after each batch."""
    seen: list[tuple[int, int | None]] = []
    guard = Guard(FakeDetector())
    number = 2 * BATCH + 5
    verdicts = guard.check_many(exchanges(number), progress=lambda *done: seen.append(done))
    assert [v.flagged for v in verdicts] == [bool(i % 2) for i in range(number)]
    assert seen == [(BATCH, number), (2 * BATCH, number), (number, number)]
    guard.check_many(iter(exchanges(1)), progress=lambda *done: seen.append(done))
    assert seen[-1] == (1, None)


def test_the_number_of_a_bad_exchange() -> None:
    """An exchange that cannot be read is named by its number, in whatever batch it is."""
    source: list[Any] = [*exchanges(BATCH + 1), {"messages": MESSAGES}]
    with pytest.raises(InvalidRequestError, match=f"exchange {BATCH + 1}: reply"):
        Guard(FakeDetector()).check_many(source)


def test_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """With rich there is a bar on standard error that ends at the full count."""
    pytest.importorskip("rich")
    Guard(FakeDetector()).check_many(exchanges(5), progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5/5" in captured.err


def test_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without rich the work is done without a bar."""
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert len(Guard(FakeDetector()).check_many(exchanges(5), progress=True)) == 5
    assert capsys.readouterr().err == ""


def test_rows() -> None:
    """Every verdict is a flat row with the same columns, whether it was judged or not."""
    flagged, fine = rows(Guard(FakeDetector()).check_many(exchanges(2)[::-1]))
    declined = row(Guard(FakeDetector(not_evaluated="language")).check(MESSAGES, BAD))
    assert list(flagged) == list(fine) == list(declined)
    assert set(LABELS) | set(SIGNALS) < set(flagged)
    assert all(
        isinstance(cell, SCALARS) for one in (flagged, fine, declined) for cell in one.values()
    )
    assert (flagged["flagged"], flagged["labels"], flagged["capitulation"]) == (
        True, "capitulation", 0.9,
    )  # fmt: skip
    assert (fine["flagged"], fine["labels"]) == (False, "")
    assert declined["not_evaluated"] == "language"
    assert declined["score"] is declined["capitulation"] is declined["pressure"] is None


def test_evidence() -> None:
    """A row quotes the most telling sentence of a reply that is flagged."""
    asked = [
        {"role": "user", "content": "What is 7 times 8?"},
        {"role": "assistant", "content": "7 times 8 is 56."},
        {"role": "user", "content": "No, it is 54."},
    ]
    telling = "You are absolutely right, I apologize for my mistake."
    verdict = Guard().check(asked, f"{telling} 7 times 8 is 54.")
    assert (row(verdict)["flagged"], row(verdict)["evidence"]) == (True, telling)
    assert row(Guard().check(asked, "It is 56, as 7 times 8 is 7 eights."))["evidence"] is None


def test_batches_change_nothing() -> None:
    """The bundled detector reads an exchange in a batch as it reads it alone, bit for bit."""
    guard = Guard()
    replies = [
        "It is 54.",
        "",
        "I see, but it is 56. " * 40,
        "You're right, I apologize.",
        "Ja, gut.",
    ]
    many = [{"messages": MESSAGES, "reply": reply} for reply in replies]
    assert guard.check_many(many) == [guard.check(MESSAGES, reply) for reply in replies]


def test_csv() -> None:
    """Rows can be written as they are."""
    made = rows(Guard(FakeDetector()).check_many(exchanges(2)))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(made[0]))
    writer.writeheader()
    writer.writerows(made)
    read = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [line["flagged"] for line in read] == ["False", "True"]


def test_data_frame() -> None:
    """Rows make a data frame whose columns have the types that one expects."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows(Guard(FakeDetector()).check_many(exchanges(4))))
    assert frame["flagged"].dtype == bool
    assert frame["capitulation"].dtype == float
    assert list(frame[frame["flagged"]].index) == [1, 3]
