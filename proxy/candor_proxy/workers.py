"""The parent of several workers: replaces them, counts them out, and stops them."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Final
from weakref import WeakKeyDictionary

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from typing_extensions import override
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

_TICK: Final = 0.1
# A worker answers its parent once it has imported everything: a second of a core's time, which is
# long in coming where the cores are few or busy. Killed for it, it would begin anew, for ever.
_START_SECONDS: Final = 120


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, which waits for workers that start, and counts dead ones out.

    Uvicorn kills a worker that does not answer within five seconds, also one that just begins.

    Attributes:
        interrupts: How often it was told to end by a SIGINT, and not yet obeyed by haste.
    """

    interrupts = 0

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        # Until when a worker may be starting; 0 once it has answered.
        self._until: WeakKeyDictionary[Process, float] = WeakKeyDictionary()

    @override
    def keep_subprocess_alive(self) -> None:
        if any(self._starting(process) for process in self.processes):
            return
        with self._counting_out():
            super().keep_subprocess_alive()

    def _starting(self, process: Process) -> bool:
        if process.exitcode is not None:
            return False
        now = time.monotonic()
        until = self._until.setdefault(process, now + _START_SECONDS)
        if until > now and process.ping(0):
            self._until[process] = until = 0.0
        return until > now

    @override
    def handle_hup(self) -> None:
        sys.stderr.write(
            "SIGHUP: replacing the workers; settings are not read again: restart for that\n"
        )
        usual = self.config.timeout_worker_healthcheck
        self.config.timeout_worker_healthcheck = _START_SECONDS
        try:
            with self._counting_out():
                super().handle_hup()
        finally:
            self.config.timeout_worker_healthcheck = usual

    @override
    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()  # the last one that is open: clients would wait in it for nobody
        super().terminate_all()

    @override
    def handle_int(self) -> None:
        self.interrupts += 1
        super().handle_int()

    @override
    def join_all(self) -> None:
        # Uvicorn's own waits for one worker after the other, and hears no second Ctrl-C meanwhile.
        while running := [one.process for one in self.processes if one.process.is_alive()]:
            connection.wait([process.sentinel for process in running], _TICK)
            self.interrupts += self.signal_queue.count(signal.SIGINT)
            self.signal_queue.clear()
            if self.interrupts > 1:
                self.interrupts = 1
                for process in running:
                    _interrupt(process.pid)
        super().join_all()

    @contextmanager
    def _counting_out(self) -> Iterator[None]:
        before = {process.pid for process in self.processes}
        yield
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # upstream is untyped


def _interrupt(pid: int | None) -> None:
    with suppress(ProcessLookupError):
        if pid is not None:
            os.kill(pid, signal.SIGINT)  # a second signal: it stops waiting for replies
