"""The budget that all requests share: a sliding minute of calls and tokens."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candor_guard.budget import Budget, Ticket


class _Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(budget: Budget, tokens: int = 0) -> Ticket:
    """Take a call that must be there."""
    ticket = budget.take(tokens)
    assert ticket is not None
    return ticket


def left(budget: Budget, most: int = 100) -> int:
    """Take whatever is left; returns how many calls that were."""
    return sum(budget.take() is not None for _ in range(most))


def test_no_limits() -> None:
    """Without limits every call is allowed."""
    budget = Budget(None, None, _Clock())
    budget.spend(taken(budget), 10**9, 10.0**9)
    assert left(budget, 1000) == 1000


def test_calls() -> None:
    """So many calls a minute, and then none until the first are a minute old."""
    clock = _Clock()
    budget = Budget(2, None, clock)
    assert left(budget) == 2
    clock.now += 59.9
    assert left(budget) == 0
    clock.now += 0.2
    assert left(budget) == 2


def test_nothing_allowed() -> None:
    """A limit of zero allows no call at all."""
    assert not Budget(0, None, _Clock()).take()
    assert not Budget(None, 0, _Clock()).take()
    assert not Budget(None, None, _Clock(), 0.0).take()


def test_seconds() -> None:
    """Once the time is spent no call begins until it was a minute ago."""
    clock = _Clock()
    budget = Budget(None, None, clock, 3.0)
    budget.spend(taken(budget), 10**6, 2.5)
    budget.spend(taken(budget), 0, 0.5)
    assert left(budget) == 0
    clock.now += 60.1
    assert left(budget) > 0


def test_tokens() -> None:
    """Once the tokens are spent no call begins until they are a minute old."""
    clock = _Clock()
    budget = Budget(None, 100, clock)
    budget.spend(taken(budget), 99)
    budget.spend(taken(budget), 50)
    assert left(budget) == 0
    clock.now += 60.1
    assert left(budget) > 0


def test_what_is_under_way_counts() -> None:
    """Calls that have not ended count with what their requests take, so that few can begin."""
    assert left(Budget(None, 1, _Clock())) == 1
    assert left(Budget(None, None, _Clock(), 0.05)) == 1
    budget = Budget(None, 100, _Clock())
    tickets = [budget.take(40) for _ in range(5)]
    assert [ticket is not None for ticket in tickets] == [True, True, True, False, False]


def test_what_is_under_way_counts_as_much_as_usual() -> None:
    """Once it is known what calls cost, those under way count with that, and no limit is far off."""
    clock = _Clock()
    for budget in (Budget(None, 10_000, clock), Budget(None, None, clock, 40.0)):
        for _ in range(30):
            clock.now += 61
            budget.spend(taken(budget), 1000, 4.0)
        clock.now += 61
        assert left(budget) in (10, 11)


def test_an_estimate_is_corrected() -> None:
    """A call that has ended counts with what it did cost, however much was expected."""
    budget = Budget(None, 100, _Clock())
    budget.spend(taken(budget, 99), 5)
    taken(budget, 90)
    taken(budget, 90)
    assert budget.take(90) is None


def test_given_back() -> None:
    """A call that is given back can be taken again, also when it was taken some seconds ago."""
    clock = _Clock()
    budget = Budget(2, 100, clock)
    taken(budget)
    ticket = taken(budget, 99)
    clock.now += 5
    budget.give_back(ticket)
    assert left(budget) == 1


def test_each_call_gives_back_its_own() -> None:
    """Giving back a call that is a minute old, and forgotten, frees no later one."""
    clock = _Clock()
    budget = Budget(1, 100, clock)
    old = taken(budget)
    clock.now += 61
    taken(budget)
    budget.give_back(old)
    assert left(budget) == 0


@given(st.lists(st.floats(0, 30), max_size=80), st.integers(1, 5))
def test_any_minute(pauses: list[float], limit: int) -> None:
    """In no minute are there more calls than allowed, give or take the second that it counts in."""
    clock = _Clock()
    budget = Budget(limit, None, clock)
    times: list[float] = []
    for pause in pauses:
        clock.now += pause
        if budget.take():
            times.append(clock.now)
    for began in times:
        assert sum(began <= at < began + 59.0 for at in times) <= limit


@pytest.mark.parametrize("limit", [50, 1000])
def test_threads(limit: int) -> None:
    """Any number of threads together take exactly what is allowed."""
    budget = Budget(limit, 10**9, _Clock())
    tickets: list[Ticket] = []

    def work() -> None:
        for _ in range(100):
            ticket = budget.take()
            if ticket is not None:
                tickets.append(ticket)
                budget.spend(ticket, 1)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(tickets) == min(limit, 800)
