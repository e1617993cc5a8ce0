"""Every figure of one label's rows, measured again for each draw of the bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from candor_guard.figures.ranking import Ranking, ranked_figures
from candor_guard.figures.rows import Calibration, Judged, consistent, mean, ordered, right

CALIBRATION = "calibration_error"
# From how often each row counts to the figures by name.
Measure = Callable[[Sequence[int]], dict[str, float]]


def measured(
    rows: Judged, threshold: float | None, budgets: Sequence[float], *, probabilities: bool
) -> Measure:
    """Return what measures the rows, once what no draw changes is worked out.

    Args:
        rows: Sorted by falling score.
        threshold: For accuracy and pair consistency; None leaves both out.
        budgets: False-positive rates at which recall is taken.
        probabilities: Whether the scores are probabilities, so that there is a calibration error.
    """
    ranking = Ranking.of(rows.targets, rows.scores)
    calibration = Calibration.of(rows.targets, rows.scores) if probabilities else None
    shares = {"pairs_in_order": _of_groups(rows, ordered(rows))}
    if threshold is not None:
        flags = right(rows.targets, rows.scores, threshold)
        shares["accuracy"] = flags, range(len(flags))
        shares["pair_consistency"] = _of_groups(rows, consistent(rows, threshold))

    def measure(weights: Sequence[int]) -> dict[str, float]:
        found = ranked_figures(ranking.curve(weights), budgets)
        if calibration is not None:
            found[CALIBRATION] = calibration.error(weights)
        return found | {
            name: mean(flags, [weights[place] for place in places])
            for name, (flags, places) in shares.items()
        }

    return measure


def _of_groups(rows: Judged, kept: Mapping[str, bool]) -> tuple[list[bool], Sequence[int]]:
    """The flags of groups, and for each a row that is drawn as often as its group."""
    places = {group: place for place, group in enumerate(rows.groups)}
    return list(kept.values()), [places[group] for group in kept]
