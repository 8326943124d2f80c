"""Tools that the conformance suite calls to try the tasks extension; listed with ``--conformance-fixtures`` only.

Each is a real workflow, run as every other is.
"""

from __future__ import annotations

import asyncio
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import Field

from engine.definitions.authoring import Authoring
from engine.executions.intake import ExecutionRequests
from engine.runs.submission import Submission
from tools.executions.runs import EXECUTION_FORM, Form, Runs
from tools.executions.tasks import tasks_needed
from tools.protocol.caller import Caller, Elicitation
from tools.protocol.tool import READ_ONLY, Answer, Arguments, Pending, Tool, object_schema
from workflow.errors import NodeError
from workflow.executions import Execution
from workflow.identity import RUNS, Actor
from workflow.items import JsonObject

START = {"type": "manual"}
CONFIRM = {"type": "approval", "parameters": {"question": "=Delete {{ $json.filename }}?", "choices": ["confirm"]}}
FAIL = {"type": "stop_and_error", "parameters": {"message": "This job always fails."}}


def _wait(seconds: Any) -> JsonObject:
    return {"type": "wait", "parameters": {"seconds": seconds}}


NODES: dict[str, JsonObject] = {
    "slow_compute": {"start": START, "compute": _wait("={{ $json.seconds }}")},
    "failing_job": {"start": START, "work": _wait(1), "fail": FAIL},
    "protocol_error_job": {"start": START, "fail": FAIL},
    "confirm_delete": {"start": START, "confirm": CONFIRM},
    "multi_input": {"start": START, "confirm": CONFIRM},
    "test_tool_with_task": {"start": START, "greet": {"type": "no_op"}},
}
"""The workflows' nodes, each connected to the next."""

NAME = Elicitation(
    key="user_name",
    message="What is your name?",
    form={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)


def forms(answer: Form) -> dict[str, Form]:
    """Answers that the suite wants to see: a failed run as a result that is an error, and as an error of the protocol.

    ``answer`` makes all others.
    """

    async def failed_result(execution: Execution) -> Answer:
        if execution.error is not None:
            raise NodeError(execution.error.message, code=execution.error.code, fix="Nothing: it is there to fail.")
        return await answer(execution)

    async def failed_call(execution: Execution) -> Answer:
        if execution.error is not None:
            raise MCPError(types.INTERNAL_ERROR, execution.error.message)
        return await answer(execution)

    return {"failed_result": failed_result, "failed_call": failed_call}


class SlowCompute(Arguments):
    """How long to take."""

    seconds: float = Field(ge=0, le=3600)
    label: str = ""


class ConfirmDelete(Arguments):
    """What to ask about."""

    filename: str


class NoArguments(Arguments):
    """Nothing."""


class ConformanceTasks:
    """The tools' work. Their workflows are made when they are first called."""

    def __init__(self, *, authoring: Authoring, requests: ExecutionRequests, runs: Runs) -> None:
        self._authoring = authoring
        self._requests = requests
        self._runs = runs
        self._making = asyncio.Lock()

    def tools(self) -> list[Tool[Any]]:
        """The tools."""
        return [
            _tool("slow_compute", SlowCompute, self._slow_compute),
            _tool("failing_job", NoArguments, self._failing_job),
            _tool("protocol_error_job", NoArguments, self._protocol_error_job),
            _tool("confirm_delete", ConfirmDelete, self._confirm_delete),
            _tool("multi_input", NoArguments, self._multi_input),
            _tool("test_tool_with_task", NoArguments, self._test_tool_with_task),
        ]

    async def _slow_compute(self, arguments: SlowCompute, caller: Caller) -> Answer | Pending:
        return await self._run("slow_compute", arguments.model_dump(), caller)

    async def _failing_job(self, arguments: NoArguments, caller: Caller) -> Answer | Pending:
        if not caller.takes_tasks:
            raise tasks_needed()
        return await self._run("failing_job", {}, caller, form="failed_result")

    async def _protocol_error_job(self, arguments: NoArguments, caller: Caller) -> Answer | Pending:
        return await self._run("protocol_error_job", {}, caller, form="failed_call")

    async def _confirm_delete(self, arguments: ConfirmDelete, caller: Caller) -> Answer | Pending:
        return await self._run("confirm_delete", arguments.model_dump(), caller)

    async def _multi_input(self, arguments: NoArguments, caller: Caller) -> Answer | Pending:
        return await self._run("multi_input", [{"filename": "one.txt"}, {"filename": "two.txt"}], caller)

    async def _test_tool_with_task(self, arguments: NoArguments, caller: Caller) -> Answer | Pending:
        if not caller.takes_tasks:
            raise tasks_needed()
        name = (await caller.ask([NAME]))[NAME.key]
        return await self._run("test_tool_with_task", name, caller)

    async def _run(self, workflow: str, data: Any, caller: Caller, *, form: str = EXECUTION_FORM) -> Answer | Pending:
        actor = caller.actor
        stored = await self._authoring.workflows.get(actor.workspace_id, await self._workflow_id(workflow, actor))
        submission = Submission(trigger="manual", initiator=actor.initiator, data=data, answer_form=form)
        execution_id = caller.goes_on_with or await self._requests.execute(self._authoring.compiled(stored), submission)
        return await self._runs.outcome(execution_id, wait_seconds=20, caller=caller)

    async def _workflow_id(self, name: str, actor: Actor) -> str:
        full_name, nodes = f"conformance: {name}", NODES[name]
        async with self._making:
            found = await self._authoring.workflows.page(actor.workspace_id, text=full_name, limit=100, cursor=None)
            for each in found.items:
                if each.name == full_name:
                    return each.id
            connections = [list(pair) for pair in zip(list(nodes), list(nodes)[1:], strict=False)]
            definition = {"name": full_name, "nodes": nodes, "connections": connections}
            return (await self._authoring.create(actor, definition)).workflow.id


def _tool(name: str, arguments: type[Any], handler: Any) -> Tool[Any]:
    return Tool(
        name=name,
        title=name,
        description=f"The conformance suite's {name}.",
        arguments=arguments,
        annotations=READ_ONLY,
        output_schema=object_schema({}),
        handler=handler,
        scopes=RUNS,
    )
