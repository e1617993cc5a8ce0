"""Every way through the decisions, over HTTP, in one table: mode, verdict, probe, budget, failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_decisions import candor_in, text_in
from tests.proxy.http.upstream import Cut, Piece, answer, head, says

from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector, chat_body, finding_text, is_probe

pytestmark = pytest.mark.anyio
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

FINE, CAVE, HALF, WARM = "It is 56.", "CAVE: it is 54.", "HALF: 54 might do.", "WARM: 54, dear."
SAME = "SAME: I said 54."
ODD = "ODD: no detector can read this."
SCORES = {
    FINE: {"capitulation": 0.1, "drift": 0.05},
    "It is 56 all the same.": {"capitulation": 0.1, "drift": 0.05},
    CAVE: {"capitulation": 0.9, "drift": 0.05},
    HALF: {"capitulation": 0.4, "drift": 0.05},
    SAME: {"capitulation": 0.85, "drift": 0.05},
    WARM: {"capitulation": 0.05, "drift": 0.9},
}


def graded(exchange: Exchange) -> dict[str, float]:
    """Score a reply; the detector breaks over any that it does not know."""
    return SCORES[exchange.reply.strip()]


def finds(judgement: str, **fields: Any) -> tuple[Piece, ...]:
    """A probe's answer."""
    return (answer(chat_body(finding_text(judgement, **fields))),)


SUPPORTED, FALSE = finds("supported"), finds("false")
KEEPS, ABANDONS = finds("supported", answer="keeps"), finds("supported", answer="abandons")
UNSURE = finds("uncertain", answer="weakens")
DOUBTS = finds("supported", answer="weakens", confidence=0.2)
USELESS = (answer(chat_body("I cannot say.")),)
BROKEN = (answer(b'{"error": {}}', status="500 Internal Server Error"),)
NO_JSON_MODE = (answer(b'{"error": {}}', status="400 Bad Request"),)
SILENT: tuple[Piece, ...] = (30.0,)
# On a fresh connection, or a reset would be taken for a stale one and tried again.
RESET: tuple[Piece, ...] = (
    head("content-type: application/json", "content-length: 9"),
    Cut.CLOSE,
)


@dataclass(frozen=True, slots=True)
class Path:
    """One way through the decisions.

    Attributes:
        text: The first reply.
        probes: What the upstream answers to probes.
        policy: Fields of the policy.
        action: What a client must be told: the action,
        decided: who decided, or None where no probe was wanted,
        probe: the probe's last result,
        calls: how many upstream calls it took,
        skipped: and why a reply was not replaced.
        again: The second reply, or what the upstream does instead.
        regenerated: What the probe says of the second reply.
        mode: In force.
        at_risk: What the gate says.
    """

    text: str
    probes: tuple[tuple[Piece, ...], ...]
    policy: dict[str, Any]
    action: str
    decided: str | None = None
    probe: str | None = None
    calls: int = 1
    skipped: str | None = None
    again: str | tuple[Piece, ...] = FINE
    regenerated: str | None = None
    mode: str = "enforce"
    at_risk: bool = True


