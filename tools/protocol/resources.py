"""Resources: what a client can read whole under a URI, list, and subscribe to."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, unquote

import mcp_types as types
import orjson

from storage.database.cursors import decode_cursor, encode_cursor, foreign_cursor
from tools.protocol.budget import shown
from tools.protocol.completions import Completer
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import Actor, Scopes
from workflow.ports import Page

JSON_TYPE = "application/json"
SETTLED_MS = 3_600_000
"""How long a client may keep what never changes. What may change is stale at once: it can be subscribed to."""

RESOURCES_PER_PAGE = 50

_VARIABLE = re.compile(r"\{(\w+)\}")
_VERSION = re.compile(r"[0-9]{1,9}")

Variables = Mapping[str, str]


class ResourceNotFoundError(JobsprintError):
    """A URI that names nothing."""

    code = "resource_not_found"
    kind = ErrorKind.NOT_FOUND


@dataclass(slots=True, frozen=True)
class Reading:
    """What a resource holds, and for how many milliseconds a client may keep it."""

    contents: types.TextResourceContents | types.BlobResourceContents
    ttl_ms: int = 0


@dataclass(slots=True, frozen=True)
class Watched:
    """A resource that can change: its URI in our own spelling, and the id of the events' aggregate, which is a
    workflow's or a prompt template's."""

    uri: str
    workflow_id: str


@dataclass(slots=True, frozen=True, kw_only=True)
class ResourceForm:
    """URIs of one form, ``scheme://…/{variable}/…``; a form without variables is one resource.

    ``scopes`` are what its reader must have. ``read`` gets the URI, the variables and the actor. ``workflow_id`` says
    whose events tell of changes; a form without it cannot be subscribed to. Both raise a :class:`JobsprintError` where
    there is no such thing. ``is_listed`` is whether clients are shown its template.
    """

    template: str
    name: str
    title: str
    description: str
    read: Callable[[str, Variables, Actor], Awaitable[Reading]]
    scopes: Scopes
    mime_type: str = JSON_TYPE
    completers: Mapping[str, Completer] = field(default_factory=dict)
    workflow_id: Callable[[Variables, Actor], Awaitable[str]] | None = None
    is_listed: bool = True
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        parts = _VARIABLE.split(self.template)
        pattern = "".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
        object.__setattr__(self, "pattern", re.compile(pattern))

    @property
    def is_template(self) -> bool:
        """Whether it stands for many resources."""
        return "{" in self.template

    def variables(self, uri: str) -> Variables | None:
        """The variables' values in ``uri``, or ``None`` where it has another form."""
        found = self.pattern.fullmatch(uri)
        return {name: unquote(value) for name, value in found.groupdict().items()} if found is not None else None

    def uri(self, variables: Variables) -> str:
        """The URI of these variables."""
        return _VARIABLE.sub(lambda found: quote(variables[found[1]], safe=""), self.template)


