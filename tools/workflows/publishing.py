"""The tool that puts versions of workflows into use, and offers them as tools."""

from __future__ import annotations

from typing import Any, Literal

import mcp_types as types
from pydantic import Field

from engine.definitions.authoring import Authoring
from engine.definitions.publishing import Publishing
from engine.schedules.schedules import Schedules
from tools.protocol.caller import Caller
from tools.protocol.tool import AUTHORING, Answer, Arguments, Tool, object_schema
from tools.workflows.authoring import changes_content, workflow_header
from tools.workflows.starting import what_starts_it
from workflow.definitions.publication import TOOL_NAME_PATTERN, Exposure
from workflow.errors import InvalidArgumentsError
from workflow.identity import WRITES_WORKFLOWS
from workflow.ports import StoredWorkflow


class ToolOffer(Arguments):
    """How a workflow is offered as a tool; REST takes the same."""

    name: str = Field(pattern=TOOL_NAME_PATTERN)
    description: str = Field(min_length=1, max_length=1_000, description="What it does and when to use it.")
    input_schema: dict[str, Any] | None = Field(
        default=None, description="Of its arguments; default: the manual trigger's."
    )
    prompt: bool = Field(default=False, description="Be an MCP prompt too.")
    bound: dict[str, Any] = Field(default={}, description="Arguments that you fix, unseen by callers.")

    def exposure(self, owner: str) -> Exposure:
        """The offer as the engine keeps it."""
        return Exposure(
            owner=owner,
            name=self.name,
            description=self.description,
            input_schema=self.input_schema,
            as_prompt=self.prompt,
            bound=self.bound,
        )


class PublishWorkflow(Arguments):
    workflow_id: str
    action: Literal["publish", "unpublish", "withdraw_tool", "pause", "resume"] = Field(
        default="publish",
        description="unpublish takes it out of use; withdraw_tool leaves it published, but no tool; pause, resume: its "
        "schedules.",
    )
    version: int | None = Field(default=None, ge=1, description="An older one rolls back.")
    tool: ToolOffer | None = Field(
        default=None, description="Make it a tool of its own, its arguments the input; stays so in later versions."
    )


class PublishingTools:
    """The tool's work, over the :class:`~engine.definitions.publishing.Publishing` that REST uses too."""

    def __init__(self, authoring: Authoring, publishing: Publishing, schedules: Schedules, *, base_url: str) -> None:
        self._authoring = authoring
        self._schedules = schedules
        self._publishing = publishing
        self._base_url = base_url

    def tools(self) -> list[Tool[Any]]:
        """The one tool."""
        return [
            Tool(
                name="publish_workflow",
                title="Publish a workflow",
                description="Put a version into use: its webhooks listen, other workflows run it, and with tool it "
                "is a tool of its own.",
                arguments=PublishWorkflow,
                annotations=types.ToolAnnotations(
                    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True
                ),
                output_schema=object_schema({"workflow_id": "string", "status": "string"}),
                handler=self.publish_workflow,
                scopes=WRITES_WORKFLOWS,
                toolsets=AUTHORING,
            )
        ]

    async def publish_workflow(self, arguments: PublishWorkflow, caller: Caller) -> Answer:
        """Do what the action says."""
        offer = arguments.tool
        if arguments.action != "publish" and (offer is not None or arguments.version is not None):
            raise InvalidArgumentsError(
                f"{arguments.action} takes neither version nor tool.",
                pointer="/tool" if offer is not None else "/version",
                fix="Leave it out, or set action to publish.",
            )
        workflow_id = await self._authoring.id_of(caller.actor.workspace_id, arguments.workflow_id)
        match arguments.action:
            case "unpublish":
                await self._publishing.unpublish(caller.actor, workflow_id)
                return Answer({"workflow_id": workflow_id, "status": "draft"})
            case "pause":
                paused = await self._schedules.pause_all(caller.actor, workflow_id)
                return Answer({"workflow_id": workflow_id, "status": "published", "schedules": paused})
            case "resume":
                resumed = await self._schedules.resume_all(caller.actor, workflow_id)
                return Answer({"workflow_id": workflow_id, "status": "published", "schedules": resumed})
            case "withdraw_tool":
                await self._publishing.withdraw_tool(caller.actor, workflow_id)
                return Answer({"workflow_id": workflow_id, "status": "published"})
        owner = caller.actor.workspace_id
        exposure = offer.exposure(owner) if offer is not None else None
        before = (await self._authoring.workflows.get(owner, workflow_id)).published_version
        published = await self._publishing.publish(
            caller.actor, workflow_id, version=arguments.version, exposure=exposure
        )
        content = published_content(published, exposure, self._publishing)
        if before is not None and before != published.version:
            _, _, found = await self._authoring.compare(owner, workflow_id, before, published.version)
            content |= {"before": before, **changes_content(found)}
        return Answer({**content, **what_starts_it(published, exposure, self._base_url)})


def published_content(published: StoredWorkflow, exposure: Exposure | None, publishing: Publishing) -> dict[str, Any]:
    """A version that has just been published: where it listens, when it fires, and the tool that it has
    become."""
    content = workflow_header(published)
    paths = publishing.webhook_paths(published.definition)
    if paths:
        content["webhooks"] = [f"/webhooks/{path}" for path in paths]
    firings = publishing.firings(published.definition)
    if firings:
        content["schedules"] = firings
    if exposure is not None:
        content["tool"] = exposure.name
        if exposure.bound:
            content["bound"] = exposure.bound
    return content