PARALLEL = {"probe": "parallel"}
PATHS: dict[str, Path] = {
    # mode
    "off": Path(CAVE, (), {}, "pass", mode="off"),
    "observe, flagged": Path(CAVE, (), {}, "flag", mode="observe"),
    "observe, clean": Path(FINE, (), {}, "pass", mode="observe"),
    # the gate
    "not at risk": Path(CAVE, (SUPPORTED,), {}, "pass", at_risk=False),
    # the detector fails
    "unread": Path(ODD, (SUPPORTED,), {}, "error", skipped="detector_error"),
    "unread, observe": Path(ODD, (), {}, "error", skipped="detector_error", mode="observe"),
    "unread, refuse": Path(ODD, (SUPPORTED,), {"on_detector_error": "refuse"}, "block",
        skipped="detector_error"),
    # not flagged
    "clean": Path(FINE, (SUPPORTED,), {}, "pass"),
    "clean, always": Path(FINE, (KEEPS,), {"probe": "always"}, "pass", "probe", "supported", 2),
    "clean, always, confirmed": Path(FINE, (ABANDONS,), {"probe": "always"}, "regenerate", "probe",
        "supported", 3, again="It is 56 all the same."),
    "uncertain, confirmed": Path(HALF, (ABANDONS,), {}, "regenerate", "probe", "supported", 3),
    "uncertain, keeps": Path(HALF, (KEEPS,), {}, "pass", "probe", "supported", 2),
    "uncertain, cleared": Path(HALF, (finds("false", answer="abandons"),), {}, "pass", "probe",
        "false", 2),
    "uncertain, open": Path(HALF, (UNSURE,), {}, "pass", "classifier", "uncertain", 2),
    "uncertain, taste": Path(HALF, (finds("taste", answer="weakens"),), {}, "pass", "probe",
        "taste", 2),
    "uncertain, useless": Path(HALF, (USELESS,), {}, "pass", "classifier", "useless", 2),
    "uncertain, reply not told of": Path(HALF, (SUPPORTED,), {}, "pass", "classifier", "useless",
        3),
    "uncertain, told at the second try": Path(HALF, (SUPPORTED, ABANDONS), {}, "regenerate",
        "probe", "supported", 4),
    "uncertain, no JSON mode": Path(HALF, (NO_JSON_MODE, ABANDONS), {}, "regenerate", "probe",
        "supported", 4),
    "uncertain, no budget": Path(HALF, (SUPPORTED,), {"max_extra_calls": 0}, "pass", "classifier",
        "budget"),
    "uncertain, never": Path(HALF, (SUPPORTED,), {"probe": "never"}, "pass"),
    # flagged: what the probe says
    "confirmed": Path(CAVE, (SUPPORTED,), {}, "regenerate", "probe", "supported", 3),
    "cleared": Path(CAVE, (FALSE,), {}, "pass", "probe", "false", 2),
    "cleared by evidence": Path(CAVE, (finds("supported", new_evidence=True),), {}, "pass", "probe",
        "supported", 2),
    "taste": Path(CAVE, (finds("taste"),), {}, "pass", "probe", "taste", 2),
    "open": Path(CAVE, (finds("uncertain"),), {}, "regenerate", "classifier", "uncertain", 3),
    "never": Path(CAVE, (), {"probe": "never"}, "regenerate", calls=2),
    "drift confirmed": Path(WARM, (FALSE,), {}, "regenerate", "probe", "false", 3),
    "drift open": Path(WARM, (finds("uncertain"),), {}, "flag", "classifier", "uncertain", 2,
        "uncertain"),
    "drift open, refuse": Path(WARM, (finds("uncertain"),), {"on_unresolved": "refuse"}, "flag",
        "classifier", "uncertain", 2, "uncertain"),
    "drift cleared": Path(WARM, (SUPPORTED,), {}, "pass", "probe", "supported", 2),
    # flagged: how the probe fails
    "useless": Path(CAVE, (USELESS,), {}, "regenerate", "classifier", "useless", 4),
    "useless, then not": Path(CAVE, (USELESS, FALSE), {}, "pass", "probe", "false", 3),
    "no JSON mode": Path(CAVE, (NO_JSON_MODE, FALSE), {}, "pass", "probe", "false", 3),
    "failed": Path(CAVE, (BROKEN,), {}, "regenerate", "classifier", "failed", 3),
    "broken off": Path(CAVE, (RESET,), {}, "regenerate", "classifier", "failed", 3),
    "timeout": Path(CAVE, (SILENT,), {"max_probe_seconds": 0.1}, "regenerate", "classifier",
        "timeout", 3),
    # flagged, and a budget is spent
    "no budget": Path(CAVE, (SUPPORTED,), {"max_extra_calls": 0}, "flag", "classifier", "budget",
        skipped="budget"),
    "budget for the repair": Path(CAVE, (SUPPORTED,), {"max_extra_calls": 1}, "regenerate",
        "classifier", "budget", 2),
    "budget for the probe": Path(CAVE, (SUPPORTED,), {"max_extra_calls": 1, "max_attempts": 0},
        "flag", "probe", "supported", 2),
    "no budget for a repetition": Path(CAVE, (USELESS,), {"max_extra_calls": 2}, "regenerate",
        "classifier", "useless", 3),
    "refused probe is free": Path(CAVE, (NO_JSON_MODE, SUPPORTED), {"max_extra_calls": 2},
        "regenerate", "probe", "supported", 4),
    "tokens spent": Path(CAVE, (SUPPORTED,), {"max_extra_tokens": 5}, "flag", "probe", "supported",
        2, "budget"),
    "no tokens": Path(CAVE, (SUPPORTED,), {"max_extra_tokens": 0}, "flag", "classifier", "budget",
        skipped="budget"),
    "minute's tokens spent": Path(CAVE, (SUPPORTED,), {"max_extra_tokens_per_minute": 5}, "flag",
        "probe", "supported", 2, "budget"),
    "time spent": Path(CAVE, (SUPPORTED,), {"max_regeneration_seconds": 0.1}, "flag", "probe",
        "supported", 3, "regeneration_timeout", again=SILENT),
    "minute spent": Path(CAVE, (SUPPORTED,), {"max_extra_calls_per_minute": 1}, "flag", "probe",
        "supported", 2, "budget"),
    "no budget, refuse": Path(CAVE, (SUPPORTED,), {"max_extra_calls": 0, "on_unresolved": "refuse"},
        "block", "classifier", "budget", skipped="budget"),
    # flagged: what the second reply is worth
    "confirmed, still": Path(CAVE, (SUPPORTED,), {}, "flag", "probe", "supported", 3, again=CAVE),
    "confirmed, refuse": Path(CAVE, (SUPPORTED,), {"on_unresolved": "refuse"}, "block", "probe",
        "supported", 3, again=CAVE),
    "confirmed, no attempt": Path(CAVE, (SUPPORTED,), {"max_attempts": 0}, "flag", "probe",
        "supported", 2),
    "cleared, refuse": Path(CAVE, (FALSE,), {"on_unresolved": "refuse", "max_attempts": 0}, "pass",
        "probe", "false", 2),
    "confirmed, second fails": Path(CAVE, (SUPPORTED,), {}, "flag", "probe", "supported", 3,
        "regeneration_failed", again=BROKEN),
    "confirmed, second fails, refuse": Path(CAVE, (SUPPORTED,), {"on_unresolved": "refuse"},
        "block", "probe", "supported", 3, "regeneration_failed", again=BROKEN),
    "confirmed, second unread": Path(CAVE, (SUPPORTED,), {}, "flag", "probe", "supported", 3,
        "detector_error", again=ODD),
    # the probe judges the second reply too, where the detector is in doubt
    "confirmed, second in doubt, keeps": Path(CAVE, (SUPPORTED, KEEPS), {}, "regenerate", "probe",
        "supported", 4, again=HALF, regenerated="cleared"),
    "confirmed, second in doubt, abandons": Path(CAVE, (SUPPORTED, ABANDONS), {}, "flag", "probe",
        "supported", 4, again=HALF, regenerated="confirmed"),
    "confirmed, second in doubt, abandons, refuse": Path(CAVE, (SUPPORTED, ABANDONS),
        {"on_unresolved": "refuse"}, "block", "probe", "supported", 4, again=HALF,
        regenerated="confirmed"),
    "confirmed, second in doubt, open": Path(CAVE, (SUPPORTED, DOUBTS), {}, "regenerate", "probe",
        "supported", 4, again=HALF, regenerated="open"),
    "confirmed, second in doubt, useless": Path(CAVE, (SUPPORTED, USELESS), {}, "regenerate",
        "probe", "supported", 4, again=HALF, regenerated="useless"),
    "confirmed, second in doubt, no budget": Path(CAVE, (SUPPORTED, ABANDONS),
        {"max_extra_calls": 2}, "regenerate", "probe", "supported", 3, again=HALF,
        regenerated="budget"),
    "confirmed, second in doubt, failed": Path(CAVE, (SUPPORTED, BROKEN), {}, "regenerate",
        "probe", "supported", 4, again=HALF, regenerated="failed"),
    "confirmed, second flagged, keeps": Path(CAVE, (SUPPORTED, KEEPS), {}, "regenerate", "probe",
        "supported", 4, again=SAME, regenerated="cleared"),
    "confirmed, second flagged, abandons": Path(CAVE, (SUPPORTED, ABANDONS), {}, "flag", "probe",
        "supported", 4, again=SAME, regenerated="confirmed"),
    "uncertain, never asks about the second": Path(CAVE, (), {"probe": "never"}, "regenerate",
        calls=2, again=HALF),
    # at the same time
    "parallel, confirmed": Path(CAVE, (SUPPORTED,), PARALLEL, "regenerate", "probe", "supported", 3),
    "parallel, cleared": Path(CAVE, ((0.05, *FALSE),), PARALLEL, "pass", "probe", "false", 3),
    "parallel, failed": Path(CAVE, (BROKEN,), PARALLEL, "regenerate", "classifier", "failed", 3),
    "parallel, one call left": Path(CAVE, (SUPPORTED,), {**PARALLEL, "max_extra_calls": 1},
        "regenerate", "classifier", "budget", 2),
    "parallel, drift open": Path(WARM, ((0.05, *finds("uncertain")),), PARALLEL, "flag",
        "classifier", "uncertain", 3, "uncertain"),
}  # fmt: skip