class ResourceSource(Protocol):
    """A part of what can be read."""

    def forms(self) -> Sequence[ResourceForm]:
        """Every form of its URIs."""
        ...

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """A page of what the actor may read, for those who browse.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        ...


class Resources:
    """What ``resources/…`` answers, source by source."""

    def __init__(self, sources: Sequence[ResourceSource]) -> None:
        self._sources = sources
        self._forms = [form for source in sources for form in source.forms()]
        self.templates = [
            types.ResourceTemplate(
                uri_template=form.template,
                name=form.name,
                title=form.title,
                description=form.description,
                mime_type=form.mime_type,
            )
            for form in self._forms
            if form.is_template and form.is_listed
        ]

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """One page of one source, and the cursor of the next page or source. Empty pages are passed over.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        place, inner = decode_cursor(cursor, int, str) if cursor is not None else (0, "")
        if not 0 <= place < len(self._sources):
            raise foreign_cursor(cursor or "")
        while True:
            page = await self._sources[place].page(actor, inner or None)
            place, inner = (place, page.next_cursor) if page.next_cursor is not None else (place + 1, "")
            if place == len(self._sources):
                return Page(page.items, None)
            if page.items:
                return Page(page.items, encode_cursor(place, inner))

    def scopes(self, uri: str) -> Scopes:
        """What reading the resource takes; nothing where there is none of this form."""
        return next((form.scopes for form in self._forms if form.variables(uri) is not None), frozenset())

    async def read(self, uri: str, actor: Actor) -> Reading:
        """What the resource holds.

        Raises:
            ResourceNotFoundError: no such form of URI.
            InsufficientScopeError: the actor may not read it.
            JobsprintError: what it names is not there.
        """
        form, variables = self._find(uri)
        actor.require(form.scopes)
        return await form.read(uri, variables, actor)

    async def watched(self, uri: str, actor: Actor) -> Watched:
        """What to listen to for changes of the resource.

        Raises:
            ResourceNotFoundError: no such form of URI, or what has it never changes.
            InsufficientScopeError: the actor may not read it.
            JobsprintError: what it names is not there.
        """
        form, variables = self._find(uri)
        actor.require(form.scopes)
        if form.workflow_id is None:
            raise ResourceNotFoundError(
                f"{uri!r} never changes.", fix="Subscribe to workflows, executions and prompts."
            )
        return Watched(form.uri(variables), await form.workflow_id(variables, actor))

    def completer(self, template: str, variable: str) -> Completer | None:
        """What completes a variable of a form.

        Raises:
            ResourceNotFoundError: there is no such form, or it has no such variable.
        """
        for form in self._forms:
            if form.template == template and f"{{{variable}}}" in template:
                return form.completers.get(variable)
        raise ResourceNotFoundError(
            f"No template {template!r} has a variable {variable!r}.", fix="resources/templates/list has the templates."
        )

    def _find(self, uri: str) -> tuple[ResourceForm, Variables]:
        for form in self._forms:
            variables = form.variables(uri)
            if variables is not None:
                return form, variables
        forms = ", ".join(template.uri_template for template in self.templates)
        raise ResourceNotFoundError(f"No resource has the URI {uri!r}.", fix=f"URIs have one of these forms: {forms}.")


def json_resource(uri: str, *, name: str, description: str) -> types.Resource:
    """A resource of JSON as ``resources/list`` has it."""
    return types.Resource(uri=uri, name=name, description=description, mime_type=JSON_TYPE)


def versioned_forms(
    template: str,
    *,
    noun: str,
    description: str,
    scopes: Scopes,
    read: Callable[[str, Actor, str, int | None], Awaitable[Reading]],
    not_found: Callable[[str], JobsprintError],
    completer: Completer,
    versions: Completer,
    workflow_id: Callable[[Variables, Actor], Awaitable[str]],
) -> list[ResourceForm]:
    """The forms of a thing that has versions: ``template``, which has one variable, and its ``…/versions/{version}``.

    ``read`` gets the URI, the actor, the variable's value and the version's number, ``None`` for the current one.
    """
    (variable,) = _VARIABLE.findall(template)

    async def current(uri: str, variables: Variables, actor: Actor) -> Reading:
        return await read(uri, actor, variables[variable], None)

    async def version(uri: str, variables: Variables, actor: Actor) -> Reading:
        if not _VERSION.fullmatch(variables["version"]):
            raise not_found(variables[variable])
        return await read(uri, actor, variables[variable], int(variables["version"]))

    return [
        ResourceForm(
            template=template,
            scopes=scopes,
            name=noun,
            title=noun.capitalize(),
            description=description,
            read=current,
            completers={variable: completer},
            workflow_id=workflow_id,
        ),
        ResourceForm(
            template=f"{template}/versions/{{version}}",
            scopes=scopes,
            name=f"{noun} version",
            title=f"Version of a {noun}",
            description=f"One version of a {noun}; it never changes.",
            read=version,
            completers={variable: completer, "version": versions},
        ),
    ]


def json_reading(uri: str, content: Any, *, ttl_ms: int = 0) -> Reading:
    """``content`` as JSON that people can read too, with the secrets in it hidden."""
    text = orjson.dumps(shown(content), option=orjson.OPT_INDENT_2).decode()
    return Reading(types.TextResourceContents(uri=uri, mime_type=JSON_TYPE, text=text), ttl_ms)
