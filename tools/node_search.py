"""Which node types fit a few words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from engine.node_api.node_type import NodeType
from workflow.findings import nearest

LIKENESS = 0.8
"""How near a known word must be to stand for an unknown one: "fieldz" is "fields", "change" is not "hand"."""

_WORD = re.compile(r"[a-z0-9]+")


def search(types: Iterable[NodeType[Any]], query: str | None) -> list[NodeType[Any]]:
    """The types that have any of the query's words, the best first; all of them without a query.

    A word counts most in the name and title, less among the keywords, least in the documentation. A word that
    no type has is taken for the known word nearest to it.
    """
    every = list(types)
    words = _words(query or "")
    if not words:
        return every
    known = {word for kind in every for word in _words(" ".join([kind.name, kind.title, *kind.keywords]))}
    meant = [word if word in known else nearest(word, known, likeness=LIKENESS) or word for word in words]
    scored = [(sum(_score(kind, word) for word in meant), kind) for kind in every]
    return [kind for score, kind in sorted(scored, key=lambda pair: -pair[0]) if score > 0]


def _score(kind: NodeType[Any], word: str) -> int:
    if word in _words(f"{kind.name} {kind.title}"):
        return 5
    if word in _words(" ".join([kind.group, *kind.keywords])):
        return 3
    return 1 if word in _words(kind.documentation) else 0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
