"""The REST API: the same services as the tools, for programs without MCP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.definitions.authoring import Authoring, Saved
from engine.executions.control import Control
from engine.executions.intake import ExecutionRequests
from engine.executions.reader import ExecutionReader
from engine.executions.tries import Tries
from engine.runs.submission import Submission
from server.http.access import GuardedRoute, actor_of
from server.http.json import (
    PageQuery,
    definition_in,
    expected_version,
    idempotency_key,
    json_response,
    large_json_response,
    optional_json,
    query_in,
    validated,
)
from tools.executions.tries import tried_summary
from tools.executions.views import execution_summary, node_run_summary, overview
from tools.protocol.moments import Moment
from tools.workflows.authoring import workflow_header
from tools.workflows.reading import summary_content
from workflow.definitions.operations import parse_operations
from workflow.errors import InvalidArgumentsError
from workflow.execution_figures import ExecutionFilter
from workflow.executions import Priority
from workflow.identity import READS_EXECUTIONS, READS_WORKFLOWS, RUNS, WRITES_WORKFLOWS
from workflow.states import ExecutionState


class ExecuteBody(BaseModel):
    """Body of ``POST /api/workflows/{id}/execute``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: dict[str, Any] | list[dict[str, Any]] | None = None
    version: int | Literal["published"] | None = None
    trigger: str | None = None
    wait_seconds: float = Field(default=0, ge=0, le=50)
    mode: Literal["live", "test"] = "live"
    pins: dict[str, list[dict[str, Any]]] | None = None
    priority: Priority | None = None


class TryBody(BaseModel):
    """Body of ``POST /api/executions``: a definition that runs once, for ``wait_seconds`` at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    definition: dict[str, Any]
    input: dict[str, Any] | list[dict[str, Any]] | None = None
    trigger: str | None = None
    wait_seconds: float = Field(default=20, ge=0, le=50)
    mode: Literal["live", "test"] = "live"
    pins: dict[str, list[dict[str, Any]]] | None = None


class ResumeBody(BaseModel):
    """Body of ``POST /api/executions/{id}/resume``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str | None = None
    item: int | None = Field(default=None, ge=0)
    data: Any = None


class RerunBody(BaseModel):
    """Body of ``POST /api/executions/{id}/rerun``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node: str | None = None
    version: Literal["original", "current"] = "original"


class CreateQuery(BaseModel):
    """Query of ``POST /api/workflows``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    publish: bool = False


class WorkflowsQuery(PageQuery):
    """Query of ``GET /api/workflows``; ``deleted`` lists the workflows that can be restored."""

    deleted: bool = False


