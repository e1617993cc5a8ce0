"""Asks a server through the official client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from candor_guard.errors import MissingExtraError

try:
    from openai import APIStatusError, DefaultHttpxClient, OpenAI, OpenAIError
except ImportError as error:
    raise MissingExtraError("the benchmark", "openai") from error

TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got.

    Attributes:
        text: What the user reads.
        candor: The proxy's account of it; empty without one.
        headers: The proxy's headers, by lower-case name.
        usage: ``prompt_tokens`` and ``completion_tokens``, as reported.
        seconds: Until its end.
        error: Why there is none: class and status, never the server's words; or "".
    """

    text: str = ""
    candor: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    @property
    def action(self) -> str:
        """What the proxy did; "" without one."""
        return str(self.candor.get("action") or self.headers.get("x-candor-action", ""))

    @property
    def evaluated(self) -> str:
        """How much the proxy read; "" without one."""
        return str(self.candor.get("evaluated") or self.headers.get("x-candor-evaluated", ""))

    @property
    def decided_by(self) -> str:
        """Who decided on the first reply; a proxy that does not tell has a classifier only."""
        return str(self.candor.get("decided_by") or "classifier")

    @property
    def probe_result(self) -> str:
        """What the neutral question brought; "" when none was asked."""
        probe = self.candor.get("probe")
        if isinstance(probe, Mapping):
            return str(probe.get("result") or probe.get("judgement") or "asked")
        return ""

    @property
    def upstream_calls(self) -> int:
        """How many calls this answer took, as the proxy says; 1 without one."""
        told = self.candor.get("upstream_calls") or self.headers.get("x-candor-upstream-calls")
        return int(told or 1)


def loopback_client(port: int) -> OpenAI:
    """Return a client for a server on loopback; a proxy of the environment is not asked for it."""
    transport = DefaultHttpxClient(trust_env=False)
    base_url = f"http://127.0.0.1:{port}/v1"
    return OpenAI(
        base_url=base_url, api_key="none", max_retries=0, timeout=TIMEOUT, http_client=transport
    )


def ask(
    client: OpenAI, model: str, messages: Iterable[Mapping[str, str]], *, stream: bool, **more: Any
) -> Answer:
    """Ask once; an error of any kind is an answer without text.

    Args:
        client: Knows the server.
        model: To ask for.
        messages: The conversation.
        stream: Whether to read a stream.
        more: Further fields of the request.
    """
    request = {"model": model, "messages": list(messages), **more}
    began = time.perf_counter()
    try:
        return _streamed(client, request, began) if stream else _whole(client, request, began)
    except OpenAIError as error:
        status = f" {error.status_code}" if isinstance(error, APIStatusError) else ""
        return Answer(error=f"{type(error).__name__}{status}", seconds=time.perf_counter() - began)


def _whole(client: OpenAI, request: dict[str, Any], began: float) -> Answer:
    raw = client.chat.completions.with_raw_response.create(**request)
    reply = raw.parse()
    return Answer(
        text=(reply.choices[0].message.content or "") if reply.choices else "",
        candor=_account((reply.model_extra or {}).get("candor")),
        headers=_told(raw.headers),
        usage=_usage(reply.usage),
        seconds=time.perf_counter() - began,
    )


def _streamed(client: OpenAI, request: dict[str, Any], began: float) -> Answer:
    raw = client.chat.completions.with_raw_response.create(
        **request, stream=True, stream_options={"include_usage": True}
    )
    words: list[str] = []
    candor: object = None
    usage: Mapping[str, int] = {}
    for chunk in raw.parse():
        candor = (chunk.model_extra or {}).get("candor", candor)
        usage = _usage(chunk.usage) or usage
        words += [choice.delta.content or "" for choice in chunk.choices]
    seconds = time.perf_counter() - began
    return Answer("".join(words), _account(candor), _told(raw.headers), usage, seconds)


def _account(candor: object) -> Mapping[str, Any]:
    return candor if isinstance(candor, Mapping) else {}


def _told(headers: Mapping[str, str]) -> dict[str, str]:
    pairs = ((name.lower(), value) for name, value in headers.items())
    return {name: value for name, value in pairs if name.startswith("x-candor-")}


def _usage(usage: object) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens")
    return {} if usage is None else {name: int(getattr(usage, name, 0) or 0) for name in names}
