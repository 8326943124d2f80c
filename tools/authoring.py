"""Tools to find node types and to make, check, read, change and delete workflows."""

from __future__ import annotations

from typing import Any, Literal

import mcp_types as types
from pydantic import Field

from engine.authoring import Authoring, Saved
from engine.node_type import NodeType
from tools.budget import LIST_BUDGET, ROOM_FOR_CURSOR, ROW_TOKENS, fit, fitting
from tools.caller import Caller
from tools.definition_pages import view_answer
from tools.node_search import search
from tools.pictures import mermaid
from tools.tool import READ_ONLY, Answer, Arguments, Tool, findings_content, object_schema
from workflow.errors import InvalidArgumentsError, NextCall, NodeNotFoundError
from workflow.findings import did_you_mean, nearest
from workflow.messages import utc_text
from workflow.operations import apply_operations, parse_operations
from workflow.ports import StoredWorkflow

DEFINITION_HELP = (
    'Native form: {"name", "nodes": {"<node name>": {"type", "parameters", "on_error"?: "stop|continue|error_output", '
    '"timeout_seconds"?}}, "connections": [["from", "to"], ["check.true", "next"]], "settings"?: {"timeout_seconds", '
    '"timezone"}}. A connection end names a node, or "node.output" / "node.input" where there are several. '
    'A string starting with = is a template: "={{ $json.a.b }}" (JavaScript; $json is the current item, '
    "$('node').item.json an earlier node's). One node must be a trigger: manual or webhook."
)

WORKFLOW_ID = Field(description="Id of the workflow.")


class FindNodes(Arguments):
    query: str | None = Field(default=None, description="Words for what the node should do; empty lists all.")
    name: str | None = Field(default=None, description="Exact type: gives its parameter schema and an example.")


class ValidateWorkflow(Arguments):
    definition: dict[str, Any] | str | None = Field(default=None, description="A whole definition.")
    workflow_id: str | None = Field(default=None, description="With operations: the workflow to try them on.")
    operations: list[dict[str, Any]] | None = Field(
        default=None, max_length=100, description="As in update_workflow; tried, not saved."
    )


class CreateWorkflow(Arguments):
    definition: dict[str, Any] | str = Field(description=DEFINITION_HELP)


class UpdateWorkflow(Arguments):
    workflow_id: str = WORKFLOW_ID
    expected_version: int = Field(ge=1, description="The version you read; refused if it is no longer current.")
    operations: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description='In order: {"op":"add_node","name","node","after"?} {"op":"update_node","name","changes"} '
        '{"op":"remove_node","name"} {"op":"rename_node","name","new_name"} {"op":"connect","from","to"} '
        '{"op":"disconnect","from","to"} {"op":"set_workflow","name"?,"description"?,"settings"?} '
        '{"op":"patch","patch":[JSON Patch on the definition]}',
    )
    definition: dict[str, Any] | str | None = Field(default=None, description="A whole definition in their place.")


class GetWorkflow(Arguments):
    workflow_id: str = WORKFLOW_ID
    version: int | None = Field(default=None, ge=1, description="Default: the current one.")
    view: Literal["definition", "summary", "picture"] = Field(
        default="definition", description="picture is a Mermaid flowchart."
    )
    max_tokens: int = Field(default=4000, ge=200, le=50_000, description="Larger ones come as part, page by page.")
    cursor: str | None = Field(default=None, description="next_cursor of the page before.")


class ListWorkflows(Arguments):
    text: str | None = Field(default=None, description="Only those whose name or description contains it.")
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, description="next_cursor of the page before.")


class DeleteWorkflow(Arguments):
    workflow_id: str = WORKFLOW_ID


FINDINGS = {"type": "array", "items": {"type": "object"}}
SAVED = object_schema({"workflow_id": "string", "version": "integer", "name": "string"}, warnings=FINDINGS)


