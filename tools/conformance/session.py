"""Conformance fixtures that talk with the client while the call lasts, or change what is offered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, get_args

import mcp_types as types
from mcp.server.connection import allowed_log_levels
from mcp.shared.message import ServerMessageMetadata

from engine.announcements import Announcements
from tools.conformance.fixtures import Context, FixturePrompt, FixtureTool, object_with, text_result
from workflow.identity import LOCAL_ID

PAUSE_SECONDS = 0.05
"""Between messages, so that the client sees them one by one; the suite's figure."""
RECONNECT_SECONDS = 0.2
"""How long the client has to come back before the rest is sent."""

LEVELS: tuple[types.LoggingLevel, ...] = get_args(types.LoggingLevel)

DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "User name", "default": "John Doe"},
        "age": {"type": "integer", "description": "User age", "default": 30},
        "score": {"type": "number", "description": "User score", "default": 95.5},
        "status": {
            "type": "string",
            "description": "User status",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "description": "Verification status", "default": True},
    },
    "required": [],
}
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [
                {"const": "value1", "title": "First Option"},
                {"const": "value2", "title": "Second Option"},
                {"const": "value3", "title": "Third Option"},
            ],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {
                "anyOf": [
                    {"const": "value1", "title": "First Choice"},
                    {"const": "value2", "title": "Second Choice"},
                    {"const": "value3", "title": "Third Choice"},
                ]
            },
        },
    },
    "required": [],
}
USER = object_with(
    {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
)

T = TypeVar("T", FixtureTool, FixturePrompt)


class Passing(Generic[T]):
    """A :class:`tools.protocol.offering.OfferSource` of one thing, which is there or not."""

    def __init__(self, thing: T) -> None:
        self._thing: T = thing
        self.is_there = False

    async def all(self, owner: str) -> Sequence[T]:
        """It, or nothing."""
        return [self._thing] if self.is_there else []


class SessionFixtures:
    """Tools that do so; they share the least level that the suite wants to have logged."""

    def __init__(self, announcements: Announcements) -> None:
        self._announcements = announcements
        self._level: types.LoggingLevel = "debug"
        self.passing_tools = Passing(FixtureTool("test_passing_tool", "Comes and goes.", self._say_hello))
        self.passing_prompts = Passing(FixturePrompt("test_passing_prompt", "Comes and goes.", self._prompt))

    def tools(self) -> list[FixtureTool]:
        """The tools."""
        prompt = object_with({"prompt": {"type": "string", "description": "The prompt to send to the model"}})
        message = object_with({"message": {"type": "string", "description": "The message to show the user"}})
        return [
            FixtureTool("test_tool_with_logging", "Logs while it works.", self._log_three),
            FixtureTool("test_logging_tool", "Logs where the request allows it.", self._log_three),
            FixtureTool("test_tool_with_progress", "Tells how far it is.", self._progress),
            FixtureTool("test_reconnection", "Closes the stream while it works.", self._reconnection),
            FixtureTool("test_sampling", "Asks the client's model.", self._sampling, prompt),
            FixtureTool("test_elicitation", "Asks the user.", self._elicitation, message),
            FixtureTool("test_elicitation_sep1034_defaults", "Asks with defaults.", self._defaults),
            FixtureTool("test_elicitation_sep1330_enums", "Asks with choices.", self._enums),
            FixtureTool("test_trigger_tool_change", "Makes a tool come or go.", self._change_tools),
            FixtureTool("test_trigger_prompt_change", "Makes a prompt come or go.", self._change_prompts),
        ]

    async def set_level(self, context: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        """``logging/setLevel`` of the legacy era."""
        self._level = params.level
        return types.EmptyResult()

    async def _log(self, context: Context, text: str) -> None:
        """Log where the request (modern) or the level set before it (legacy) allows it."""
        allowed = allowed_log_levels(context.protocol_version, context.meta)
        if "info" in allowed and LEVELS.index(self._level) <= LEVELS.index("info"):
            params = types.LoggingMessageNotificationParams(level="info", data=text)
            await context.session.send_notification(
                types.LoggingMessageNotification(params=params), related_request_id=context.request_id
            )

    async def _log_three(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await self._log(context, text)
            await asyncio.sleep(PAUSE_SECONDS)
        return text_result("Tool with logging executed successfully")

    async def _progress(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        for done in (0, 50, 100):
            await context.session.report_progress(done, 100, f"Completed step {done} of 100")
            await asyncio.sleep(PAUSE_SECONDS)
        return text_result("Tool with progress executed successfully")

    async def _reconnection(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        await self._log(context, "Before disconnect")
        if context.close_sse_stream is not None:
            await context.close_sse_stream()
        await asyncio.sleep(RECONNECT_SECONDS)
        await self._log(context, "After reconnect")
        return text_result("Reconnection test completed")

    async def _sampling(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        text = types.TextContent(type="text", text=str((params.arguments or {}).get("prompt", "")))
        message = types.SamplingMessage(role="user", content=text)
        answer = await context.session.send_request(
            types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=100)),
            types.CreateMessageResult,
            metadata=ServerMessageMetadata(related_request_id=context.request_id),
        )
        said = answer.content.text if isinstance(answer.content, types.TextContent) else answer.content.type
        return text_result(f"LLM response: {said}")

    async def _elicitation(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        message = str((params.arguments or {}).get("message", ""))
        return text_result(f"User response: {await self._ask(context, message, USER)}")

    async def _defaults(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        answer = await self._ask(context, "Please provide user information", DEFAULTS)
        return text_result(f"Elicitation completed: {answer}")

    async def _enums(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        answer = await self._ask(context, "Please select values", ENUMS)
        return text_result(f"Elicitation completed: {answer}")

    async def _ask(self, context: Context, message: str, schema: dict[str, Any]) -> str:
        answer = await context.session.elicit_form(message, schema, related_request_id=context.request_id)
        return f"action={answer.action}, content={answer.content}"

    async def _change_tools(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        self.passing_tools.is_there = not self.passing_tools.is_there
        self._announcements.workflow_changed("published", "conformance", LOCAL_ID)
        return text_result("The list of tools has changed.")

    async def _change_prompts(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        self.passing_prompts.is_there = not self.passing_prompts.is_there
        self._announcements.workflow_changed("published", "conformance", LOCAL_ID)
        return text_result("The list of prompts has changed.")

    async def _say_hello(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return text_result("Hello")

    async def _prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        text = types.TextContent(type="text", text="Hello")
        return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])
