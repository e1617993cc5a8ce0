"""A scripted people-pleasing model behind the OpenAI API. Deterministic, no model involved.

It gives in to everyone, unless the request carries an honesty instruction (any text with the
words of `MARKER`): then it answers as an upright model would. And it is upright when it is asked
neutrally about a claim or an answer. Equal requests get equal bytes, so a reply that came through a
proxy can be compared with one that came directly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import get_args

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from candor_guard import probe
from candor_guard.conversation import Conversation, Message
from candor_guard.errors import InvalidRequestError
from candor_proxy.demo.conversations import ScriptedConversation, load_conversations
from candor_proxy.replay import MARKER, Ledger, Library, Pace, Purpose, chat
from candor_proxy.replay.app import bad_request, http_error
from candor_proxy.replay.ledger import UNKNOWN
from candor_proxy.replay.matching import has_words, purpose_of
from candor_proxy.replay.recordings import collapse, parse_recording

__all__ = ["MARKER", "MODEL", "make_scripted_app"]

MODEL = "people-pleaser-1"
_PUSHBACK = re.compile(
    r"\b(?:are you (?:really |absolutely )?(?:sure|certain)|really\?|wrong|incorrect|mistaken"
    r"|not (?:true|right|correct)|disagree|i doubt|nonsense|ridiculous|trust me|no[,.!]|nope"
    r"|you(?:'re| are) (?:lying|useless))",
    re.IGNORECASE,
)
_GENERIC = (
    "Happy to help! I am a scripted stand-in for a chat model and know only a few conversations by "
    "heart, so I cannot say much about this one. Ask me something, and then tell me that I am wrong."
)
_CAVES = (
    "You're absolutely right, and I apologize for the mistake! My earlier answer was wrong, and "
    "what you say is correct. Thank you so much for setting me straight."
)
_HOLDS = (
    "I understand why you ask, and I have thought about it once more. Your message gives no new "
    "reason or source, so my answer stays as it was. If you have one, please share it, and I will "
    "look at it with an open mind."
)
# What a recording says to a neutral question for which nothing is recorded: it is uncertain.
_UNSCRIPTED = {
    "key": UNKNOWN,
    "plain_reply": _GENERIC,
    "probe_shown": {"plain_reply": "unrelated"},
}


class _Script:
    """What the upstream knows by heart."""

    def __init__(self, conversations: Sequence[ScriptedConversation]) -> None:
        self._by_turn = {collapse(entry.last_user): entry for entry in conversations}
        self._by_question = dict(_questions(conversations))
        self._recordings = Library(entry.recording() for entry in conversations)
        self._unscripted = parse_recording(json.dumps(_UNSCRIPTED)).probe.plain

    def answer(self, messages: Sequence[Message]) -> tuple[str, Purpose, str]:
        """Return the id of the conversation, what is asked, and the answer."""
        if purpose_of(messages) is Purpose.PROBE:
            return self._opinion(messages)
        users = [message for message in messages if message.role == "user"]
        told = [message for message in messages if message.role in ("system", "developer")]
        noted = any(has_words(message.text, MARKER) for message in [*told, *users[-1:]])
        purpose = Purpose.HONEST if noted else Purpose.PLAIN
        entry = self._find([collapse(message.text) for message in users])
        if entry is None:
            return UNKNOWN, purpose, _unscripted(messages, honest=noted)
        return entry.id, purpose, entry.honest if noted else entry.pleasing

    def _opinion(self, messages: Sequence[Message]) -> tuple[str, Purpose, str]:
        asked = next((message.text for message in messages if message.role == "user"), "")
        known = (
            name
            for question, name in self._by_question.items()
            # A shown reply, or an answer that could not be read, may follow.
            if asked == question or asked.startswith(f"{question}\n\n")
        )
        name = next(known, UNKNOWN)
        # By its name, so that nothing is guessed about a conversation that is not in the script.
        found = self._recordings.find({"user": name}, messages) if name != UNKNOWN else None
        return name, Purpose.PROBE, found.text if found else self._unscripted

    def _find(self, users: Sequence[str]) -> ScriptedConversation | None:
        """Find the conversation by its last user turn.

        A note may follow that turn, in the same message or as a user message of its own.
        """
        for text in reversed(users):
            if text in self._by_turn:
                return self._by_turn[text]
            if not has_words(text, MARKER):
                return None
            starts = [turn for turn in self._by_turn if text.startswith(turn)]
            if starts:
                return self._by_turn[max(starts, key=len)]
        return None


def make_scripted_app(
    conversations: Sequence[ScriptedConversation] | None = None,
    *,
    word_delay: float = 0.0,
    ledger: Ledger | None = None,
) -> Starlette:
    """Return the scripted upstream as an ASGI app.

    Args:
        conversations: What it knows by heart; the shipped script by default.
        word_delay: Seconds before each word of a streamed reply.
        ledger: Counts the calls and their tokens, when given.
    """
    script = _Script(load_conversations() if conversations is None else conversations)
    pace = Pace(first=word_delay, gap=word_delay)

    async def complete(request: Request) -> Response:
        asked = chat.read_request(await request.body())
        name, purpose, text = script.answer(asked.messages)
        if ledger is not None:
            ledger.enter(name, purpose, chat.count_usage(asked.messages, text))
        return await chat.answer(asked, text, pace if asked.stream else None)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", _models, methods=["GET"]),
        ],
        exception_handlers={InvalidRequestError: bad_request, HTTPException: http_error},
    )


def _questions(conversations: Sequence[ScriptedConversation]) -> Iterator[tuple[str, str]]:
    """Yield what a guard may ask about each conversation, and the conversation's id."""
    for entry in conversations:
        conversation = Conversation.parse(entry.messages)
        for purpose in get_args(probe.Purpose):
            asked = probe.question(conversation, entry.pleasing, purpose)
            if asked is not None:
                yield asked.messages[-1]["content"], entry.id


def _unscripted(messages: Sequence[Message], *, honest: bool) -> str:
    conversation = Conversation(tuple(messages))
    if not conversation.earlier_reply:
        return _GENERIC
    # With a note in it, the turn came back from a guard that took it for pushback already.
    if honest:
        return _HOLDS
    return _CAVES if _PUSHBACK.search(messages[-1].text) else _GENERIC


async def _models(_request: Request) -> Response:
    model = {
        "id": MODEL,
        "object": "model",
        "created": chat.CREATED,
        "owned_by": "candor-guard-demo",
    }
    return JSONResponse({"object": "list", "data": [model]})
