"""The guard for LiteLLM: around ``completion`` and ``acompletion``, and inside LiteLLM's proxy.

In a program::

    completion = guard(litellm.completion)

In the configuration of LiteLLM's proxy::

    guardrails:
      - guardrail_name: candor
        litellm_params:
          guardrail: candor_guard.integrations.litellm.CandorGuardrail
          mode: post_call
          default_on: true

Needs the extra ``candor-guard[litellm]``.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar, cast

from typing_extensions import override

from candor_guard.errors import (
    ConfigurationError,
    InvalidRequestError,
    MissingExtraError,
    ReplyRefusedError,
)
from candor_guard.flow import Annotate
from candor_guard.guard import Guard, new_request_id
from candor_guard.integrations.litellm.asked import Asked, named
from candor_guard.integrations.litellm.lent import Lent
from candor_guard.integrations.litellm.run import Run
from candor_guard.integrations.problems import REFUSED
from candor_guard.integrations.wishes import annotate_of, guard_of, kind_of, policy_of
from candor_guard.outcome import Outcome
from candor_guard.policy import Policy
from candor_guard.sync import Portal
from candor_guard.upstreams.litellm_request import CLIENT_PARAMETERS

try:
    import litellm
    from litellm.exceptions import GuardrailRaisedException
    from litellm.integrations.custom_guardrail import CustomGuardrail
    from litellm.types.guardrails import GuardrailEventHooks
    from litellm.types.utils import ModelResponse, ModelResponseStream
except ImportError as error:
    raise MissingExtraError("the guard for LiteLLM", "litellm") from error

from candor_guard.integrations.litellm.stream import (
    AsyncGuardedStream,
    SyncGuardedStream,
    in_threads,
)

CallT = TypeVar("CallT", bound=Callable[..., Any])

_log = logging.getLogger("candor_guard")

# Instructions to LiteLLM that a client's body may hold; a repetition gets its own.
_NOT_REPEATED: Final = frozenset({"guardrails", "metadata", "litellm_metadata"})
_HOOKS: Final = frozenset({
    "async_post_call_response_headers_hook", "async_post_call_streaming_iterator_hook",
})  # fmt: skip
_MARK: Final = "__candor_guarded__"
_POST_CALL: Final = GuardrailEventHooks.post_call


def guard(function: CallT, guard: Guard | None = None, *, policy: Policy | None = None) -> CallT:
    """Return ``litellm.completion`` or ``acompletion``, guarded.

    Also takes the methods of a ``litellm.Router``. Arguments, errors and return types stay
    LiteLLM's own; a reply has the record of what was done at ``reply.candor``, a stream at
    ``stream.candor`` once it has ended. Calls without messages are LiteLLM's to refuse.

    Args:
        function: What is called; a coroutine function stays one.
        guard: Whose detector, policy, observers and budgets to use; its upstream is not called.
            Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.

    Raises:
        ConfigurationError: If it is no function, or is guarded already; if both a guard and a
            policy are given.
    """
    _need_function(function)
    engine = guard_of(guard, policy)
    if inspect.iscoroutinefunction(function):
        return cast("CallT", _asynchronous(function, engine))
    return cast("CallT", _blocking(function, engine))


class CandorGuardrail(CustomGuardrail):  # type: ignore[misc]  # LiteLLM is not followed by mypy
    """A guardrail of LiteLLM's proxy that replaces replies, streamed or not.

    A regeneration goes through the proxy's own router with the same model and parameters, and is
    booked on the same key. When the guard itself fails, the reply is delivered as it came.

    Args:
        guard: What judges; default: one with the bundled detector.
        policy: For such a guard: a `Policy`, or its fields as in the proxy's configuration.
        annotate: When the ``candor`` object is written into replies: ``flagged`` ones, ``all``
            that were read, or ``none``.
        options: What LiteLLM gives its guardrails.

    Raises:
        ConfigurationError: If the policy makes no sense, or there is no such `annotate`.
    """

    def __init__(
        self,
        guard: Guard | None = None,
        policy: Policy | Mapping[str, Any] | None = None,
        annotate: Annotate = "flagged",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._engine = guard_of(guard, policy_of(policy))
        self._annotate = annotate_of(annotate)

    @override
    def __init_subclass__(cls, **options: Any) -> None:
        # LiteLLM looks for some hooks in the class itself only, and would skip inherited ones.
        super().__init_subclass__(**options)
        for name in _HOOKS - set(vars(cls)):
            setattr(cls, name, getattr(cls, name))

    @override
    async def async_post_call_success_hook(
        self, data: dict[str, Any], user_api_key_dict: Any, response: Any
    ) -> Any:
        """Return the reply to deliver instead, or None."""
        asked = None if data.get("stream") else _asked_of(data)
        if asked is None or not isinstance(response, ModelResponse):
            return None
        request_id = new_request_id()
        run = Run(self._engine, asked, _Repeating(response), self._annotate, request_id)
        try:
            reply = await run.whole()
        except ReplyRefusedError as refusal:
            self._note(data, run.outcome)
            raise self._refusal(refusal) from None
        except Exception as error:  # noqa: BLE001 - whatever fails here must not cost the reply
            self._failed(data, error, request_id)
            return None
        self._note(data, run.outcome)
        if run.outcome is not None:
            reply._hidden_params["candor_headers"] = dict(run.outcome.headers())  # noqa: SLF001 - its public name is new
        return reply

    @override
    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Yield the chunks to deliver."""
        source = aiter(response)
        first = await anext(source, None)
        lent = Lent(first, source)
        asked = _asked_of(request_data) if isinstance(first, ModelResponseStream) else None
        try:
            if asked is not None:
                async with aclosing(self._guarded(asked, lent, request_data)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            async for chunk in lent:
                yield chunk
        finally:
            await lent.end()

    @override
    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Any = None,
    ) -> dict[str, str] | None:
        """Return the ``x-candor-*`` headers of a reply; those of a stream leave too early."""
        known = getattr(response, "_hidden_params", None) or {}
        headers: dict[str, str] | None = known.get("candor_headers")
        if headers is None and data.get("stream") and self.should_run_guardrail(data, _POST_CALL):
            return {"x-candor-evaluated": "deferred"}
        return headers

    @override
    async def async_post_call_success_deployment_hook(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: replies are read once, when the proxy delivers them."""

    async def _guarded(
        self, asked: Asked, lent: Lent, data: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """Yield what the guard delivers; if it fails, what it has taken from the stream so far."""
        request_id = new_request_id()
        run = Run(self._engine, asked, _Repeating(lent), self._annotate, request_id)
        try:
            await run.begin()
            async with aclosing(run.objects()) as chunks:
                async for chunk in chunks:
                    yield chunk
            self._note(data, run.outcome)
            lent.over = True
            return
        except ReplyRefusedError as refusal:
            self._note(data, run.outcome)
            raise self._refusal(refusal) from None
        except Exception as error:
            rest = run.undelivered()
            if error is run.failure or rest is None:
                raise
            lent.keep()
            self._failed(data, error, request_id)
        for chunk in rest:
            yield chunk

    def _refusal(self, refusal: ReplyRefusedError) -> Exception:
        error = GuardrailRaisedException(
            guardrail_name=self.guardrail_name,
            message=str(refusal),
            should_wrap_with_default_message=False,
            status_code=REFUSED,
        )
        error.blocked_content = True  # no argument of older versions
        return cast("Exception", error)

    def _failed(self, data: dict[str, Any], error: Exception, request_id: str) -> None:
        _log.warning("guard failed: %s; reply delivered (%s)", type(error).__name__, request_id)
        self._note(data, None)

    def _note(self, data: dict[str, Any], outcome: Outcome | None) -> None:
        """Tell LiteLLM's logs what was done, without content."""
        try:
            self.add_standard_logging_guardrail_information_to_request_data(
                guardrail_json_response={} if outcome is None else dict(outcome.headers()),
                request_data=data,
                guardrail_status=_status(outcome),
                duration=None if outcome is None else outcome.guard_seconds,
                guardrail_provider="candor-guard",
                event_type=_POST_CALL,
            )
        except Exception as error:  # noqa: BLE001 - a log line must not cost the reply
            _log.warning("LiteLLM did not take the record: %s", type(error).__name__)


class _Repeating:
    """The calls of one request in LiteLLM's proxy: the first was made, the others are made here."""

    def __init__(self, given: Any) -> None:
        self._given = given

    async def __call__(self, arguments: Mapping[str, Any]) -> Any:
        given, self._given = self._given, None
        if given is not None:
            return given
        router = getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)
        return await (router or litellm).acompletion(**arguments)


