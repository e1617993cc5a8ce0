"""What the engine decides on every conversation of the demo, over HTTP, to compare with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from candor_guard import Guard, Policy
from candor_guard.upstreams.direct import DirectUpstream
from candor_proxy.demo.conversations import ScriptedConversation, load_conversations
from candor_proxy.demo.scripted import MODEL, make_scripted_app
from candor_proxy.demo.servers import serving

_COMPARED = (
    "action", "evaluated", "delivered", "labels", "scores", "delivered_scores", "thresholds",
    "decided_by", "skipped", "instruction", "upstream_calls", "probe",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one conversation."""

    text: str
    record: Mapping[str, Any]


def decision(text: str, candor: Mapping[str, Any], *, streamed: bool = False) -> Decision:
    """Return what two ways of guarding have to agree on.

    How much of a stream is judged depends on whether its probe answers before it ends, and so do
    its scores.
    """
    compared = [key for key in _COMPARED if not (streamed and key == "scores")]
    return Decision(text, {key: candor[key] for key in compared})


@asynccontextmanager
async def scripted_model() -> AsyncIterator[str]:
    """Serve the demo's people-pleasing model while the block runs; yields its base URL."""
    async with serving(make_scripted_app()) as address:
        yield f"{address}/v1"


async def decisions(
    url: str, policy: Policy | None = None
) -> list[tuple[ScriptedConversation, Decision, Decision]]:
    """Guard every conversation without any framework: whole, and as a stream."""
    records: list[Mapping[str, Any]] = []
    guard = Guard(
        policy=policy,
        upstream=DirectUpstream(url),
        observers=[lambda outcome: records.append(outcome.to_dict())],
    )
    found: list[tuple[ScriptedConversation, Decision, Decision]] = []
    for conversation in load_conversations():
        request = {"model": MODEL, "messages": conversation.messages}
        body = await guard.complete(request)
        whole = decision(body["choices"][0]["message"]["content"], records[-1])
        choices = [part["choices"][0] async for part in guard.stream(request)]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        found.append((conversation, whole, decision(text, records[-1], streamed=True)))
    await guard.aclose()
    return found
