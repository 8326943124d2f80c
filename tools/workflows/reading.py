"""Tools to read, compare, list and delete workflows."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.definitions.authoring import Authoring
from engine.executions.reader import ExecutionReader
from engine.schedules.schedules import Schedules
from engine.schedules.views import entry_json
from tools.protocol.budget import LIST_BUDGET, ROW_TOKENS, fit
from tools.protocol.caller import Caller
from tools.protocol.pages import page_answer, page_content, page_schema
from tools.protocol.pictures import mermaid
from tools.protocol.tool import AUTHORING, DESTRUCTIVE, READ_ONLY, Answer, Arguments, Tool, object_schema
from tools.workflows.authoring import workflow_header
from tools.workflows.definition_pages import view_answer, workflow_link
from workflow.definitions.differences import Difference
from workflow.definitions.publication import RESTORABLE, VersionSummary
from workflow.execution_figures import LatestRun
from workflow.identity import READS_WORKFLOWS, WRITES_WORKFLOWS
from workflow.messages import utc_text
from workflow.ports import Page, StoredWorkflow, WorkflowSummary

VERSIONS_PER_PAGE = 30
ERROR_TOKENS = 30
SCHEDULES_PER_PAGE, SLOTS_SHOWN = 10, 10
RESTORED = "It is a draft: its webhooks do not listen and it is no tool. publish_workflow puts it into use again."


class GetWorkflow(Arguments):
    workflow_id: str
    version: int | Literal["published"] | None = Field(default=None, description="Default: the current one.")
    view: Literal["definition", "summary", "picture", "versions", "difference", "schedules"] = Field(
        default="definition",
        description="picture: Mermaid; versions: all; difference: from base_version; schedules: next and past slots.",
    )
    base_version: int | None = Field(default=None, ge=1)
    max_tokens: int = Field(default=4000, ge=200, le=50_000, description="Larger: page by page.")
    cursor: str | None = None


class ListWorkflows(Arguments):
    text: str | None = Field(default=None, description="In name or description.")
    deleted: bool = Field(default=False, description="Those that can be restored.")
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None


class DeleteWorkflow(Arguments):
    workflow_id: str
    restore: bool = Field(default=False, description="Bring it back instead, as a draft.")


class WorkflowTools:
    """The tools' work, over the :class:`~engine.definitions.authoring.Authoring` that REST uses too."""

    def __init__(self, authoring: Authoring, schedules: Schedules, reader: ExecutionReader) -> None:
        self._authoring = authoring
        self._reader = reader
        self._schedules = schedules

    def reading_tools(self) -> list[Tool[Any]]:
        """The tools that only read, in the order in which they are listed."""
        return [
            Tool(
                name="get_workflow",
                title="Read a workflow",
                description="A workflow's definition, summary, picture or versions, or the difference of two versions.",
                arguments=GetWorkflow,
                annotations=READ_ONLY,
                output_schema=object_schema({"workflow_id": "string", "version": "integer", "name": "string"}),
                handler=self.get_workflow,
                scopes=READS_WORKFLOWS,
                is_quick=True,
            ),
            Tool(
                name="list_workflows",
                title="List workflows",
                description="The workflows there are, last changed first.",
                arguments=ListWorkflows,
                annotations=READ_ONLY,
                output_schema=page_schema("workflows"),
                handler=self.list_workflows,
                scopes=READS_WORKFLOWS,
                budget_tokens=LIST_BUDGET,
                is_quick=True,
            ),
        ]

    def deleting_tools(self) -> list[Tool[Any]]:
        """The one tool that takes workflows away and brings them back."""
        return [
            Tool(
                name="delete_workflow",
                title="Delete or restore a workflow",
                description="Take a workflow out of use and free its webhook paths and tool name. "
                f"{RESTORABLE.days} days long restore brings it back. Its executions stay readable.",
                arguments=DeleteWorkflow,
                annotations=DESTRUCTIVE,
                output_schema=object_schema({"workflow_id": "string", "deleted": "boolean"}),
                handler=self.delete_workflow,
                scopes=WRITES_WORKFLOWS,
                toolsets=AUTHORING,
            )
        ]

    async def get_workflow(self, arguments: GetWorkflow, caller: Caller) -> Answer:
        """One version in the view asked for, or what concerns several."""
        owner = caller.actor.workspace_id
        workflow_id = await self._authoring.id_of(owner, arguments.workflow_id)
        stored = await self._authoring.version(owner, workflow_id, arguments.version)
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
            case "versions":
                page = await self._authoring.workflows.versions(
                    owner, workflow_id, limit=VERSIONS_PER_PAGE, cursor=arguments.cursor
                )
                return Answer(header | versions_content(page, stored))
            case "schedules":
                return await self._schedules_answer(owner, workflow_id, header, arguments.cursor)
            case "difference":
                base, _, found = await self._authoring.compare(
                    owner, workflow_id, arguments.base_version, stored.version
                )
                return Answer(header | difference_content(base, found), whole=workflow_link(stored))
        return view_answer(
            stored, view, name=arguments.view, header=header, budget=arguments.max_tokens, cursor=arguments.cursor
        )

    async def _schedules_answer(
        self, owner: str, workflow_id: str, header: dict[str, Any], cursor: str | None
    ) -> Answer:
        """The workflow's schedules, each with its latest slots."""
        page = await self._schedules.page(owner, workflow_id=workflow_id, limit=SCHEDULES_PER_PAGE, cursor=cursor)
        shown = []
        for schedule in page.items:
            ledger = await self._schedules.ledger(
                owner, schedule["schedule_id"], outcome=None, limit=SLOTS_SHOWN, cursor=None
            )
            counts = {name: value for name, value in schedule.items() if name not in ("workflow_id", "last")}
            shown.append({**counts, "latest": [entry_json(each) for each in ledger.items]})
        return Answer({**header, "schedules": shown, **({"next_cursor": page.next_cursor} if page.next_cursor else {})})

    async def list_workflows(self, arguments: ListWorkflows, caller: Caller) -> Answer:
        """One page."""

        owner = caller.actor.workspace_id
        latest: dict[str, LatestRun] = {}

        async def read(limit: int) -> Page[WorkflowSummary]:
            page = await self._authoring.workflows.page(
                owner, text=arguments.text, limit=limit, cursor=arguments.cursor, deleted=arguments.deleted
            )
            latest.update(await self._reader.latest(owner, [each.id for each in page.items]))
            return page

        def row_of(summary: WorkflowSummary) -> dict[str, Any]:
            row = summary_content(summary, latest.get(summary.id))
            return {**row, "description": fit(row["description"], ROW_TOKENS)[0]}

        return await page_answer("workflows", read, row_of, limit=arguments.limit)

    async def delete_workflow(self, arguments: DeleteWorkflow, caller: Caller) -> Answer:
        """Hide it, or bring it back."""
        actor = caller.actor
        workflow_id = await self._authoring.id_of(actor.workspace_id, arguments.workflow_id, deleted=arguments.restore)
        if arguments.restore:
            stored = await self._authoring.restore(actor, workflow_id)
            return Answer({**workflow_header(stored), "deleted": False, "next": RESTORED})
        await self._authoring.delete(actor, workflow_id)
        return Answer({"workflow_id": workflow_id, "deleted": True, "restorable_days": RESTORABLE.days})


