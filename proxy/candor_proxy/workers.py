"""The parent of several workers: replaces them, counts them out, and stops them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Final

from prometheus_client.multiprocess import mark_process_dead
from typing_extensions import override
from uvicorn.supervisors import Multiprocess

_TICK: Final = 0.1


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, which also takes dead workers' live gauges out of the metrics.

    Attributes:
        interrupts: How often it was told to end by a SIGINT, and not yet obeyed by haste.
    """

    interrupts = 0

    @override
    def keep_subprocess_alive(self) -> None:
        with self._counting_out():
            super().keep_subprocess_alive()

    @override
    def handle_hup(self) -> None:
        sys.stderr.write(
            "SIGHUP: replacing the workers; settings are not read again: restart for that\n"
        )
        with self._counting_out():
            super().handle_hup()

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
