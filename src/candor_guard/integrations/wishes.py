"""What the caller of an integration may choose, checked: the same words and errors everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from pydantic import ValidationError

from candor_guard.errors import ConfigurationError, InvalidRequestError
from candor_guard.flow import Annotate
from candor_guard.guard import Guard
from candor_guard.policy import Mode, Policy

MODE_HEADER: Final = "x-candor-mode"
_MODES: Final[tuple[str, ...]] = get_args(Mode)
_ANNOTATE: Final[tuple[str, ...]] = get_args(Annotate)


def guard_of(guard: Guard | None, policy: Policy | None) -> Guard:
    """Return the guard to use: the given one, or one with the bundled detector.

    Raises:
        ConfigurationError: If both are given, or one is of another class.
    """
    if guard is not None and policy is not None:
        raise ConfigurationError("give a guard or a policy, not both: a guard has a policy")
    if guard is not None and not isinstance(guard, Guard):
        raise ConfigurationError(f"guard must be a candor_guard.Guard, not {kind_of(guard)}")
    if policy is not None and not isinstance(policy, Policy):
        raise ConfigurationError(f"policy must be a candor_guard.Policy, not {kind_of(policy)}")
    return Guard(policy=policy) if guard is None else guard


def policy_of(fields: Policy | Mapping[str, Any] | None) -> Policy | None:
    """Return the policy that a configuration file describes.

    Raises:
        ConfigurationError: If it makes no sense.
    """
    if fields is None or isinstance(fields, Policy):
        return fields
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"policy must be a mapping of fields, not {kind_of(fields)}")
    try:
        return Policy.model_validate(dict(fields))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"policy: {problems}") from None


def annotate_of(wish: str) -> Annotate:
    """Return when replies get their ``candor`` object.

    Raises:
        ConfigurationError: If there is no such choice.
    """
    if wish not in _ANNOTATE:
        raise ConfigurationError(f"annotate must be one of {', '.join(_ANNOTATE)}, not {wish!r}")
    return cast("Annotate", wish)


def mode_of(wish: str | None, *, allowed: bool = True) -> Mode | None:
    """Return the mode that a request's header wishes for; None when it has none.

    Raises:
        InvalidRequestError: If there is no such mode, or a wish is not `allowed`.
    """
    if wish is not None and not allowed:
        raise InvalidRequestError(f"{MODE_HEADER} is not allowed here", param=MODE_HEADER)
    if wish is not None and wish not in _MODES:
        raise InvalidRequestError(
            f"{MODE_HEADER} must be one of {', '.join(_MODES)}", param=MODE_HEADER
        )
    return cast("Mode | None", wish)


def kind_of(value: object) -> str:
    """Say what something is, for the message of an exception."""
    if isinstance(value, type):
        return f"the class {value.__name__}: pass an instance"
    return type(value).__name__
