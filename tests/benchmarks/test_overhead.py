"""The overhead benchmark from end to end, in a few requests, and the arithmetic of its targets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.loopback import NotStartedError, process, until_ready
from benchmarks.machine import cores, cpu_seconds, family, memory
from benchmarks.overhead import figures, model, plots, tables
from benchmarks.overhead.contenders import (
    CONTENDERS,
    DIRECT,
    FLOOR,
    LITELLM,
    TENTH,
    UNGATED,
    WORST,
)
from benchmarks.overhead.load import Sample
from benchmarks.overhead.measure import Cell, Plan, Stage, streams, whole_replies
from benchmarks.overhead.stand import sort_conversations, stand
from benchmarks.overhead.traffic import Kinds

from candor_guard.detectors.shipped import build_detector

linux = pytest.mark.skipif(sys.platform != "linux", reason="pins processes and reads /proc")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """All of it, tiny."""
    plan = Plan(
        rounds=1, seconds=0.02, connections=(1, 2), rate=100, stream_seconds=0.01, gap_ms=0.2,
        stream_rounds=2, paced_words=30, paced_seconds=0.05,
    )  # fmt: skip
    with stand("lexical", {}) as running:
        kinds = sort_conversations(running["enforce"], build_detector("lexical"))
        there = tuple(c for c in CONTENDERS if c.server in running)
        stage = Stage(running, kinds, there)
        found: dict[str, Any] = {
            "setup": {"machine": "a machine", "python": "3", "load before": [0.0]},
            "whole replies": figures.rows(whole_replies(stage, plan)),
            "streams, at once": figures.rows(streams(stage, plan, 0.0)),
            "streams, paced": figures.rows(streams(stage, plan, plan.gap_ms)),
            "processes": figures.process_rows(running),
        }
    return {**found, "targets": figures.targets(found, plan.connections)}


@linux
def test_every_contender_is_measured_on_the_path_it_claims(report: dict[str, Any]) -> None:
    """All servers start, every load has all contenders, and none answered otherwise than expected."""
    ours = [c.name for c in CONTENDERS if c.server in report["processes"]]
    assert WORST in ours
    loads = report["whole replies"]
    assert list(loads) == ["1 connections", "2 connections", "open loop, 100/s"]
    for rows in loads.values():
        assert list(rows) == ours
        assert all(row["n"] > 0 and row["cpu_ms"] > 0 for row in rows.values())
    assert loads["1 connections"][DIRECT]["added_last_p50_ms"] == 0
    assert loads["1 connections"][FLOOR]["added_last_p50_ms"] > 0
    paced = report["streams, paced"]["1 connections"]
    for name, row in paced.items():
        assert 0 < row["first_p50_ms"] <= row["last_p50_ms"], name
    assert TENTH not in paced
    whole = report["streams, at once"]["1 connections"]
    assert min(row["n"] for row in (*paced.values(), *whole.values())) >= 2


@linux
def test_processes_have_sizes_and_a_start(report: dict[str, Any]) -> None:
    """Memory and start are those of each server."""
    assert set(report["processes"]) == {"mock", "floor", "off", "observe", "enforce"}
    for row in report["processes"].values():
        assert row["start_to_ready_s"] > 0
        assert 10 < row["pss_loaded_mib"] <= row["rss_loaded_mib"] < 1000


@linux
def test_report_is_readable_and_plain(report: dict[str, Any], tmp_path: Path) -> None:
    """It can be written as JSON, shown as a table, and drawn where there is something to draw with."""
    assert json.loads(json.dumps(report)) == report
    text = tables.render(report)
    assert all(name in text for name in (UNGATED, "start to ready", "gap p99"))
    drawn = plots.draw(tmp_path, report)
    assert all(path.read_text(encoding="utf-8").startswith("<?xml") for path in drawn)


@linux
def test_a_server_that_does_not_start_is_told(tmp_path: Path) -> None:
    """What it said comes out, and nobody waits for it."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with process(command, cores()[0], log) as running:
        with pytest.raises(NotStartedError, match="no such model"):
            until_ready(running, lambda: False, log, 30.0)
        assert list(family(running.pid)) == [running.pid]
    with process([sys.executable, "-c", "input()"], cores()[0], log) as running:
        assert cpu_seconds(running.pid) >= 0
        assert memory(running.pid).rss > 0


