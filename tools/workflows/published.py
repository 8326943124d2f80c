"""Published workflows as tools and prompts of their own: one list per workspace, made again when it has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import orjson

from engine.definitions.publishing import Publishing, manual_trigger, offered_schema
from tools.executions.app import TOOL_META
from tools.protocol.arguments import without_unfit_blanks
from tools.protocol.caller import Caller
from tools.protocol.prompts import Prompt, PromptArgument
from tools.protocol.tool import RUNNING, Pending, Tool, Toolset, failure
from workflow.definitions.publication import Exposure
from workflow.errors import InvalidArgumentsError
from workflow.findings import pointer
from workflow.identity import RUNS, Actor, Scopes
from workflow.ports import StoredWorkflow
from workflow.schemas.provider_forms import ProviderForm
from workflow.schemas.schemas import InputSchema


@dataclass(slots=True, frozen=True, kw_only=True)
class PublishedTool:
    """A workflow as a tool: a call runs its published version, and is answered as ``execute_workflow`` does."""

    listed: types.Tool
    schema: InputSchema
    form: ProviderForm
    exposure: Exposure
    workflow: StoredWorkflow
    execute: Tool[Any]
    toolsets: frozenset[Toolset] = RUNNING
    scopes: Scopes = RUNS

    @property
    def name(self) -> str:
        """The tool's name, unique among its owner's."""
        return self.exposure.name

    def listed_for(self, *, has_apps: bool) -> types.Tool:
        """The tool as a client sees it that can show apps, or cannot."""
        return self.listed.model_copy(update={"meta": TOOL_META}) if has_apps else self.listed

    def as_execution(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the ``execute_workflow`` that a call comes to.

        Raises:
            InvalidArgumentsError: they do not fit the input schema, or one of them is bound.
        """
        bound = self.exposure.bound
        for name in bound:
            if name in arguments:
                raise InvalidArgumentsError(
                    f"{name} was fixed when the tool was published.", pointer=pointer(name), fix="Leave it out."
                )
        arguments = without_unfit_blanks(self.schema.schema, arguments)
        arguments = self.form.original(dict(arguments))
        findings = self.schema.findings(arguments)
        if findings:
            raise InvalidArgumentsError.of(findings, call=self.name)
        return {
            "workflow_id": self.workflow.id,
            "version": "published",
            "trigger": manual_trigger(self.workflow.definition),
            "input": {**arguments, **bound},
        }

    async def call(self, arguments: dict[str, Any], caller: Caller) -> types.CallToolResult | Pending:
        """The run's answer, or the failure as a result that says how to mend it."""
        try:
            execution = self.as_execution(arguments)
        except InvalidArgumentsError as error:
            return failure(error)
        return await self.execute.call(execution, caller)


class PublishedTools:
    """The tools and prompts that a workspace's published workflows are."""

    def __init__(self, *, publishing: Publishing, execute: Tool[Any]) -> None:
        self._publishing = publishing
        self._execute = execute
        self._made: dict[str, tuple[object, dict[str, PublishedTool]]] = {}

    async def all(self, owner: str) -> Sequence[PublishedTool]:
        """The workspace's tools, in the order of their names. Costs nothing while nothing has changed."""
        return list((await self._by_name(owner)).values())

    async def get(self, owner: str, name: str) -> PublishedTool | None:
        """The workspace's tool of this name."""
        return (await self._by_name(owner)).get(name)

    async def _by_name(self, owner: str) -> Mapping[str, PublishedTool]:
        exposed = await self._publishing.exposed(owner)
        made_of, tools = self._made.get(owner, (None, {}))
        if made_of is not exposed:
            tools = {
                exposure.name: self._tool(exposure, workflow)
                for exposure, workflow in exposed
                # A later version may have lost its manual trigger: then there is nowhere to start.
                if manual_trigger(workflow.definition) is not None
            }
            self._made[owner] = (exposed, tools)
        return tools

    def _tool(self, exposure: Exposure, workflow: StoredWorkflow) -> PublishedTool:
        schema = offered_schema(exposure, workflow.definition)
        form = ProviderForm(
            schema
        )  # what was published before such schemas were refused is listed as providers take it
        has_effects = self._publishing.has_effects(workflow.definition)
        listed = types.Tool(
            name=exposure.name,
            title=workflow.definition.name,
            description=exposure.description,
            input_schema=form.schema,
            output_schema=self._execute.output_schema,
            annotations=types.ToolAnnotations(
                read_only_hint=not has_effects,
                destructive_hint=has_effects,
                idempotent_hint=not has_effects,
                open_world_hint=has_effects,
            ),
        )
        return PublishedTool(
            listed=listed,
            schema=InputSchema(schema),
            form=form,
            exposure=exposure,
            workflow=workflow,
            execute=self._execute,
        )


class PublishedPrompts:
    """A :class:`tools.protocol.offering.OfferSource` of the workflows that are prompts too."""

    def __init__(self, tools: PublishedTools) -> None:
        self._tools = tools

    async def all(self, owner: str) -> Sequence[Prompt]:
        """The workspace's prompts, in the order of their names."""
        return [_prompt(tool) for tool in await self._tools.all(owner) if tool.exposure.as_prompt]


def _prompt(tool: PublishedTool) -> Prompt:
    required = tool.schema.schema.get("required", [])
    properties: Mapping[str, Any] = tool.schema.schema.get("properties", {})

    async def write(arguments: Mapping[str, str], actor: Actor) -> types.GetPromptResult:
        content = types.TextContent(type="text", text=_request(tool, arguments))
        return types.GetPromptResult(
            description=tool.exposure.description, messages=[types.PromptMessage(role="user", content=content)]
        )

    return Prompt(
        name=tool.name,
        title=tool.workflow.definition.name,
        description=tool.exposure.description,
        arguments=tuple(
            PromptArgument(
                name=name,
                description=member.get("description", "") if isinstance(member, dict) else "",
                required=name in required,
            )
            for name, member in properties.items()
        ),
        write=write,
    )


def _request(tool: PublishedTool, arguments: Mapping[str, str]) -> str:
    return "\n".join(
        [
            f"Run the workflow {tool.workflow.definition.name!r} by calling the tool {tool.name}.",
            f"Its arguments, to be given as its input schema says: {orjson.dumps(dict(arguments)).decode()}",
            "Then tell me in short what came of it.",
        ]
    )
