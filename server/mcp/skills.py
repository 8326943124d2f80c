"""The extension ``io.modelcontextprotocol/skills`` (SEP-2640) on the wire: its two methods."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server

from server.mcp.session import Context, actor_of
from server.mcp.tasks import refusal
from tools.skills import EXTENSION, Skills
from workflow.errors import JobsprintError
from workflow.items import JsonObject

CACHING: JsonObject = {"ttlMs": 0, "cacheScope": "private"}
"""A workspace's workflows come and go, and are its own."""


class ListSkillsParams(types.RequestParams):
    """Which page."""

    cursor: str | None = None


class GetSkillParams(types.RequestParams):
    """Which skill, by the URI of its ``SKILL.md``."""

    uri: str


class SkillMethods:
    """Binds :class:`tools.skills.Skills` to the protocol."""

    def __init__(self, skills: Skills) -> None:
        self._skills = skills

    def join(self, server: Server[Any]) -> None:
        """Serve the methods, and say so to clients."""
        server.add_request_handler("skills/list", ListSkillsParams, self._list)
        server.add_request_handler("skills/get", GetSkillParams, self._get)
        server.extensions[EXTENSION] = {}

    async def _list(self, context: Context, params: ListSkillsParams) -> JsonObject:
        try:
            page = await self._skills.skills(actor_of(context), params.cursor)
        except JobsprintError as error:
            raise refusal(error) from error
        more = {"nextCursor": page.next_cursor} if page.next_cursor is not None else {}
        return {"resultType": "complete", "skills": [each.entry() for each in page.items], **more, **CACHING}

    async def _get(self, context: Context, params: GetSkillParams) -> JsonObject:
        try:
            skill = await self._skills.get(actor_of(context), params.uri)
        except JobsprintError as error:
            raise refusal(error) from error
        return {"resultType": "complete", "skill": skill.entry(), **CACHING}
