"""The budget that all requests share: a sliding minute of calls and tokens."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.budget import Budget


class _Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_no_limits() -> None:
    """Without limits every call is allowed."""
    budget = Budget(None, None, _Clock())
    budget.spend(10**9, 10.0**9)
    assert all(budget.take() for _ in range(1000))


def test_calls() -> None:
    """So many calls a minute, and then none until the first are a minute old."""
    clock = _Clock()
    budget = Budget(2, None, clock)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.now += 59.9
    assert not budget.take()
    clock.now += 0.2
    assert [budget.take() for _ in range(3)] == [True, True, False]


def test_nothing_allowed() -> None:
    """A limit of zero allows no call at all."""
    assert not Budget(0, None, _Clock()).take()
    assert not Budget(None, 0, _Clock()).take()
    assert not Budget(None, None, _Clock(), 0.0).take()


def test_seconds() -> None:
    """Once the time is spent no call begins until it was a minute ago."""
    clock = _Clock()
    budget = Budget(None, None, clock, 3.0)
    assert budget.take()
    budget.spend(10**6, 2.5)
    assert budget.take()
    budget.spend(0, 0.5)
    assert not budget.take()
    clock.now += 60.1
    assert budget.take()


def test_tokens() -> None:
    """Once the tokens are spent no call begins until they are a minute old."""
    clock = _Clock()
    budget = Budget(None, 100, clock)
    assert budget.take()
    budget.spend(99)
    assert budget.take()
    budget.spend(50)
    assert not budget.take()
    clock.now += 60.1
    assert budget.take()


def test_given_back() -> None:
    """A call that is given back can be taken again, also when it was taken some seconds ago."""
    clock = _Clock()
    budget = Budget(2, None, clock)
    assert [budget.take(), budget.take()] == [True, True]
    clock.now += 5
    budget.give_back()
    assert [budget.take(), budget.take()] == [True, False]


def test_nothing_to_give_back() -> None:
    """A call that is a minute old has been forgotten; giving it back allows no more than before."""
    clock = _Clock()
    budget = Budget(1, None, clock)
    assert budget.take()
    clock.now += 61
    budget.give_back()
    assert [budget.take(), budget.take()] == [True, False]


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 5))
def test_any_minute(pauses: list[float], limit: int) -> None:
    """In no minute are there more calls than allowed, give or take the second that it counts in."""
    clock = _Clock()
    budget = Budget(limit, None, clock)
    taken: list[float] = []
    for pause in pauses:
        clock.now += pause
        if budget.take():
            taken.append(clock.now)
    for began in taken:
        assert sum(began <= at < began + 59.0 for at in taken) <= limit


@pytest.mark.parametrize("limit", [50, 1000])
def test_threads(limit: int) -> None:
    """Any number of threads together take exactly what is allowed."""
    budget = Budget(limit, 10**9, _Clock())
    taken: list[bool] = []

    def work() -> None:
        for _ in range(100):
            taken.append(budget.take())
            budget.spend(1)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(taken) == min(limit, 800)
