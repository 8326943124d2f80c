"""MCP's requests for one thing: call a tool, get a prompt, read a resource, complete a value."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from server.mcp.errors import protocol_error
from server.mcp.offers import Offers
from server.mcp.selection import wanted_tools
from server.mcp.session import Context, SessionCaller, actor_of, owner_of
from server.mcp.tasks import TaskMethods
from tools.protocol.caller import AnswerComesLaterError
from tools.protocol.completions import Typed, complete
from tools.protocol.offering import OfferedPrompt
from tools.protocol.tool import Pending
from workflow.errors import JobsprintError
from workflow.identity import READS_PROMPTS


class Calls:
    """The handlers. A tool's failure is a result that the caller can correct; other failures are protocol errors."""

    def __init__(self, offers: Offers, tasks: TaskMethods) -> None:
        self._tasks = tasks
        self._tools = offers.tools
        self._selection = offers.selection
        self._prompts = offers.prompts
        self._resources = offers.resources

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> Any:
        """The tool's answer, its questions, or the task of a later answer, which is not one of the SDK's results."""
        tool = await self._tools.get(owner_of(context), params.name)
        selection = self._selection.narrowed(wanted_tools(context.request))
        if tool is None or not selection.includes(tool):
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        caller = SessionCaller(context, params)
        try:
            result = await tool.call(params.arguments or {}, caller)
        except AnswerComesLaterError as asked:
            return caller.input_required(asked)
        return await self._tasks.created(context, result.execution_id) if isinstance(result, Pending) else result

    async def get_prompt(
        self, context: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """The prompt's messages, or what it asks."""
        prompt = await self._prompt(context, params.name)
        caller = SessionCaller(context, params)
        try:
            caller.actor.require(READS_PROMPTS)
            return await prompt.get(params.arguments or {}, caller)
        except JobsprintError as error:
            raise protocol_error(error) from error

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """The resource's content, and how long it may be cached."""
        uri = str(params.uri)
        try:
            reading = await self._resources.read(uri, actor_of(context))
        except JobsprintError as error:
            raise protocol_error(error, uri=uri) from error
        return types.ReadResourceResult(contents=[reading.contents], ttl_ms=reading.ttl_ms, cache_scope="private")

    async def complete(self, context: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Values for a template's variable or a prompt's argument."""
        others = params.context.arguments if params.context is not None else None
        try:
            if isinstance(params.ref, types.ResourceTemplateReference):
                completer = self._resources.completer(params.ref.uri, params.argument.name)
            else:
                completer = (await self._prompt(context, params.ref.name)).completer(params.argument.name)
        except JobsprintError as error:
            raise protocol_error(error) from error
        typed = Typed(params.argument.value, actor_of(context), others or {})
        return types.CompleteResult(completion=await complete(completer, typed))

    def input_schema(self, name: str) -> dict[str, Any] | None:
        """The tool's schema, which saves the SDK a whole ``tools/list`` at every call with arguments.

        The SDK reads it for declared headers only. Users' own tools have none, so they need no schema here.
        """
        tool = self._tools.fixed(name)
        return tool.listed.input_schema if tool is not None else None

    async def _prompt(self, context: Context, name: str) -> OfferedPrompt:
        prompt = await self._prompts.get(owner_of(context), name)
        if prompt is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {name}")
        return prompt
