"""Prompt templates: versioned texts with typed variables, and the port by which nodes and tools reach them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from workflow.chat import Message
from workflow.errors import ErrorKind, JobsprintError, NextCall, VersionConflictError
from workflow.findings import Finding
from workflow.ports import Page

PROMPT_SAVED = "prompt.saved"
PROMPT_DELETED = "prompt.deleted"
PROMPT_CHANGES = frozenset({PROMPT_SAVED, PROMPT_DELETED})
"""Types of events about templates; ``data`` has the ``workspaceId``, the ``name`` and the ``version``, which is 1 for a
new one."""

VariableType = Literal["string", "number", "integer", "boolean", "array", "object"]


@dataclass(slots=True, frozen=True, kw_only=True)
class TemplateVariable:
    """One variable. One that is not required has a default, ``None`` if nothing else; ``enum`` bounds its values.

    ``is_from_outside`` says that nobody in the workspace writes its values: they are fenced, as data, wherever they
    stand in a message.
    """

    name: str
    type: VariableType = "string"
    description: str = ""
    required: bool = True
    default: Any = None
    enum: tuple[Any, ...] = ()
    is_from_outside: bool = False


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

    def __init__(self, name: str, version: int | None = None) -> None:
        what = f"version {version} of prompt template" if version is not None else "prompt template"
        super().__init__(
            f"There is no {what} {name!r:.80}.",
            pointer="/name" if version is None else "/version",
            fix="List the templates there are." if version is None else "Look at the versions there are.",
            next_call=NextCall("render_prompt", {} if version is None else {"name": name, "view": "versions"}),
        )


class PromptConflictError(VersionConflictError):
    """Somebody else saved a version of a template in between, or there is one of this name; nothing was saved."""

    def __init__(self, name: str, *, expected: int, actual: int) -> None:
        if expected == 0:
            message = f"There is a prompt template {name!r} already, at version {actual}; nothing was saved."
            fix = f"Choose another name, or save the next version of it with expected_version {actual}."
        elif actual == 0:
            message = f"There is no prompt template {name!r} to make a next version of; nothing was saved."
            fix = "Leave expected_version out to make a new one."
        else:
            message = f"Prompt template {name!r} is at version {actual}, not {expected}; nothing was saved."
            fix = f"Read version {actual}, then save your change of it with expected_version {actual}."
        JobsprintError.__init__(
            self,
            message,
            pointer="/expected_version",
            fix=fix,
            next_call=NextCall("render_prompt", {"name": name, "view": "template"}) if actual else None,
        )
        self.actual = actual


class InvalidPromptError(JobsprintError):
    """A template has findings of severity ``error``; nothing was saved. Its findings are errors and warnings."""

    code = "invalid_prompt"
    kind = ErrorKind.INVALID

    def __init__(self, findings: Sequence[Finding]) -> None:
        errors = sum(finding.severity == "error" for finding in findings)
        super().__init__(
            f"The prompt template has {errors} error{'s' if errors != 1 else ''}; nothing was saved.",
            pointer=findings[0].pointer,
            fix="Mend each finding (apply its patch where it has one) and send the template again.",
        )
        self.findings = tuple(findings)


class PromptRenderError(JobsprintError):
    """A template failed while it was filled in."""

    code = "prompt_failed"
    kind = ErrorKind.INVALID


class PromptRepository(Protocol):
    """Templates of workspaces. ``owner`` is the workspace that asks; what belongs to another is not there for it."""

    async def save(
        self, owner: str, template: PromptTemplate, *, expected_version: int | None, now: datetime
    ) -> PromptTemplate:
        """Store the next version; the template's own number does not count.

        Raises:
            PromptConflictError: the current version is not ``expected_version``, where one is expected; 0 expects
                that there is none.
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
        """Every version, newest first; none where there is no such template."""
        ...

    async def every(self, owner: str) -> Sequence[PromptTemplate]:
        """The current version of each template, by name."""
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
        self,
        owner: str,
        name: str,
        variables: Mapping[str, Any],
        *,
        version: int | None = None,
        outside: Collection[str] = (),
    ) -> Sequence[Message]:
        """The template's messages with its variables filled in.

        Values are data, whatever they look like: they are never read as templates. Those that the template marks as
        from outside, and those that ``outside`` names, are fenced; a message that is nothing but such a value has
        ``is_from_outside``.

        Raises:
            PromptNotFoundError: no such template or version.
            InvalidArgumentsError: variables are missing, unknown or of the wrong type.
            PromptRenderError: the template fails on them.
        """
        ...
