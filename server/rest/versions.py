"""REST routes for a workflow's versions: listed, compared, published, restored; and for its deletion undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.definitions.authoring import Authoring
from engine.definitions.publishing import Publishing
from server.http.access import GuardedRoute, actor_of
from server.http.json import expected_version, json_response, optional_json, query_in, validated
from server.rest.workflows_and_executions import saved_content
from tools.workflows.authoring import workflow_header
from tools.workflows.publishing import ToolOffer, published_content
from tools.workflows.reading import difference_content, versions_content
from workflow.identity import READS_WORKFLOWS, WRITES_WORKFLOWS


class PublishBody(BaseModel):
    """Body of ``POST /api/workflows/{id}/publish``; by default the current version is published, and no tool made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int | None = Field(default=None, ge=1)
    tool: ToolOffer | None = None


class VersionsQuery(BaseModel):
    """Query of ``GET /api/workflows/{id}/versions``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


class DifferenceQuery(BaseModel):
    """Query of ``GET /api/workflows/{id}/difference``; by default the current version and the one before it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_version: int | None = Field(default=None, ge=1)
    version: int | Literal["published"] | None = None


@dataclass(slots=True, frozen=True)
class Publications:
    """Routes under ``/api/workflows/{workflow_id}/``."""

    authoring: Authoring
    publishing: Publishing

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        one, reads, writes = "/api/workflows/{workflow_id}", READS_WORKFLOWS, WRITES_WORKFLOWS
        return [
            GuardedRoute(f"{one}/restore", self.restore, methods=["POST"], scopes=writes),
            GuardedRoute(f"{one}/versions", self.list_versions, methods=["GET"], scopes=reads),
            GuardedRoute(f"{one}/versions/{{version}}/restore", self.restore_version, methods=["POST"], scopes=writes),
            GuardedRoute(f"{one}/difference", self.compare, methods=["GET"], scopes=reads),
            GuardedRoute(f"{one}/publish", self.publish, methods=["POST"], scopes=writes),
            GuardedRoute(f"{one}/unpublish", self.unpublish, methods=["POST"], scopes=writes),
            GuardedRoute(f"{one}/tool", self.withdraw_tool, methods=["DELETE"], scopes=writes),
        ]

    async def restore(self, request: Request) -> Response:
        """Bring a deleted workflow back, as a draft."""
        return json_response(
            workflow_header(await self.authoring.restore(actor_of(request), request.path_params["workflow_id"]))
        )

    async def list_versions(self, request: Request) -> Response:
        """A page of versions with what changed in each, newest first."""
        query, workflow_id = query_in(request, VersionsQuery), request.path_params["workflow_id"]
        owner = actor_of(request).workspace_id
        current = await self.authoring.workflows.get(owner, workflow_id)
        page = await self.authoring.workflows.versions(owner, workflow_id, limit=query.limit, cursor=query.cursor)
        return json_response({**versions_content(page, current), "next_cursor": page.next_cursor})

    async def restore_version(self, request: Request) -> Response:
        """Store an old version again as the next one, the draft. ``If-Match`` as for PUT."""
        version = validated(_VersionInPath, {"version": request.path_params["version"]}).version
        saved = await self.authoring.restore_version(
            actor_of(request), request.path_params["workflow_id"], version, expected_version=expected_version(request)
        )
        return json_response(saved_content(saved))

    async def compare(self, request: Request) -> Response:
        """How a version differs from another: in lines, and as a JSON Patch."""
        query = query_in(request, DifferenceQuery)
        base, version, found = await self.authoring.compare(
            actor_of(request).workspace_id, request.path_params["workflow_id"], query.base_version, query.version
        )
        return json_response({"version": version, **difference_content(base, found)})

    async def publish(self, request: Request) -> Response:
        """Publish a version, and offer it as a tool if asked; an older version rolls back."""
        actor, body = actor_of(request), validated(PublishBody, await optional_json(request))
        exposure = body.tool.exposure(actor.workspace_id) if body.tool is not None else None
        published = await self.publishing.publish(
            actor, request.path_params["workflow_id"], version=body.version, exposure=exposure
        )
        return json_response(published_content(published, exposure, self.publishing))

    async def unpublish(self, request: Request) -> Response:
        """Unpublish a workflow."""
        actor, workflow_id = actor_of(request), request.path_params["workflow_id"]
        await self.publishing.unpublish(actor, workflow_id)
        return json_response(workflow_header(await self.authoring.version(actor.workspace_id, workflow_id, None)))

    async def withdraw_tool(self, request: Request) -> Response:
        """Stop offering a workflow as a tool; it stays published."""
        await self.publishing.withdraw_tool(actor_of(request), request.path_params["workflow_id"])
        return Response(status_code=204)


class _VersionInPath(BaseModel):
    version: int = Field(ge=1)
