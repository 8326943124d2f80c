"""Nodes that run other workflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from engine.node_api.node_call import NodeCall
from engine.node_api.node_type import EffectNode, SuspendError
from engine.node_api.parameters import Parameters
from workflow.errors import NodeError
from workflow.executions import Execution
from workflow.items import Item, JsonObject
from workflow.states import ExecutionState

RECHECK_SECONDS = 60.0
"""How often a parent reads the state of its child: a crash may lose the event of the child's end."""


class SubWorkflowParameters(Parameters):
    """Which workflow, its input, and whether to wait for its end."""

    workflow_id: str = Field(min_length=1, description="Id of the workflow to run.")
    input: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="Its input; without it the item."
    )
    wait: bool = Field(default=True, description="false goes on at once with {execution_id}.")
    on_failure: Literal["fail", "continue"] = Field(
        default="fail", description="Whether the item fails when the other workflow fails."
    )


class ForEachParameters(SubWorkflowParameters):
    """Those of execute_workflow, and how many run at once."""

    concurrency: int = Field(default=5, ge=1, le=100, description="How many run at once.")


class ExecuteWorkflow(EffectNode[SubWorkflowParameters]):
    """Runs another workflow once for each item, one after the other, and gives {execution_id, status, output}.

    Its published version runs, or its draft where none is published. It is started once for each item, even after a
    crash, and an item that waits for it uses no memory.
    """

    name = "execute_workflow"
    title = "Run a workflow"
    group = "flow"
    keywords: ClassVar[tuple[str, ...]] = ("sub-workflow", "call", "child", "subroutine", "nested")
    example = {"workflow_id": "0198c0de-0000-7000-8000-000000000000", "input": {"order": "={{ $json.id }}"}}
    parameter_model: type[Any] = SubWorkflowParameters
    is_mocked_in_tests = False  # the other workflow runs in test mode too
    unfit_for_try = "what it starts is stored, and needs a stored execution that waits for it"

    def outside_source(self, parameters: Mapping[str, Any]) -> str:
        return f"workflow {parameters.get('workflow_id', '')}"

    async def run_item(
        self, index: int, item: Item, parameters: SubWorkflowParameters, call: NodeCall[Any]
    ) -> JsonObject:
        data = parameters.input if "input" in parameters.model_fields_set else item.json
        child = await call.start_child(index, parameters.workflow_id, data, wait=parameters.wait)
        if not parameters.wait:
            return {"execution_id": child.id}
        if child.state in (ExecutionState.QUEUED, ExecutionState.RUNNING, ExecutionState.WAITING):
            details = {"execution_id": child.id}
            raise SuspendError("child", recheck_seconds=RECHECK_SECONDS, details=details)
        return _result(child, parameters.on_failure)


class ForEach(ExecuteWorkflow):
    """Runs another workflow for each item, several at once, and gives their results in the items' order."""

    name = "for_each"
    title = "For each item"
    keywords = ("loop", "map", "parallel", "iterate", "fan out", "batch")
    example = {"workflow_id": "0198c0de-0000-7000-8000-000000000000", "concurrency": 10}
    parameter_model = ForEachParameters

    def concurrency(self, parameters: Any) -> int:
        return int(parameters.concurrency)


def _result(child: Execution, on_failure: str) -> JsonObject:
    result: JsonObject = {"execution_id": child.id, "status": child.state.value}
    if child.state is ExecutionState.SUCCEEDED:
        return {**result, "output": child.output}
    if on_failure == "continue":
        return {**result, "error": child.error.to_json() if child.error is not None else None}
    reason = f": {child.error.message}" if child.error is not None else ""
    raise NodeError(
        f"The workflow {child.workflow_name!r} {child.state.value}{reason}",
        code="sub_workflow_failed",
        fix=f"Look at execution {child.id}, or set on_failure to continue.",
    )