def summary_content(summary: WorkflowSummary, latest: LatestRun | None = None) -> dict[str, Any]:
    """A workflow in a list, with its last run; deleted ones say until when they can be restored."""
    content: dict[str, Any] = {
        "workflow_id": summary.id,
        "name": summary.name,
        "description": summary.description,
        "version": summary.version,
        "nodes": summary.node_count,
        "updated_at": utc_text(summary.updated_at),
        "status": "draft" if summary.published_version is None else "published",
    }
    if summary.published_version is not None:
        content["published_version"] = summary.published_version
    if latest is not None:
        content["last_run"] = {
            "execution_id": latest.execution_id,
            "status": latest.state.value,
            "at": utc_text(latest.created_at),
            **({"error": fit(latest.error, ERROR_TOKENS)[0]} if latest.error else {}),
        }
    if summary.deleted_at is not None:
        content |= {
            "status": "deleted",
            "deleted_at": utc_text(summary.deleted_at),
            "restorable_until": utc_text(summary.deleted_at + RESTORABLE),
        }
    return content


def versions_content(page: Page[VersionSummary], current: StoredWorkflow) -> dict[str, Any]:
    """A page of versions, newest first; the published one says that it is."""
    listed = []
    for each in page.items:
        entry = {"version": each.version, "created_at": utc_text(each.created_at), "change": each.change}
        listed.append({**entry, "published": True} if each.version == current.published_version else entry)
    return page_content("versions", listed, page.next_cursor)


def difference_content(base_version: int, found: Difference) -> dict[str, Any]:
    """A difference as JSON: ``changes`` for readers, ``patch`` for programs."""
    return {
        "base_version": base_version,
        "changes": list(found.lines),
        "patch": [operation.to_json() for operation in found.patch],
    }
