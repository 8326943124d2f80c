"""Prompt templates as MCP's prompts, with completions, and as resources that can be subscribed to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import mcp_types as types

from prompts.documents import document_of
from prompts.manager import PromptManager, topic
from tools.prompt_templates import prompt_header
from tools.protocol.completions import Completer, Typed
from tools.protocol.prompts import Prompt, PromptArgument
from tools.protocol.resources import (
    RESOURCES_PER_PAGE,
    SETTLED_MS,
    Reading,
    ResourceForm,
    Variables,
    json_reading,
    json_resource,
    versioned_forms,
)
from workflow.identity import READS_PROMPTS, Actor
from workflow.ports import Page
from workflow.prompt_templates import PromptNotFoundError, PromptTemplate, TemplateVariable


class TemplatePrompts:
    """A :class:`~tools.protocol.offering.OfferSource` of the templates that a workspace can render."""

    def __init__(self, manager: PromptManager) -> None:
        self._manager = manager

    async def all(self, owner: str) -> Sequence[Prompt]:
        """The prompts, in the order of their names; partials are none."""
        return [self._prompt(each) for each in await self._manager.every(owner) if not each.is_partial]

    def _prompt(self, template: PromptTemplate) -> Prompt:
        async def write(arguments: Mapping[str, str], actor: Actor) -> types.GetPromptResult:
            # Clients send what was left empty as an empty text.
            given = {name: value for name, value in arguments.items() if value}
            messages = await self._manager.render(actor.workspace_id, template.name, given)
            return types.GetPromptResult(
                description=template.description or None,
                messages=[
                    # The protocol has no system messages here; in front of all others a user's says the same.
                    types.PromptMessage(
                        role="assistant" if each.role == "assistant" else "user",
                        content=types.TextContent(type="text", text=each.content),
                    )
                    for each in messages
                ],
            )

        return Prompt(
            name=template.name,
            title=template.title,
            description=template.description,
            arguments=tuple(
                PromptArgument(
                    name=each.name, description=_description(each), required=each.required, completer=_completer(each)
                )
                for each in template.variables
            ),
            write=write,
        )


class PromptResources:
    """A :class:`tools.protocol.resources.ResourceSource` of templates and their versions."""

    def __init__(self, manager: PromptManager) -> None:
        self._manager = manager

    def forms(self) -> Sequence[ResourceForm]:
        """Every form of URI."""
        return versioned_forms(
            "prompt://{name}",
            noun="prompt template",
            description="A prompt template's current version.",
            scopes=READS_PROMPTS,
            read=self._reading,
            not_found=PromptNotFoundError,
            completer=self._names,
            versions=self._versions,
            workflow_id=self._topic,
        )

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """The workspace's own templates, by name.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        if not actor.scopes >= READS_PROMPTS:
            return Page([], None)
        page = await self._manager.repository.page(
            actor.workspace_id, text=None, limit=RESOURCES_PER_PAGE, cursor=cursor
        )
        listed = [
            json_resource(f"prompt://{each.name}", name=each.title, description=each.description) for each in page.items
        ]
        return Page(listed, page.next_cursor)

    async def _reading(self, uri: str, actor: Actor, name: str, version: int | None) -> Reading:
        template = await self._manager.get(actor.workspace_id, name, version)
        content = {**prompt_header(template), "template": document_of(template)}
        return json_reading(uri, content, ttl_ms=0 if version is None else SETTLED_MS)

    async def _topic(self, variables: Variables, actor: Actor) -> str:
        template = await self._manager.get(actor.workspace_id, variables["name"])
        return topic(actor.workspace_id, template.name)

    async def _names(self, typed: Typed) -> Sequence[str]:
        typed.actor.require(READS_PROMPTS)
        names = [each.name for each in await self._manager.every(typed.actor.workspace_id)]
        return [name for name in names if name.startswith(typed.value)]

    async def _versions(self, typed: Typed) -> Sequence[str]:
        typed.actor.require(READS_PROMPTS)
        versions = await self._manager.versions(typed.actor.workspace_id, typed.others.get("name", ""))
        return [str(each.version) for each in versions if str(each.version).startswith(typed.value)]


def _description(variable: TemplateVariable) -> str:
    """What a person reads of an argument: they give everything as text."""
    parts = [variable.description] if variable.description else []
    if variable.enum:
        parts.append(f"One of: {', '.join(_typed(each) for each in variable.enum)}.")
    elif variable.type in ("array", "object"):
        parts.append(f"JSON ({variable.type}).")
    if not variable.required and variable.default not in (None, "", [], {}):
        parts.append(f"Default: {_typed(variable.default)}.")
    return " ".join(parts)


def _completer(variable: TemplateVariable) -> Completer | None:
    values = [_typed(each) for each in variable.enum] or (["true", "false"] if variable.type == "boolean" else [])
    if not values:
        return None

    async def complete(typed: Typed) -> Sequence[str]:
        typed.actor.require(READS_PROMPTS)
        return [value for value in values if value.lower().startswith(typed.value.lower())]

    return complete


def _typed(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
