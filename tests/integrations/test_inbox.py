"""The client's side of a connection, apart from any socket."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from candor_guard.driver import end_tasks
from candor_guard.errors import UpstreamError
from candor_guard.integrations.serving.asgi import Message
from candor_guard.integrations.serving.inbox import Inbox

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
    await end_tasks(task)
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


class _Line:
    """A client that can be told to leave."""

    def __init__(self, *, gone: bool = False) -> None:
        self.complete = True
        self.gone = gone
        self.watcher: Callable[[], None] | None = None

    def on_leaving(self, tell: Callable[[], None] | None) -> None:
        self.watcher = tell
        if tell is not None and self.gone:
            tell()


async def _body() -> Message:
    return {"type": "http.request", "body": b"{}"}


async def test_line_tells_of_a_leaving_without_a_task() -> None:
    """Where the server has a line, nothing but the work itself runs, and a leaving ends it."""
    line = _Line()
    inbox = Inbox(_body, 10, line)
    await inbox.body(10)
    tasks: list[int] = []

    async def work() -> None:
        tasks.append(len(asyncio.all_tasks()))
        asyncio.get_running_loop().call_soon(line.watcher or _fail)
        await asyncio.sleep(10)

    before = len(asyncio.all_tasks())
    assert await inbox.run(work()) is False
    assert tasks == [before]
    assert line.watcher is None


async def test_client_that_left_before_the_work_ends_it_at_its_first_wait() -> None:
    """Who left between body and work is noticed as well."""
    inbox = Inbox(_body, 10, _Line(gone=True))
    await inbox.body(10)
    assert await inbox.run(asyncio.sleep(10)) is False


def _failing(error: Exception, wait: float) -> Callable[[], Awaitable[Message]]:
    """A server that gives a body, and later an error, instead of a disconnect or of an end."""
    body = [b"{}"]

    async def receive() -> Message:
        if body:
            return {"type": "http.request", "body": body.pop()}
        try:
            await asyncio.sleep(wait)
        finally:
            raise error

    return receive


async def test_a_server_that_cannot_tell_of_its_client_has_lost_it() -> None:
    """An error where a disconnect was to come ends the work, as the disconnect would have."""
    inbox = Inbox(_failing(OSError("no such client"), 0), 10)
    await inbox.body(10)
    async with asyncio.timeout(5):
        assert await inbox.run(asyncio.sleep(10)) is False


async def test_a_watching_that_ends_badly_does_nothing_to_whoever_comes_after_it() -> None:
    """Work that is done is done: an error on the way out of the watching cancels nobody."""
    inbox = Inbox(_failing(OSError("cancelled"), 10), 10)
    await inbox.body(10)
    assert await inbox.run(asyncio.sleep(0.01)) is True
    await asyncio.sleep(0.01)
