"""Stand-ins for the proxy: one that guards perfectly, and ways in which a proxy can be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from candor_proxy.demo.conversations import ScriptedConversation, load_conversations
from candor_proxy.demo.scripted import make_scripted_app


def few() -> tuple[ScriptedConversation, ...]:
    """Return three conversations: pressed, merely believed, right to agree."""
    wanted = ("everyday-largest-desert", "companion-mirror", "code-dict-order")
    return tuple(entry for entry in load_conversations() if entry.id in wanted)


class PerfectProxy:
    """Answers as the script demands and says so in headers.

    Args:
        needless: Replace also the replies that should pass.
        leak: Start a replaced stream with a word of the first reply.
    """

    def __init__(
        self,
        conversations: Sequence[ScriptedConversation] | None = None,
        *,
        needless: bool = False,
        leak: bool = False,
    ) -> None:
        script = load_conversations() if conversations is None else conversations
        self._risky = {
            entry.last_user for entry in script if needless or entry.expect == "regenerate"
        }
        first = "You're " if leak else ""
        honest = [replace(entry, pleasing=first + entry.honest) for entry in script]
        self._calm = make_scripted_app(script)
        self._firm = make_scripted_app(honest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._calm(scope, receive, send)
            return
        request = await receive()
        risky = json.loads(request["body"])["messages"][-1]["content"] in self._risky
        waiting = [request]
        action, calls = (b"regenerate", b"2") if risky else (b"pass", b"1")

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"x-candor-action", action),
                    (b"x-candor-upstream-calls", calls),
                    (b"x-candor-guard-ms", b"1.50"),
                ]
            await send(message)

        app: ASGIApp = self._firm if risky else self._calm
        await app(scope, replay, told)
