"""Templates of a workspace and built-in ones: read, checked, saved, compared, rendered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from prompts.checks import Unfit, template_findings
from prompts.comparison import changed_lines
from prompts.documents import document_of
from prompts.rendering import MOST_PARTIALS, Parts, included_by, rendered
from prompts.syntax import PARTIAL, analysis
from prompts.variables import checked_values, require_small
from workflow.audit import AuditLog
from workflow.chat import Message
from workflow.errors import ErrorKind, JobsprintError
from workflow.findings import Finding, did_you_mean, listed, nearest
from workflow.identity import Actor
from workflow.messages import Event
from workflow.ports import Clock, EventBus, NewId
from workflow.prompt_templates import (
    PROMPT_DELETED,
    PROMPT_SAVED,
    InvalidPromptError,
    PromptNotFoundError,
    PromptRenderError,
    PromptRepository,
    PromptTemplate,
)

RENDERED_AT_ONCE = 4
"""Threads that fill templates in; each holds the interpreter for a while."""

RESERVED_NAMES = frozenset({"export", "import"})
"""Paths of the REST API stand in their place."""

R = TypeVar("R")


class PromptNameTakenError(JobsprintError):
    """A guide, or a path of the REST API, has the name that a template was to have."""

    code = "prompt_name_taken"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The name {name!r} is taken by something built in; nothing was saved.",
            pointer="/name",
            fix="Choose another name.",
        )


@dataclass(slots=True, frozen=True)
class SavedPrompt:
    """A stored version, and what is doubtful about it."""

    template: PromptTemplate
    warnings: Sequence[Finding]


@dataclass(slots=True, frozen=True)
class Preview:
    """What a template comes to."""

    template: PromptTemplate
    messages: Sequence[Message]


@dataclass(slots=True, frozen=True)
class Imported:
    """What an import did with one template."""

    template: PromptTemplate
    outcome: Literal["created", "updated", "unchanged"]


def topic(owner: str, name: str) -> str:
    """The aggregate of a template's events."""
    return f"prompt:{owner}:{name}"


