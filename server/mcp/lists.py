"""MCP's lists: tools, prompts, resources and templates, page by page."""

from __future__ import annotations

import mcp_types as types
from mcp.server.apps import client_supports_apps
from mcp.server.caching import CacheableMethod, CacheHint

from server.mcp.errors import protocol_error
from server.mcp.offers import Offers
from server.mcp.selection import wanted_tools
from server.mcp.session import Context, actor_of, owner_of
from tools import definition_guide
from tools.executions import app as execution_app
from tools.protocol.resources import SETTLED_MS
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.identity import READS_PROMPTS

Page = types.PaginatedRequestParams | None

CACHE_HINTS: dict[CacheableMethod, CacheHint] = {
    # The caller's own next request can change a list, so nothing may be cached; subscriptions announce changes.
    "tools/list": CacheHint(ttl_ms=0, scope="private"),
    "prompts/list": CacheHint(ttl_ms=0, scope="private"),
    "resources/list": CacheHint(ttl_ms=0, scope="private"),
    "resources/templates/list": CacheHint(ttl_ms=SETTLED_MS, scope="private"),
}


class Lists:
    """The handlers of ``…/list``. An unknown cursor is an error that says so."""

    def __init__(self, offers: Offers) -> None:
        self._tools = offers.tools
        self._selection = offers.selection
        self._prompts = offers.prompts
        self._resources = offers.resources

    async def tools(self, context: Context, params: Page) -> types.ListToolsResult:
        """The caller's tools: those selected by the URL and allowed by their scopes; a page may be short."""
        selection = self._selection.narrowed(wanted_tools(context.request))
        try:
            page = await self._tools.page(owner_of(context), _cursor(params))
        except JobsprintError as error:
            raise protocol_error(error) from error
        actor, has_apps = actor_of(context), client_supports_apps(context)
        seen = [each.listed_for(has_apps=has_apps) for each in page.items if selection.shows(each, actor)]
        return types.ListToolsResult(tools=seen, next_cursor=page.next_cursor)

    async def prompts(self, context: Context, params: Page) -> types.ListPromptsResult:
        """The caller's prompts, if their scopes allow reading: the list reveals what a workspace's templates do."""
        if not actor_of(context).scopes >= READS_PROMPTS:
            return types.ListPromptsResult(prompts=[])
        try:
            page = await self._prompts.page(owner_of(context), _cursor(params))
        except JobsprintError as error:
            raise protocol_error(error) from error
        return types.ListPromptsResult(prompts=[each.listed for each in page.items], next_cursor=page.next_cursor)

    async def resources(self, context: Context, params: Page) -> types.ListResourcesResult:
        """The caller's resources."""
        try:
            page = await self._resources.page(actor_of(context), _cursor(params))
        except JobsprintError as error:
            raise protocol_error(error) from error
        is_first = _cursor(params) is None
        apps = [execution_app.listed()] if is_first and client_supports_apps(context) else []
        guides = [definition_guide.listed()] if is_first else []
        return types.ListResourcesResult(resources=[*apps, *guides, *page.items], next_cursor=page.next_cursor)

    async def templates(self, context: Context, params: Page) -> types.ListResourceTemplatesResult:
        """Every template, in one page: they are few."""
        if _cursor(params) is not None:
            error = InvalidArgumentsError("This list has one page.", pointer="/cursor", fix="Leave the cursor out.")
            raise protocol_error(error)
        return types.ListResourceTemplatesResult(resource_templates=self._resources.templates)


def _cursor(params: Page) -> str | None:
    return params.cursor if params is not None else None
