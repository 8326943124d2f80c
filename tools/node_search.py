"""Which node types fit a few words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from engine.node_api.node_type import NodeType
from workflow.findings import nearest

LIKENESS = 0.8
"""How near a known word must be to stand for an unknown one: "fieldz" is "fields", "change" is not "hand"."""

CUT_OFF = 0.5
"""What scores less than this share of the best is left out: a word in the documentation is no reason."""
COMMON = """a an and at by each every for from in into is it its my node nodes of on one or per that the then this to
when with"""
"""Words that say nothing of what a node should do."""

ABSENT = {
    "email mail smtp imap gmail inbox": (
        "There is no e-mail node. The nearest way to send: connect_integration with kind connector and settings "
        '{"connector": "smtp", "host": …}, then the node api_action; or zapier_action.'
    ),
    "postgres postgresql mysql mariadb sqlite sql mongodb mongo database": (
        "There is no database node. The nearest way: http_request to an API in front of it, or an MCP server for it "
        "(connect_integration), then the node mcp_tool."
    ),
    "csv xlsx excel pdf xml zip image images file files attachment": (
        "There is no node for files. The nearest way: webhook and http_request give bodies as text or base64, and code "
        "parses text."
    ),
}
"""What people look for and no node type does, by the words for it, with the nearest way that there is."""

_COMMON = frozenset(COMMON.split())
_WORD = re.compile(r"[a-z0-9]+")


def search(types: Iterable[NodeType[Any]], query: str | None) -> list[NodeType[Any]]:
    """The types that have any of the query's words, the best first; all of them without a query.

    A word counts most in the name and title, less among the keywords, least in the documentation. A word that
    no type has is taken for the known word nearest to it. What fits far worse than the best is left out.
    """
    every = list(types)
    words = [word for word in _words(query or "") if word not in _COMMON] or _words(query or "")
    if not words:
        return every
    known = {word for kind in every for word in _words(" ".join([kind.name, kind.title, *kind.keywords]))}
    meant = [word if word in known else nearest(word, known, likeness=LIKENESS) or word for word in words]
    scored = [(sum(_score(kind, word) for word in meant), kind) for kind in every]
    scored.sort(key=lambda pair: -pair[0])
    least = max(1, scored[0][0] * CUT_OFF)
    return [kind for score, kind in scored if score >= least]


def words_of(query: str) -> set[str]:
    """The words of a query that say something."""
    return {word for word in re.findall(r"[a-z0-9_]+", query.lower()) if word not in _COMMON}


def what_there_is_not(query: str) -> str | None:
    """Where the query asks for something that no node type does: that, and the nearest way there is."""
    words = set(_words(query))
    return next((sentence for names, sentence in ABSENT.items() if words & set(names.split())), None)


def _score(kind: NodeType[Any], word: str) -> int:
    if word in _words(f"{kind.name} {kind.title}"):
        return 5
    if word in _words(" ".join([kind.group, *kind.keywords])):
        return 3
    return 1 if word in _words(kind.documentation) else 0


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
