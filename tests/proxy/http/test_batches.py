"""Batches that are too long, or wrong somewhere: refused without disturbing others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_own import CHECK, error_of, line

from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector
from candor_proxy.own import MOST_ROWS

pytestmark = pytest.mark.anyio


async def test_batch_has_a_bound_on_its_rows() -> None:
    """As many exchanges as may be are judged; one more is a 413, and none of them is read."""
    judged = list[str]()

    def scores(exchange: Exchange) -> Mapping[str, float]:
        judged.append(exchange.reply)
        return {"capitulation": 0.1, "drift": 0.1}

    async with stage(detector=FakeDetector(scores=scores)) as on:
        for path in (CHECK, "/candor/v1/explain"):
            error = await error_of(on, path, (line("x") + b"\n") * (MOST_ROWS + 1), 413)
            assert (error["code"], str(MOST_ROWS) in error["message"]) == ("too_large", True)
        assert judged == []
        response, got = await on.post(CHECK, (line("x") + b"\n\n") * MOST_ROWS)
    assert (response.status_code, got.count(b"\n"), len(judged)) == (200, MOST_ROWS, MOST_ROWS)


FLOODS = {
    "rows": (b"{}\n" * 2_000_000, 413),
    "no rows": (b"a\n" * 3_000_000, 400),
    "first row": (b"{}\n{oops}\n" + b"{}\n" * 2_000_000, 400),
    "empty rows": (b"{}\n" + b" \n" * 3_000_000 + b"x", 400),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_flood_of_rows_does_not_stop_the_others(kind: str) -> None:
    """Megabytes of rows are refused after the first that are too many, or wrong, beside the loop."""
    body, status = FLOODS[kind]
    async with stage() as on:
        asking = asyncio.create_task(error_of(on, CHECK, body, status))
        longest, loop = 0.0, asyncio.get_running_loop()
        while not asking.done():
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before)
        error = asking.result()
    assert longest < 1
    if kind == "first row":
        assert error["message"].startswith("line 2: ")