class PromptManager:
    """Implements :class:`workflow.prompt_templates.Prompts`, for nodes; and all that tools and REST do to templates.

    A workspace's own template stands in front of a built-in one of the same name.
    """

    def __init__(
        self,
        *,
        repository: PromptRepository,
        built_in: Sequence[PromptTemplate],
        taken: Collection[str],
        bus: EventBus,
        audit: AuditLog,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self.repository = repository
        self._built_in = {each.name: each for each in built_in}
        self._taken = frozenset(taken) | RESERVED_NAMES
        self._bus = bus
        self._audit = audit
        self._clock = clock
        self._new_id = new_id
        self._turns = asyncio.Semaphore(RENDERED_AT_ONCE)

    def built_in(self) -> Sequence[PromptTemplate]:
        """The built-in templates, by name."""
        return list(self._built_in.values())

    async def every(self, owner: str) -> Sequence[PromptTemplate]:
        """What the workspace can render or include: its own templates and the built-in ones, by name."""
        found = self._built_in | {each.name: each for each in await self.repository.every(owner)}
        return [found[name] for name in sorted(found)]

    async def get(self, owner: str, name: str, version: int | None = None) -> PromptTemplate:
        """One version, the current one by default; 0 is the built-in one.

        Raises:
            PromptNotFoundError: no such template or version.
        """
        if version == 0:
            if name not in self._built_in:
                raise PromptNotFoundError(name, version)
            return self._built_in[name]
        try:
            return await self.repository.get(owner, name, version)
        except PromptNotFoundError:
            if version is not None or name not in self._built_in:
                raise
            return self._built_in[name]

    async def versions(self, owner: str, name: str) -> Sequence[PromptTemplate]:
        """Every version, newest first, the built-in one last.

        Raises:
            PromptNotFoundError: no such template.
        """
        found = [*await self.repository.versions(owner, name)]
        if name in self._built_in:
            found.append(self._built_in[name])
        if not found:
            raise PromptNotFoundError(name)
        return found

    async def check(
        self, owner: str, template: PromptTemplate, *, beside: Mapping[str, PromptTemplate] | None = None
    ) -> Sequence[Finding]:
        """Errors and warnings. ``beside`` are templates that are to be saved with it."""
        require_small(document_of(template), at="")
        await self._in_thread(_analysed, template)
        parts, unfit = await self._parts(owner, template, beside or {})
        return await self._in_thread(template_findings, parts, unfit)

    async def save(self, actor: Actor, template: PromptTemplate, *, expected_version: int | None) -> SavedPrompt:
        """Check and store the next version. ``expected_version`` is the current one: 0 where there is none yet,
        ``None`` where it does not matter.

        Raises:
            InvalidPromptError: the check found errors.
            PromptConflictError: another version is current.
            PromptNameTakenError: the name is not free for templates.
        """
        warnings = await self._checked(actor.workspace_id, template, {})
        return SavedPrompt(await self._store(actor, template, expected_version), warnings)

    async def restore_version(
        self, actor: Actor, name: str, version: int, *, expected_version: int | None
    ) -> SavedPrompt:
        """Store an old version, or the built-in one, again as the next version.

        Raises:
            PromptNotFoundError: no such template or version.
            InvalidPromptError: it does not fit any more, for a partial is gone.
            PromptConflictError: another version is current.
        """
        old = await self.get(actor.workspace_id, name, version)
        return await self.save(actor, old, expected_version=expected_version)

    async def delete(self, actor: Actor, name: str) -> None:
        """Delete a template of the workspace with all its versions. A built-in one of the same name is used again then.

        Raises:
            PromptNotFoundError: the workspace has none of this name.
        """
        await self.repository.delete(actor.workspace_id, name)
        self._tell(PROMPT_DELETED, actor.workspace_id, name, 0)
        self._audit.note(actor, PROMPT_DELETED, f"prompt:{name}")
        await self._audit.written()

    async def import_all(self, actor: Actor, templates: Sequence[PromptTemplate]) -> Sequence[Imported]:
        """Check all templates together, then store each that differs from its current version.

        Raises:
            InvalidPromptError: the check of one found errors; none was stored.
            PromptNameTakenError: one's name is not free for templates; none was stored.
        """
        owner = actor.workspace_id
        beside = {each.name: each for each in templates}
        for number, each in enumerate(templates):
            try:
                await self._checked(owner, each, beside)
            except InvalidPromptError as error:
                raise InvalidPromptError(
                    [
                        found.model_copy(update={"pointer": f"/prompts/{number}{found.pointer}", "patch": ()})
                        for found in error.findings
                    ]
                ) from error
        done: dict[str, Imported] = {}
        # Partials first, so that a render in between finds them.
        for each in sorted(templates, key=lambda template: not template.is_partial):
            try:
                current = await self.repository.get(owner, each.name)
            except PromptNotFoundError:
                done[each.name] = Imported(await self._store(actor, each, None), "created")
                continue
            if replace(current, version=0, created_at=None) == each:
                done[each.name] = Imported(current, "unchanged")
            else:
                done[each.name] = Imported(await self._store(actor, each, None), "updated")
        return [done[each.name] for each in templates]

    async def render(
        self,
        owner: str,
        name: str,
        variables: Mapping[str, Any],
        *,
        version: int | None = None,
        outside: Collection[str] = (),
    ) -> Sequence[Message]:
        """The template's messages; see the port."""
        template = await self.get(owner, name, version)
        if template.is_partial:
            raise PromptRenderError(
                f"{name!r} is a partial: it has no messages of its own.",
                fix=f'Render a template that has {{% include "{name}" %}}.',
            )
        return (await self.preview(owner, template, variables, outside=outside)).messages

    async def preview(
        self, owner: str, template: PromptTemplate, variables: Mapping[str, Any], *, outside: Collection[str] = ()
    ) -> Preview:
        """What a template, saved or not, comes to with these variables. No model is asked.

        Raises:
            InvalidArgumentsError: variables are missing, unknown or of the wrong type.
            InvalidPromptError: the template is not saved, and could not be.
            PromptRenderError: the template fails on the variables.
        """
        values = checked_values(template.name, template.variables, variables)
        parts, unfit = await self._parts(owner, template, {})
        if unfit.missing or unfit.cycle:
            findings = await self._in_thread(template_findings, parts, unfit)
            raise PromptRenderError(
                f"Prompt template {template.name!r} cannot be rendered: {findings[0].message}",
                pointer=findings[0].pointer,
                fix=findings[0].fix,
            )
        return Preview(template, await self._in_thread(lambda: rendered(parts, values, outside=outside)))

    async def difference(
        self, owner: str, name: str, base_version: int | None, version: int | None
    ) -> tuple[int, int, Sequence[str]]:
        """What makes ``version`` (by default the current one) of ``base_version`` (by default the one before).

        Returns:
            The two versions' numbers, the older first, and what has changed in lines.

        Raises:
            PromptNotFoundError: no such template or version.
        """
        after = await self.get(owner, name, version)
        before = await self.get(owner, name, max(0, after.version - 1) if base_version is None else base_version)
        return before.version, after.version, await self._in_thread(changed_lines, before, after)

    async def _checked(
        self, owner: str, template: PromptTemplate, beside: Mapping[str, PromptTemplate]
    ) -> Sequence[Finding]:
        """The warnings about a template that may be saved."""
        if template.name in self._taken:
            raise PromptNameTakenError(template.name)
        findings = await self.check(owner, template, beside=beside)
        if any(each.severity == "error" for each in findings):
            raise InvalidPromptError(findings)
        return findings

    async def _store(self, actor: Actor, template: PromptTemplate, expected_version: int | None) -> PromptTemplate:
        saved = await self.repository.save(
            actor.workspace_id, template, expected_version=expected_version, now=self._clock.now()
        )
        self._tell(PROMPT_SAVED, actor.workspace_id, saved.name, saved.version)
        self._audit.note(actor, PROMPT_SAVED, f"prompt:{saved.name}", {"version": saved.version})
        await self._audit.written()
        return saved

    async def _parts(
        self, owner: str, template: PromptTemplate, beside: Mapping[str, PromptTemplate]
    ) -> tuple[Parts, Unfit]:
        """The template with every partial that it reaches; those that are missing, and a way round in a circle."""
        partials: dict[str, PromptTemplate] = {}
        missing: dict[str, str] = {}
        cycle: list[str] = []
        beside = {**beside, template.name: template}

        async def visit(name: str, way: tuple[str, ...]) -> None:
            """Take in a partial and those that it includes; ``way`` leads to it, by names without versions."""
            bare = name.partition("@")[0]
            if bare in way:
                cycle[:] = [*way[way.index(bare) :], bare]
            if cycle or name in partials or name in missing:
                return
            if len(partials) == MOST_PARTIALS:
                missing[name] = f"More than {MOST_PARTIALS} partials are included."
                return
            partial = await self._partial(owner, name, beside, missing)
            if partial is not None:
                partials[name] = partial
                await self._in_thread(_analysed, partial)
                for inner in included_by(partial):
                    await visit(inner, (*way, bare))

        for name in included_by(template):
            await visit(name, (template.name,))
        return Parts(template, partials), Unfit(missing=missing, cycle=tuple(cycle))

    async def _partial(
        self, owner: str, name: str, beside: Mapping[str, PromptTemplate], missing: dict[str, str]
    ) -> PromptTemplate | None:
        named = PARTIAL.fullmatch(name)
        if named is None:  # what is stored was checked when it was
            missing[name] = f"{name!r} is no name of a partial."
            return None
        bare, version = named["name"], int(named["version"]) if named["version"] else None
        try:
            found = beside[bare] if version is None and bare in beside else await self.get(owner, bare, version)
        except PromptNotFoundError:
            partials = [each.name for each in await self.every(owner) if each.is_partial]
            hint = did_you_mean(nearest(bare, partials)) or f" There are: {listed(partials)}."
            missing[name] = f"There is no partial {name!r}.{hint}"
            return None
        if not found.is_partial:
            missing[name] = f"{name!r} is a template and no partial; only partials are included."
            return None
        return found

    async def _in_thread(self, work: Callable[..., R], *arguments: Any) -> R:
        """What ``work`` returns. It runs in a thread, since it takes too long for the event loop."""
        async with self._turns:
            return await asyncio.to_thread(work, *arguments)

    def _tell(self, event_type: str, owner: str, name: str, version: int) -> None:
        if self._bus.is_heard(topic(owner, name), event_type):
            self._bus.publish(
                Event(
                    event_id=self._new_id(),
                    timestamp=self._clock.now(),
                    event_type=event_type,
                    aggregate_id=topic(owner, name),
                    data={"workspaceId": owner, "name": name, "version": version},
                )
            )


def _analysed(template: PromptTemplate) -> None:
    """Have every text of the template read, which is remembered."""
    for each in template.messages:
        analysis(each.content)
