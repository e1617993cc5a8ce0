"""The exceptions: one tree, which travels between processes whole."""

from __future__ import annotations

import pickle

import pytest

from candor_guard import errors
from candor_guard.errors import (
    CandorGuardError,
    InvalidRequestError,
    MissingExtraError,
    ReplyRefusedError,
)

SPECIAL: list[CandorGuardError] = [
    InvalidRequestError("no such role", param="messages.3.role"),
    MissingExtraError("the LiteLLM upstream", "litellm"),
    ReplyRefusedError("refused", code="unresolved", candor={"action": "refuse"}),
]
PLAIN = [
    kind("what happened")
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, CandorGuardError)
    and not issubclass(kind, tuple(map(type, SPECIAL)))
]


@pytest.mark.parametrize("error", [*PLAIN, *SPECIAL], ids=lambda e: type(e).__name__)
def test_an_exception_comes_out_of_a_pickle_as_it_went_in(error: CandorGuardError) -> None:
    """A worker process can hand on every exception, with its text and its attributes."""
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Every exception stands in the docstring, and nothing else does."""
    drawn = {w for w in (errors.__doc__ or "").replace("│", " ").split() if w.endswith("Error")}
    kinds = {
        k.__name__
        for k in vars(errors).values()
        if isinstance(k, type) and issubclass(k, CandorGuardError)
    }
    assert kinds <= drawn
    assert drawn - kinds == set()
