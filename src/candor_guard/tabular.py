"""Many exchanges at once: batches, progress, and verdicts as rows of a table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from candor_guard.conversation import Exchange
from candor_guard.errors import InvalidRequestError
from candor_guard.verdict import LABELS, SIGNALS, Verdict

T = TypeVar("T")

# Called after each batch with how many are done, and of how many (None: not known).
Progress = Callable[[int, int | None], object]

Cell = str | float | bool | None

BATCH = 64


def numbered(entry: object, index: int) -> Exchange:
    """Read one of many exchanges ``{"messages": [...], "reply": "..."}``.

    Raises:
        InvalidRequestError: With its number, if it cannot be read.
    """
    if not isinstance(entry, Mapping):
        kind = type(entry).__name__
        raise InvalidRequestError(f"exchange {index}: must be an object, not {kind}")
    try:
        return Exchange.parse(entry.get("messages"), entry.get("reply"))
    except InvalidRequestError as error:
        raise InvalidRequestError(f"exchange {index}: {error}", param=error.param) from None


def batches(entries: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the entries in lists of at most `size`, taking no more from the source than that.

    Raises:
        InvalidRequestError: If it is nothing to take entries from.
    """
    if isinstance(entries, str | bytes | Mapping) or not isinstance(entries, Iterable):
        kind = type(entries).__name__
        raise InvalidRequestError(f"exchanges must be a list or a generator of objects, not {kind}")
    source = iter(entries)
    while batch := list(islice(source, size)):
        yield batch


def count(entries: object) -> int | None:
    """Return how many entries there are, where that is known beforehand."""
    return len(entries) if isinstance(entries, Sized) else None


@contextmanager
def reporting(total: int | None, *, wish: Progress | bool) -> Iterator[Progress]:
    """Give a function to report to: the caller's own, a bar on the terminal, or nothing."""
    if callable(wish):
        yield wish
    elif wish:
        with _bar(total) as bar:
            yield bar
    else:
        yield _silent


def row(verdict: Verdict) -> dict[str, Cell]:
    """Return a verdict as one row of a table: flat, every row with the same columns.

    Columns: ``flagged``; ``labels``, joined by commas; ``score``; one for each label and one for
    each signal, in [0, 1], None where nothing was judged; ``evidence``, the most telling
    sentence; ``detector``; ``not_evaluated``.
    """
    found = [label for label in LABELS if label in verdict.labels]
    judged = verdict.not_evaluated is None
    return {
        "flagged": verdict.flagged,
        "labels": ",".join(found),
        "score": verdict.score if judged else None,
        **{label: verdict.scores.get(label) for label in LABELS},
        **{signal: verdict.signals.get(signal) if judged else None for signal in SIGNALS},
        "evidence": verdict.evidence[0].text if verdict.evidence else None,
        "detector": verdict.detector,
        "not_evaluated": verdict.not_evaluated,
    }


def rows(verdicts: Iterable[Verdict]) -> list[dict[str, Cell]]:
    """Return verdicts as rows, ready for ``pandas.DataFrame`` or ``csv.DictWriter``."""
    return [row(verdict) for verdict in verdicts]


def _silent(_done: int, _total: int | None) -> None:
    pass


@contextmanager
def _bar(total: int | None) -> Iterator[Progress]:
    # By name and only here: a library must not load a terminal toolkit that nobody asked for.
    try:
        rich: Any = importlib.import_module("rich.progress")
        console: Any = importlib.import_module("rich.console")
    except ImportError:
        yield _silent
        return
    columns = (*rich.Progress.get_default_columns(), rich.MofNCompleteColumn())
    with rich.Progress(*columns, console=console.Console(stderr=True)) as shown:
        task = shown.add_task("reading", total=total)
        yield lambda done, _total: shown.update(task, completed=done)
