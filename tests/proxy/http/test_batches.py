"""Batches that are too long, or wrong somewhere: refused without disturbing others."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from tests.proxy.http.stage import stage
from tests.proxy.http.test_own import CHECK, error_of, line

from candor_guard.conversation import Exchange
from candor_guard.testing import FakeDetector
from candor_proxy.own import MOST_ROWS

pytestmark = pytest.mark.anyio


@contextmanager
def taking_at_most(megabytes: float) -> Iterator[None]:
    """Memory that Python takes beyond what it has now; a body goes through it several times."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20


def laden(values: int) -> bytes:
    """A row with a field of so many values, which nobody reads."""
    return line("x")[:-1] + b', "pad": [' + b"[]," * (values - 1) + b"[]]}\n"


async def test_batch_has_a_bound_on_its_values() -> None:
    """Rows that are each within the bound are refused where they are not all together."""
    body = laden(330_000) * 20
    async with stage() as on:
        with taking_at_most(150):
            error = await error_of(on, CHECK, body, 400)
    assert error["message"] == "batch has more than 1000000 values"


@pytest.mark.parametrize("path", [CHECK, "/candor/v1/explain"])
async def test_rows_are_parsed_as_they_are_judged(path: str) -> None:
    """Of a batch at the bound, which would be 35 MB as objects, only a few rows are in memory."""
    body = laden(1200) * 400
    async with stage() as on:
        with taking_at_most(20):
            response, got = await on.post(path, body)
    assert (response.status_code, got.count(b"\n")) == (200, 400)


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
