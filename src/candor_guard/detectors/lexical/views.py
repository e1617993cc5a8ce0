"""A turn as the features see it: bounded text, sentences, words, numbers, names, cues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from candor_guard.conversation import Conversation, Exchange, Message
from candor_guard.detectors.idioms import plainly
from candor_guard.detectors.lexical.phrases import PhraseTree
from candor_guard.detectors.lexical.sentences import split_sentences
from candor_guard.detectors.lexical.words import NEGATORS, numbers_of, spread, stems_of, tokens_of
from candor_guard.detectors.prose import blank_code, plain_quotes, without_stamps
from candor_guard.smalltalk import is_small_talk
from candor_guard.verdict import Span

# Characters read from the start and the end of a turn: a turn's stance is at its edges, and the
# cost has to stay flat however long it is.
REPLY_WINDOW = (4_000, 3_000)
EARLIER_WINDOW = (2_500, 1_500)
USER_WINDOW = (2_000, 1_000)
QUESTION_WINDOW = (1_500, 500)

_LETTER = re.compile(r"(?<![\w'’.])([A-H])(?=[).:,;*!?\s]|\Z)")
# Marks of layout, whose numbers say nothing: footnotes, and items where there is a first and a second.
_NOTE = re.compile(r"\[\d{1,2}\](?!\()")
_ITEM = re.compile(r"\A[*_]{0,2}\d{1,2}[.)](?=[\s*_])")
_ITEM_NUMBER = re.compile(r"^[ \t*_]{0,4}(\d{1,2})[.)](?=[\s*_])", re.MULTILINE)
_OFFER = re.compile(
    r"\W{0,6}(?:(?:please )?(?:let me know|just ask|ask|tell me) if you (?:have|need|want|would like) "
    r"(?:any|more|other|further|anything|help|me)\b|is there (?:anything|something) else\b|(?:please )?feel free to "
    r"(?:ask|reach|let)\b|if you have any (?:other |more |further |additional )?questions)",
    re.IGNORECASE,
)
# "It isn't this, it's that", "not this but that" and "that, not this": a denial ends where its clause does.
_DENIALS = ("not", "n't", "no longer", "instead of", "rather than")
_THEN = re.compile(
    r"""([^,;:\n]{0,80}(?:\bnot|n['’]t|\bno longer)\s[^,;:\n]{1,60}?)(?:\s*[,;:]\s*|\s+[—–-]+\s+|\s+(?=but\b))"""
    r"""((?:but|rather|it['’]?s|it is|that['’]?s|they['’]?re|they are|he['’]?s|she['’]?s)\s.{1,400})""",
    re.IGNORECASE | re.DOTALL,
)
_FIRST = re.compile(
    r"([^,;:\n]{1,100}?)(?:\s*[,;]\s*|\s+[—–-]+\s+|\s+(?=(?:instead|rather)\b))"
    r"((?:and )?(?:not|rather than|instead of)\s[^,;:\n]{1,80})\Z",
    re.IGNORECASE,
)
_LETTER_LEAD = ("is ", "option ", "answer ", "choice ", "choose ", "to ", "with ")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w-]{2,30}")
# Answers among which the first position is looked for: the cost stays flat however long a talk is.
_FIRST_ANSWERS = 4
_YES = frozenset(
    spread("yes correct true right absolutely exactly definitely indeed certainly safe")
)
_NO = frozenset(spread("no not false incorrect wrong never neither unfortunately"))


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or a clause of one, with what is compared across turns; the span is the sentence's."""

    span: Span
    tokens: list[str]
    stems: set[str]
    numbers: set[str]
    negated: bool
    cues: list[int]


@dataclass(frozen=True, slots=True)
class TurnView:
    """One turn, read once.

    Attributes:
        sentences: Of the bounded text, in order.
        stems: Content words of all sentences, and of code beside them.
        numbers: Numbers of the same.
        names: Capitalised words inside sentences, cut like stems.
        letters: Option letters (A to H) in order of appearance.
        cues: Cue counts by family, summed over the sentences.
        words: Number of words.
        text: The bounded text.
    """

    sentences: tuple[Sentence, ...]
    stems: set[str]
    numbers: set[str]
    names: set[str]
    letters: list[str]
    cues: list[int]
    words: int
    text: str

    @property
    def polarity(self) -> int:
        """1 when the turn opens with a yes, -1 with a no, else 0."""
        opening = self.sentences[0].tokens[:2] if self.sentences else []
        for token in opening:
            if token in _NO:
                return -1
            if token in _YES:
                return 1
        return 0

    @property
    def tokens(self) -> list[str]:
        """All words in order."""
        return [token for sentence in self.sentences for token in sentence.tokens]


def view(text: str, cues: PhraseTree, window: tuple[int, int]) -> TurnView:
    """Read a turn's text within the window (characters from its start, from its end)."""
    said, code = blank_code(text)
    pieces = _bounded(said, window)
    listed = {"1", "2"} <= {n for _, piece in pieces for n in _ITEM_NUMBER.findall(piece)}
    sentences = tuple(
        _read(clause, span, cues, listed=listed)
        for base, piece in pieces
        for span in split_sentences(piece, base=base)
        for clause in _clauses(span.text)
    )
    named = [token for piece in code for token in tokens_of(piece[: window[0]])]
    sums = [sum(column) for column in zip(*(s.cues for s in sentences), strict=True)]
    kept = text if len(pieces) == 1 else "\n".join(piece for _, piece in pieces)
    return TurnView(
        sentences=sentences,
        stems=union(s.stems for s in sentences) | stems_of(named),
        numbers=union(s.numbers for s in sentences) | numbers_of(named),
        names={name.lower()[:6] for name in _NAME.findall(kept)},
        letters=_letters(kept),
        cues=sums or [0] * len(cues.names),
        words=sum(len(s.tokens) for s in sentences),
        text=kept,
    )


def question_of(conversation: Conversation) -> str:
    """Return what the earlier answer answered: the user turns before the last one, shortened.

    The options of a long question stand at its end, so that a question is cut in its middle.
    """
    before = conversation.before
    asked = _after_answer(before)
    turns = before[:asked] if asked else before
    earlier = [m.text for m in turns if m.role == "user" and not is_small_talk(m.text)]
    picked = earlier[-1:]
    if len(earlier) > 1 and _related(earlier[0], f"{earlier[-1]}\n{conversation.earlier_reply}"):
        picked = [earlier[0], *picked]
    return "\n".join(map(_shortened, picked))


def first_answer(conversation: Conversation) -> int | None:
    """Index of the first answer about what the latest one is about; None where that is the latest.

    Who gave way two turns ago agrees with himself now. What was said about another topic before is
    no position in the dispute.
    """
    messages = conversation.messages
    places = [i for i, m in enumerate(messages) if m.role == "assistant" and m.says_something]
    latest = "" if not places else f"{messages[places[-1]].said}\n{last_user_text(conversation)}"
    return next(
        (i for i in places[:-1][:_FIRST_ANSWERS] if _related(messages[i].said, latest)), None
    )


def _related(text: str, other: str) -> bool:
    """Whether two texts share a content word or a number, as far as they are read."""
    one, two = (tokens_of(_shortened(t)) for t in (text, other))
    return not stems_of(one).isdisjoint(stems_of(two)) or not numbers_of(one).isdisjoint(
        numbers_of(two)
    )


def _shortened(text: str) -> str:
    most, end = QUESTION_WINDOW
    return text if len(text) <= most else f"{text[: most - end]}\n{text[-end:]}"


def last_user_text(exchange: Exchange | Conversation) -> str:
    """Return the text of the last user turn, even when tool turns follow it, or "".

    Several turns that nothing answered are read as one: who objects and then asks "hello?" still
    objects. Thanks in between, and the time that a chat bridge writes beside them, are left out.
    """
    conversation = exchange.conversation if isinstance(exchange, Exchange) else exchange
    messages = conversation.messages
    texts = [m.text for m in messages if m.role == "user"][-1:]
    if asked := _after_answer(messages):
        open_turns = [m.text for m in messages[asked:] if m.role == "user" and m.says_something]
        texts = open_turns or texts
    return "\n".join(map(without_stamps, texts))


def _after_answer(messages: Sequence[Message]) -> int:
    """Index behind the latest assistant turn that says something; 0 without one."""
    places = (i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "assistant")
    return next((i + 1 for i in places if messages[i].says_something), 0)


def union(sets: Iterable[set[str]]) -> set[str]:
    """Return the union of any number of sets."""
    return set().union(*sets)


def share(part: set[str], whole: set[str]) -> float:
    """Return which share of ``part`` occurs in ``whole``; 0 when there is nothing to find."""
    return len(part & whole) / len(part) if part else 0.0


def first(view_: TurnView, count: int = 2) -> Sequence[Sentence]:
    """Return the first sentences."""
    return view_.sentences[:count]


def last(view_: TurnView, count: int = 2) -> Sequence[Sentence]:
    """Return the last sentences."""
    return view_.sentences[-count:]


def _clauses(text: str) -> tuple[str, ...]:
    """A sentence in plain words, in two where it says what is not and then what is."""
    text = _NOTE.sub("", text) if "[" in text else text
    text = plainly(plain_quotes(text))
    lowered = text.lower()
    if not any(word in lowered for word in _DENIALS):
        return (text,)
    turn = _THEN.match(text) or _FIRST.match(text)
    return (text,) if turn is None else (text[: turn.end(1)], text[turn.start(2) :])


def _read(text: str, span: Span, cues: PhraseTree, *, listed: bool) -> Sentence:
    tokens = tokens_of(_ITEM.sub("", text, count=1) if listed else text)
    return Sentence(
        span=span,
        tokens=tokens,
        stems=stems_of(tokens),
        numbers=numbers_of(tokens),
        negated=not NEGATORS.isdisjoint(tokens),
        # An offer of more help speaks for nothing, whatever words it takes.
        cues=[0] * len(cues.names) if _OFFER.match(text) else cues.count(tokens),
    )


def _bounded(text: str, window: tuple[int, int]) -> list[tuple[int, str]]:
    head, tail = window
    if len(text) <= head + tail:
        return [(0, text)]
    return [(0, text[:head]), (len(text) - tail, text[-tail:])]


def _letters(text: str) -> list[str]:
    found = []
    for match in _LETTER.finditer(text):
        # A bare "A" before a space is nearly always the article.
        article = match.group() == "A" and text[match.end() : match.end() + 1].isspace()
        if not article or text[max(0, match.start() - 8) : match.start()].endswith(_LETTER_LEAD):
            found.append(match.group())
    return found
