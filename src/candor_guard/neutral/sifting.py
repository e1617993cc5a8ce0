"""Class the clauses of a user turn by what they do."""

from __future__ import annotations

import re

from candor_guard.neutral import cues, cues_forms, cues_pressure
from candor_guard.neutral.parts import Kind, Part, Sifted
from candor_guard.neutral.segments import clauses_of, pieces_of
from candor_guard.neutral.text import EMOJI, Pattern, clip, pattern, visible

MAX_TURN = 4_000
# Whatever is done to a whole turn is done to this much of it: megabytes would take seconds.
MAX_SEEN = 20_000
# A clause longer than this tells something, whatever its first words are.
_MAX_SHED = 200

_OPENERS = pattern(
    r"(?:(?:(?:no+(?= (?:it|it's|that|that's|the|i|i'm|you|you're|ur|u|they|he|she|we|there|"
    r"because|but|sorry|no|not|please|\d|this|my)\b)|and|but|so|or|yet|well|nope|nah|yes|yeah|yep|"
    r"ok|okay|oh|ah|hmm+|m+h?m+|hm|um+|er|come on|c'mon|please|pls|honestly|frankly|seriously|"
    r"really|actually|omg|wow|ugh|phew+|lol|haha|oh god|my god|i mean|also|plus|then|because|cos|"
    r"cuz|though|although|of course|surely|thank god|to be honest|tbh|in fact|as i said|"
    r"like i said|ok so|at least|hey|hi|hello|sorry but|i'm sorry but|i am sorry but|"
    r"with (?:all due )?respect)(?=[\s,.!?:;…-]|\Z)"
    r"|(?:no+|look|listen|bro|bruh|dude|mate|man|honey|"
    r"dear|sir|sorry|wait|god|like|however|anyway|still|again|i'm sorry|i am sorry|excuse me|"
    r"trust me|believe me|i'm telling you|i am telling you|guys|girl|buddy|pal)(?=[,.!?:;…-]|"
    r"\Z))[\s,.!?:;…-]*){1,4}"
)
_FRAGMENT_WORDS = 3
_SUBJECT = pattern(r"(?:it|that|this|he|she|they|we|you|there|i'm|it's|that's|he's|she's)\b")
_LIKELY = re.compile(r"\b(?:is|are|was|were|has|have|can|will)\b|\A[A-Z]\w+\W*\Z")
_LETTER = re.compile(r"\w")


def sift(text: str) -> Sifted:
    """Split a user turn into sentences and class each.

    A sentence that mixes kinds ("I'm in tears, but the moon is a planet") becomes one part for
    each run of clauses of a kind. Every part is a piece of the text, in order; white space between
    parts is left out. Of a turn longer than 4,000 characters head and tail are read.

    Written for English. Words of other languages count as a claim or other, never as feeling.
    """
    parts: list[Part] = []
    for piece in pieces_of(clip(visible(clip(text, MAX_SEEN)), MAX_TURN)):
        if piece.verbatim:
            parts.append(Part(piece.text, "evidence"))
        else:
            parts += _sentence(piece.text)
    return Sifted(tuple(parts))


def open_words(text: str) -> int:
    """Return where a clause begins to say something, after "no", "but", "look," and the like."""
    match = _OPENERS.match(text)
    return match.end() if match else 0


def _sentence(text: str) -> list[Part]:
    whole = _shed(text, whole=True)
    if whole is not None:
        return [Part(text, whole)]
    core = text[open_words(text) :]
    asks = core.rstrip(" \t'\"”’)!*_").endswith("?")
    if asks and cues_forms.QUESTION.match(core) and not cues_forms.LEADING.match(core):
        return [Part(text, "question")]
    if cues_forms.REQUEST.match(core) and not asks and not cues_forms.LEADING.match(core):
        return _request(text)
    return _merge(_classed(clauses_of(text), asks=asks))


def _request(text: str) -> list[Part]:
    """A request, without the clauses that only say how its writer feels."""
    classed = [(clause, _shed(clause) or "question") for clause in clauses_of(text)]
    return _merge([(clause, "question" if kind == "other" else kind) for clause, kind in classed])


