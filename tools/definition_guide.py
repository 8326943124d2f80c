"""How definitions are written: one page, whole as a resource, and by its parts where somebody searches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import mcp_types as types

from tools.protocol.resources import SETTLED_MS, Reading, ResourceForm, Variables
from workflow.identity import NO_SCOPES, Actor
from workflow.ports import Page

URI = "guide://definition"
MEDIA_TYPE = "text/markdown"
DESCRIPTION = "Nodes, connections, node settings, workflow settings, expressions and outputs, on one page."

_WORDS_LINE = re.compile(r"^Words: (.*)\n\n?", re.MULTILINE)


@dataclass(slots=True, frozen=True)
class Topic:
    """A part of the page: what it is about, the words that lead to it, and its text."""

    title: str
    words: frozenset[str]
    text: str


def listed() -> types.Resource:
    """The page as ``resources/list`` shows it."""
    return types.Resource(
        uri=URI, name="definition", title="How a workflow is written", description=DESCRIPTION, mime_type=MEDIA_TYPE
    )


class DefinitionGuide:
    """The page as a :class:`tools.protocol.resources.ResourceSource`."""

    def forms(self) -> Sequence[ResourceForm]:
        """The one URI."""
        return [
            ResourceForm(
                template=URI,
                name="definition",
                title="How a workflow is written",
                description=DESCRIPTION,
                mime_type=MEDIA_TYPE,
                scopes=NO_SCOPES,
                read=self._read,
            )
        ]

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """Nothing to browse: :func:`listed` makes the entry, which stands on the first page of every list."""
        return Page([], None)

    async def _read(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        return Reading(types.TextResourceContents(uri=URI, mime_type=MEDIA_TYPE, text=page()), SETTLED_MS)


def page() -> str:
    """The whole page, in Markdown."""
    return _WORDS_LINE.sub("", _source())


@cache
def topics() -> tuple[Topic, ...]:
    """The page's parts, in its order."""
    found = []
    for part in _source().split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        words = _WORDS_LINE.search(text)
        found.append(
            Topic(title, frozenset(words[1].split()) if words else frozenset(), _WORDS_LINE.sub("", text).strip())
        )
    return tuple(found)


def topic_for(words: set[str]) -> Topic | None:
    """The part that most of the words lead to; ``None`` where none does."""
    best = max(topics(), key=lambda topic: len(topic.words & words))
    return best if best.words & words else None


def _source() -> str:
    return files("prompts").joinpath("guides/definition.md").read_text(encoding="utf-8")
