"""A call of LiteLLM's ``completion``, in two forms: as it was made, and as the engine reads it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from candor_guard.surface import GuardedRequest
from candor_guard.upstreams.litellm_request import CLIENT_PARAMETERS
from candor_guard.wire.chat import ChatSurface
from candor_guard.wire.json import dump, load_object

# Of the parameters that only LiteLLM knows: shapes the reply, so a side call goes without.
_OF_THE_REPLY: Final = frozenset({"extra_body"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of ``completion`` or ``acompletion``.

    Attributes:
        given: The keyword arguments as the caller gave them.
        wire: Those that are OpenAI's parameters, as JSON values.
    """

    given: Mapping[str, Any]
    wire: Mapping[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        """Read keyword arguments; what JSON cannot hold goes in as its text."""
        known = {key: given[key] for key in given if key in CLIENT_PARAMETERS}
        return cls(given, json.loads(json.dumps(known, default=_as_json)))

    def parsed(self) -> GuardedRequest:
        """Return the request that the engine guards.

        Raises:
            InvalidRequestError: If there are no messages.
        """
        return ChatSurface().parse(dump(self.wire))

    def arguments(self, body: bytes) -> dict[str, Any]:
        """Return the keyword arguments of a call whose body the engine has written.

        What the engine left as it was is passed on as it was given.
        """
        payload = load_object(body)
        side = _but_last_user(payload.get("messages", [])) != _but_last_user(self.wire["messages"])
        own = {
            key: value
            for key, value in self.given.items()
            if key not in CLIENT_PARAMETERS and not (side and key in _OF_THE_REPLY)
        }
        for key, value in payload.items():
            if key in CLIENT_PARAMETERS:
                unchanged = key in self.wire and self.wire[key] == value
                own[key] = self.given[key] if unchanged else value
        if side:
            # Its sampling and limits are wishes: a model that has no temperature may go without.
            own["drop_params"] = True
        return own


def _but_last_user(messages: Sequence[Any]) -> list[Any]:
    """All that a regeneration leaves as it is; the rest is its place."""
    users = [i for i, m in enumerate(messages) if isinstance(m, dict) and m.get("role") == "user"]
    last = users[-1] if users else None
    return [None if i == last else message for i, message in enumerate(messages)]


def named(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments of a call by name."""
    if not args:
        return dict(kwargs)
    names = list(inspect.signature(function).parameters)
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _as_json(value: object) -> Any:
    if isinstance(value, type):  # a model class as the response_format
        return {"type": "json_schema", "json_schema": {"name": value.__name__, **_schema(value)}}
    write = getattr(value, "model_dump", None)
    return write(mode="json", exclude_none=True) if callable(write) else str(value)


def _schema(kind: type) -> dict[str, Any]:
    schema = getattr(kind, "model_json_schema", None)
    return {"schema": schema()} if callable(schema) else {}
