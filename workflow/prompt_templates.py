"""Prompt templates: versioned texts with typed variables, and the port by which nodes and tools reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from workflow.chat import Message
from workflow.errors import ErrorKind, JobsprintError
from workflow.ports import Page

VariableType = Literal["string", "number", "integer", "boolean", "array", "object"]


@dataclass(slots=True, frozen=True, kw_only=True)
class TemplateVariable:
    """One variable. One that is not required has a default, ``None`` if nothing else; ``enum`` bounds its values."""

    name: str
    type: VariableType = "string"
    description: str = ""
    required: bool = True
    default: Any = None
    enum: tuple[Any, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class TemplateMessage:
    """One message of a template; ``content`` is Jinja."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(slots=True, frozen=True, kw_only=True)
class PromptTemplate:
    """One version of a template. Versions count from 1 and are never changed; built-in ones have version 0.

    ``name`` is a slug, unique in its workspace. ``is_partial`` says that others include it and nobody renders it alone.
    """

    name: str
    version: int
    title: str
    description: str
    messages: tuple[TemplateMessage, ...]
    variables: tuple[TemplateVariable, ...]
    is_partial: bool = False
    created_at: datetime | None = None


class PromptNotFoundError(JobsprintError):
    """No prompt template has this name, or no such version."""

    code = "prompt_not_found"
    kind = ErrorKind.NOT_FOUND


class PromptRenderError(JobsprintError):
    """A template failed while it was filled in."""

    code = "prompt_failed"
    kind = ErrorKind.INVALID


class PromptRepository(Protocol):
    """Templates of workspaces. ``owner`` is the workspace that asks; what belongs to another is not there for it."""

    async def save(
        self, owner: str, template: PromptTemplate, *, expected_version: int | None, now: datetime
    ) -> PromptTemplate:
        """Store the next version.

        Raises:
            VersionConflictError: the current version is not ``expected_version``, where one is expected.
        """
        ...

    async def get(self, owner: str, name: str, version: int | None = None) -> PromptTemplate:
        """One version, the current one by default.

        Raises:
            PromptNotFoundError: no such template or version.
        """
        ...

    async def page(self, owner: str, *, text: str | None, limit: int, cursor: str | None) -> Page[PromptTemplate]:
        """Current versions by name; ``text`` narrows to names, titles and descriptions that contain it."""
        ...

    async def versions(self, owner: str, name: str) -> Sequence[PromptTemplate]:
        """Every version, newest first."""
        ...

    async def delete(self, owner: str, name: str) -> None:
        """Take a template away with its versions.

        Raises:
            PromptNotFoundError: no such template.
        """
        ...


class Prompts(Protocol):
    """Renders templates, for nodes."""

    async def render(
        self, owner: str, name: str, variables: Mapping[str, Any], *, version: int | None = None
    ) -> Sequence[Message]:
        """The template's messages with its variables filled in.

        Raises:
            PromptNotFoundError: no such template or version.
            InvalidArgumentsError: variables are missing, unknown or of the wrong type.
            PromptRenderError: the template fails on them.
        """
        ...
