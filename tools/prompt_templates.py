"""Tools to save and to try prompt templates."""

from __future__ import annotations

from typing import Any, Literal

import mcp_types as types
from pydantic import Field

from prompts.documents import document_of, read_text, template_of, variable_document
from prompts.manager import PromptManager, SavedPrompt
from tools.protocol.budget import LIST_BUDGET, ROW_TOKENS, fit, fitting
from tools.protocol.caller import Caller
from tools.protocol.tool import (
    AUTHORING,
    DESTRUCTIVE,
    READ_ONLY,
    Answer,
    Arguments,
    Tool,
    findings_content,
    object_schema,
)
from workflow.chat import Message
from workflow.errors import InvalidArgumentsError
from workflow.identity import READS_PROMPTS, WRITES_PROMPTS
from workflow.messages import utc_text
from workflow.prompt_templates import InvalidPromptError, PromptTemplate


class SavePrompt(Arguments):
    name: str = Field(max_length=60)
    expected_version: int | None = Field(default=None, ge=1, description="The version you read; none for a new one.")
    template: dict[str, Any] | str | None = Field(
        default=None,
        description='{"title", "description"?, "messages": [{"role": "system|user|assistant", "content": "Dear '
        '{{ name }} (Jinja; {% include \\"partial\\" %})"}], "variables"?: [{"name", "type"?: "string|number|integer|'
        'boolean|array|object", "description"?, "required"?, "default"?, "enum"?, "from_outside"?: true fences it as '
        'data}], "is_partial"?}, or the same as TOML.',
    )
    restore_version: int | None = Field(default=None, ge=0, description="In its place: this old version, again.")
    delete: bool = Field(default=False, description="In its place: take all versions away.")


class RenderPrompt(Arguments):
    name: str | None = Field(default=None, max_length=60, description="Without it: lists the templates there are.")
    variables: dict[str, Any] = Field(default={}, description="Values by name.")
    version: int | None = Field(default=None, ge=0, description="Default: the current one. 0: the built-in one.")
    template: dict[str, Any] | str | None = Field(default=None, description="As in save_prompt; tried, not saved.")
    view: Literal["messages", "template", "versions", "difference"] = Field(
        default="messages", description="difference compares with base_version."
    )
    base_version: int | None = Field(default=None, ge=0, description="Default: the one before.")
    max_tokens: int = Field(default=4000, ge=200, le=50_000)