def cell(*milliseconds: float, done: int = 10) -> Cell:
    times = [value / 1000 for value in milliseconds]
    return Cell([Sample(first=times, last=times, done=done, window=0.5, sent=10)], [0.001])


def test_targets_are_ratios_within_the_run() -> None:
    """Each target is computed from the figures that it names; one at its limit is met."""
    calm = {DIRECT: cell(1), FLOOR: cell(2), UNGATED: cell(2.5), TENTH: cell(4), LITELLM: cell(11)}
    busy = {name: cell(5, done=count) for name, count in
            ((DIRECT, 900), (FLOOR, 100), (UNGATED, 60), (TENTH, 40), (LITELLM, 4))}  # fmt: skip
    rows = figures.rows({"1 connections": calm, "64 connections": busy})
    paced = {"1 connections": {FLOOR: {"first_p50_ms": 6.0, "n": 30}, UNGATED:
                               {"first_p50_ms": 6.7, "n": 28}}}  # fmt: skip
    processes = {"enforce": {"rss_loaded_mib": 70.0, "start_to_ready_s": 2.0}}
    report = {"whole replies": rows, "streams, paced": paced, "processes": processes}
    found = figures.targets(report, (1, 64))
    measured = [round(target["measured"], 3) for target in found]
    assert measured == [1.5, 0.15, 0.6, 15.0, 0.3, 10.0, 0.7, 70.0, 2.0]
    assert [t["met"] for t in found] == [
        True, False, True, False, False, True, False, True, False,
    ]  # fmt: skip
    assert [t.get("n") for t in found] == [1, 1, 1, 1, 1, 1, 28, None, None]


def test_a_target_against_another_proxy_tells_what_doing_nothing_reaches() -> None:
    """A reader sees where the bare pass-through itself is beyond a target."""
    rows = {DIRECT: cell(1), FLOOR: cell(2), UNGATED: cell(2.5), LITELLM: cell(11)}
    calm = figures.rows({"1 connections": rows})["1 connections"]
    wanted = figures.Target("added p50 / LiteLLM proxy's", "≤", 1 / 25)
    target = wanted.share(calm, UNGATED, LITELLM, "added_last_p50_ms")
    assert target is not None
    assert target[FLOOR] == pytest.approx(0.1)
    assert "(n = 1; the bare pass-through itself: 0.1)" in tables.render(
        {"setup": {"machine": "", "python": "", "load before": []}, "whole replies": {},
         "streams, at once": {}, "streams, paced": {}, "processes": {}, "targets": [target]}
    )  # fmt: skip
    own = wanted.share(calm, UNGATED, FLOOR, "added_last_p50_ms")
    assert own is not None
    assert FLOOR not in own


def test_targets_without_litellm_leave_its_ratios_out() -> None:
    """Nothing is claimed about who was not there."""
    rows = {name: cell(2) for name in (FLOOR, UNGATED, TENTH)} | {DIRECT: cell(1)}
    found = figures.targets(
        {
            "whole replies": figures.rows({"1 connections": rows, "8 connections": rows}),
            "streams, paced": {
                "1 connections": {n: {"first_p50_ms": 1.0, "n": 30} for n in (FLOOR, UNGATED)}
            },
            "processes": {"enforce": {"rss_loaded_mib": 70.0, "start_to_ready_s": 1.0}},
        },
        (1, 8),
    )
    assert not any("LiteLLM" in target["what"] for target in found)
    assert all(target["met"] for target in found)


def test_worst_case_is_held_against_a_bare_pass(tmp_path: Path) -> None:
    """The target is 1.3 passes and half a millisecond; without an encoder there is none."""
    bare = {"tokens": 180.0, "gate_tokens": 60, "p50_ms": 10.0}
    assert [model.target(bare, added)["met"] for added in (13.4, 13.6)] == [True, False]
    assert model.bare_pass(tmp_path, Kinds((), ())) is None
