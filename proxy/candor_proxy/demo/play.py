"""Plays the script through a real client, directly and through the proxy, and judges the ending.

Each conversation is asked four times: complete and streamed, directly ("before") and through the
proxy ("after").
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, cast

from candor_guard.errors import MissingExtraError
from candor_proxy.demo.conversations import ScriptedConversation
from candor_proxy.demo.scripted import MODEL

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

ProbeDid = Literal["cleared", "confirmed", "found"]
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Guarded:
    """What the proxy says about a reply; all None when it says nothing.

    Attributes:
        action: What was done.
        labels: What was found in the first reply.
        score: Its highest probability.
        detector: ``name@version``.
        instruction: Name of the wording that a regeneration carried.
        upstream_calls: How many calls the answer took.
        guard_ms: Time in gate and detector.
        decided_by: ``classifier`` or ``probe``.
        suspected: Whether the detector alone had flagged the first reply; None when not told.
    """

    action: str | None = None
    labels: tuple[str, ...] = ()
    score: float | None = None
    detector: str | None = None
    instruction: str | None = None
    upstream_calls: int = 1
    guard_ms: float | None = None
    decided_by: str | None = None
    suspected: bool | None = None

    @property
    def probe_did(self) -> ProbeDid | None:
        """What a neutral question to the model decided, if anything."""
        if self.decided_by != "probe":
            return None
        if self.action == "pass":
            return None if self.suspected is False else "cleared"
        return None if self.suspected is None else "confirmed" if self.suspected else "found"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One reply as a client got it.

    Attributes:
        text: What the user reads.
        wire: The JSON of the body or of every chunk, without the proxy's annotation; the usage of
            a whole reply stands apart.
        usage: The JSON of that usage, or "".
        guarded: What the proxy says about it.
        first_ms: Until the first word; the whole time when the reply came in one piece.
        total_ms: Until its end.
        error: Why there is no reply, or "".
    """

    text: str = ""
    wire: tuple[str, ...] = ()
    usage: str = ""
    guarded: Guarded = field(default_factory=Guarded)
    first_ms: float = 0.0
    total_ms: float = 0.0
    error: str = ""


class Ending(StrEnum):
    """How a conversation ended, held against the script."""

    REGENERATED = "regenerated rightly"
    PASSED = "rightly passed"
    MISS = "miss"
    NEEDLESS = "needless regeneration"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Played:
    """A conversation, its replies and its ending.

    Attributes:
        conversation: From the script.
        direct: The complete reply without the proxy.
        direct_stream: The streamed reply without the proxy.
        complete: The complete reply through the proxy.
        stream: The streamed reply through the proxy.
    """

    conversation: ScriptedConversation
    direct: Delivery
    direct_stream: Delivery
    complete: Delivery
    stream: Delivery

    @property
    def complete_ending(self) -> Ending:
        """How the complete reply ended."""
        return judge(self.conversation, self.direct, self.complete)

    @property
    def stream_ending(self) -> Ending:
        """How the streamed reply ended."""
        return judge(self.conversation, self.direct_stream, self.stream)

    @property
    def ending(self) -> Ending:
        """The one of the two endings that is not good, if any."""
        # Two good endings are the same text: `judge` holds each one against the script.
        complete = self.complete_ending
        return self.stream_ending if complete in _GOOD else complete

    @property
    def ok(self) -> bool:
        """Whether it ended as the script demands."""
        return self.ending in _GOOD


_GOOD = frozenset({Ending.REGENERATED, Ending.PASSED})


def judge(conversation: ScriptedConversation, before: Delivery, after: Delivery) -> Ending:
    """Hold one reply through the proxy against the script and the direct reply. Pure."""
    if before.error or after.error or before.text != conversation.pleasing:
        return Ending.BROKEN
    action = after.guarded.action
    if action in ("block", "error"):
        return Ending.BROKEN
    if conversation.expect == "regenerate":
        return _judge_risky(conversation, after)
    if action not in (None, "pass"):
        return Ending.NEEDLESS
    return Ending.PASSED if _untouched(before, after) else Ending.BROKEN


def _untouched(before: Delivery, after: Delivery) -> bool:
    # Usage is the sum of all calls, so a neutral question shows in it, and nowhere else.
    asked_more = after.guarded.upstream_calls > 1
    return after.wire == before.wire and (asked_more or after.usage == before.usage)


def _judge_risky(conversation: ScriptedConversation, after: Delivery) -> Ending:
    regenerated = after.guarded.action == "regenerate"
    # Equality with the second reply also shows that no word of the first one came through.
    if after.text == conversation.honest:
        return Ending.REGENERATED if regenerated else Ending.BROKEN
    if after.text == conversation.pleasing:
        return Ending.BROKEN if regenerated else Ending.MISS
    return Ending.BROKEN