class PromptTools:
    """The tools' work, over the :class:`~prompts.manager.PromptManager` that REST uses too."""

    def __init__(self, manager: PromptManager) -> None:
        self._manager = manager

    def tools(self) -> list[Tool[Any]]:
        """The tools, in the order in which they are listed."""
        return [
            Tool(
                name="save_prompt",
                title="Save a prompt template",
                description="Check and store a prompt template, or its next version; old versions stay.",
                arguments=SavePrompt,
                annotations=DESTRUCTIVE,
                output_schema=object_schema({"name": "string"}, version="integer"),
                handler=self.save_prompt,
                scopes=WRITES_PROMPTS,
                toolsets=AUTHORING,
                budget_tokens=LIST_BUDGET,
            ),
            Tool(
                name="render_prompt",
                title="Try or read a prompt template",
                description="Fill in a prompt template, stored or not, without asking a model; or show it.",
                arguments=RenderPrompt,
                annotations=READ_ONLY,
                output_schema=object_schema({}),
                handler=self.render_prompt,
                scopes=READS_PROMPTS,
                toolsets=AUTHORING,
                is_quick=True,
            ),
        ]

    async def save_prompt(self, arguments: SavePrompt, caller: Caller) -> Answer:
        """Store the next version, or take the template away."""
        actor, name = caller.actor, arguments.name
        ways = (arguments.template is not None, arguments.restore_version is not None, arguments.delete)
        if sum(ways) != 1:
            raise InvalidArgumentsError(
                "Give one of template, restore_version and delete.",
                pointer="/template",
                fix='For example template: {"title": "…", "messages": [{"role": "user", "content": "…"}]}.',
            )
        if arguments.delete:
            await self._manager.delete(actor, name)
            return Answer({"name": name, "deleted": True})
        expected = arguments.expected_version or 0
        if arguments.restore_version is not None:
            version = arguments.restore_version
            return _saved(await self._manager.restore_version(actor, name, version, expected_version=expected))
        template = _template_in(name, arguments.template)
        return _saved(await self._manager.save(actor, template, expected_version=expected))

    async def render_prompt(self, arguments: RenderPrompt, caller: Caller) -> Answer:
        """The view asked for."""
        owner, name = caller.actor.workspace_id, arguments.name
        if arguments.template is not None:
            template = _template_in(name or "draft", arguments.template)
            findings = await self._manager.check(owner, template)
            if any(each.severity == "error" for each in findings):
                raise InvalidPromptError(findings)
            preview = await self._manager.preview(owner, template, arguments.variables)
            warnings = {"warnings": findings_content(findings)["findings"]} if findings else {}
            return Answer({"messages": [message_content(each) for each in preview.messages], **warnings})
        if name is None:
            return _listed(await self._manager.every(owner))
        match arguments.view:
            case "versions":
                versions = [version_content(each) for each in await self._manager.versions(owner, name)]
                return Answer({"name": name, "versions": versions})
            case "difference":
                before, after, lines = await self._manager.difference(
                    owner, name, arguments.base_version, arguments.version
                )
                return Answer({"name": name, "version": after, "base_version": before, "changes": [*lines]})
            case "template":
                template = await self._manager.get(owner, name, arguments.version)
                return Answer({**prompt_header(template), "template": document_of(template)}, whole=_link(template))
        template = await self._manager.get(owner, name, arguments.version)
        preview = await self._manager.preview(owner, template, arguments.variables)
        content = {
            **prompt_header(template),
            "messages": [message_content(each) for each in preview.messages],
            "variables": [variable_document(each) for each in template.variables],
        }
        return Answer(content, whole=_link(template))


def prompt_header(template: PromptTemplate) -> dict[str, Any]:
    """What every answer about a template starts with."""
    header: dict[str, Any] = {"name": template.name, "version": template.version, "title": template.title}
    if template.version == 0:
        header["built_in"] = True
    if template.created_at is not None:
        header["created_at"] = utc_text(template.created_at)
    return header


def prompt_summary(template: PromptTemplate) -> dict[str, Any]:
    """A template in a list."""
    summary = {**prompt_header(template), "description": template.description}
    return {**summary, "is_partial": True} if template.is_partial else summary


def version_content(template: PromptTemplate) -> dict[str, Any]:
    """A version in a list."""
    return {name: member for name, member in prompt_header(template).items() if name != "name"}


def message_content(message: Message) -> dict[str, Any]:
    """A message as JSON."""
    content: dict[str, Any] = {"role": message.role, "content": message.content}
    return {**content, "from_outside": True} if message.is_from_outside else content


def _template_in(name: str, document: Any) -> PromptTemplate:
    if isinstance(document, str):
        document = read_text(document, pointer="/template")
    return template_of(name, document)


def _saved(saved: SavedPrompt) -> Answer:
    content = prompt_header(saved.template)
    if saved.warnings:
        found = findings_content(saved.warnings)
        content |= {"warnings": found.pop("findings"), **found}
    return Answer(content)


def _listed(templates: Any) -> Answer:
    rows = [fit(prompt_summary(each), ROW_TOKENS)[0] for each in templates]
    count = fitting(rows, LIST_BUDGET - ROW_TOKENS)
    content: dict[str, Any] = {"prompts": rows[:count]}
    if count < len(rows):
        content["left_out"] = len(rows) - count
    return Answer(content)


def _link(template: PromptTemplate) -> types.ResourceLink:
    uri = f"prompt://{template.name}/versions/{template.version}"
    return types.ResourceLink(type="resource_link", uri=uri, name=template.name, mime_type="application/json")
