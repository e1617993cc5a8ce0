"""A user turn without the answer that it quotes."""

from __future__ import annotations

import re

from candor_guard.conversation import Conversation

_MARKER = re.compile(r"\s*>(?!>>)[>\s]*")  # ">>>" is Python's
_LONGEST = 20_000  # of turn and answers; what is longer quotes no answer by hand
_EMPHASIS = str.maketrans("", "", "*_`#")


def own_words(conversation: Conversation) -> str:
    """Return the last user turn without the lines in which it quotes an earlier answer; "" without one.

    A turn that answers to a message often repeats it behind ">". That is what the user disputes: it is
    no claim of the user's, and nothing new. Whatever else is quoted stays.
    """
    last = conversation.last_user
    if last is None:
        return ""
    if ">" not in last.text or len(last.text) > _LONGEST:
        return last.text
    answers = _plain("\n".join(conversation.answers)[-_LONGEST:])
    lines = last.text.split("\n")
    kept = [line for line in lines if not _repeats(line, answers)]
    return last.text if len(kept) == len(lines) else "\n".join(kept)


def _repeats(line: str, answers: str) -> bool:
    quoted = _MARKER.match(line)
    if quoted is None or not answers:
        return False
    return _plain(line[quoted.end() :]).strip(" .…\"'“”‘’") in answers


def _plain(text: str) -> str:
    return " ".join(text.translate(_EMPHASIS).split()).casefold()