class VersionQuery(BaseModel):
    """Query of ``GET /api/workflows/{id}``; by default the current version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int | Literal["published"] | None = None


class ExecutionsQuery(PageQuery):
    """Query of ``GET /api/executions``."""

    workflow_id: str | None = None
    status: ExecutionState | None = None
    created_after: Moment | None = Field(default=None, description="ISO 8601; without an offset it is in UTC.")


@dataclass(slots=True, frozen=True)
class RestApi:
    """Routes under ``/api``."""

    authoring: Authoring
    requests: ExecutionRequests
    reader: ExecutionReader
    control: Control
    tries: Tries

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        workflow, execution = "/api/workflows/{workflow_id}", "/api/executions/{execution_id}"
        reads, writes, inspects = READS_WORKFLOWS, WRITES_WORKFLOWS, READS_EXECUTIONS
        return [
            GuardedRoute("/api/workflows", self.create_workflow, methods=["POST"], scopes=writes),
            GuardedRoute("/api/workflows", self.list_workflows, methods=["GET"], scopes=reads),
            GuardedRoute(workflow, self.get_workflow, methods=["GET"], scopes=reads),
            GuardedRoute(workflow, self.replace_workflow, methods=["PUT"], scopes=writes),
            GuardedRoute(workflow, self.change_workflow, methods=["PATCH"], scopes=writes),
            GuardedRoute(workflow, self.delete_workflow, methods=["DELETE"], scopes=writes),
            GuardedRoute(f"{workflow}/execute", self.execute_workflow, methods=["POST"], scopes=RUNS),
            GuardedRoute("/api/executions", self.list_executions, methods=["GET"], scopes=inspects),
            GuardedRoute("/api/executions", self.try_definition, methods=["POST"], scopes=RUNS | WRITES_WORKFLOWS),
            GuardedRoute(execution, self.get_execution, methods=["GET"], scopes=inspects),
            GuardedRoute(f"{execution}/cancel", self.cancel_execution, methods=["POST"], scopes=RUNS),
            GuardedRoute(f"{execution}/resume", self.resume_execution, methods=["POST"], scopes=RUNS),
            GuardedRoute(f"{execution}/redrive", self.redrive_execution, methods=["POST"], scopes=RUNS),
            GuardedRoute(f"{execution}/retry", self.retry_execution, methods=["POST"], scopes=RUNS),
            GuardedRoute(f"{execution}/rerun", self.rerun_execution, methods=["POST"], scopes=RUNS),
        ]

    async def create_workflow(self, request: Request) -> Response:
        """Store a definition as a draft, or published with ``?publish=true``: 201 with the workflow."""
        query = query_in(request, CreateQuery)
        saved = await self.authoring.create(actor_of(request), await definition_in(request), publish=query.publish)
        location = f"/api/workflows/{saved.workflow.id}"
        return await large_json_response(saved_content(saved), 201, {"location": location})

    async def list_workflows(self, request: Request) -> Response:
        """A page of workflows."""
        query = query_in(request, WorkflowsQuery)
        page = await self.authoring.workflows.page(
            actor_of(request).workspace_id,
            text=query.text,
            limit=query.limit,
            cursor=query.cursor,
            deleted=query.deleted,
        )
        latest = await self.reader.latest(actor_of(request).workspace_id, [each.id for each in page.items])
        listed = [summary_content(each, latest.get(each.id)) for each in page.items]
        return json_response({"workflows": listed, "next_cursor": page.next_cursor})

    async def get_workflow(self, request: Request) -> Response:
        """The current version, or ``?version=n``, or ``?version=published``."""
        query = query_in(request, VersionQuery)
        owner = actor_of(request).workspace_id
        stored = await self.authoring.version(owner, request.path_params["workflow_id"], query.version)
        return await large_json_response(
            {**workflow_header(stored), "definition": stored.definition.to_json()},
            headers={"etag": f'"{stored.version}"'},
        )

    async def replace_workflow(self, request: Request) -> Response:
        """Store the next version. ``If-Match: "n"`` refuses where the current one is not ``n``."""
        saved = await self.authoring.replace(
            actor_of(request),
            request.path_params["workflow_id"],
            await definition_in(request),
            expected_version=expected_version(request),
        )
        return await large_json_response(saved_content(saved))

    async def change_workflow(self, request: Request) -> Response:
        """Store the next version, made by ``{"operations": […]}``, a JSON Patch or a JSON Merge Patch.

        An array is a JSON Patch (RFC 6902), any other object a merge patch (RFC 7396). ``If-Match`` as for PUT.
        """
        actor, workflow_id = actor_of(request), request.path_params["workflow_id"]
        expected = expected_version(request)
        changes = await definition_in(request)
        if isinstance(changes, list):
            changes = {"operations": [{"op": "patch", "patch": changes}]}
        if not isinstance(changes, dict):
            raise InvalidArgumentsError(
                "The body is neither an object nor an array.",
                pointer="",
                fix='Send {"operations": […]}, a JSON Patch, or the members of the definition that change.',
            )
        if changes.keys() == {"operations"} and isinstance(changes["operations"], list):
            operations = parse_operations(changes["operations"])
            saved = await self.authoring.change(actor, workflow_id, operations, expected_version=expected)
        else:
            saved = await self.authoring.merge(actor, workflow_id, changes, expected_version=expected)
        return await large_json_response(saved_content(saved))

    async def delete_workflow(self, request: Request) -> Response:
        """204 when it is deleted; it can be restored for a while."""
        await self.authoring.delete(actor_of(request), request.path_params["workflow_id"])
        return Response(status_code=204)

    async def execute_workflow(self, request: Request) -> Response:
        """202 with the execution; 200 if it ended within ``wait_seconds``."""
        body = validated(ExecuteBody, await optional_json(request))
        actor, workflow_id = actor_of(request), request.path_params["workflow_id"]
        owner = actor.workspace_id
        plan = self.authoring.compiled(await self.authoring.version(owner, workflow_id, body.version))
        submission = Submission(
            trigger="manual",
            initiator=actor.initiator,
            start_node=body.trigger,
            data=body.input,
            mode=body.mode,
            pins=body.pins,
            priority=body.priority,
        )
        key = idempotency_key(request)
        execution_id, is_repeated = await self.requests.request(plan, submission, key=key)
        await self.reader.wait(owner, execution_id, timeout_seconds=body.wait_seconds)
        execution = await self.reader.get(owner, execution_id)
        content = execution_summary(execution)
        if is_repeated:
            content["repeated"] = True
        if execution.output is not None:
            content["output"] = execution.output
        status = 200 if body.wait_seconds and not execution.is_active else 202
        return await large_json_response(content, status, {"location": f"/api/executions/{execution.id}"})

    async def try_definition(self, request: Request) -> Response:
        """200 with what a definition came to that ran once and is stored nowhere."""
        body, actor = validated(TryBody, await definition_in(request)), actor_of(request)
        submission = Submission(
            trigger="manual",
            initiator=actor.initiator,
            start_node=body.trigger,
            data=body.input,
            mode=body.mode,
            pins=body.pins,
        )
        tried = await self.tries.run(actor, body.definition, submission, seconds=body.wait_seconds)
        content = {**tried_summary(tried), "nodes": [node_run_summary(run) for run in tried.inspection.node_runs]}
        output = tried.inspection.execution.output
        return await large_json_response(content if output is None else {**content, "output": output})

    async def list_executions(self, request: Request) -> Response:
        """A page of executions."""
        query = query_in(request, ExecutionsQuery)
        where = ExecutionFilter(
            owner=actor_of(request).workspace_id,
            workflow_id=query.workflow_id,
            state=query.status,
            text=query.text,
            created_after=query.created_after,
        )
        page = await self.reader.page(where, limit=query.limit, cursor=query.cursor)
        listed = [execution_summary(each) for each in page.items]
        return json_response({"executions": listed, "next_cursor": page.next_cursor})

    async def get_execution(self, request: Request) -> Response:
        """The execution, its input, output and node runs."""
        actor = actor_of(request)
        inspection = await self.reader.inspect(actor.workspace_id, request.path_params["execution_id"])
        content = execution_summary(inspection.execution)
        return await large_json_response(
            {**content, "input": inspection.execution.input, **overview(inspection, actor)}
        )

    async def cancel_execution(self, request: Request) -> Response:
        """The execution, cancelled."""
        execution = await self.control.cancel(actor_of(request), request.path_params["execution_id"])
        return json_response(execution_summary(execution))

    async def resume_execution(self, request: Request) -> Response:
        """The execution, resumed with the answer in the body."""
        body = validated(ResumeBody, await optional_json(request))
        execution = await self.control.resume(
            actor_of(request),
            request.path_params["execution_id"],
            node=body.node,
            item=body.item,
            data=body.data,
            by="rest",
        )
        return json_response(execution_summary(execution))

    async def redrive_execution(self, request: Request) -> Response:
        """202 with the dead letter, queued again."""
        local = await self.control.redrive(actor_of(request), request.path_params["execution_id"])
        return json_response(execution_summary(local.execution), 202)

    async def retry_execution(self, request: Request) -> Response:
        """202 with the dead letter, queued again, or with a new execution that starts where this one failed."""
        execution = await self.control.retry(actor_of(request), request.path_params["execution_id"])
        location = f"/api/executions/{execution.id}"
        return json_response(execution_summary(execution), 202, {"location": location})

    async def rerun_execution(self, request: Request) -> Response:
        """202 with a new execution that starts at a node of an old one."""
        body = validated(RerunBody, await optional_json(request))
        local = await self.control.rerun(
            actor_of(request),
            request.path_params["execution_id"],
            from_node=body.node,
            as_it_is_now=body.version == "current",
        )
        location = f"/api/executions/{local.execution.id}"
        return json_response(execution_summary(local.execution), 202, {"location": location})


def saved_content(saved: Saved) -> dict[str, Any]:
    """A stored version with its definition and warnings."""
    content = {**workflow_header(saved.workflow), "definition": saved.workflow.definition.to_json()}
    if saved.warnings:
        content["warnings"] = [finding.to_json() for finding in saved.warnings]
    return content