async def play(
    conversations: Sequence[ScriptedConversation], *, upstream_url: str, proxy_url: str
) -> list[Played]:
    """Play all conversations, a few at a time; the results come in the order of the script.

    Args:
        conversations: What to play.
        upstream_url: Base URL of the scripted upstream, with ``/v1``.
        proxy_url: Base URL of the proxy in front of it, with ``/v1``.

    Raises:
        MissingExtraError: If the openai package is not installed.
    """
    turnstile = asyncio.Semaphore(_AT_ONCE)

    async def one(conversation: ScriptedConversation) -> Played:
        async with turnstile:
            return Played(
                conversation,
                direct=await _complete(direct, conversation),
                direct_stream=await _stream(direct, conversation),
                complete=await _complete(guarded, conversation),
                stream=await _stream(guarded, conversation),
            )

    async with (
        _client(upstream_url) as direct,
        _client(proxy_url) as guarded,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(one(conversation)) for conversation in conversations]
    return [task.result() for task in tasks]


@asynccontextmanager
async def _client(base_url: str) -> AsyncIterator[AsyncOpenAI]:
    try:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("candor-guard demo", "openai") from error
    # trust_env=False: a company proxy in the environment must not be asked for the loopback.
    transport = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(
        base_url=base_url, api_key="demo", max_retries=0, timeout=60.0, http_client=transport
    ) as client:
        yield client


async def _complete(client: AsyncOpenAI, conversation: ScriptedConversation) -> Delivery:
    started = perf_counter()
    try:
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=_messages(conversation)
        )
        reply = raw.parse()
    except Exception as error:  # noqa: BLE001 - whatever a client raises, there is no reply
        return _failed(error, started)
    took = _ms(started)
    body = reply.to_dict(mode="json")
    candor = (reply.model_extra or {}).get("candor")
    return Delivery(
        text=reply.choices[0].message.content or "",
        wire=(_without(body, "candor", "usage"),),
        usage=json.dumps(body.get("usage")),
        guarded=read_annotation(candor, raw.headers),
        first_ms=took,
        total_ms=took,
    )


async def _stream(client: AsyncOpenAI, conversation: ScriptedConversation) -> Delivery:
    started = perf_counter()
    text: list[str] = []
    wire: list[str] = []
    candor: object = None
    first_ms = 0.0
    try:
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=_messages(conversation), stream=True
        )
        async for chunk in raw.parse():
            candor = (chunk.model_extra or {}).get("candor", candor)
            wire.append(_without(chunk.to_dict(mode="json"), "candor"))
            words = "".join(choice.delta.content or "" for choice in chunk.choices)
            if words:
                first_ms = first_ms or _ms(started)
                text.append(words)
    except Exception as error:  # noqa: BLE001 - whatever a client raises, there is no reply
        return _failed(error, started)
    return Delivery(
        text="".join(text),
        wire=tuple(wire),
        guarded=read_annotation(candor, raw.headers),
        first_ms=first_ms,
        total_ms=_ms(started),
    )


def read_annotation(candor: object, headers: Mapping[str, str]) -> Guarded:
    """Read the ``candor`` object, or the ``x-candor-*`` headers for what it does not say."""
    found: Mapping[str, Any] = candor if isinstance(candor, Mapping) else {}
    scores = found.get("scores") or {}
    score = max(scores.values()) if scores else _number(headers.get("x-candor-score"))
    calls = found.get("upstream_calls") or _number(headers.get("x-candor-upstream-calls"))
    first: Mapping[str, Any] = next(iter(found.get("attempts") or []), {})
    named = [label for label in headers.get("x-candor-labels", "").split(",") if label]
    return Guarded(
        action=found.get("action") or headers.get("x-candor-action"),
        labels=tuple(found.get("labels") or named),
        score=score,
        detector=found.get("detector"),
        instruction=found.get("instruction"),
        upstream_calls=int(calls or 1),
        guard_ms=found.get("guard_ms", _number(headers.get("x-candor-guard-ms"))),
        decided_by=found.get("decided_by") or headers.get("x-candor-decided-by"),
        suspected=first.get("flagged"),
    )


def _messages(conversation: ScriptedConversation) -> list[ChatCompletionMessageParam]:
    return cast("list[ChatCompletionMessageParam]", conversation.messages)


def _without(body: Mapping[str, object], *names: str) -> str:
    return json.dumps({key: value for key, value in body.items() if key not in names})


def _failed(error: Exception, started: float) -> Delivery:
    return Delivery(error=f"{type(error).__name__}: {error}", total_ms=_ms(started))


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def _ms(started: float) -> float:
    return (perf_counter() - started) * 1000
