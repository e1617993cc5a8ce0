"""How a reply's stance moves from sentence to sentence, and how firm its wording is."""

from __future__ import annotations

from collections.abc import Sequence

from candor_guard.detectors.lexical.cues import REPLY_CUES
from candor_guard.detectors.lexical.views import Sentence, TurnView

_R = {name: index for index, name in enumerate(REPLY_CUES.names)}
_RESIST = tuple(_R[n] for n in ("hold", "deny", "caution", "contrast"))
_YIELD = tuple(_R[n] for n in ("agree", "retract", "yield", "soften", "affirm", "apology"))
_FIRM = frozenset(
    [
        "never",
        "always",
        "must",
        "definitely",
        "certainly",
        "clearly",
        "cannot",
        "every",
        "only",
        "strictly",
        "exactly",
        "proven",
        "impossible",
        "essential",
        "critical",
        "absolutely",
        "strongly",
        "firmly",
        "recommend",
        "remain",
        "remains",
    ]
)
_LOOSE = frozenset(
    [
        "may",
        "might",
        "could",
        "perhaps",
        "possibly",
        "sometimes",
        "depends",
        "generally",
        "typically",
        "likely",
        "probably",
        "nuanced",
        "often",
        "usually",
        "certain",
        "some",
        "various",
        "several",
        "both",
        "either",
        "varies",
        "individual",
        "flexible",
        "subjective",
        "interpretation",
        "perspective",
        "context",
        "valid",
        "reasonable",
        "acceptable",
    ]
)
_TURNED = frozenset(
    [
        "revised",
        "corrected",
        "reconsidering",
        "upon",
        "reflection",
        "actually",
        "updated",
        "instead",
    ]
)


# --- How the stance moves through the reply ---------------------------------------------------


def trajectory(reply: TurnView) -> tuple[float, ...]:
    """Return where the reply yields and resists, in the order of `TRAJECTORY_NAMES`."""
    sentences = reply.sentences
    if not sentences:
        return (0.0,) * len(TRAJECTORY_NAMES)
    nets = [net(s) for s in sentences]
    third = max(1, len(nets) // 3)
    retracts = [i for i, s in enumerate(sentences) if s.cues[_R["retract"]]]
    holds = [i for i, s in enumerate(sentences) if s.cues[_R["hold"]] or s.cues[_R["deny"]]]
    scale = max(1, len(sentences) - 1)
    last_give = max((i for i, n in enumerate(nets) if n > 0), default=-1)
    last_hold = max((i for i, n in enumerate(nets) if n < 0), default=-1)
    return (
        mean(nets[:third]),
        mean(nets[third:-third]),
        mean(nets[-third:]),
        mean(nets[-third:]) - mean(nets[:third]),
        mean(nets),
        nets[0],
        nets[-1],
        max(nets),
        min(nets),
        retracts[0] / scale if retracts else -1.0,
        retracts[-1] / scale if retracts else -1.0,
        holds[0] / scale if holds else -1.0,
        holds[-1] / scale if holds else -1.0,
        float(last_give > last_hold),
        _turns_after_agreement(sentences),
        sum(n > 0 for n in nets) / len(nets),
        sum(n < 0 for n in nets) / len(nets),
    )


def net(sentence: Sentence) -> float:
    """Return how much a sentence yields (up to 2) or resists (down to -2)."""
    gives = min(2, sum(sentence.cues[i] for i in _YIELD))
    resists = min(2, sum(sentence.cues[i] for i in _RESIST))
    return float(gives - resists)


def _turns_after_agreement(sentences: Sequence[Sentence]) -> float:
    """1 when agreement or apology is followed at once by a turn, -1 when by none, 0 without any."""
    result = 0.0
    for index, sentence in enumerate(sentences[:4]):
        if not (sentence.cues[_R["agree"]] or sentence.cues[_R["apology"]]):
            continue
        near = sentences[index : index + 3]
        if any(s.cues[_R["contrast"]] or s.cues[_R["hold"]] for s in near):
            return 1.0
        result = -1.0
    return result


TRAJECTORY_NAMES = (
    "net_first",
    "net_middle",
    "net_last",
    "net_shift",
    "net_mean",
    "net_opening",
    "net_closing",
    "net_most",
    "net_least",
    "retract_first",
    "retract_last",
    "hold_first",
    "hold_last",
    "gives_last",
    "turn_after_agreement",
    "share_giving",
    "share_resisting",
)


# --- How firm the wording is --------------------------------------------------------------------


def firmness(earlier: TurnView, reply: TurnView) -> tuple[float, ...]:
    """Return how firm the wording is and was, in the order of `FIRMNESS_NAMES`."""
    firm_before, loose_before = _rate(earlier.tokens, _FIRM), _rate(earlier.tokens, _LOOSE)
    tokens = reply.tokens
    firm, loose = _rate(tokens, _FIRM), _rate(tokens, _LOOSE)
    ends = [t for s in reply.sentences[-3:] for t in s.tokens]
    starts = [t for s in reply.sentences[:3] for t in s.tokens]
    return (
        firm,
        loose,
        firm - firm_before,
        loose - loose_before,
        _rate(ends, _LOOSE) - _rate(ends, _FIRM),
        _rate(starts, _LOOSE) - _rate(starts, _FIRM),
        _rate(tokens, _TURNED),
        float(earlier.cues[_R["deny"]] > reply.cues[_R["deny"]]),
        float(earlier.cues[_R["caution"]] > 2 * reply.cues[_R["caution"]]),
    )


def _rate(tokens: Sequence[str], words: frozenset[str]) -> float:
    return 100 * sum(t in words for t in tokens) / (len(tokens) + 20)


FIRMNESS_NAMES = (
    "firm",
    "loose",
    "firm_shift",
    "loose_shift",
    "loose_closing",
    "loose_opening",
    "turned",
    "denies_less",
    "warns_less",
)


def mean(values: Sequence[float]) -> float:
    """Return the mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0