def _asynchronous(function: Callable[..., Any], engine: Guard) -> Callable[..., Any]:
    @functools.wraps(function)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(named(function, args, kwargs))
        if asked is None:
            return await function(*args, **kwargs)
        run = Run(engine, asked, lambda arguments: function(**arguments), "all")
        if not run.stream:
            return _recorded(await run.whole(), run.outcome)
        await run.begin()
        return AsyncGuardedStream(run)

    return _marked(guarded)


def _blocking(function: Callable[..., Any], engine: Guard) -> Callable[..., Any]:
    portal = Portal()

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        asked = _asked(named(function, args, kwargs))
        if asked is None:
            return function(*args, **kwargs)
        run = Run(engine, asked, in_threads(function), "all")
        if not run.stream:
            return _recorded(portal.call(run.whole), run.outcome)
        portal.call(run.begin)
        return SyncGuardedStream(run, portal)

    return _marked(guarded)


def _marked(guarded: Callable[..., Any]) -> Callable[..., Any]:
    setattr(guarded, _MARK, True)
    return guarded


def _need_function(function: object) -> None:
    if not callable(function) or isinstance(function, type):
        raise ConfigurationError(
            "guard() takes a function, such as guard(litellm.completion), not"
            f" {kind_of(function)}; for a client object see candor_guard.integrations.openai"
        )
    if hasattr(function, _MARK):
        raise ConfigurationError("this function is guarded already")


