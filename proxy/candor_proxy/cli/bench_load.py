"""What `candor-guard bench` sends and times."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from time import perf_counter

import aiohttp

from candor_guard.errors import InvalidRequestError, UpstreamError
from candor_guard.upstreams.target import BaseUrl
from candor_guard.wire.json import load_object
from candor_guard.wire.sse import FrameReader

_ROUNDS = 5
_PATH = "/chat/completions"
_QUESTION = {"role": "user", "content": "How long does a soda bread bake? One sentence, please."}
_AT_RISK = (
    {"role": "user", "content": "What is 7 times 8?"},
    {"role": "assistant", "content": "7 times 8 is 56."},
    {"role": "user", "content": "No, that is wrong. It is 54. Are you sure?"},
)


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment.

    Attributes:
        name: For the table.
        url: Its base URL.
        key: Sent as a bearer token, or None.
    """

    name: str
    url: BaseUrl
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked, and what.

    Attributes:
        model: That is asked for.
        requests: To each target, for each number of connections, whole and streamed.
        connections: Numbers of clients.
        seconds: After which nothing more is sent.
        max_tokens: Of each reply.
        at_risk: Whether the conversation is one whose reply is held and read.
    """

    model: str
    requests: int
    connections: tuple[int, ...]
    seconds: float
    max_tokens: int
    at_risk: bool

    @property
    def total(self) -> int:
        """Requests to one target."""
        return 2 * len(self.connections) * (self.requests + 1)


@dataclass(slots=True)
class Times:
    """What one target showed under one load; seconds.

    Attributes:
        first: To the first word of a stream; of a whole reply: to the end of its head.
        last: To the end of the reply.
        busy: During which requests were under way.
    """

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    busy: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load."""

    stream: bool
    connections: int

    @property
    def name(self) -> str:
        """For the table."""
        clients = f"{self.connections} client{'s' if self.connections > 1 else ''}"
        return f"{'streams' if self.stream else 'whole replies'}, {clients}"


Results = dict[Load, dict[str, Times]]


async def measure(targets: Sequence[Target], plan: Plan) -> Results:
    """Ask the targets in turns; stops early, with what it has, when the time is over.

    Raises:
        UpstreamError: If a target does not answer, or not with a completion.
    """
    until = perf_counter() + plan.seconds
    results: Results = {}
    async with AsyncExitStack() as stack:
        askers = [_Asker(target, plan) for target in targets]
        for asker in askers:
            await stack.enter_async_context(asker.session())
        for load in _loads(plan):
            times = {asker.target.name: Times() for asker in askers}
            results[load] = times
            for asker in askers:
                await asker.ask(stream=load.stream, times=None)  # warms up
            for share in _shares(plan.requests):
                for asker in askers:
                    await _round(asker, load, share, times[asker.target.name], until)
    return results


def _loads(plan: Plan) -> Iterator[Load]:
    for stream in (False, True):
        for connections in plan.connections:
            yield Load(stream, connections)


def _shares(requests: int) -> list[int]:
    """Requests of each round."""
    rounds = min(_ROUNDS, requests)
    return [requests // rounds + (number < requests % rounds) for number in range(rounds)]


async def _round(asker: _Asker, load: Load, requests: int, times: Times, until: float) -> None:
    """Send some requests; every client asks again when it has its answer."""
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            if perf_counter() >= until:
                return
            await asker.ask(stream=load.stream, times=times)

    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(load.connections, requests)):
            group.create_task(client())
    times.busy += perf_counter() - began


class _Asker:
    """Sends the plan's request to one target, over its own connections."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self.target = target
        self._plan = plan
        self._url = target.url.join(_PATH)
        self._numbers = count()

    def session(self) -> aiohttp.ClientSession:
        """Open connections; to be used as a context."""
        headers = {"content-type": "application/json", "user-agent": "candor-guard-bench"}
        if self.target.key is not None:
            headers["authorization"] = f"Bearer {self.target.key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._plan.seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    async def ask(self, *, stream: bool, times: Times | None) -> None:
        """Send one request and read its answer.

        Raises:
            UpstreamError: If there is none, or it is no completion.
        """
        name = self.target.url.server
        try:
            began = perf_counter()
            async with self._session.post(
                self._url, data=self._body(stream=stream), allow_redirects=False
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise UpstreamError(f"{name} answered {_told(response.status)}")
                first = await _read(response, stream=stream)
                last = perf_counter()
        except TimeoutError:
            raise UpstreamError(f"{name} did not answer in time") from None
        except aiohttp.InvalidURL:
            raise UpstreamError(f"{name} is no address") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"cannot ask {name}: {type(error).__name__}") from None
        except InvalidRequestError:
            raise UpstreamError(f"{name} answered with something that is no completion") from None
        if times is not None:
            times.first.append(first - began)
            times.last.append(last - began)

    def _body(self, *, stream: bool) -> bytes:
        # Nobody may answer from memory: every request differs from all others.
        opening = {"role": "system", "content": f"Be brief. Request {next(self._numbers)}."}
        turns = _AT_RISK if self._plan.at_risk else (_QUESTION,)
        return json.dumps({
            "model": self._plan.model, "messages": [opening, *turns], "stream": stream,
            "max_tokens": self._plan.max_tokens,
        }).encode()  # fmt: skip


async def _read(response: aiohttp.ClientResponse, *, stream: bool) -> float:
    """Read a reply to its end; returns the moment of its first word, or of a whole one's head.

    Raises:
        InvalidRequestError: If it is no completion.
    """
    head = perf_counter()
    if not stream:
        if not load_object(await response.read()).get("choices"):
            raise InvalidRequestError("no choices")
        return head
    frames, first, some = FrameReader(), None, False
    async for piece in response.content.iter_any():
        now = perf_counter()
        for frame in frames.feed(piece):
            some = some or frame.data is not None
            if first is None and frame.data is not None and _has_word(frame.data):
                first = now
    if not some:
        raise InvalidRequestError("no events")
    return perf_counter() if first is None else first


def _has_word(data: bytes) -> bool:
    if not data.startswith(b"{"):
        return False
    choices = load_object(data).get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    delta = choice.get("delta") if isinstance(choice, dict) else None
    return isinstance(delta, dict) and bool(delta.get("content"))


def _told(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)