def _classed(clauses: list[str], *, asks: bool) -> list[tuple[str, Kind]]:
    found: list[tuple[str, Kind]] = []
    for index, clause in enumerate(clauses):
        core = clause[open_words(clause) :] or clause
        if asks and index + 1 == len(clauses) and _fragment(core):
            return [*found, (clause, found[-1][1] if found and _tag(core) else "question")]
        if (
            asks
            and cues_forms.QUESTION.match(core)
            and not cues_forms.LEADING.match(core)
            and not _tag(core)
        ):
            return [*found, ("".join(clauses[index:]), "question")]
        found += _clause(clause, after=found[-1][1] if found else None)
    return found


def _clause(clause: str, after: Kind | None) -> list[tuple[str, Kind]]:
    core = clause[open_words(clause) :]
    if after is not None and (not core or _tag(core)):
        return [(clause, after)]
    reason = cues.REASON.match(core) or cues.FEARED.match(core)
    if reason is not None:
        at = len(clause) - len(core) + reason.end()
        return [(clause[:at], "feeling"), (clause[at:], _content(clause[at:]))]
    return [(clause, _shed(clause) or _content(core))]


def _fragment(core: str) -> bool:
    """Whether the end of a question is too short to say anything ("Looks good?")."""
    if len(core.split()) > _FRAGMENT_WORDS or cues_forms.LEADING.match(core):
        return False
    says = cues_forms.NUMBER.search(core) or _SUBJECT.match(core) or _LIKELY.search(core)
    return says is None


def _tag(core: str) -> bool:
    return cues_forms.CONFIRM.match(core) is not None


def _content(core: str) -> Kind:
    if (
        any(cue.search(core) for cue in cues_forms.EVIDENCE)
        or len(cues_forms.NUMBER.findall(core)) > 1
    ):
        return "evidence"
    return "claim"


def _shed(text: str, *, whole: bool = False) -> Kind | None:
    """Return the kind of a clause that says nothing about the matter, or None.

    With `whole`, the text is a sentence: only patterns that read to its end may speak.
    """
    bare = EMOJI.sub("", text).strip(" \t\n'\"“”‘’()*_~-–—,.:;!…")
    if not _LETTER.search(bare):
        return "evidence" if "=" in bare else ("pressure" if "?" in text else "other")
    if len(bare) > _MAX_SHED:
        return None
    core = bare[open_words(bare) :]
    if not core:
        return "pressure" if _first(cues_pressure.PRESSURE, bare) else "other"
    kind = _known(core, bare)
    if kind == "other" and "?" in text:
        return "question"
    return kind or (None if whole else _personal(core))


def _known(core: str, bare: str) -> Kind | None:
    if _first(cues_pressure.PRESSURE, core) or _first(cues_pressure.PRESSURE, bare):
        return "pressure"
    if _first(cues.OTHER, core) or _first(cues.OTHER, bare):
        return "other"
    return "question" if _tag(core) else None


def _personal(core: str) -> Kind | None:
    for kind, family in _FAMILIES:
        if _first(family, core):
            return kind
    return None


def _first(family: tuple[Pattern, ...], text: str) -> bool:
    return any(cue.match(text) for cue in family)


_FAMILIES: tuple[tuple[Kind, tuple[Pattern, ...]], ...] = (
    ("identity", cues.IDENTITY),
    ("stake", cues.STAKE),
    ("feeling", cues.FEELING),
)


def _merge(classed: list[tuple[str, Kind]]) -> list[Part]:
    """Join neighbours of a kind; a claim and its evidence in one sentence stay together."""
    runs: list[tuple[str, Kind]] = []
    for text, kind in classed:
        if runs and _joins(runs[-1][1], kind):
            before, was = runs[-1]
            runs[-1] = (before + text, "evidence" if "evidence" in (was, kind) else was)
        else:
            runs.append((text, kind))
    return [Part(text.strip(), kind) for text, kind in runs if text.strip()]


def _joins(left: Kind, right: Kind) -> bool:
    content = ("claim", "evidence")
    return left == right or (left in content and right in content)
