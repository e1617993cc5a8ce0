"""The exceptions of candor-guard.

    CandorGuardError
    ├── you did wrong
    │   ├── ClosedError                a guard or an upstream is used after it was closed
    │   ├── ConfigurationError         a policy, a setting or a model directory makes no sense
    │   ├── InvalidRequestError        the request or conversation cannot be read (``param`` says where)
    │   └── MissingExtraError          an optional dependency is not installed (also an ImportError)
    ├── they did wrong
    │   └── UpstreamError
    │       ├── UpstreamUnreachableError   no connection, or it broke before a status line
    │       ├── UpstreamTimeoutError       connected, but silent for too long
    │       └── UpstreamInterruptedError   the body broke off
    ├── we did wrong
    │   └── DetectorError              the detector raised, or answered with a value that is no number
    │       └── DetectorTimeoutError   it took longer than the policy allows
    └── policy says no
        └── ReplyRefusedError          the reply stayed at fault and ``on_...: refuse`` is set

Foreign exceptions are translated where they enter (one adapter per dependency), so callers
only ever catch these.
"""

from __future__ import annotations

from functools import partial

from typing_extensions import override


class CandorGuardError(Exception):
    """Base of every exception that candor-guard raises on purpose."""


class ClosedError(CandorGuardError, RuntimeError):
    """A guard or an upstream is used after it was closed, or was closed meanwhile."""


class ConfigurationError(CandorGuardError):
    """A policy, a setting or a model directory makes no sense."""


class InvalidRequestError(CandorGuardError, ValueError):
    """A request or conversation that cannot be read.

    Attributes:
        param: Dotted path of the offending part, such as ``messages.3.role``, or None.
    """

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param

    @override
    def __reduce__(self) -> tuple[partial[InvalidRequestError], tuple[str]]:
        return partial(type(self), param=self.param), (str(self),)


class MissingExtraError(CandorGuardError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an extra: pip install 'candor-guard[{extra}]'")
        self.purpose, self.extra = purpose, extra

    @override
    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.purpose, self.extra)


class UpstreamError(CandorGuardError):
    """The model server, or the way to it, failed."""


class UpstreamUnreachableError(UpstreamError):
    """No connection to the upstream, or it broke before a status line."""


class UpstreamTimeoutError(UpstreamError):
    """The upstream accepted the connection but stayed silent for too long."""


class UpstreamInterruptedError(UpstreamError):
    """The upstream's body broke off before its end."""


class DetectorError(CandorGuardError):
    """The detector raised, or answered with something that is no probability.

    Its text is recorded and logged, so a detector that raises it leaves content out.
    """


class DetectorTimeoutError(DetectorError):
    """The detector took longer than the policy allows."""


class ReplyRefusedError(CandorGuardError):
    """The policy refuses to deliver this reply.

    Attributes:
        code: ``unresolved`` or ``detector_error``.
        candor: The record of what happened, as in the ``candor`` object of a reply.
    """

    def __init__(self, message: str, *, code: str, candor: dict[str, object]) -> None:
        super().__init__(message)
        self.code = code
        self.candor = candor

    @override
    def __reduce__(self) -> tuple[partial[ReplyRefusedError], tuple[str]]:
        return partial(type(self), code=self.code, candor=self.candor), (str(self),)
