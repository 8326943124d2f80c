"""Conformance fixtures whose results are content of every kind: tools, prompts and resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import mcp_types as types
import orjson

from tools.conformance.fixtures import (
    Context,
    FixturePrompt,
    FixtureTool,
    object_with,
    text_result,
)
from tools.protocol.completions import Typed
from tools.protocol.resources import SETTLED_MS, Reading, ResourceForm, Variables
from workflow.identity import NO_SCOPES, Actor
from workflow.ports import Page

# One red pixel, and two samples of silence.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

JSON_SCHEMA_2020_12 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
HEADER_SCHEMA = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}


def content_tools() -> list[FixtureTool]:
    """Tools that answer with fixed content, or with what they were sent."""
    image = types.ImageContent(type="image", data=PNG, mime_type="image/png")
    audio = types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")
    mixed: list[types.ContentBlock] = [
        types.TextContent(type="text", text="Multiple content types test:"),
        image,
        _embedded("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json"),
    ]
    simple = types.TextContent(type="text", text="This is a simple text response for testing.")
    embedded = _embedded("test://embedded-resource", "This is an embedded resource content.")
    return [
        FixtureTool("test_simple_text", "Answers with a text.", _fixed(simple)),
        FixtureTool("test_image_content", "Answers with an image.", _fixed(image)),
        FixtureTool("test_audio_content", "Answers with a sound.", _fixed(audio)),
        FixtureTool("test_embedded_resource", "Answers with a resource.", _fixed(embedded)),
        FixtureTool("test_multiple_content_types", "Answers with several kinds of content.", _fixed(*mixed)),
        FixtureTool("test_error_handling", "Always fails.", _fail),
        FixtureTool("json_schema_2020_12_tool", "Has a schema with every keyword.", _echo, JSON_SCHEMA_2020_12),
        FixtureTool("greet", "Greets at once, without a task.", _greet, object_with({"name": {"type": "string"}})),
        FixtureTool("test_header_parameter", "Takes a parameter from a header too.", _echo, HEADER_SCHEMA),
    ]


def content_prompts() -> list[FixturePrompt]:
    """Prompts with fixed content."""
    return [
        FixturePrompt("test_simple_prompt", "A text.", _simple_prompt),
        FixturePrompt(
            "test_prompt_with_arguments",
            "A text with arguments in it.",
            _prompt_with_arguments,
            ("arg1", "arg2"),
            {"arg1": _cities},
        ),
        FixturePrompt(
            "test_prompt_with_embedded_resource",
            "A resource.",
            _prompt_with_resource,
            ("resourceUri",),
        ),
        FixturePrompt("test_prompt_with_image", "An image.", _prompt_with_image),
    ]


class ContentResources:
    """A :class:`tools.protocol.resources.ResourceSource` of the suite's resources."""

    def forms(self) -> Sequence[ResourceForm]:
        """Three resources and a template."""
        return [
            ResourceForm(
                scopes=NO_SCOPES,
                template="test://static-text",
                name="static text",
                title="Text",
                description="A text that never changes.",
                mime_type="text/plain",
                read=self._text("This is the content of the static text resource."),
            ),
            ResourceForm(
                scopes=NO_SCOPES,
                template="test://static-binary",
                name="static binary",
                title="Image",
                description="An image that never changes.",
                mime_type="image/png",
                read=self._binary,
            ),
            ResourceForm(
                scopes=NO_SCOPES,
                template="test://watched-resource",
                name="watched resource",
                title="Watched text",
                description="A text that can be subscribed to.",
                mime_type="text/plain",
                read=self._text("This is the content of the watched resource."),
                workflow_id=self._workflow_id,
            ),
            ResourceForm(
                scopes=NO_SCOPES,
                template="test://template/{id}/data",
                name="template",
                title="Template",
                description="Data with an id in it.",
                read=self._template,
            ),
        ]

    async def page(self, actor: Actor, cursor: str | None) -> Page[types.Resource]:
        """All of them."""
        listed = [
            types.Resource(uri=form.template, name=form.name, description=form.description, mime_type=form.mime_type)
            for form in self.forms()
            if not form.is_template
        ]
        return Page(listed, None)

    def _text(self, text: str) -> Callable[[str, Variables, Actor], Awaitable[Reading]]:
        async def read(uri: str, variables: Variables, actor: Actor) -> Reading:
            return Reading(types.TextResourceContents(uri=uri, mime_type="text/plain", text=text), SETTLED_MS)

        return read

    async def _binary(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        return Reading(types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG), SETTLED_MS)

    async def _template(self, uri: str, variables: Variables, actor: Actor) -> Reading:
        content = {"id": variables["id"], "templateTest": True, "data": f"Data for ID: {variables['id']}"}
        text = orjson.dumps(content).decode()
        return Reading(types.TextResourceContents(uri=uri, mime_type="application/json", text=text), SETTLED_MS)

    async def _workflow_id(self, variables: Variables, actor: Actor) -> str:
        return "conformance"


def _fixed(
    *content: types.ContentBlock,
) -> Callable[[Context, types.CallToolRequestParams], Awaitable[types.CallToolResult]]:
    async def answer(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        return types.CallToolResult(content=list(content))

    return answer


async def _greet(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    return text_result(f"Hello, {(params.arguments or {}).get('name')}!")


async def _fail(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    return text_result("This tool intentionally returns an error for testing", is_error=True)


async def _echo(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    return text_result(orjson.dumps(params.arguments or {}).decode())


async def _simple_prompt(context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    return _messages(types.TextContent(type="text", text="This is a simple prompt for testing."))


async def _prompt_with_arguments(context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    given = params.arguments or {}
    text = f"Prompt with arguments: arg1='{given.get('arg1', '')}', arg2='{given.get('arg2', '')}'"
    return _messages(types.TextContent(type="text", text=text))


async def _prompt_with_resource(context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    uri = (params.arguments or {}).get("resourceUri", "")
    return _messages(
        _embedded(uri, "Embedded resource content for testing."),
        types.TextContent(type="text", text="Please process the embedded resource above."),
    )


async def _prompt_with_image(context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    return _messages(
        types.ImageContent(type="image", data=PNG, mime_type="image/png"),
        types.TextContent(type="text", text="Please analyze the image above."),
    )


async def _cities(typed: Typed) -> Sequence[str]:
    return [city for city in ("paris", "park city", "parma", "rome") if city.startswith(typed.value)]


def _messages(*content: types.ContentBlock) -> types.GetPromptResult:
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=each) for each in content])


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> types.EmbeddedResource:
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    )