class AuthoringTools:
    """The tools' work, over the :class:`~engine.authoring.Authoring` that REST uses too."""

    def __init__(self, authoring: Authoring) -> None:
        self._authoring = authoring

    def tools(self) -> list[Tool[Any]]:
        """The tools, in the order in which they are listed."""
        changes = types.ToolAnnotations(
            read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
        )
        return [
            Tool(
                name="find_nodes",
                title="Find node types",
                description="Search the node types that workflows are made of. Call it with a name before using a "
                "type you have not used: it gives the parameter schema and an example.",
                arguments=FindNodes,
                annotations=READ_ONLY,
                output_schema=object_schema({"nodes": {"type": "array", "items": {"type": "object"}}}),
                handler=self.find_nodes,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="validate_workflow",
                title="Check a workflow",
                description="Check a definition (or operations on a stored workflow) without saving: every problem at "
                "once, each with code, JSON pointer, message and, where evident, a JSON Patch that mends it.",
                arguments=ValidateWorkflow,
                annotations=READ_ONLY,
                output_schema=object_schema({"valid": "boolean", "findings": FINDINGS}),
                handler=self.validate_workflow,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="create_workflow",
                title="Create a workflow",
                description="Check and store a new workflow, all or nothing. It can be run at once.",
                arguments=CreateWorkflow,
                annotations=changes,
                output_schema=SAVED,
                handler=self.create_workflow,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="update_workflow",
                title="Change a workflow",
                description="Store a new version, made by operations or a whole definition; atomic. Older versions "
                "stay readable. Give operations or definition.",
                arguments=UpdateWorkflow,
                annotations=changes,
                output_schema=SAVED,
                handler=self.update_workflow,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="get_workflow",
                title="Read a workflow",
                description="A workflow's definition, summary or picture.",
                arguments=GetWorkflow,
                annotations=READ_ONLY,
                output_schema=object_schema({"workflow_id": "string", "version": "integer", "name": "string"}),
                handler=self.get_workflow,
            ),
            Tool(
                name="list_workflows",
                title="List workflows",
                description="The workflows there are, last changed first.",
                arguments=ListWorkflows,
                annotations=READ_ONLY,
                output_schema=object_schema(
                    {"workflows": {"type": "array", "items": {"type": "object"}}}, next_cursor="string"
                ),
                handler=self.list_workflows,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="delete_workflow",
                title="Delete a workflow",
                description="Take a workflow out of use and free its webhook paths. Its executions stay readable.",
                arguments=DeleteWorkflow,
                annotations=types.ToolAnnotations(
                    read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
                ),
                output_schema=object_schema({"workflow_id": "string", "deleted": "boolean"}),
                handler=self.delete_workflow,
            ),
        ]

    async def find_nodes(self, arguments: FindNodes, caller: Caller) -> Answer:
        """Types that fit a query, or everything about one."""
        registry = self._authoring.registry
        if arguments.name is None:
            found = [_brief(kind) for kind in search(registry, arguments.query)]
            count = fitting(found, LIST_BUDGET - ROOM_FOR_CURSOR)
            left_out = {"left_out": f"{len(found) - count} more; narrow the query."} if count < len(found) else {}
            return Answer({"nodes": found[:count], **left_out})
        kind = registry.get(arguments.name)
        if kind is None:
            near = nearest(arguments.name, registry.names())
            raise NodeNotFoundError(
                f"There is no node type {arguments.name!r}.{did_you_mean(near)}",
                pointer="/name",
                fix="Search the types, or list them all.",
                next_call=NextCall("find_nodes", {"name": near} if near else {"query": arguments.name}),
            )
        return Answer({"nodes": [node_type_details(kind)]})

    async def validate_workflow(self, arguments: ValidateWorkflow, caller: Caller) -> Answer:
        """The findings; an invalid definition is a good answer, not a failure."""
        document: Any = arguments.definition
        current: StoredWorkflow | None = None
        if arguments.operations is not None:
            if arguments.workflow_id is None:
                raise InvalidArgumentsError(
                    "operations need the workflow_id of the workflow to try them on.",
                    pointer="/workflow_id",
                    fix="Add workflow_id; list_workflows has the ids.",
                )
            current = await self._authoring.workflows.get(arguments.workflow_id)
            document = apply_operations(current.definition.to_json(), parse_operations(arguments.operations))
        elif document is None:
            raise InvalidArgumentsError(
                "There is nothing to check.",
                pointer="/definition",
                fix="Give a definition, or workflow_id and operations.",
            )
        report = await self._authoring.check(document, current=current)
        return Answer({"valid": report.is_valid, **findings_content(report.findings)})

    async def create_workflow(self, arguments: CreateWorkflow, caller: Caller) -> Answer:
        """Store version 1."""
        return _saved(await self._authoring.create(arguments.definition))

    async def update_workflow(self, arguments: UpdateWorkflow, caller: Caller) -> Answer:
        """Store the next version."""
        if (arguments.operations is None) == (arguments.definition is None):
            raise InvalidArgumentsError(
                "Give either operations or definition.",
                pointer="/operations",
                fix='For example operations: [{"op": "update_node", "name": "…", "changes": {…}}].',
            )
        if arguments.operations is not None:
            saved = await self._authoring.change(
                arguments.workflow_id,
                parse_operations(arguments.operations),
                expected_version=arguments.expected_version,
            )
        else:
            saved = await self._authoring.replace(
                arguments.workflow_id, arguments.definition, expected_version=arguments.expected_version
            )
        return _saved(saved)

    async def get_workflow(self, arguments: GetWorkflow, caller: Caller) -> Answer:
        """One version in the view asked for."""
        stored = await self._authoring.workflows.get(arguments.workflow_id, arguments.version)
        header = workflow_header(stored)
        view: Any
        match arguments.view:
            case "definition":
                view = stored.definition.to_json()
            case "picture":
                view = mermaid(stored.definition)
            case "summary":
                view = {
                    "description": stored.definition.description,
                    "nodes": {name: node.type for name, node in stored.definition.nodes.items()},
                }
        return view_answer(
            stored, view, name=arguments.view, header=header, budget=arguments.max_tokens, cursor=arguments.cursor
        )

    async def list_workflows(self, arguments: ListWorkflows, caller: Caller) -> Answer:
        """One page."""
        page = await self._authoring.workflows.page(text=arguments.text, limit=arguments.limit, cursor=arguments.cursor)
        rows = [
            {
                "workflow_id": each.id,
                "name": each.name,
                "description": fit(each.description, ROW_TOKENS)[0],
                "version": each.version,
                "nodes": each.node_count,
                "updated_at": utc_text(each.updated_at),
            }
            for each in page.items
        ]
        count = fitting(rows, LIST_BUDGET - ROOM_FOR_CURSOR)
        if count < len(rows):
            page = await self._authoring.workflows.page(text=arguments.text, limit=count, cursor=arguments.cursor)
        content: dict[str, Any] = {"workflows": rows[:count]}
        if page.next_cursor is not None:
            content["next_cursor"] = page.next_cursor
        return Answer(content)

    async def delete_workflow(self, arguments: DeleteWorkflow, caller: Caller) -> Answer:
        """Hide it."""
        await self._authoring.delete(arguments.workflow_id)
        return Answer({"workflow_id": arguments.workflow_id, "deleted": True})


def workflow_header(stored: StoredWorkflow) -> dict[str, Any]:
    """What every answer about a version starts with."""
    return {
        "workflow_id": stored.id,
        "version": stored.version,
        "name": stored.definition.name,
        "updated_at": utc_text(stored.updated_at),
    }


def node_type_details(kind: NodeType[Any]) -> dict[str, Any]:
    """Everything that somebody who uses a type needs to know."""
    details = {
        **_brief(kind),
        "documentation": kind.documentation,
        "inputs": list(kind.inputs_of(kind.example)),
        "outputs": list(kind.outputs_of(kind.example)),
        "parameters": kind.schema.json_schema(),
    }
    if kind.example:
        details["example"] = {"type": kind.name, "parameters": dict(kind.example)}
    return details


def _brief(kind: NodeType[Any]) -> dict[str, Any]:
    return {"type": kind.name, "title": kind.title, "group": kind.group, "summary": kind.summary}


def _saved(saved: Saved) -> Answer:
    content = workflow_header(saved.workflow)
    if saved.warnings:
        found = findings_content(saved.warnings)
        content |= {"warnings": found.pop("findings"), **found}
    return Answer(content)
