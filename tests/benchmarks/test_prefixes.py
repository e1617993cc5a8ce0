"""The walk over a held reply's beginnings: its arithmetic, and that the proxy walks the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks.prefixes.__main__ import main
from benchmarks.prefixes.sentences import FILLERS
from benchmarks.prefixes.walk import Walk, places, reply, summary, walk

from candor_guard.conversation import Conversation, Exchange
from candor_guard.flow.milestones import GROWTH, Milestones
from candor_guard.guard import Guard
from candor_guard.policy import Policy
from candor_guard.testing import FakeDetector, FakeReply, FakeUpstream
from candor_guard.verdict import Verdict, judge

SENTENCES = ("One two three.", "Four five.", "Six seven eight nine.")
MESSAGES = [{"role": "user", "content": "No, that is wrong."}]
SMALL = Policy(min_prefix_chars=20, min_release_chars=20, repair_ratio=0.5)


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("tokens", [1, 5, 6, 50])
def test_replies_are_just_long_enough(tokens: int) -> None:
    """A reply opens with the answer, and its last sentence is the one that made it long enough."""
    text = reply("It is so.", SENTENCES, 0, tokens, words)
    said = text.split(". ")
    assert text.startswith("It is so.")
    assert words(text) >= tokens
    assert len(said) == 1 or words(". ".join(said[:-1])) < tokens


def test_replies_go_on_with_different_sentences() -> None:
    """Conversations that follow each other do not go on alike, and the sentences come in order."""
    first, second = (reply("So.", SENTENCES, number, 4, words) for number in (0, 1))
    assert (first, second) == ("So. One two three.", "So. Four five. Six seven eight nine.")


def test_fillers_are_sentences() -> None:
    """Every filler is whole sentences, each there once."""
    for sentences in FILLERS.values():
        assert len(set(sentences)) == len(sentences)
        assert all(sentence.endswith(".") and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize("growth", [1.1, GROWTH, 3.0])
def test_places_lie_as_far_apart_as_asked(growth: float) -> None:
    """Each place lies at least `growth` times as far as the one before."""
    found = [length for length, _ in places("It is so. " * 500, 80, growth)]
    assert found[0] >= 80
    assert len(found) > 2
    assert all(after > before * growth for before, after in pairwise(found))


def test_the_proxy_grows_by_the_default() -> None:
    """Without an argument the places are those of `GROWTH`."""
    text = "It is so. " * 50
    watch = Milestones(80)
    assert watch.next(text) == places(text, 80, GROWTH)[0]
    assert watch.next(text) == places(text, 80, GROWTH)[1]


def graded(exchange: Exchange) -> Mapping[str, float]:
    """At fault with CAVE in it, undecided until CLEAR is."""
    score = 0.9 if "CAVE" in exchange.reply else 0.1 if "CLEAR" in exchange.reply else 0.4
    return {"capitulation": score, "drift": 0.05}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "released"),
    [
        ("It is CLEAR. And it stays so. " + "More is said. " * 20, True),
        ("It is so. And it stays so. " + "More is said. " * 5 + "CLEAR. " + "More. " * 20, True),
        ("It is so. And it stays so. " + "More is said. " * 20, False),
        ("It is so. CAVE, have it your way. " + "More is said. " * 20, False),
        ("Short.", False),
    ],
    ids=["at once", "later", "never", "at fault", "too short"],
)
async def test_the_proxy_walks_the_same_way(text: str, *, released: bool) -> None:
    """The beginnings that the walk reads are those that a guard reads, before the whole."""
    detector = FakeDetector(scores=graded)
    guard = Guard(detector, SMALL, upstream=FakeUpstream([FakeReply.chat_stream(*text)]))
    async for _ in guard.stream({"model": "fake", "messages": MESSAGES}):
        pass
    await guard.aclose()
    lengths = [len(exchange.reply) for exchange in detector.read_exchanges]

    points = FakeDetector().operating_points
    thresholds, bars = SMALL.resolve_thresholds(points), SMALL.resolve_probe_bars(points)
    read = list[int]()

    def reading(beginning: str) -> Verdict:
        read.append(len(beginning))
        exchange = Exchange(Conversation.parse(MESSAGES), beginning)
        return judge(FakeDetector(scores=graded).read([exchange])[0], thresholds, "fake")

    found = walk(text, reading, SMALL, bars, GROWTH)
    # A reply that is replaced is followed by the reading of another one.
    assert lengths[: len(read)] == read
    assert lengths[len(read)] == len(text)
    assert (found.readings, found.released is not None) == (len(read), released)
    assert found.released in (None, read[-1] if read else None)


def test_summary_holds_what_was_not_released_to_its_end() -> None:
    """Means of readings are over all replies; a reply that was not released is held whole."""
    found = summary([Walk(3, 1, 300, 900), Walk(3, 3, 600, 900), Walk(5, 5, None, 1200)])
    assert found == {
        "replies": 3,
        "places_median": 3,
        "readings_mean": 3,
        "readings_most": 5,
        "released": 2,
        "released_at_median": 450,
        "released_at_mean": 450,
        "held_mean": 700,
    }
    assert summary([Walk(1, 1, None, 90)])["released_at_mean"] is None


def test_the_command_reads_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick run shows a row for every growth, and writes down what it shows."""
    wish = ["--detector", "lexical", "--quick", "--growth", "1.5", "2", "--out", str(tmp_path)]
    assert main(wish) == 0
    report = json.loads((tmp_path / "prefixes.json").read_text(encoding="utf-8"))
    rows = report["rows"]
    assert [row["growth"] for row in rows] == [1.5, 2.0] * len(FILLERS)
    assert all(row["readings_mean"] <= row["places_median"] + 2 for row in rows)
    shown = capsys.readouterr().out
    assert f"{report['conversations']['held']} conversations held" in shown
    assert all(f"going on with: {filler}" in shown for filler in FILLERS)


def test_places_that_do_not_grow_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A growth of 1 would be a reading at every sentence end: the command says so."""
    with pytest.raises(SystemExit):
        main(["--growth", "1"])
    assert "must be above 1" in capsys.readouterr().err
