"""The client's side of a connection, apart from any socket."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from starlette.types import Message

from candor_guard.errors import UpstreamError
from candor_proxy.inbox import Inbox, end_task

pytestmark = pytest.mark.anyio


@pytest.fixture
def complaints() -> list[dict[str, Any]]:
    """What asyncio has to say about tasks whose exception nobody took."""
    return []


async def _fail() -> None:
    raise UpstreamError("broke off")


async def test_ending_a_failed_task_takes_its_exception(complaints: list[dict[str, Any]]) -> None:
    """A task that failed in the moment when it was given up leaves nothing in the log."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    task = asyncio.ensure_future(_fail())
    await asyncio.sleep(0)
    assert task.done()
    await end_task(task)
    del task
    gc.collect()
    assert complaints == []


async def test_work_that_fails_as_the_client_leaves(complaints: list[dict[str, Any]]) -> None:
    """The client is gone, which is all there is to say; the failure is nobody's any more."""
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    messages: list[Message] = [
        {"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"},
    ]  # fmt: skip

    async def receive() -> Message:
        return messages.pop(0)

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await _fail()

    inbox = Inbox(receive, 10)
    assert await inbox.body(10) == b"{}"
    assert await inbox.run(work()) is False
    gc.collect()
    assert complaints == []
