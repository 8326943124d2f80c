"""Makes the tool calls that a model wants: each once, and only if the tool's policy allows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, SuspendError
from engine.node_api.ports import Step
from engine.nodes.actions.action_call import ActionRun, SettledError, Way
from engine.nodes.ai.agent_tools import NODE_TOOLS, ToolParameters, ToolRefusedError, checked_arguments, filled_in
from engine.nodes.execute_workflow import RECHECK_SECONDS
from workflow.actions import ActionError
from workflow.chat import ToolCall
from workflow.errors import JobsprintError, NodeError
from workflow.fences import fenced
from workflow.items import Item, JsonObject
from workflow.redaction import redacted
from workflow.states import ExecutionState

MOST_CALLS = 16
"""Tool calls that one answer may have; further ones are refused."""
MOST_RESULT_CHARACTERS = 40_000
"""Characters of a tool's result that the model gets: some ten thousand tokens."""
MOST_SHOWN_CHARACTERS = 1_500
"""Characters of the arguments in the question to a person."""
ACTION_SECONDS = 30.0
ALLOW, REFUSE = "allow", "refuse"
DONE, REFUSED, FAILED = "done", "refused", "failed"

Work = Callable[[], Awaitable[JsonObject]]


@dataclass(slots=True, frozen=True)
class Toolbox:
    """The tools of one item's run."""

    call: NodeCall[Any]
    index: int
    tools: Mapping[str, ToolParameters]

    async def use(self, wanted: ToolCall, *, part: str, place: int) -> tuple[str, str]:
        """Make a call; its outcome (done, refused, failed) and the text for the model. ``place``: its index.

        Raises:
            SuspendError: the item waits for a person, or for the tool.
            NodeError: it failed, and a retry may help.
        """
        kept = self.call.done(self.index, part)
        if kept is None:
            kept = await self._use(wanted, part, place)
        outcome = kept["outcome"]
        text = kept["result"] if outcome == REFUSED else orjson.dumps(kept["result"]).decode()
        if outcome == REFUSED:
            return outcome, f"Refused: {text}"
        if len(text) > MOST_RESULT_CHARACTERS:
            text = f"{text[:MOST_RESULT_CHARACTERS]} … {len(text) - MOST_RESULT_CHARACTERS} more characters"
        return outcome, fenced(text, f"{wanted.name} ({outcome})")

    async def _use(self, wanted: ToolCall, part: str, place: int) -> Any:
        try:
            tool = self._tool(wanted.name, place)
            arguments = checked_arguments(tool, wanted.arguments)
            noted, work = self._prepared(tool, arguments, part)
            if tool.policy == "ask":
                await self._agreed(tool, arguments, part)
        except ToolRefusedError as refused:
            return await self._note(part, REFUSED, str(refused))
        try:
            return await self.call.once(self.index, noted, work)
        except NodeError as error:
            if error.transient:
                raise
            return await self._note(part, FAILED, error.message)
        except JobsprintError as error:
            return await self._note(part, FAILED, error.message)

    def _tool(self, name: str, place: int) -> ToolParameters:
        """The tool, if the model may use it.

        Raises:
            ToolRefusedError: it may not.
        """
        tool = self.tools.get(name)
        if tool is None or tool.policy == "deny":
            raise ToolRefusedError("There is no such tool.")
        if place >= MOST_CALLS:
            raise ToolRefusedError(f"An answer may have {MOST_CALLS} calls at most.")
        return tool

    async def _note(self, part: str, outcome: str, result: str) -> Any:
        async def say() -> JsonObject:
            return {"outcome": outcome, "result": result}

        return await self.call.once(self.index, Step(name=part, kind="tool"), say)

    async def _agreed(self, tool: ToolParameters, arguments: JsonObject, part: str) -> None:
        """Return when a person has allowed the call.

        Raises:
            SuspendError: nobody has decided yet.
            ToolRefusedError: a person has refused.
        """
        asking = f"{part} decision"
        decision = await self.call.once(
            self.index, Step(name=asking, kind="approval"), lambda: self._decision(tool, arguments, asking)
        )
        if decision["choice"] != ALLOW:
            comment = f" {decision['comment']}" if decision["comment"] else ""
            raise ToolRefusedError(f"A person has refused this call.{comment}")

    async def _decision(self, tool: ToolParameters, arguments: JsonObject, asking: str) -> JsonObject:
        waits, resumption = self.call.suspension(self.index), self.call.resumption(self.index)
        if waits is None or waits.kind != "approval" or waits.details.get("part") != asking:
            shown = orjson.dumps(redacted(arguments), option=orjson.OPT_INDENT_2).decode()[:MOST_SHOWN_CHARACTERS]
            details = {
                "question": f"May the model in node {self.call.node} call {tool.name}? {tool.description}\n\n{shown}",
                "choices": [ALLOW, REFUSE],
                "resume_url": self.call.resume_url(self.index),
                "tool": tool.name,
                "arguments": arguments,
                "part": asking,
            }
            raise SuspendError("approval", details=details)
        if resumption is None:
            raise SuspendError("approval", details=waits.details)
        data = resumption.data if isinstance(resumption.data, dict) else {"choice": resumption.data}
        return {"choice": data.get("choice"), "comment": data.get("comment"), "by": resumption.by}

    def _prepared(self, tool: ToolParameters, arguments: JsonObject, part: str) -> tuple[Step, Work]:
        """The step of the call and its work; nothing has happened yet.

        Raises:
            ToolRefusedError: the arguments would lead to another address than the definition allows, or do not fit.
        """
        if tool.connection is not None:
            # The action's own step has the target, for the audit log.
            return Step(name=part, kind="tool"), lambda: self._action(tool, arguments, part)
        if tool.workflow_id is not None:
            workflow_id = tool.workflow_id
            return Step(name=part, kind="execute_workflow"), lambda: self._workflow(workflow_id, arguments, part)
        kind = NODE_TOOLS[tool.node or ""]
        parameters = filled_in(tool, self._raw(tool.name), arguments)
        noted = Step(
            name=part,
            kind=kind.name,
            target=kind.target(parameters),
            credential=kind.credential_of(tool.parameters),
        )
        return noted, lambda: self._node(kind, parameters, arguments, part)

    async def _node(self, kind: EffectNode[Any], parameters: Any, arguments: JsonObject, part: str) -> JsonObject:
        call = cast("NodeCall[Any]", _PartCall(self.call, part))
        return {"outcome": DONE, "result": await kind.run_item(self.index, Item(arguments), parameters, call)}

    async def _action(self, tool: ToolParameters, arguments: JsonObject, part: str) -> JsonObject:
        way = Way(
            name=f"{part} action",
            kind="ai_agent",
            connection=tool.connection or "",
            action=tool.action or "",
            arguments=arguments,
            instructions=None,
            timeout_seconds=ACTION_SECONDS,
            digest=None,
            on_doubt="ask",
        )
        try:
            result = await ActionRun(self.call, self.index, way).result()
        except SettledError as settled:
            result = settled.result
        except ActionError as error:
            raise NodeError(error.message, code=error.code, transient=error.transient, fix=error.fix) from error
        return {"outcome": DONE, "result": result}

    async def _workflow(self, workflow_id: str, arguments: JsonObject, part: str) -> JsonObject:
        child = await self.call.start_child(self.index, workflow_id, arguments, wait=True, step=part)
        if child.state in (ExecutionState.QUEUED, ExecutionState.RUNNING, ExecutionState.WAITING):
            raise SuspendError("child", recheck_seconds=RECHECK_SECONDS, details={"execution_id": child.id})
        if child.state is ExecutionState.SUCCEEDED:
            return {"outcome": DONE, "result": child.output}
        reason = child.error.message if child.error is not None else child.state.value
        return {"outcome": FAILED, "result": {"execution_id": child.id, "error": reason}}

    def _raw(self, name: str) -> Any:
        """The tool's parameters as the definition writes them."""
        written = self.call.raw.get("tools")
        found = [each for each in written if each.get("name") == name] if isinstance(written, list) else []
        return found[0].get("parameters", {}) if found else {}


class _PartCall:
    """The node's call as a tool's node type gets it: each tool call has an idempotency key of its own."""

    def __init__(self, call: NodeCall[Any], part: str) -> None:
        self._call = call
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def effect_key(self, item_index: int) -> str:
        """The idempotency key of this tool call."""
        return f"{self._call.effect_key(item_index)}:{self._part.replace(' ', '-')}"
