"""Requests that name their app: counts of its own, and never more series than a bounded few."""

from __future__ import annotations

import logging

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.upstream import says

from candor_guard.testing import FakeDetector
from candor_proxy.options import ProxyOptions

pytestmark = pytest.mark.anyio
APP = "x-candor-app"


def of_apps(counts: dict[str, float]) -> dict[str, float]:
    """The counts by app, without the times at which they began."""
    found = {k: v for k, v in counts.items() if k.startswith("candor_app_")}
    return {k: v for k, v in found.items() if "_created" not in k}


async def test_an_app_has_its_own_counts() -> None:
    """What a named app's requests cost is counted beside the whole, and the name goes no further."""
    async with stage(says("CAVE in"), says("It is 56."), says("It is 56.")) as on:
        await on.chat({APP: "shop"})
        await on.chat()
        counts = await on.counts()
        sent = [name for call in on.upstream.calls for name, _ in call.headers]
    assert of_apps(counts) == {
        'candor_app_requests_total{action="regenerate",app="shop",evaluated="full"}': 1.0,
        'candor_app_upstream_calls_total{app="shop",purpose="original"}': 1.0,
        'candor_app_upstream_calls_total{app="shop",purpose="regeneration"}': 1.0,
        'candor_app_upstream_tokens_total{app="shop",purpose="original"}': 15.0,
        'candor_app_upstream_tokens_total{app="shop",purpose="regeneration"}': 15.0,
    }
    assert not [name for name in sent if "candor" in str(name)]


async def test_odd_names_and_too_many_share_a_count() -> None:
    """A name that is no plain word is "other", an empty one is none, and so is every new one after the hundredth."""
    names = ["a b", "", "x" * 65, *(f"app-{n}" for n in range(101)), "app-7"]
    plays = [says("It is 56.")] * len(names)
    async with stage(*plays, detector=FakeDetector(at_risk=False)) as on:
        for name in names:
            await on.chat({APP: name})
        counts = of_apps(await on.counts())

    def requests(app: str) -> float | None:
        return counts.get(
            f'candor_app_requests_total{{action="pass",app="{app}",evaluated="gate"}}'
        )

    assert (requests("other"), requests("app-7"), requests("app-99")) == (3.0, 2.0, 1.0)
    assert requests("app-100") is None


async def test_a_decision_names_its_app(caplog: pytest.LogCaptureFixture) -> None:
    """The log's line of a reply that was read has the app's name, quoted where it is no plain word."""
    options = ProxyOptions(log_decisions=True)
    with caplog.at_level(logging.INFO, "candor_proxy"):
        async with stage(says("It is 56."), says("It is 56."), options=options) as on:
            await on.chat({APP: "shop"})
            await on.chat({APP: "a b"})
    lines = [r.getMessage() for r in caplog.records if r.name == "candor_proxy"]
    assert [line.split(" surface=")[0].split(" app=")[1] for line in lines] == ["shop", "'a b'"]
