"""Find the option letter that a text states as its answer, or closes with.

Lone letters are rare, so each of them is looked at with the words right before and behind it; no
pattern runs over the whole text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from candor_guard.detectors.encoder.relation.endings import closing_of
from candor_guard.detectors.encoder.relation.options import Options
from candor_guard.detectors.encoder.relation.spelling import bare
from candor_guard.detectors.encoder.relation.standing import Standing, ruled_out, standing
from candor_guard.detectors.lexical.words import numbers_of, spread, stems_of, tokens_of

# A letter as an answer: in brackets, in bold, or alone and not the word "A".
_LETTER = (
    r"(?:\(([A-Ha-h])\)|\[([A-H])\]|([a-h])\)|\*\*\(?([A-H])\)?[.:]?\*\*|([B-H])(?![\w'’&/+-])|"
    r"(A)(?=[)\].:,;*_!?\"'$}`<]|\s*\Z|\s*\n| (?:is|it|because|since|stands|instead|rather|here|over|for|as|"
    r"remains|fits|must|would|seems|appears|after all)\b))"
)
_FILLER = (
    r"[\s:,=*_$(\[\"'“`>{\\-]{1,6}(?:(?:still|option|choice|answer|letter|indeed|the|definitely|actually|"
    r"clearly|now)[\s:*_]{1,3}){0,3}[*_$\"'“`(]{0,3}"
)
_NOUN = r"(?:answer|choice|option|result|solution|conclusion|letter|response|pick|verdict)"
_SOFTLY = (
    r"(?: (?:still|indeed|actually|therefore|then|thus|probably|likely|most likely|definitely|"
    r"clearly|in fact|simply)){0,2}"
)
_BE = (
    rf"(?:is|was|should{_SOFTLY} be|would{_SOFTLY} be|must{_SOFTLY} be|has to be|remains|stays|"
    r"(?:appears|seems) to be|(?:might|may|could) (?:actually |well )?be)"
)
_LINK = (
    rf"(?:{_NOUN}(?:(?: (?:to|for|here|above|that|which|I) ?[^.\n]{{0,30}}?)?(?:,? (?:then|therefore|in fact),?)? {_BE}|"
    rf"['’]s|[*_\"'`]{{0,3}}(?: \([a-z ]{{1,20}}\))?(?: remains)?(?: unchanged| the same)?[*_]{{0,2}}\s?(?=[:=>-]))|"
    rf"correct(?: one)? {_BE}|"
    r"(?:go|stick|stay|stand|settl|lean|revert|return|vot|opt)(?:e|es|s|ing|ed)? (?:with|by|for|on|at|towards?|to)|"
    r"(?:choose|pick|keep|select|confirm|leaves|leaving|hence|therefore|thus|so|say|meant|chosen|vote|"
    r"points? to|come back to|should have said|corresponds to|on second thought|must be|"
    r"has to be|it['’]s|it is|that['’]s|that would be|it should be|remains|stays|matches|which is|one is|"
    r"[a-z]{2,12}est is|"
    r"(?:change|changing|correct|revise|switch|switching|moved?) (?:it|that|this|my answer|over)?"
    r"(?: from [(*]{0,3}[A-H][)*]{0,3})? ?to))"
)
# What may follow a stated letter: the end of a clause, or that it is right. "So (A) is out" is no
# statement of A.
_CLOSED = (
    r"(?=[)\]*_\"'”$}`\\]{0,3}\s{0,2}(?:[.,;:!?\n—–(=<]|\Z|- |is (?:the |right|correct|still)|it is|stands|again|"
    r"because|since|as |instead|rather|here\b|over |after all|for (?:this|the)\b|then\b|and (?:not|I)))"
)
_STATED = rf"\b(?i:{_LINK}){_FILLER}{_LETTER}{_CLOSED}"
# With a bracket or a stop after "the answer is", a letter is stated whatever follows, mostly the
# option's text.
_QUOTED = (
    rf"\b(?i:(?:{_NOUN}(?:,? (?:indeed|therefore|in fact|actually|then),?)? {_BE}|{_NOUN}[*_]{{0,2}}:|"
    r"(?:go|stick|stay) with|(?:stand|stick) by|(?:answer|it|that) to|it['’]s|it is))"
    rf"{_FILLER}(?:\(([A-Ha-h])\)|([A-H])[).:](?=[\s*]))(?! (?:or|and|if|nor)\b|,? but\b)"
)
# A small letter without a bracket, only right behind "the answer is" and with nothing after it.
_SMALL = rf"\b(?i:{_NOUN}) ?(?:is|:)[\s*(]{{1,4}}(?:([a-h])(?=[).*]{{1,3}}(?:\s|\Z)|\s*\n)|(?<=: )([b-h])\Z)"
_AGREED = (
    r"\b(?i:yes|no|absolutely|definitely|certainly|sure|okay|ok|indeed|correct|right|still)"
    rf"[,:.!]? ?[–—-]? (?:(?i:still|then|option|it['’]s|it is) )?{_LETTER}{_CLOSED}"
)
_RATHER = (
    r"\b(?:not|nor)\b[^.\n]{0,30}?,? but (?:rather |actually |indeed )?(?:option |choice )?"
    r"[(*]{0,3}([A-H])[)*]{0,3}(?!\w)"
)
_ONLY = r"\bonly (?:option |choice )?[(*]{0,3}([A-H])[)*]{0,3}(?= (?!and\b|or\b)[a-z])"
_SMALLER = re.compile(_SMALL)
_LINKED = tuple(map(re.compile, (_STATED, _QUOTED)))
_AGREEING, _RATHERS, _ONLYS = ((re.compile(p), *_LINKED) for p in (_AGREED, _RATHER, _ONLY))
# The last word of such a statement before its letter tells which patterns may match; a noun links with
# a colon or the like behind it only.
_BY_WORD = {
    **dict.fromkeys(
        spread("""is was be remains stays with by for on at to toward towards choose pick keep select confirm
        leaves leaving hence therefore thus so say said meant chosen vote thought matches unchanged same it's
        that's answer's"""),
        _LINKED,
    ),
    **dict.fromkeys(
        spread("yes no absolutely definitely certainly sure okay ok indeed correct right still"),
        _AGREEING,
    ),
    "but": _RATHERS,
    "only": _ONLYS,
}
_NOUNS = frozenset(
    spread("answer choice option result solution conclusion letter response pick verdict")
)
_BETWEEN = frozenset(spread("letter the actually clearly now then rather")) | _NOUNS
_COLONS = frozenset(":=>-–—")
_PUNCTUATION = " \t\n:,=*_$()[]\"'“`>{\\-–—.!?"
_BEST = (
    r"(?:right|correct|answer|best|better|one\b|only (?:one|option|choice|answer)|strongest|closest|"
    r"(?:more |most |less un)(?:right|correct|accurate|likely|fitting|appropriate|plausible|suitable|precise))"
)
_APART = r"(?:(?! not\b|n['’]t\b)(?:[^.\n()A-H]|[A-H](?=\w))){1,60}?"
_RIGHT = re.compile(
    rf"{_LETTER}[)\]*_\"'”]{{0,3}}(?:(?:[:,]? {_APART},?)? (?:(?:is|are|remains|looks)"
    r"(?: (?:still|indeed|therefore|in fact|actually|definitely|clearly|also|now|thus|certainly|probably))?"
    rf" (?:the |a |my )?{_BEST}|is what\b|fits? (?:better|best|the)|makes (?:more|the most) sense|should be (?:selected|chosen)|holds?\b(?! (?:only|if|when|for))|"
    rf"(?:would|must|might|should|has to|seems|appears|appears to|seems to)(?: be)? (?:the |a )?{_BEST}|"
    r"it is|it stays|again\b|stands\b)|"
    r"[ :–—-]{1,3}(?:✅ ?)?(?:the )?(?:[Cc]orrect|[Rr]ight|[Bb]est)(?=[.,;!]| answer| option| choice|\Z))"
)
_LONE = re.compile(r"[A-H](?![\w'’])(?<![\w'’.][A-H])")
_LONE_SMALL = re.compile(r"\)(?<=[a-h]\))(?<![\w'’.][a-h]\))")
_BOXED_OPTION = re.compile(
    r"[\s{(]{0,3}(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer:?) )?\(?([A-Ha-h])(?:\)|[.:]\s|\s{0,2}\Z)"
)
_BARE = re.compile(
    r"(?<![\w'’.°])(?<!°\s)(?:\(([A-Ha-h])\)|([a-h])\)|([A-H])(?:\)|\.(?=\s|\Z)|:|\*\*|(?=\s?[,;!?]|\s*\Z))|"
    r"([B-H])(?= (?:is|it|or|and|fits|relies|would|could|might|may|are)\b)|(A)(?= (?:or|and) \(?[B-H]\b))"
)
_WHOLE = re.compile(r"\W{0,4}([A-Ha-h])\W{0,4}(?:(?:then|still|again|it is)\W{0,2})?")
_OPENING = re.compile(
    r"(?:^|\n)[\s(*_]{0,4}([A-H]|[a-h](?=\)))(?=[).:,]{1,2}\*{0,2}\s|\*{0,2}\s?\n)"
)
_HEADED = re.compile(r"(?:\A|\n|[.!?;] )[ \t>*•#-]{0,6}(?:(?:Option|Choice|Answer) )?[(\[]?\Z")
_HEAD_CHARS = 16
_BEHIND_HEAD = re.compile(r"[A-H](?:[)\].:*]| [-–—] | is | was )")
_CALLED_RIGHT = ("correct", "✅", "✓", "✔", "☑", " right")
_CALLED_WRONG = (
    *("incorrect", "wrong", "false", "❌", "✗", "✘", "❎"),
    *(
        f"{no} {what}"
        for no in ("not", "n't", "n’t")
        for what in ("correct", "right", "true", "the ")
    ),
)
_LEAST_JUDGED = 3
_SEGMENT = 400
# Real replies hold a few dozen lone letters; the last ones decide.
_MOST = 150
_BEFORE, _BEHIND = 90, 30
_LINK_CHARS = 50


def stated_letters(
    text: str, boxes: list[tuple[int, str]], options: Options
) -> tuple[list[str], list[str]]:
    """Letters that the text states as the answer, in order: the firm ones, and all of them."""
    whole = _WHOLE.fullmatch(text.strip())
    if whole:
        return ([whole.group(1).upper()],) * 2
    lone = [m.start() for m in _LONE.finditer(text)][-_MOST:]
    found = {(at, letter, standing(text, at, end)) for at, end, letter in _stated(text, lone)}
    found |= {(at, _boxed_letter(content), Standing.FIRM) for at, content in boxes}
    found |= {(at, letter, Standing.FIRM) for at, letter in _judged(text, lone)}
    opening = _opened_with(text)
    if opening:
        found.add((0, opening, Standing.FIRM))
    kept = [x for x in sorted(found) if x[1] in options and x[2] is not Standing.DENIED]
    return [x[1] for x in kept if x[2] is Standing.FIRM], [x[1] for x in kept]


def _stated(text: str, lone: list[int]) -> Iterator[tuple[int, int, str]]:
    """Start, end and letter of each statement."""
    for at in lone:
        start = at
        while start > max(0, at - 3) and text[start - 1] in "([*":
            start -= 1
        right = _RIGHT.match(text, start) or _RIGHT.match(text, at)
        if right:
            yield right.start(), right.end(), _letter(right)
    small = [m.start() - 1 for m in _LONE_SMALL.finditer(text)][-_MOST:]
    for at in lone + small:
        patterns = _patterns_for(text[max(0, at - _LINK_CHARS) : at])
        start = max(0, at - _BEFORE, text.rfind(". ", 0, max(0, at - 8))) if patterns else at
        for pattern in patterns:
            for m in pattern.finditer(text, start, at + _BEHIND):
                yield m.start(), m.end(), _letter(m)
    at = text.find("nswer")
    while at > 0:
        smaller = _SMALLER.match(text, at - 1)
        if smaller:
            yield smaller.start(), smaller.end(), _letter(smaller)
        at = text.find("nswer", at + 1)


def _patterns_for(head: str) -> tuple[re.Pattern[str], ...]:
    """The patterns of which the words before a letter may be the end."""
    for word in reversed(head.replace("’", "'").lower().split()[-4:]):
        plainly = word.strip(_PUNCTUATION)
        if plainly in _BY_WORD:
            return _BY_WORD[plainly]
        noun = plainly in _NOUNS or plainly.endswith("answer")
        if noun and not _COLONS.isdisjoint(word):
            return _LINKED
        if plainly and plainly not in _BETWEEN:
            break
    return ()


def _letter(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def _boxed_letter(content: str) -> str:
    plainly = bare(content)
    if len(plainly) == 1:
        return plainly.upper()
    option = _BOXED_OPTION.match(content)
    return option.group(1).upper() if option else ""


def _opened_with(text: str) -> str:
    """The letter that a text opens with as its answer.

    A text that opens with one letter answers with it; one that goes on to the next letters goes
    through the options.
    """
    if not _OPENING.match(text.lstrip()):
        return ""
    first, *others = (m.group(1).upper() for m in _OPENING.finditer(text))
    walks = others and first not in others and (first == "A" or others[0] == chr(ord(first) + 1))
    return "" if walks else first


def _judged(text: str, lone: list[int]) -> Iterator[tuple[int, str]]:
    """The one option that a text calls correct where it goes through three or more."""
    heads = [
        at
        for at in lone
        if _BEHIND_HEAD.match(text, at) and _HEADED.search(text[max(0, at - _HEAD_CHARS) : at])
    ]
    if len(heads) < _LEAST_JUDGED:
        return
    right = []
    for at, following in itertools.zip_longest(heads, heads[1:]):
        last = text.find("\n\n", at)
        end = following or (last if last > 0 else len(text))
        segment = text[at + 1 : min(end, at + _SEGMENT)].lower()
        if not any(word in segment for word in _CALLED_WRONG):
            places = [segment.find(word) for word in _CALLED_RIGHT if word in segment]
            right += [(at + 1 + min(places), text[at])] if places else []
    if len(right) == 1:
        yield right[0]


def closing_letters(text: str, options: Options) -> list[str]:
    """Letters in the last two sentences, or else the option whose words these name best."""
    closing = closing_of(text)
    found = [m for m in _BARE.finditer(closing) if _letter(m) in options]
    kept = [_letter(m) for m in found if not ruled_out(closing, m.start(), m.end())]
    # Words of an option that was just ruled out do not name it.
    out = {_letter(m) for m in found}
    return kept or _named_options(closing, {k: v for k, v in options.items() if k not in out})


def _named_options(text: str, options: Options) -> list[str]:
    """The option whose words a text names best, and no other as well."""
    tokens = tokens_of(text)
    tail = stems_of(tokens) | numbers_of(tokens)
    shares = sorted(
        ((len(words & tail) / len(words), letter) for letter, words in options.items() if words),
        reverse=True,
    )
    if not shares or not shares[0][0] or (len(shares) > 1 and shares[0][0] == shares[1][0]):
        return []
    return [shares[0][1]]
