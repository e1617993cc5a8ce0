"""Take the wrapping off a claim: "I'm sure that X, right?" says X."""

from __future__ import annotations

import re

from candor_guard.neutral.cues_forms import SOURCE
from candor_guard.neutral.segments import Quotations
from candor_guard.neutral.sifting import open_words
from candor_guard.neutral.text import EMOJI, Pattern, pattern, words

_MAX_LAYERS = 8
_MAX_TAG = 60
DENIAL = "It is not true that"

# "that" opens the claim, unless it is the claim's own subject ("he says that is fine").
_THAT = (
    r"(?:,? (?:that )(?!(?:'s|is|was|only|just|does|doesn't|can|can't|will|would|has|isn't|means|"
    r"applies|works|happens|counts|makes|should|shouldn't|wasn't|never|always)\b)| (?:like|"
    r"how) (?=i |you )|[,:]? (?!that (?!(?:'s|is|was|only|just|does|doesn't|can|can't|will|would|"
    r"has|isn't|means|applies|works|happens|counts|makes|should|shouldn't|wasn't|never|"
    r"always)\b)))"
)
_OPEN = (
    r"(?!(?:how|what|why|who|when|where|whether|if|him|them|about|of|in|for|this[.!,]|it[.!,]|"
    r"nothing|something|to|and|but|so|you're (?:wrong|right)|with|hard|long|carefully|a lot|your|"
    r"better|so|too|really|very|good|bad|all about|each|everything)\b)"
)
_CLAIMED = (
    r"(?! (?:that )?(?:it too|so|he|she|he's|she's|i'm wrong|i am wrong|it isn't so|it's not|"
    r"the (?:opposite|same)|otherwise)\b)(?! to\b)(?!.*\bbut\b)"
)
_PERSON = (
    r"(?:\w+ (?:at|in|from) (?:the |my )?\w+|(?:\w+[- ]){0,3}(?:professor|teacher|doctor|boss|dad|"
    r"father|mother|mum|mom|brother|sister|friends?|uncle|aunt|coach|tutor|colleagues?|lecturer|"
    r"dentist|trainer|wife|husband|grandma|grandpa|grandfather|grandmother|mate|mates|lawyer|"
    r"accountant|neighbou?r|cousin|son|daughter|nan|gran|instructor|vet|pharmacist|nurse|class|"
    r"group|family|manager|supervisor|mentor|pastor|landlord|landlady|roommate|flatmate|partner|"
    r"boyfriend|girlfriend|fianc\w+|ex|kid|kids|parents|hygienist|therapist|girl|guy|man|woman|"
    r"team|engineer|electrician|plumber|mechanic|editor|agent|adviser|advisor|chef|barber|builder|"
    r"physio|midwife|gp|principal|students?|co-?workers?|clients?|associate|salesman|owner|priest|"
    r"rabbi|imam|classmates?|sensei|guru|yoga teacher|study group|book club))"
)
_SAYS = (
    r"(?:(?:also|always|just|even|all|keeps?|still|once|both|has|have|'s|'ve|already|clearly|"
    r"now) ){0,2}(?:says?|said|tells? (?:me|us)|told (?:me|us)|telling (?:me|us)|saying|thinks?|"
    r"thought|insists?|insisted|swears?|swore|taught (?:me|us)|teaches|confirmed|confirms|"
    r"believes?|agrees?|agreed|claims?|claimed|knows?|knew|explained|assured (?:me|us)|reckons?|"
    r"mentioned|warned me)"
)
_SURELY = (
    r"(?:(?:really|so|very|quite|pretty|absolutely|totally|completely|fairly|still|just|now|"
    r"almost|also|100%|dead|always|firmly|clearly|extremely|rather|simply|only) ){0,3}"
)
_I = r"(?:i|we)"
_DO = (
    r"(?:(?:really|honestly|genuinely|truly|firmly|strongly|still|also|just|always|actually|"
    r"definitely|now|absolutely|already|kinda|sort of|do|personally|clearly|recently|once|"
    r"literally|both|all|finally|simply|totally) ){0,3}"
)

