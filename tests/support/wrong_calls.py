"""Calls that agents get wrong, and what must hold of every answer: it can be acted on, and nothing was saved."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

import jsonpatch

from tests.support.mcp_caller import McpCaller

START = {"type": "manual"}
ASK = {"type": "approval", "parameters": {"question": "Go on?", "choices": ["yes", "no"]}}
GOOD: dict[str, Any] = {
    "name": "good",
    "nodes": {
        "start": START,
        "shape": {"type": "set", "parameters": {"fields": {"double": "={{ $json.n * 2 }}"}}},
        "check": {"type": "if", "parameters": {"condition": "={{ $json.double > 2 }}"}},
        "big": {"type": "no_op"},
        "small": {"type": "no_op"},
    },
    "connections": [["start", "shape"], ["shape", "check"], ["check.true", "big"], ["check.false", "small"]],
}
WAITING = {"name": "waiting", "nodes": {"start": START, "ask": ASK}, "connections": [["start", "ask"]]}


def good(**members: Any) -> dict[str, Any]:
    """A good definition with members in place of its own."""
    return {**copy.deepcopy(GOOD), **members}


def with_node(name: str, node: Any) -> dict[str, Any]:
    """A good definition with a node more, behind ``big``."""
    definition = copy.deepcopy(GOOD)
    definition["nodes"][name] = node
    definition["connections"].append(["big", name])
    return definition


@dataclass(slots=True, frozen=True, kw_only=True)
class WrongCall:
    """One call. ``code`` and ``at`` are those of the error, or of one of its findings.

    ``source`` says in words where agents were seen to do it. In ``arguments``, ``<workflow>``, ``<ended>`` and
    ``<waiting>`` stand for ids of a good workflow, of an execution that has ended and of one that waits for ``ask``.
    """

    what: str
    source: str
    tool: str
    arguments: dict[str, Any]
    code: str
    at: str | None


@dataclass(slots=True, frozen=True, kw_only=True)
class WrongDefinition:
    """A definition that should not be saved as it is: ``code`` at ``at`` is among its findings.

    ``is_mended`` says that applying the patches in their order leaves nothing to find.
    """

    what: str
    source: str
    definition: Any
    code: str
    at: str
    is_mended: bool = True
    is_warning: bool = False


@dataclass(slots=True)
class World:
    """A server with what wrong calls are about, made when it is asked for."""

    mcp: McpCaller
    ids: dict[str, str] = field(default_factory=dict)

    async def filled(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with ids in their places."""
        text = json.dumps(arguments)
        for name in ("<workflow>", "<ended>", "<waiting>"):
            if name in text:
                text = text.replace(name, await self._id(name))
        return dict(json.loads(text))

    async def state(self) -> list[Any]:
        """What any change would change: what was saved and started last, and the workflow in question."""
        seen = [
            await self.mcp.call("list_workflows", limit=3),
            await self.mcp.call("list_executions", limit=3),
        ]
        if "<workflow>" in self.ids:
            seen.append(await self.mcp.call("get_workflow", workflow_id=self.ids["<workflow>"]))
        return seen

    async def _id(self, name: str) -> str:
        if name not in self.ids:
            definition = WAITING if name == "<waiting>" else GOOD
            made = await self.mcp.call("create_workflow", definition=definition)
            self.ids[name] = made["workflow_id"]
            if name != "<workflow>":
                ran = await self.mcp.call("execute_workflow", workflow_id=made["workflow_id"], input={"n": 1})
                self.ids[name] = ran["execution_id"]
        return self.ids[name]


async def refused(world: World, wrong: WrongCall) -> dict[str, Any]:
    """The error of a wrong call, of which nothing was saved and started."""
    arguments = await world.filled(wrong.arguments)
    before = await world.state()
    error = await world.mcp.fail(wrong.tool, **arguments)
    assert await world.state() == before
    return error


def assert_can_be_acted_on(error: dict[str, Any]) -> None:
    """Code, cause and mend are there, for the whole and for each finding."""
    assert error["code"]
    assert error["message"]
    assert error["fix"] or error["next"]
    for finding in error.get("findings", []):
        assert finding.get("patch") or finding.get("fix"), finding
        assert finding["message"]


def patched(document: Any, findings: list[dict[str, Any]]) -> Any:
    """The document with every patch applied in the order of the findings."""
    for finding in findings:
        document = jsonpatch.apply_patch(document, finding.get("patch", []))
    return document
