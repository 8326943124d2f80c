"""Which actions fit a few words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from workflow.actions import Action
from workflow.findings import nearest

LIKENESS = 0.8
"""How near a known word must be to stand for an unknown one."""
IN_NAME, IN_GROUP, IN_DESCRIPTION = 5.0, 3.0, 1.0

_WORD = re.compile(r"[a-z0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def search(actions: Sequence[Action], query: str | None) -> list[Action]:
    """The actions that have any of the query's words, the best first; all of them without a query.

    A word counts more the fewer actions have it, most in the name and title, less in the group and the connection,
    least in the description. A word that none has is taken for the known word nearest to it.
    """
    words = _words(query or "")
    if not words:
        return list(actions)
    indexed = [(_Indexed(each), each) for each in actions]
    having = Counter(word for index, _ in indexed for word in index.names | index.groups | index.described)
    known = {word for index, _ in indexed for word in index.names | index.groups}
    meant = [word if word in having else nearest(word, known, likeness=LIKENESS) or word for word in words]
    rarity = {word: math.log(1 + len(actions) / having[word]) for word in meant if having[word]}
    scored = [(sum(index.weight(word) * each for word, each in rarity.items()), action) for index, action in indexed]
    return [action for score, action in sorted(scored, key=lambda pair: -pair[0]) if score > 0]


class _Indexed:
    """The words of an action."""

    __slots__ = ("described", "groups", "names")

    def __init__(self, action: Action) -> None:
        self.names = set(_words(f"{action.name} {action.title}"))
        self.groups = set(_words(f"{action.group or ''} {action.connection}"))
        self.described = set(_words(action.description))

    def weight(self, word: str) -> float:
        """How much it says that the action has the word."""
        if word in self.names:
            return IN_NAME
        if word in self.groups:
            return IN_GROUP
        return IN_DESCRIPTION if word in self.described else 0.0


def _words(text: str) -> list[str]:
    return _WORD.findall(_HUMP.sub(" ", text).lower())