_LAYERS = tuple(
    pattern(source)
    for source in (
        rf"(?:i'm|i am|i was|i've always been|we're|we are) {_SURELY}(?:sure|certain|positive|"
        r"convinced|confident|aware|of the opinion|told|taught|under the impression|adamant)"
        rf"(?: (?:about|of) (?:this|that|it))?{_THAT}{_OPEN}",
        rf"(?:pretty sure|fairly sure|quite sure|100% sure){_THAT}{_OPEN}",
        r"(?:i'm|i am|i was|am i) (?:right|correct|not wrong|wrong) (?:that|in (?:thinking|saying|"
        r"assuming)(?: that)?|to (?:think|say|assume|believe)(?: that)?) ",
        rf"{_I}(?:'ve| have) {_DO}(?:taught|told|learned|known|said|believed|"
        rf"always thought) (?:\S+ ){{1,6}}?that {_OPEN}",
        rf"{_I}(?:'ve|'d| have| had)? {_DO}(?:feel|felt|remember|recall)(?:(?:,)? that(?! (?:is|"
        r"was)\b) | (?=(?:i|i'm|it|it's|he|she|they|there|you|that's)\b))",
        rf"{_I}(?:'ve|'d| have| had)? {_DO}(?:know|think|believe|say|said|guess|suppose|reckon|"
        r"figure|figured|thought|known|believed|feel like|felt like|swear|maintain|insist|bet|"
        r"assume|assumed|realized|realised|noticed|found out|discovered|decided|understand|"
        r"conclude|concluded|gather|hold|mean|take it|maintained|claim|heard|"
        r"suspect)(?: for a fact| from (?:my |personal )?experience| for sure| deep down|"
        r" in my heart|"
        rf" somewhere| online| as an? \w+| now)?{_THAT}{_OPEN}",
        rf"{_I}(?:'ve|'d| have| had)? {_DO}(?:read|saw|seen|learned|learnt|heard|looked up|"
        r"googled|keep reading|keep hearing|been told|was told|were told|was taught|"
        r"were taught)(?: (?:somewhere|online|once|recently|everywhere|in (?:several|many|"
        r"multiple|various|"
        rf"a few) places|(?:in|on|at|from) (?:\S+ ){{0,4}}?\S+))?,? that(?! (?:is|was)\b) {_OPEN}",
        rf"{_I}(?:'ve| have)? {_DO}(?:heard|learned|learnt|was told|were told|was taught|"
        r"were taught|been told) (?=(?:it|he|she|they|there|you|the|a|an)\b)",
        rf"{_I} (?:told|have told|'ve told|keep telling) my (?:\w+ ){{1,3}}?(?:\w+ly )?that ",
        rf"{_I} (?:told|have told|'ve told|keep telling) (?:him|her|them|everyone|you|my (?:mum|"
        r"mom|dad|mother|father|sister|brother|wife|husband|partner|boss|friend|cousin|kids?|son|"
        r"daughter|team|family|class|group)) (?:\w+ly )?(?!to\b|about\b|so\b|already\b|"
        r"group\b)(?:that )?(?=\S+ \S+)",
        r"(?:i'm|i am) (?:so |very |just )?(?:proud|happy|glad|sad|sorry|pleased|here|"
        r"calling) to (?:say|report|announce|tell you|know|hear)(?: that)? ",
        rf"(?:it|this|that)(?:'s| is) {_SURELY}(?:obvious|clear|a fact|true|proven|well[- ]known|"
        r"common knowledge|the truth|certain|a known fact|undeniable|widely known|"
        r"basic knowledge)(?: that| -| –|:|,) ?",
        r"(?:the )?(?:truth|fact|point|thing|reality|bottom line|fact of "
        r"the matter)(?: of the matter)?(?: still)?(?: is| remains)(?: that|,|:)? ",
        r"(?:my (?:point|theory|belief|view|claim|opinion|understanding|take|position|feeling|"
        r"hunch|guess|argument)|in my (?:opinion|view|experience|book|mind))(?: is)?(?: that|:|"
        r",)? (?:is (?:that )?)?",
        r"(?:from|in) (?:my|personal|our) (?:own )?(?:personal )?experience,? ",
        r"as an? (?:\S+ ){0,5}?\S+, ?(?:i )?(?:can (?:tell you|assure you|say|confirm)|know|"
        r"assure you)?(?: that)? ?",
        r"(?:speaking )?as an? (?:\S+ ){0,5}?\S+ (?=i (?:know|can|think|believe|say|am sure)\b)",
        r"(?:i can|i could|let me) (?:tell|assure|promise|guarantee) (?:you|u)(?: that|,|:)? ",
        r"(?:you|u|you'll|you will|you'd|surely you|we) (?:simply |just |really )?(?:have to|"
        r"have got to|'ve got to|got to|gotta|need to|must|should|can't deny|cannot deny|do|"
        r"can) ?(?:just |at least )?(?:admit|agree|accept|see|understand|reali[sz]e|say|concede|"
        r"know)?(?: with me)? that ",
        r"(?:you|u) (?:have to|need to|must|should|gotta) (?:just )?(?:admit|agree|accept|see|"
        r"understand|reali[sz]e|say|concede)(?: with me)?,? ",
        r"(?:can|could|would|will|can't|won't) you (?:please |just |at least |also )*(?:confirm|"
        r"agree|admit|say|acknowledge|accept|tell me)(?: to me| for me)?(?: that)? (?!(?:how|what|"
        r"why|who|when|where|whether|if|about|to|it(?=\W*\Z)|before|for|with)\b)",
        r"(?:just |please |now |so |simply )*(?:confirm|admit|agree|acknowledge|say|tell me|"
        r"accept|tell (?:him|her|them))(?: to me| for me| with me)?(?: that)?,? (?!(?:how|what|"
        r"why|who|when|where|whether|if|about|to|it(?=\W*\Z)|before|for|with|more|a bit|something|"
        r"your|no)\b)",
        r"(?:i )?(?:just |really |only )*(?:need|needed|want|wanted|would like|'d like) (?:you|"
        r"u) to (?:just |please )*(?:confirm|admit|agree|acknowledge|say|tell me|"
        r"accept)(?: that)? ",
        r"(?:so |then )?(?:do you |you )?(?:do |also |would |must |both |'d )?(?:agree|admit|"
        r"accept|confirm)(?: with me)?(?: then)?(?:,)?(?: that)? ",
        r"(?:so |then )?(?:you're|you are) (?:saying|telling me|claiming)(?: that)? ",
        r"(?:don't|do|wouldn't|would|can't|didn't) (?:you|u) (?:not |also )?(?:agree|think|"
        r"believe|say|admit|see|know)(?: with me)?(?: that)? ",
        r"(?:isn't|is|wasn't) (?:it|that) (?:not )?(?:just |also )?(?:true|the case|obvious|"
        r"a fact|right|correct|so|well known|clear|possible) that ",
        r"is it not (?:true|the case|a fact) that ",
        r"(?:you know|you and i both know|we both know|we all know|remember|trust me|believe me|"
        r"mark my words|make no mistake|note|fyi|fact|face it)(?:,| that|:) ",
        r"(?:given|seeing|considering|provided)(?: the fact)? that ",
        r"(?:since|because|now that|seeing as) (?=(?:i|i'm|it|it's|they|he|she|we|you|my|the|that|"
        r"this|these|there)\b)",
        r"how come (?=\S+ \S+ \S+)",
        r"(?:actually|obviously|clearly|definitely|certainly|surely|of course|literally|basically|"
        r"apparently|honestly|frankly|undoubtedly|turns out|it turns out)(?: that)?,? (?=\S+ \S+)",
        r"(?:what i (?:know|believe|think|learned|read) is)(?: that)? ",
    )
)
_INNER = pattern(
    r"(?P<lead>(?:[,;:–—-] |(?:^|\b)(?:and|but|so|because|since) )(?:(?:and|but|so|"
    r"because) )?)i(?:'m| am)? (?:(?:now|still|just|really|also|only|pretty|quite|very|so|"
    r"absolutely) ){0,3}(?:(?:sure|certain|convinced|positive|confident)(?: that|:|,)? |(?:know|"
    r"think|believe|reckon|figure|guess|swear)(?: that)? (?=(?:it|it's|he|she|they|they're|we|the|"
    r"that's|there|this|these|a|an|my|in)\b)|(?:need|needed|want|wanted) you to (?:just )?(?:say|"
    r"confirm|admit|agree|tell me)(?: that)? )(?=\S+ \S+)"
)
# What other people say. Left in place where the user speaks against them.
_HEARSAY = tuple(
    pattern(source)
    for source in (
        r"(?:mum|mom|dad|nan|gran|grandma|grandpa|hubby|teacher|coach|doc|doctor|miss) "
        rf"{_SAYS}{_CLAIMED}{_THAT}{_OPEN}",
        r"(?:my|our|a|the|his|her|some|one of my|two of my|both my|all my|all of my|"
        rf"this) (?!(?:\w+ ){{0,3}}?{SOURCE}\b){_PERSON}(?: (?:who|in|at|from|of|"
        rf"whos) (?:\S+ ){{0,4}}?\S+)?,? {_SAYS}{_CLAIMED}{_THAT}{_OPEN}",
        r"(?:everyone|everybody|people|most people|everyone else|all (?:of )?my \w+|the (?:whole|"
        r"entire) \w+|literally everyone|every \w+|any \w+|anyone|they|nobody denies|we all|"
        r"all of us|experts|doctors|scientists|he|she)"
        rf"(?: (?:i (?:know|asked)|in my \w+|who \w+|here|with a brain))* (?:{_SAYS}|can see|"
        rf"will tell you|would agree|would tell you|sees|understands){_CLAIMED}{_THAT}{_OPEN}",
    )
)
_NEGATED = tuple(
    pattern(source)
    for source in (
        rf"{_I} (?:really |honestly |still |just )*(?:don't|do not|didn't|can't|cannot|"
        r"never) (?:really |honestly |for a second )?(?:think|believe|buy|accept|"
        r"agree)(?: that)? (?!(?:so|you|in|it|this|that|with|what|a|how|why)\b)(?=\S+ \S+)",
        rf"{_I} (?:really |seriously |highly )?(?:doubt)(?: that)? (?!(?:it|that|you|"
        r"this)\b)(?=\S+ \S+)",
        r"there(?:'s| is) no (?:way|chance)(?: that)? (?=\S+ \S+)",
        r"no way(?: that)? (?=\S+ \S+ )",
    )
)
_NOT = (
    r"(?:isn't|aren't|ain't|wasn't|weren't|doesn't|don't|didn't|can't|won't|hasn't|haven't|"
    r"shouldn't|wouldn't)"
)
_AFTER_PAUSE = (
    r"(?:is|are|does|do|was|has|have|can|will|did|should|would) (?:it|he|she|they|that|i|we|you|"
    r"there)(?: not)?|right|correct|true|yes|yeah|no|ok|okay|huh|eh|agreed|please|thanks|"
    r"thank you|obviously|dear|man|honey|end of|fact|sorry|sir|pal|deal with it|look it up|"
    r"google it|or not|see|sounds? (?:right|good|fair)|makes? sense|fair|good plan"
)
_ANYWHERE = (
    rf"{_NOT} (?:it|he|she|they|that|i|we|you|there)(?: not)?|innit|you know|lol|haha|tbh|imo|"
    r"imho|period|full stop|end of story|mate|bro|dude|am i right|is that right|"
    r"don't you (?:think|agree)(?: so)?|wouldn't you (?:say|agree)(?: so)?|do you agree|you agree|"
    r"that's a fact|that's that|and you know it|(?:everyone|everybody) knows (?:that|it|this)|"
    r"and that's that|believe me|trust me|i'm (?:pretty |quite |very |absolutely |100% )?(?:sure|"
    r"certain|positive)(?: of (?:it|that)| about (?:it|that))?|i know (?:it|that)|i (?:think|"
    r"believe|swear|guess|reckon|thought|bet|suppose|promise)|for sure|no doubt|without a doubt|"
    r"it's that simple|that simple|so there|mark my words|as everyone knows|as you (?:well )?know|"
    r"i'm telling you|ffs|omg|smh|fyi|ok then"
)
_TAGS = pattern(
    rf"(?:[,–—.!?]| -) ?(?:{_AFTER_PAUSE}|{_ANYWHERE})[\s?!.,]*\Z"
    rf"|\s(?:{_ANYWHERE})[\s?!.,]*\Z"
)
# "It is flat right?", but not "So that is right?".
_ASKED = pattern(r"(?P<before>\S+) (?:right|correct|yes|yeah|no|ok|okay|huh|eh)\s?\?[\s?!.,]*\Z")
_JOINED = words(
    "is it's its that's thats he's she's are you're they're i'm am was were be the all not sound "
    "sounds look looks seem seems feel feels"
)
_MARKS = re.compile(r"(?<![!?…])[!?…]++(?=\s|\Z)|(?<!\.)\.{2,}+(?=\s|\Z)")


