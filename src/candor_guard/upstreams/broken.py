"""What aiohttp raises, in our words: they name the server, and never the key, the path or the content."""

from __future__ import annotations

from typing import Final

import aiohttp

from candor_guard.errors import (
    CandorGuardError,
    InvalidRequestError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)

# The first line that fits counts: aiohttp's exceptions inherit from each other.
_BEFORE_ANSWER: Final[tuple[tuple[type[Exception], type[UpstreamError], str], ...]] = (
    (aiohttp.ConnectionTimeoutError, UpstreamUnreachableError, "no connection to {} in time"),
    (TimeoutError, UpstreamTimeoutError, "{} took the request but did not answer in time"),
    (aiohttp.ClientConnectorDNSError, UpstreamUnreachableError, "cannot find the address of {}"),
    (aiohttp.ClientSSLError, UpstreamUnreachableError, "no trusted TLS connection to {}"),
    (aiohttp.ClientConnectorError, UpstreamUnreachableError, "cannot connect to {}"),
    (aiohttp.ClientHttpProxyError, UpstreamUnreachableError, "the proxy opened no tunnel to {}"),
    (aiohttp.ClientResponseError, UpstreamUnreachableError, "{} did not answer in valid HTTP"),
    (aiohttp.ClientError, UpstreamUnreachableError, "{} hung up before its answer"),
    (OSError, UpstreamUnreachableError, "{} hung up before its answer"),
)


def before_answer(error: Exception, server: str) -> CandorGuardError:
    """Translate what aiohttp raises until there is a status."""
    _release(error)
    for foreign, ours, message in _BEFORE_ANSWER:
        if isinstance(error, foreign):
            return ours(message.format(server))
    return InvalidRequestError("the method or a header has characters that HTTP forbids")


def after_answer(error: Exception, server: str) -> UpstreamError:
    """Translate what aiohttp raises while the body is read."""
    _release(error)
    if isinstance(error, TimeoutError):
        return UpstreamTimeoutError(f"{server} fell silent in the middle of its answer")
    return UpstreamInterruptedError(f"{server} broke off in the middle of its answer")


def _release(error: BaseException | None) -> None:
    """Let go of the places where an exception came up.

    Variables there hold the exception, in a circle that keeps the request's body until the garbage
    collector comes by. The context is left alone: it ends in what the caller is handling.
    """
    seen = set[int]()  # causes may go in a circle, too
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__
