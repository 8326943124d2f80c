"""What is offered under names, tools or prompts: the same ones to everybody, then each workspace's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import mcp_types as types

from storage.database.cursors import decode_cursor, encode_cursor, foreign_cursor
from tools.protocol.caller import Caller
from tools.protocol.completions import Completer
from tools.protocol.resources import ResourceSource
from tools.protocol.selection import SelectableTool
from tools.protocol.tool import Pending
from workflow.ports import Page

PAGE_SIZE = 100
OWNERS_KEPT = 1_000
"""Workspaces whose lists are kept in memory; the list of one that was not seen for long is made again."""


class Named(Protocol):
    """Something with a name that is unique within its list."""

    @property
    def name(self) -> str:
        """The name."""
        ...


T = TypeVar("T", bound=Named)
T_co = TypeVar("T_co", bound=Named, covariant=True)


class OfferedTool(SelectableTool, Named, Protocol):
    """A tool as the server lists and calls it. What answers the call is the tool's own affair."""

    def listed_for(self, *, has_apps: bool) -> types.Tool:
        """The tool as a client sees it that can show apps, or cannot."""
        ...

    async def call(
        self, arguments: dict[str, Any], caller: Caller
    ) -> types.CallToolResult | types.InputRequiredResult | Pending:
        """The result, the questions that come before it, or the execution that it comes from.

        Raises:
            AnswerComesLaterError: see :meth:`tools.protocol.caller.Caller.ask`.
        """
        ...


class OfferedPrompt(Named, Protocol):
    """A prompt as the server lists and gets it."""

    @property
    def listed(self) -> types.Prompt:
        """What ``prompts/list`` says of it."""
        ...

    async def get(
        self, arguments: Mapping[str, str], caller: Caller
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """The messages, or the questions that come before them.

        Raises:
            JobsprintError: the arguments do not fit, or the messages cannot be made.
        """
        ...

    def completer(self, argument: str) -> Completer | None:
        """What completes the argument, if anything.

        Raises:
            InvalidArgumentsError: the prompt has no such argument.
        """
        ...


class OfferSource(Protocol[T_co]):
    """Things that come and go, each workspace's own. The code that changes them publishes a ``workflow.…`` event."""

    async def all(self, owner: str) -> Sequence[T_co]:
        """Every one of the workspace's, in an order that stays as long as they do."""
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class Offer:
    """One contribution to what clients are offered: what every workspace has, and sources of what each one has."""

    tools: Sequence[OfferedTool] = ()
    tool_sources: Sequence[OfferSource[OfferedTool]] = ()
    prompts: Sequence[OfferedPrompt] = ()
    prompt_sources: Sequence[OfferSource[OfferedPrompt]] = ()
    resources: Sequence[ResourceSource] = ()


class Offering(Generic[T]):
    """The list of a ``kind`` of things: ``fixed`` ones in their order, then what ``sources`` have.

    Of two with one name the first counts. What the sources return is kept until :meth:`forget`, so that not every
    request makes its list anew.
    """

    def __init__(self, kind: str, fixed: Iterable[T], sources: Sequence[OfferSource[T]] = ()) -> None:
        self._kind = kind
        self._fixed = {each.name: each for each in fixed}
        self._sources = sources
        self._by_owner: OrderedDict[str, Mapping[str, T]] = OrderedDict()
        self._generation = 0

    async def page(self, owner: str, cursor: str | None) -> Page[T]:
        """One page of the workspace's list.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        start = 0
        if cursor is not None:
            kind, start = decode_cursor(cursor, str, int)
            if kind != self._kind or start < 0:
                raise foreign_cursor(cursor)
        every = list((await self._all(owner)).values())
        stop = start + PAGE_SIZE
        return Page(every[start:stop], encode_cursor(self._kind, stop) if len(every) > stop else None)

    async def get(self, owner: str, name: str) -> T | None:
        """The one of this name that the workspace has."""
        return self._fixed.get(name) or (await self._all(owner)).get(name)

    def fixed(self, name: str) -> T | None:
        """The one of this name that everybody has."""
        return self._fixed.get(name)

    def forget(self, owner: str) -> None:
        """Ask the sources for the workspace again: something of it has come or gone."""
        self._generation += 1
        self._by_owner.pop(owner, None)

    async def _all(self, owner: str) -> Mapping[str, T]:
        if not self._sources:
            return self._fixed
        kept = self._by_owner.get(owner)
        if kept is not None:
            self._by_owner.move_to_end(owner)
            return kept
        generation = self._generation
        every = dict(self._fixed)
        for source in self._sources:
            for each in await source.all(owner):
                every.setdefault(each.name, each)
        if generation == self._generation:
            self._by_owner[owner] = every
            if len(self._by_owner) > OWNERS_KEPT:
                self._by_owner.popitem(last=False)
        return every
