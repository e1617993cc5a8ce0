"""The parent of several workers: replaces them, counts them out, and stops them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client.multiprocess import mark_process_dead
from typing_extensions import override
from uvicorn.supervisors import Multiprocess


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, which also takes dead workers' live gauges out of the metrics."""

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

    @contextmanager
    def _counting_out(self) -> Iterator[None]:
        before = {process.pid for process in self.processes}
        yield
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # upstream is untyped