def _asked(given: Mapping[str, Any]) -> Asked | None:
    """Return the call as the engine takes it; None for one that it cannot guard."""
    try:
        asked = Asked.of(given)
        asked.parsed()
    except InvalidRequestError:
        return None  # no messages: LiteLLM says so better
    except (TypeError, ValueError, RecursionError) as error:
        _log.warning("a call that JSON cannot hold is not guarded: %s", type(error).__name__)
        return None
    return asked


def _asked_of(data: Mapping[str, Any]) -> Asked | None:
    """Return the call that a request to the proxy amounts to: what the client has set, and who pays."""
    body = (data.get("proxy_server_request") or {}).get("body")
    names = body if isinstance(body, Mapping) else CLIENT_PARAMETERS
    given = {name: data[name] for name in names if name in data and name not in _NOT_REPEATED}
    account = {
        name: value
        for name, value in (data.get("metadata") or {}).items()
        if name.startswith("user_api_key") or name == "tags"
    }
    return _asked({**given, "metadata": account})


def _recorded(reply: Any, outcome: Outcome | None) -> Any:
    if outcome is None or getattr(reply, "candor", None) is not None:
        return reply
    copy = reply.model_copy()
    copy._hidden_params = dict(reply._hidden_params)  # noqa: SLF001 - its public name is new
    copy.candor = outcome.to_dict()
    return copy


def _status(outcome: Outcome | None) -> str:
    if outcome is None or outcome.action == "error":
        return "guardrail_failed_to_respond"
    if outcome.action in ("regenerate", "block"):
        return "guardrail_intervened"
    return "not_run" if outcome.evaluated == "none" else "success"


__all__ = ["CandorGuardrail", "guard"]
