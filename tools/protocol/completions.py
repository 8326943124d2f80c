"""Values for the variables of URIs and the arguments of prompts, from what has been typed of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import mcp_types as types

from engine.definitions.authoring import Authoring
from engine.executions.reader import ExecutionReader
from workflow.errors import JobsprintError
from workflow.execution_figures import ExecutionFilter
from workflow.identity import READS_EXECUTIONS, READS_WORKFLOWS, Actor

MAX_VALUES = 100
"""The most that the protocol lets a completion carry."""


@dataclass(slots=True, frozen=True)
class Typed:
    """What has been typed of a value, and what ``others`` (variables or arguments by name) are already."""

    value: str
    actor: Actor
    others: Mapping[str, str] = field(default_factory=dict)


Completer = Callable[[Typed], Awaitable[Sequence[str]]]
"""Every value that fits, the likeliest first."""


async def complete(completer: Completer | None, typed: Typed) -> types.Completion:
    """The completion; nothing for what has no completer, and where what it depends on is not there, or
    not to be read."""
    try:
        found = list(await completer(typed)) if completer is not None else []
    except JobsprintError:
        found = []
    if len(found) > MAX_VALUES:
        return types.Completion(values=found[:MAX_VALUES], has_more=True)
    return types.Completion(values=found, total=len(found), has_more=False)


class Completers:
    """Completers for what workflows and executions are called by."""

    def __init__(self, *, authoring: Authoring, reader: ExecutionReader) -> None:
        self._authoring = authoring
        self._reader = reader

    async def workflow_ids(self, typed: Typed) -> Sequence[str]:
        """Workflows whose id begins so or whose name contains it, last changed first."""
        typed.actor.require(READS_WORKFLOWS)
        owner = typed.actor.workspace_id
        named = await self._authoring.workflows.page(owner, text=typed.value or None, limit=MAX_VALUES + 1, cursor=None)
        latest = await self._authoring.workflows.page(owner, text=None, limit=MAX_VALUES + 1, cursor=None)
        begun = [each for each in latest.items if each.id.startswith(typed.value)]
        return list(dict.fromkeys(each.id for each in [*begun, *named.items]))

    async def versions(self, typed: Typed) -> Sequence[str]:
        """Versions of the workflow whose ``id`` is given, newest first."""
        typed.actor.require(READS_WORKFLOWS)
        current = await self._authoring.workflows.get(typed.actor.workspace_id, typed.others.get("id", ""))
        return _beginning(typed.value, (str(version) for version in range(current.version, 0, -1)))

    async def execution_ids(self, typed: Typed) -> Sequence[str]:
        """The latest executions (of the workflow whose ``workflow_id`` is given) whose id begins so."""
        typed.actor.require(READS_EXECUTIONS)
        where = ExecutionFilter(owner=typed.actor.workspace_id, workflow_id=typed.others.get("workflow_id"))
        page = await self._reader.page(where, limit=MAX_VALUES + 1, cursor=None)
        return _beginning(typed.value, (each.id for each in page.items))

    async def nodes(self, typed: Typed) -> Sequence[str]:
        """Nodes that have run in the execution whose id is given, in the order in which they ran."""
        typed.actor.require(READS_EXECUTIONS)
        execution_id = typed.others.get("id") or typed.others.get("execution_id", "")
        inspection = await self._reader.inspect(typed.actor.workspace_id, execution_id)
        return _beginning(typed.value, dict.fromkeys(run.node for run in inspection.node_runs))

    async def node_types(self, typed: Typed) -> Sequence[str]:
        """Node types whose name contains it, those that begin so first."""
        names = [name for name in self._authoring.registry.names() if typed.value.lower() in name]
        return sorted(names, key=lambda name: not name.startswith(typed.value.lower()))

    async def triggers(self, typed: Typed) -> Sequence[str]:
        """Node types that a workflow can begin with."""
        return _beginning(typed.value, (kind.name for kind in self._authoring.registry if kind.is_trigger))


def _beginning(start: str, values: Iterable[str]) -> list[str]:
    return [value for value in values if value.startswith(start)]
