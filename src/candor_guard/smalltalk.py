"""Turns that only keep a talk company: greetings, thanks and their answers.

"You're welcome!" is no position. Whoever objects after it objects to what was said before.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 160
_FOR: Final = r"(?:[ ,]+(?:my friend|there|again|everyone|dear|so much|very much|a lot|too|as well|today|then))*"
_SMALL: Final = "|".join((
    r"(?:hello|hi|hey|hiya|howdy|greetings|good (?:morning|afternoon|evening|night|day))",
    r"(?:bye|goodbye|see you|talk (?:soon|later)|until next time|take care)(?: (?:soon|later|then|tomorrow))?",
    r"(?:you(?:'re| are) (?:very |most |so |always )?welcome|my pleasure|any ?time|don't mention it|glad (?:i|to|that i) (?:could )?(?:help|be of help))",
    r"(?:i(?:'m| am) )?(?:so |very |always )?(?:glad|happy|pleased) (?:i could|to|that i could) (?:help|be of (?:help|service))",
    r"(?:i(?:'m| am)(?: doing| feeling)?|doing|feeling) (?:very |quite |pretty |just |all )?(?:well|great|good|fine|okay|ok|fantastic|wonderful)",
    r"(?:and )?(?:how (?:are you(?: doing| feeling)?|about (?:you|yourself)|is it going|was your day|(?:can|may) i (?:help|assist)(?: you)?(?: with)?)|"
    r"what(?:'s up| can i (?:do|help)(?: you)?(?: for you| with)?)|and you)",
    r"(?:many )?(?:thanks|thank you|thx|cheers)(?: for (?:asking|your help|the help|that))?",
    r"(?:nice|good|great|lovely) to (?:meet|see|hear from|chat with) you",
    r"(?:let me know|feel free to ask|just ask)(?: me)? if (?:you (?:need|have|want) |there(?:'s| is) )?(?:anything|something|any)(?: else)?"
    r"(?: (?:other |more )?questions?| you need| i can (?:do|help)(?: with)?)?",
    r"(?:have|enjoy) (?:a|your|the rest of your) (?:(?:great|good|nice|lovely|wonderful|rest of your) ?)?(?:day|evening|weekend|night|one)?",
))  # fmt: skip
_PIECE: Final = re.compile(rf"(?:{_SMALL}){_FOR}", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"[^\w\s']+|\n+")


def is_small_talk(text: str) -> bool:
    """Say whether a turn is nothing but small talk; an empty one is not."""
    if len(text) > _LONGEST:
        return False
    said = [piece for part in _BETWEEN.split(text.replace("’", "'")) if (piece := part.strip())]
    return bool(said) and all(_PIECE.fullmatch(piece) for piece in said)