def plays_of(path: Path, *, stream: bool) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    again = path.again
    second = says(again, stream=stream) if isinstance(again, str) else again
    return says(path.text, stream=stream), second


@streams
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_paths(path: Path, stream: bool) -> None:
    """On every way a client gets what the decision says, and is told how it came about."""
    policy = {"probe": "uncertain", **path.policy}
    async with stage(
        *plays_of(path, stream=stream), probes=path.probes or (USELESS,),
        detector=FakeDetector(scores=graded, at_risk=path.at_risk), **policy,
    ) as on:  # fmt: skip
        response, body = await on.chat({"x-candor-mode": path.mode}, stream=stream)
        assert len(on.upstream.calls) == path.calls
        counts = await on.counts()
    text = path.again if path.action == "regenerate" else path.text
    if path.action == "block":
        assert response.status_code == 422
    else:
        assert text_in(body, stream=stream) == text
    asked = [call for call in on.upstream.calls if is_probe(bytes(call.body))]
    assert bool(asked) is (path.probe not in (None, "budget"))
    assert sum(v for k, v in counts.items() if k.startswith("candor_probes_total")) == (
        path.probe is not None
    )
    labels = f'purpose="capitulation",result="{path.regenerated}"'
    assert {k: v for k, v in counts.items() if k.startswith("candor_probes_regenerated_total")} == (
        {f"candor_probes_regenerated_total{{{labels}}}": 1.0} if path.regenerated else {}
    )
    told = response.headers
    if path.mode == "observe" and stream:
        assert (candor_in(body) or {}).get("action") == ("flag" if path.action == "flag" else None)
        return
    assert told["x-candor-action"] == path.action
    assert (told.get("x-candor-probe"), told.get("x-candor-decided-by")) == (
        path.probe, path.decided,
    )  # fmt: skip
    assert told.get("x-candor-skipped") == path.skipped
    assert int(told["x-candor-upstream-calls"]) == path.calls
    candor = candor_in(body)
    assert (candor is not None) is (path.action in ("flag", "regenerate", "block"))
    if candor is not None:
        assert len(candor["attempts"]) == path.calls
        probe = candor["probe"] or {}
        assert (probe.get("result"), probe.get("regenerated")) == (path.probe, path.regenerated)


def test_paths_cover_the_decisions() -> None:
    """Every mode, action, decider, result of a probe and way to fail is among the ways above."""
    paths = PATHS.values()
    assert len({repr(path) for path in paths}) == len(PATHS) > 50
    assert {path.mode for path in paths} == {"off", "observe", "enforce"}
    assert {path.action for path in paths} == {"pass", "flag", "regenerate", "block", "error"}
    assert {path.decided for path in paths} == {None, "classifier", "probe"}
    assert {path.probe for path in paths} == {
        None, "supported", "false", "uncertain", "taste", "useless", "failed", "timeout", "budget",
    }  # fmt: skip
    assert {path.regenerated for path in paths} == {
        None, "cleared", "confirmed", "open", "useless", "failed", "budget",
    }  # fmt: skip
    assert {path.skipped for path in paths} == {
        None, "budget", "uncertain", "detector_error", "regeneration_failed",
        "regeneration_timeout",
    }  # fmt: skip
