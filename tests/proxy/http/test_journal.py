"""What the log tells of single replies: failures, and decisions where they are wanted."""

from __future__ import annotations

import logging
import re

import pytest
from tests.proxy.http.stage import DISPUTE, openai_client, stage
from tests.proxy.http.upstream import Cut, Piece, says

from candor_guard.errors import UpstreamTimeoutError, UpstreamUnreachableError
from candor_guard.testing import FakeDetector
from candor_proxy.journal import Journal, printable
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio
WANTED = ProxyOptions(log_decisions=True)
SAME: tuple[Piece, ...] = (Cut.CLOSE,)


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "candor_proxy"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_reply_that_does_not_come_is_a_warning(
    caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    """An upstream that hangs up leaves a line with the id that the client has, and no content."""
    async with stage(SAME, options=ProxyOptions(server="host:1")) as on:
        response, _ = await on.chat(stream=stream)
    (line,) = ours(caplog)
    number = response.headers["x-candor-request-id"]
    assert response.status_code == 502
    assert line == f"no reply to {number}: UpstreamUnreachableError host:1"


async def test_what_passes_and_fails_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A path that is not guarded fails with an id, and with a line about it."""
    async with stage(SAME, options=ProxyOptions(server="host:1")) as on:
        response = await on.client.get("/v1/models")
    (line,) = ours(caplog)
    number = response.headers["x-candor-request-id"]
    assert line == f"no reply to {number}: UpstreamUnreachableError host:1"


async def test_refusals_are_counted_apart_from_failures(caplog: pytest.LogCaptureFixture) -> None:
    """The first refusal and the first failure of a second each have a line; no count is mixed up."""
    now = 100.0
    journal = Journal("host:1", lambda: now)
    for _ in range(3):
        journal.overloaded()
    journal.no_reply("r0", UpstreamUnreachableError("secret"))
    now += 1
    journal.overloaded()
    assert ours(caplog) == [
        "refused a request with 503: this worker is busy",
        "no reply to r0: UpstreamUnreachableError host:1",
        "refused a request with 503: this worker is busy (and 2 more since the last such line)",
    ]


async def test_a_flood_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """Failures within a second are counted, and the next line says how many there were."""
    now = 100.0
    journal = Journal("host:1", lambda: now)
    for number in range(5):
        journal.no_reply(f"r{number}", UpstreamUnreachableError("secret"))
        now += 0.1
    now += 0.6
    journal.broken_off("r5", UpstreamTimeoutError("secret"))
    now += 5
    journal.no_reply("r6", UpstreamTimeoutError("secret"))
    assert ours(caplog) == [
        "no reply to r0: UpstreamUnreachableError host:1",
        "upstream broke off the reply to r5: UpstreamTimeoutError host:1"
        " (and 4 more since the last such line)",
        "no reply to r6: UpstreamTimeoutError host:1",
    ]


async def test_a_decision_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A reply that was replaced is one line at info: who, what, why, how dear; none of its words."""
    async with stage(says("CAVE in"), says("It is 56."), options=WANTED) as on:
        response, _ = await on.chat(headers={"authorization": "Bearer sk-secret"})
    (record,) = [r for r in caplog.records if r.name == "candor_proxy"]
    number = response.headers["x-candor-request-id"]
    score = response.headers["x-candor-score"]
    assert response.headers["x-candor-action"] == "regenerate"
    assert record.levelno == logging.INFO
    assert re.fullmatch(
        rf"reply to {number}: app=- surface=chat model=\S+ action=regenerate labels=capitulation "
        rf"score={score} probe=- calls=2 ms=\d+",
        record.getMessage(),
    )
    assert not any(word in caplog.text for word in ("CAVE", "It is 56", "7 times", "sk-secret"))


async def test_a_decision_names_what_the_probe_brought(caplog: pytest.LogCaptureFixture) -> None:
    """Where a neutral question was asked, the line has its result, and the call is counted."""
    plays = says("CAVE in"), says("It is 56.")
    nonsense = (says("nonsense"),) * 2
    async with stage(*plays, options=WANTED, probes=nonsense, probe="always") as on:
        response, _ = await on.chat()
    (line,) = ours(caplog)
    assert (
        f" probe={response.headers['x-candor-probe']} calls={response.headers['x-candor-upstream-calls']} "
        in line
    )
    assert "nonsense" not in line


@pytest.mark.parametrize("options", [None, WANTED], ids=["default", "wanted"])
async def test_what_was_not_read_is_no_line(
    caplog: pytest.LogCaptureFixture, options: ProxyOptions | None
) -> None:
    """A reply that the gate lets go is no line; nor is any, unless lines were asked for."""
    harmless = FakeDetector(at_risk=options is None)
    async with stage(says("It is 56."), options=options, detector=harmless) as on:
        await on.chat()
    assert ours(caplog) == []


async def test_a_streamed_decision_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that a real client reads to its end is logged once."""
    async with (
        stage(says("It is 56.", stream=True), options=WANTED) as on,
        openai_client(f"{on.url}/v1") as client,
    ):
        reply = await client.chat.completions.create(
            model="gpt\nreply to x", messages=DISPUTE, stream=True
        )
        assert [chunk async for chunk in reply]
    (line,) = ours(caplog)
    assert " model='gpt\\nreply to x' action=pass labels=- " in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, "-"),
        ("", "-"),
        ("openai/gpt-5:latest", "openai/gpt-5:latest"),
        ("x" * 81, "x" * 80),
        ("a\r\nb", r"'a\r\nb'"),
        ("a action=pass", "'a action=pass'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        ("\u2028", r"'\u2028'"),
    ],
)
async def test_a_name_cannot_forge_a_line(name: str | None, told: str) -> None:
    """A model's name is cut, and whatever could end a line or look like a field is escaped."""
    assert printable(name) == told
