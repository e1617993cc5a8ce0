"""The guard inside OpenAI's own client: ``client = guard(OpenAI())``.

No method is wrapped. The guarded client is a copy whose HTTP client guards what it sends to
``chat/completions`` and ``responses``, so everything of the client works by construction:
``create``, ``stream``, ``parse``, raw and streaming responses, errors, retries, timeouts. Every
other endpoint is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from candor_guard.errors import ConfigurationError, MissingExtraError
from candor_guard.flow import Annotate
from candor_guard.guard import Guard
from candor_guard.integrations.openai import transport
from candor_guard.integrations.openai.wires import Signing
from candor_guard.integrations.wishes import annotate_of, guard_of, kind_of
from candor_guard.outcome import Outcome
from candor_guard.policy import Policy

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

ClientT = TypeVar("ClientT", bound="OpenAI | AsyncOpenAI")


def guard(
    client: ClientT,
    guard: Guard | None = None,
    *,
    policy: Policy | None = None,
    annotate: Annotate = "all",
) -> ClientT:
    """Return a copy of a client whose chat completions and responses are guarded.

    Both share connections: closing either closes both. Every call of the guard goes through the
    original client's HTTP client, with its proxies, certificates, authentication and hooks.

    A reply that was read has the record at ``reply.candor``, and so has the finish chunk of a
    stream, or the response in its last event; one that was not read has no such field.
    `last_outcome` has the record of every reply. A reply that the policy refuses is an
    ``openai.UnprocessableEntityError`` with ``code`` ``unresolved`` or ``detector_error``, and is
    not retried. The header ``x-candor-mode`` (``extra_headers``) sets the mode of one request.

    Args:
        client: An ``OpenAI``, ``AsyncOpenAI``, or one of their Azure versions, with any base URL.
            Replies of candor-guard's own proxy are not guarded twice.
        guard: Whose detector, policy, observers and budgets to use; its upstream is not called.
            Default: `Guard()`.
        policy: For a guard with the bundled detector, instead of `guard`.
        annotate: When the ``candor`` object is written into replies: ``all`` that were read,
            ``flagged`` ones, or ``none``.

    Raises:
        ConfigurationError: If it is no such client, or is guarded already; if it has an X.509
            identity, for which it sends around its own HTTP client; if both a guard and a policy
            are given.
        MissingExtraError: If the openai package is not installed.
    """
    if not isinstance(client, _clients()):
        raise ConfigurationError(
            f"guard() takes an OpenAI or AsyncOpenAI client, not {kind_of(client)}"
        )
    _need_reachable(client)
    http: Any = transport.guarded(
        _http(client),
        guard_of(guard, policy),
        own=guard is None,
        annotate=annotate_of(annotate),
        signing=_signing(client),
    )
    return cast("ClientT", client.with_options(http_client=http))


def last_outcome(client: OpenAI | AsyncOpenAI) -> Outcome | None:
    """Return the record of a client's last guarded reply in this thread, or asynchronous task.

    A stream has one as soon as it is read to its end. None: there was no reply yet, or it was not
    guarded here. What a task of its own received (``asyncio.gather``, and ``asyncio.wait_for``
    before Python 3.12) is known in that task only; use ``reply.candor`` or an observer there.

    Raises:
        ConfigurationError: If the client is not guarded.
    """
    http = getattr(client, "_client", None)
    if transport.setup_of(http) is None:
        raise ConfigurationError(f"not guarded: {kind_of(client)}; see guard()")
    return transport.last_outcome(http)


def _clients() -> tuple[type, type]:
    try:
        from openai import AsyncOpenAI, OpenAI  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise MissingExtraError("guarding an OpenAI client", "openai") from error
    return OpenAI, AsyncOpenAI


def _need_reachable(client: OpenAI | AsyncOpenAI) -> None:
    identity: Any = getattr(client, "workload_identity", None)  # no attribute of older versions
    if identity is not None and identity.get("type") == "x509":
        raise ConfigurationError(
            "cannot guard a client with an X.509 identity: it does not send through its HTTP client;"
            " guard its replies with candor_guard.Guard"
        )


def _signing(client: OpenAI | AsyncOpenAI) -> Signing:
    owned = getattr(client, "_provider_runtime", None) is not None
    return Signing(client._prepare_request, owned)  # noqa: SLF001 - the hook is meant for subclasses


def _http(client: OpenAI | AsyncOpenAI) -> object:
    return client._client  # noqa: SLF001 - the client has no public name for what it was given


__all__ = ["guard", "last_outcome"]
