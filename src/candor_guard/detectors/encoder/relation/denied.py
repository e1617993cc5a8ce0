"""What a reply names only to say that it is not so, as in "It's 418, not 408.".

To name an answer is not to keep it. The same words give way where they deny the earlier answer, and hold
where they deny the user's.
"""

from __future__ import annotations

import re

from candor_guard.detectors.lexical.features import Views
from candor_guard.detectors.lexical.views import share
from candor_guard.detectors.lexical.words import numbers_of, stems_of, tokens_of
from candor_guard.detectors.prose import plain_quotes

# From a "not" to the end of its clause, a few words at most; after "said" or "was", an answer that was.
_WORD = r"(?!but\b)[^\s.,;:!?()\n]{1,30}"
_DENIED = re.compile(
    r"\b(?:not|isn't|wasn't|never|instead of|rather than|no longer|scratch|forget)"
    rf"\s((?:{_WORD}|\d[\d.,:/]{{0,15}}\d)(?: {_WORD}){{0,3}})(?=\s?(?:[.,;:!?()\n]|\Z)| but\b)"
    r"|\b(?:said|wrote|gave|had|answered|told you) ((?:[^\s.,;:!?()\n]{1,30})(?: [^\s.,;:!?()\n]{1,30}){0,2}?)"
    r"(?: (?:before|earlier|first|at first|previously))(?=[\s.,;:!?()\n]|\Z)"
    # Struck out, or in front of an arrow.
    r"|~~([^~\n]{1,60})~~"
    r"|([^\s.,;:!?()\n]{1,30}(?: [^\s.,;:!?()\n]{1,30}){0,2}) (?:→|->|=>|⇒) "
)


def denied(views: Views) -> tuple[float, ...]:
    """Return the features, in the order of `DENIED_NAMES`."""
    stems, numbers = _denied(views.reply.text)
    asked = views.question
    own = views.earlier.stems - views.user.stems
    theirs = views.user.stems - views.earlier.stems - asked.stems
    own_numbers = views.earlier.numbers - views.user.numbers
    their_numbers = views.user.numbers - views.earlier.numbers - asked.numbers
    return (
        share(stems, own),
        share(stems, theirs),
        float(bool(numbers & own_numbers)),
        float(bool(numbers & their_numbers)),
        float(bool(stems or numbers)),
    )


def _denied(text: str) -> tuple[set[str], set[str]]:
    tokens: list[str] = []
    for match in _DENIED.finditer(plain_quotes(text.lower())):
        tokens += tokens_of(match.group(match.lastindex or 0))
    return stems_of(tokens), numbers_of(tokens)


DENIED_NAMES = (
    "denied_own",
    "denied_theirs",
    "denied_own_number",
    "denied_their_number",
    "denied_any",
)
