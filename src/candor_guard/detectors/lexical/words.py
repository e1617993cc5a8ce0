"""Words of a sentence in one spelling, and the cheap questions asked of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from candor_guard.detectors.prose import plain_quotes


def spread(words: str) -> tuple[str, ...]:
    """Return the words of a text: a readable way to write long word lists."""
    return tuple(words.split())


_TOKEN = re.compile(r"\d[\d,.:/]*%?|[^\W\d_]+(?:'[^\W\d_]+)?")
# Tokens are letters or start with a digit, so one comparison tells them apart.
_PAST_DIGITS = ":"
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:[/:]\d+)?")

# Contractions are opened up so that one phrase covers "you're", "you’re" and "you are".
_OPENED = (
    ("can't", "can not"),
    ("cannot", "can not"),
    ("won't", "will not"),
    ("n't", " not"),
    ("let's", "let us"),
)
_CLIPPED = re.compile(r"(?<=[^\W_])'(re|m|ve|ll|d|s)(?![^\W_])")
_CLIPPED_WORDS = {"re": "are", "m": "am", "ve": "have", "ll": "will", "d": "would", "s": "is"}
# Soft hyphens, joiners and marks of direction, which stand inside words and are not seen.
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SLANG = {
    "dont": ("do", "not"),
    "doesnt": ("does", "not"),
    "didnt": ("did", "not"),
    "isnt": ("is", "not"),
    "cant": ("can", "not"),
    "wont": ("will", "not"),
    "im": ("i", "am"),
    "ive": ("i", "have"),
    "youre": ("you", "are"),
    "thats": ("that", "is"),
    "theres": ("there", "is"),
    "u": ("you",),
    "ur": ("you", "are"),
    "apologise": ("apologize",),
    "apologising": ("apologizing",),
    "yep": ("yes",),
    "yeah": ("yes",),
    "yup": ("yes",),
    "nope": ("no",),
}

STOP_WORDS = frozenset(
    spread("""a about after again all also am an and any are as at be because been before being but by can
    could did do does doing done for from get gets go going got had has have he her here hers him
    his how i if in into is it its just like made make many may me more most much my no not now of
    off on one only or other our out over own really right said same say says see she should so
    some still such than that the their them then there these they thing things this those through
    to too under up us use used very want was way we well went were what when where which while who
    why will with would yes you your yours thank thanks please sorry know think sure lot even ever
    than though""")
)
_FUNCTION_WORDS = STOP_WORDS - {"thing", "things", "lot", "sorry", "thanks", "same"}
_ENGLISH_TOO = frozenset(spread("die in me so do on an a i no as per ma o mi es"))
_LANGUAGES = tuple(
    frozenset(line.split()) - _ENGLISH_TOO
    for line in """der das und ist nicht ich sie wir ein eine mit auf für dem den von zu auch dass aber wenn wie
    que el la los las una por para con está pero muy como más del lo se tu de
    le les des est une pas vous je nous dans pour sur avec qui mais ce cette sont du et la de
    il che di non è sono della una questo anche la
    de het een niet van ik je dat zijn voor met maar ook wel
    os um uma não em você mas isso são também de
    och att det som inte jag är på av
    nie jest się że jak ale
    czy bir ve bu için değil""".splitlines()
)
_FOREIGN_WORDS = frozenset().union(*_LANGUAGES)

NEGATORS = frozenset(
    spread("""not no never none nothing neither nor without hardly nowhere myth false incorrect wrong untrue
    misconception cannot nobody unsafe unlikely inaccurate""")
)
_SMALL = spread(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
_TENS = {
    word: 10 * value
    for value, word in enumerate(spread("twenty thirty forty fifty sixty seventy eighty ninety"), 2)
}
_SHORT = 8
_LAST_LATIN = "\u024f"
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL) if value != 1}


def tokens_of(sentence: str) -> list[str]:
    """Return the lower-case words and numbers, contractions opened up, slang spelled out."""
    text = sentence.lower()
    if not text.isascii():
        text = plain_quotes(_UNSEEN.sub("", text))
    if "'" in text or "cannot" in text:
        for short, full in _OPENED:
            text = text.replace(short, full)
        text = _CLIPPED.sub(_full, text)
    words = _TOKEN.findall(text)
    if _SLANG.keys().isdisjoint(words):
        return words
    return [part for word in words for part in _SLANG.get(word, (word,))]


def stems_of(tokens: Iterable[str]) -> set[str]:
    """Return the content words, cut to six letters so that inflections meet."""
    return {t[:6] for t in tokens if t not in STOP_WORDS and t > _PAST_DIGITS and len(t) > 2}


def numbers_of(tokens: Sequence[str]) -> set[str]:
    """Return the numbers, digits or number words up to ninety-nine, in one spelling."""
    found = {_plain(token) for token in tokens if token < _PAST_DIGITS}
    if not _TENS.keys().isdisjoint(tokens):
        tokens = _joined(tokens, found)
    found.update(_NUMBER_WORDS[word] for word in _NUMBER_WORDS.keys() & set(tokens))
    return found


def _joined(tokens: Sequence[str], found: set[str]) -> list[str]:
    """Add the numbers of words such as "twenty five", and return the other words."""
    left = []
    units = dict(zip(_SMALL[1:10], range(1, 10), strict=True))
    place = 0
    while place < len(tokens):
        tens = _TENS.get(tokens[place])
        unit = units.get(tokens[place + 1], 0) if tens and place + 1 < len(tokens) else 0
        if tens:
            found.add(str(tens + unit))
        else:
            left.append(tokens[place])
        place += 1 + bool(unit)
    return left


def _plain(token: str) -> str:
    """The number that a token starts with: "1,000.0%" and "1000" are the same, "3:45" and "3:15" not."""
    match = _NUMBER.match(token)
    number = match.group().replace(",", "") if match else token
    return number.rstrip("0").rstrip(".") if "." in number and number[-1] == "0" else number


def _full(match: re.Match[str]) -> str:
    return f" {_CLIPPED_WORDS[match.group(1)]}"


def _is_latin(word: str) -> bool:
    return word.isascii() or max(word) <= _LAST_LATIN


def _is_foreign(words: set[str]) -> bool:
    """Whether few words are of one other language: two of them, or three beside an English one."""
    english = not words.isdisjoint(_FUNCTION_WORDS - _ENGLISH_TOO)
    return max(len(language & words) for language in _LANGUAGES) >= (3 if english else 2)


def is_english(tokens: Sequence[str]) -> bool:
    """Whether the words may be English; short or word-poor texts get the benefit of the doubt."""
    words = [t for t in tokens if t > _PAST_DIGITS]
    if not words:
        return True
    if 2 * sum(map(_is_latin, words)) < len(words):
        return False
    foreign = sum(map(_FOREIGN_WORDS.__contains__, words))
    if foreign < 2 and len(words) < 40:
        return True
    english = sum(map(_FUNCTION_WORDS.__contains__, words))
    if len(words) < _SHORT and not _is_foreign(set(words)):
        return True  # names: "Las Vegas, not Los Angeles."
    if foreign > english and foreign >= 2:
        return False
    return len(words) < 40 or english >= 0.03 * len(words)
