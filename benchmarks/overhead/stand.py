"""The test stand: all servers started, pinned, and asleep but for the one that is measured."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loopback import NotStartedError, free_port, process, until_ready
from benchmarks.machine import Memory, cores, cpu_seconds, family, memory, pinned
from benchmarks.overhead.client import answered, exchanged
from benchmarks.overhead.contenders import Server, mock_server, our_servers
from benchmarks.overhead.granian_app import granian_servers
from benchmarks.overhead.mock_upstream import TEXT
from benchmarks.overhead.peers import PEERS
from benchmarks.overhead.traffic import Kinds, conversations, request_bytes
from candor_guard.conversation import Conversation
from candor_guard.detectors import Detector, PreGate

_TOLD = ("evaluated", "action", "upstream-calls")
_SENTENCE, _LAST_WORD = (f"{TEXT.partition('.')[0]}.".encode(), TEXT.split()[-1].encode())
_ERROR = re.compile(rb'"error":\s*\{')
_PLAIN, _CLEAN = ("gate", "pass", "1"), ("full", "pass", "1")


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers.

    Attributes:
        server: What it is.
        popen: Its process.
        start: Seconds from its start to its first answer to a chat.
        idle: Its memory then.
    """

    server: Server
    popen: subprocess.Popen[bytes]
    start: float
    idle: Memory

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    @property
    def is_upstream(self) -> bool:
        """Whether all others need it awake."""
        return self.server.name == "mock"

    def cpu(self) -> float:
        """Return the processor seconds that it has used."""
        return cpu_seconds(self.popen.pid)

    def memory(self) -> Memory:
        """Return what it holds now."""
        return memory(self.popen.pid)

    def sleep(self) -> None:
        """Suspend it, so that its background work takes nothing from whoever is measured."""
        if not self.is_upstream:
            self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Signal its workers, too, where it has any."""
        if self.popen.poll() is not None:
            return
        for pid in family(self.popen.pid):
            with suppress(ProcessLookupError):  # that child has just ended
                os.kill(pid, number)


@contextmanager
def stand(
    detector: str, peers: Mapping[str, Path], *, granian: bool = False
) -> Iterator[dict[str, Running]]:
    """Start everything in turn on its core; this process shares the upstream's core.

    Args:
        detector: Of our servers.
        peers: An interpreter for each peer that takes part, by the peer's name.
        granian: Whether our servers run under Granian as well.

    Raises:
        NotStartedError: If a server does not answer with the upstream's reply.
    """
    server_core, client_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="overhead-")))
        stack.enter_context(pinned(client_core))
        mock = mock_server(free_port())
        servers = [mock]
        upstream = f"http://127.0.0.1:{mock.port}/v1"
        servers += our_servers(free_port, upstream, detector)
        if granian:
            servers += granian_servers(free_port, upstream, detector)
        for peer in PEERS:
            if peer.name in peers:
                servers += peer.servers(free_port, upstream, peers[peer.name], folder)
        running = {}
        for server in servers:
            core = client_core if server is mock else server_core
            running[server.name] = _started(stack, server, core, folder)
            running[server.name].sleep()
            # A suspended worker would outlive the process that started it.
            stack.callback(running[server.name].wake)
        yield running


def sort_conversations(enforce: Running, detector: Detector) -> Kinds:
    """Ask the proxy which conversations it holds, and keep those that it then finds clean.

    Of those that it does not hold, a few cost a look by the encoder before they are let go. They
    are left out: what such a look takes is for `benchmarks.inference`. Of those that it holds, the
    ones that cost such a look are kept, if there are any: the others would be cheaper.

    Raises:
        ValueError: If there are none of one kind; says what the proxy did.
    """
    found: dict[tuple[str, ...], list[Sequence[Mapping[str, str]]]] = {}
    enforce.wake()
    for number, messages in enumerate(conversations()):
        head = answered(enforce.port, request_bytes(messages, number=number))
        found.setdefault(_told(head), []).append(messages)
    enforce.sleep()
    plain = (messages for messages in found.get(_PLAIN, ()) if _at_once(detector, messages))
    held = found.get(_CLEAN, [])
    dear = [messages for messages in held if not _at_once(detector, messages)]
    kinds = Kinds(tuple(plain), tuple(dear or held))
    if not kinds.plain or not kinds.at_risk:
        told = ", ".join(f"{len(these)} {'/'.join(key)}" for key, these in found.items())
        raise ValueError(f"the conversations are not of both kinds: {told}")
    return kinds


def _at_once(detector: Detector, messages: Sequence[Mapping[str, str]]) -> bool:
    """Whether the first look at a request settles it."""
    if not isinstance(detector, PreGate):
        return True
    return detector.pre_gate(Conversation.parse(list(messages))) is not None


def _told(head: bytes) -> tuple[str, ...]:
    """Extent, action and number of calls, as the proxy's headers tell them."""
    lines = (line.partition(": ") for line in head.decode("latin-1").lower().split("\r\n"))
    told = {name: value for name, _, value in lines}
    return tuple(told.get(f"x-candor-{name}", "?") for name in _TOLD)


def _started(stack: ExitStack, server: Server, core: int, folder: Path) -> Running:
    log = folder / f"{server.name}.log"
    popen = stack.enter_context(process(server.command, core, log))
    probe = request_bytes(_short(), route=server.route)

    def ready() -> bool:
        return relays(server, probe, _SENTENCE)

    start = until_ready(popen, ready, log, server.limit)
    idle = memory(popen.pid)
    # A stream may fail behind a good head, which the load generator would not notice.
    if not relays(server, request_bytes(_short(), stream=True, route=server.route), _LAST_WORD):
        raise NotStartedError(f"{server.name} does not stream")
    return Running(server, popen, start, idle)


def relays(server: Server, request: bytes, said: bytes) -> bool:
    """Return whether a server answers yet, and then with what the upstream said.

    Raises:
        NotStartedError: If it answers with anything else.
        OSError: If nobody listens yet.
    """
    head, body = exchanged(server.port, request)
    if not head.startswith(b"HTTP/1.1 200"):
        return False
    if said not in body or _ERROR.search(body) is not None:
        told = body[-300:].decode(errors="replace")
        raise NotStartedError(f"{server.name} answers with something of its own: {told}")
    return True


def _short() -> Sequence[dict[str, str]]:
    return [{"role": "user", "content": "How long does bread bake?"}]
