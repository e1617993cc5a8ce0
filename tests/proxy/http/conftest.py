"""What holds for every HTTP test: uvloop, as in production, and a log without a traceback."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, at any level; a traceback fails the test."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    gc.collect(1)  # a task whose exception nobody took logs it when it is collected
    records = caplog.get_records("setup") + caplog.get_records("call")
    records += caplog.get_records("teardown")
    bad = [r for r in records if r.levelno >= logging.ERROR and not _usual(r)]
    assert [f"{r.name}: {r.getMessage()}" for r in bad] == []
    assert [r.getMessage() for r in records if r.exc_info and r.levelno >= logging.INFO] == []


def _usual(record: logging.LogRecord) -> bool:
    """Uvicorn says so when a body is broken off, as a broken upstream asks for, or a drain ends."""
    told = record.getMessage()
    return "returned without completing response" in told or "shutdown exceeded" in told