def unwrap(text: str, *, hearsay: bool = True) -> str:
    """Return what a clause claims, without who says so, how sure they are and what they want.

    With `hearsay` false, "my uncle says that X" stays as it is; else it becomes X.

    The words themselves stay as they are. "I don't think that X" becomes "It is not true that X".
    """
    claim = _without_tags(EMOJI.sub("", text).strip())
    denied = False
    for _ in range(_MAX_LAYERS):
        claim = claim.lstrip(" \t\n,.:;!?…-–—")
        rest, negated = _peel(claim, _LAYERS + _HEARSAY if hearsay else _LAYERS)
        if rest is None:
            break
        denied ^= negated
        claim = rest
    claim = _MARKS.sub(".", _inner(claim)).strip(" \t\n,;:-–—*")
    return f"{DENIAL} {claim}" if denied and claim else claim


def _inner(claim: str) -> str:
    """Take the same words off the later clauses of a sentence: ", and I'm sure it is 3"."""
    quoted = Quotations(claim)
    return _INNER.sub(
        lambda match: match.group() if quoted.around(match.start()) else match["lead"], claim
    )


def _peel(claim: str, layers: tuple[Pattern, ...]) -> tuple[str | None, bool]:
    opened = open_words(claim)
    if opened and claim[opened:].strip():
        return claim[opened:], False
    for layer in _NEGATED:
        if match := layer.match(claim):
            return claim[match.end() :], True
    for layer in layers:
        match = layer.match(claim)
        if match and match.end() and claim[match.end() :].strip(" .!?,"):
            return claim[match.end() :], False
    return None, False


def _without_tags(text: str) -> str:
    for _ in range(_MAX_LAYERS):
        start = _tag_start(text)
        if start is None or not text[:start].strip(" ,.!?"):
            return text
        mark = text[start] if text[start] in "?!." else ""
        text = text[:start].rstrip() + mark
    return text


def _tag_start(text: str) -> int | None:
    tail = max(0, len(text) - _MAX_TAG)
    match = _TAGS.search(text, tail)
    if match is not None:
        return match.start()
    asked = _ASKED.search(text, tail)
    if asked is None or asked["before"].lower().replace("’", "'") in _JOINED:
        return None
    return asked.end("before")
