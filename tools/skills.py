"""Skills over MCP (SEP-2640): the guides, and each published workflow with a worked example, as Agent Skills.

A skill is a Markdown page with a name and a description in front. Hosts show these two to their model, and read the
page when it is wanted, by ``resources/read``; ``skills/list`` and ``skills/get`` say what there is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mcp_types as types

from prompts.guides import load_guides
from storage.database.cursors import decode_cursor, encode_cursor, foreign_cursor
from tools import definition_guide
from tools.protocol.resources import Reading, ResourceForm, Variables
from tools.workflows.published import PublishedTool, PublishedTools
from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import NO_SCOPES, RUNS, Actor
from workflow.items import JsonObject
from workflow.ports import Page
from workflow.schemas.samples import sample_of

EXTENSION = "io.modelcontextprotocol/skills"
MEDIA_TYPE = "text/markdown"
PER_PAGE = 50
_NO_HYPHEN = re.compile(r"[^a-z0-9]+")


class SkillNotFoundError(JobsprintError):
    """No skill has this URI."""

    code = "skill_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, uri: str) -> None:
        super().__init__(f"There is no skill {uri!r:.200}.", pointer="/uri", fix="skills/list has those there are.")


@dataclass(slots=True, frozen=True, kw_only=True)
class Skill:
    """One skill, a single file. ``path`` ends with its name."""

    path: str
    description: str
    body: str

    @property
    def uri(self) -> str:
        """Where its file is read."""
        return f"skill://{self.path}/SKILL.md"

    @property
    def frontmatter(self) -> dict[str, str]:
        """What stands in front of the page."""
        return {"name": self.path.rpartition("/")[2], "description": self.description}

    @property
    def text(self) -> str:
        """The file: a text in JSON's form is one in YAML's, too."""
        lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in self.frontmatter.items()]
        return "\n".join(["---", *lines, "---", "", self.body.strip(), ""])

    def entry(self) -> JsonObject:
        """As ``skills/list`` and ``skills/get`` show it: with the digest and size of its file."""
        content = self.text.encode()
        file = {"uri": self.uri, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
        return {"uri": self.uri, "frontmatter": self.frontmatter, "resources": [file]}


class Skills:
    """What an actor can read. Also a :class:`tools.protocol.resources.ResourceSource`, by which the files are read."""

    def __init__(self, published: PublishedTools) -> None:
        self._published = published
        self._built_in = _built_in()

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """Nothing to browse: ``skills/list`` has them."""
        return Page([], None)

    async def skills(self, actor: Actor, cursor: str | None) -> Page[Skill]:
        """A page of the skills: the guides, then the published workflows that the actor may run, by name.

        Raises:
            InvalidArgumentsError: the cursor is not one that this method gave out.
        """
        start = 0
        if cursor is not None:
            kind, start = decode_cursor(cursor, str, int)
            if kind != "skills" or start < 0:
                raise foreign_cursor(cursor)
        every = await self._all(actor)
        end = start + PER_PAGE
        return Page(every[start:end], encode_cursor("skills", end) if len(every) > end else None)

    async def get(self, actor: Actor, uri: str) -> Skill:
        """The skill whose file has this URI.

        Raises:
            SkillNotFoundError: there is none for the actor.
        """
        for skill in await self._all(actor):
            if skill.uri == uri:
                return skill
        raise SkillNotFoundError(uri)

    def forms(self) -> Sequence[ResourceForm]:
        """The URIs of the files."""
        text = "A skill: how to do something with this server, step by step."
        common: dict[str, Any] = {
            "title": "Skill",
            "description": text,
            "mime_type": MEDIA_TYPE,
            "read": self._read,
            "is_listed": False,
        }
        return [
            ResourceForm(template="skill://{name}/SKILL.md", name="skill", scopes=NO_SCOPES, **common),
            ResourceForm(
                template="skill://workflows/{tool}/{name}/SKILL.md", name="workflow skill", scopes=RUNS, **common
            ),
        ]

    async def _read(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        skill = await self.get(actor, uri)
        return Reading(types.TextResourceContents(uri=uri, mime_type=MEDIA_TYPE, text=skill.text))

    async def _all(self, actor: Actor) -> list[Skill]:
        if not actor.scopes >= RUNS:
            return list(self._built_in)
        return [*self._built_in, *(_of_workflow(tool) for tool in await self._published.all(actor.workspace_id))]


def _built_in() -> tuple[Skill, ...]:
    guides = [
        Skill(
            path=_name(guide.name),
            description=guide.description,
            body=guide.render({each.name: f"<{each.description}>" for each in guide.arguments}),
        )
        for guide in load_guides()
    ]
    definition = Skill(path="write-definition", description=definition_guide.DESCRIPTION, body=definition_guide.page())
    return (*guides, definition)


def _of_workflow(tool: PublishedTool) -> Skill:
    schema = tool.listed.input_schema
    example = sample_of(schema)
    run = {"workflow_id": tool.workflow.id, "version": "published", "input": example}
    body = "\n".join(
        [
            f"# {tool.workflow.definition.name}",
            "",
            tool.exposure.description,
            "",
            f"Call the tool `{tool.name}` with arguments such as",
            "",
            f"```json\n{json.dumps(example, ensure_ascii=False, indent=2)}\n```",
            "",
            "Where your client does not list that tool, `execute_workflow` does the same:",
            "",
            f"```json\n{json.dumps(run, ensure_ascii=False, indent=2)}\n```",
            "",
            "The arguments fit this JSON Schema:",
            "",
            f"```json\n{json.dumps(schema, ensure_ascii=False, indent=2)}\n```",
        ]
    )
    return Skill(path=f"workflows/{tool.name}/{_name(tool.name)}", description=tool.exposure.description, body=body)


def _name(text: str) -> str:
    """A name in the form of Agent Skills: lower-case letters, digits, single hyphens inside."""
    return _NO_HYPHEN.sub("-", text.lower()).strip("-")
