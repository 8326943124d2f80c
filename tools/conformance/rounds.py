"""Conformance fixtures that need input from the client and ask for it in rounds (SEP-2322)."""

from __future__ import annotations

from collections.abc import Mapping

import mcp_types as types
from mcp.shared.exceptions import MCPError

from tools.conformance.fixtures import (
    Context,
    FixturePrompt,
    FixtureTool,
    PromptResult,
    ToolResult,
    object_with,
    text_result,
)


def round_tools() -> list[FixtureTool]:
    """Tools that answer at once with what they need."""
    named = "test_input_required_result_"
    return [
        FixtureTool(f"{named}elicitation", "Asks for a name.", _elicitation),
        FixtureTool(f"{named}sampling", "Asks the client's model.", _sampling),
        FixtureTool(f"{named}list_roots", "Asks for the client's roots.", _list_roots),
        FixtureTool(f"{named}request_state", "Gives the client state to carry.", _request_state),
        FixtureTool(f"{named}multiple_inputs", "Asks for three things at once.", _multiple_inputs),
        FixtureTool(f"{named}multi_round", "Asks twice.", _multi_round),
        FixtureTool(f"{named}tampered_state", "Gives the client state that is sealed.", _request_state),
        FixtureTool(f"{named}capabilities", "Asks only for what the client can do.", _capabilities),
        FixtureTool("test_streaming_elicitation", "Asks for a name on the response's stream.", _elicitation),
        FixtureTool("test_missing_capability", "Needs a client with a model.", _missing_capability),
    ]


def round_prompts() -> list[FixturePrompt]:
    """A prompt that does so."""
    return [FixturePrompt("test_input_required_result_prompt", "Asks for its context.", _prompt)]


async def _elicitation(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    name = _answered(params, "user_name", "name")
    if name is None:
        return _ask({"user_name": _form("What is your name?", "name")})
    return text_result(f"Hello, {name}!")


async def _sampling(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    text = _sampled(params, "capital_question")
    if text is None:
        return _ask({"capital_question": _question("What is the capital of France?", 100)})
    return text_result(text)


async def _list_roots(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    uris = _roots(params, "client_roots")
    if uris is None:
        return _ask({"client_roots": types.ListRootsRequest()})
    return text_result(f"The client's roots: {', '.join(uris)}")


async def _request_state(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    if params.request_state != "confirming" or _answered(params, "confirm", "ok") is None:
        schema = object_with({"ok": {"type": "boolean"}})
        form = types.ElicitRequestFormParams(message="Please confirm", requested_schema=schema)
        return _ask({"confirm": types.ElicitRequest(params=form)}, "confirming")
    return text_result("state-ok")


async def _multiple_inputs(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    name, greeting = _answered(params, "user_name", "name"), _sampled(params, "greeting")
    uris = _roots(params, "client_roots")
    if name is None or greeting is None or uris is None:
        requests: dict[str, types.InputRequest] = {
            "user_name": _form("What is your name?", "name"),
            "greeting": _question("Generate a greeting", 50),
            "client_roots": types.ListRootsRequest(),
        }
        return _ask(requests, "three")
    return text_result(f"{greeting}, {name} of {', '.join(uris)}")


async def _multi_round(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    color = _answered(params, "step2", "color")
    stage, _, name = (params.request_state or "").partition(":")
    if stage == "named" and color is not None:
        return text_result(f"{name} likes {color}.")
    name = _answered(params, "step1", "name") or name
    if stage and name:
        return _ask({"step2": _form("Step 2: What is your favorite color?", "color")}, f"named:{name}")
    return _ask({"step1": _form("Step 1: What is your name?", "name")}, "asked")


async def _capabilities(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    able = context.session.client_capabilities or types.ClientCapabilities()
    requests: dict[str, types.InputRequest] = {}
    if able.elicitation is not None and _answered(params, "user_name", "name") is None:
        requests["user_name"] = _form("What is your name?", "name")
    if able.sampling is not None and _sampled(params, "greeting") is None:
        requests["greeting"] = _question("Generate a greeting", 50)
    if able.roots is not None and _roots(params, "client_roots") is None:
        requests["client_roots"] = types.ListRootsRequest()
    return _ask(requests) if requests else text_result("The client can do nothing more.")


async def _missing_capability(context: Context, params: types.CallToolRequestParams) -> ToolResult:
    able = context.session.client_capabilities
    if able is None or able.sampling is None:
        needed = types.MissingRequiredClientCapabilityErrorData(
            required_capabilities=types.ClientCapabilities(sampling=types.SamplingCapability())
        )
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "The client must declare the sampling capability.",
            needed.model_dump(by_alias=True, exclude_none=True),
        )
    return text_result("The client has declared it.")


async def _prompt(context: Context, params: types.GetPromptRequestParams) -> PromptResult:
    given = _answered(params, "user_context", "context")
    if given is None:
        return _ask({"user_context": _form("What context should the prompt use?", "context")})
    text = types.TextContent(type="text", text=f"Use this context: {given}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=text)])


def _ask(requests: Mapping[str, types.InputRequest], state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=dict(requests), request_state=state)


def _form(message: str, member: str) -> types.ElicitRequest:
    schema = object_with({member: {"type": "string"}})
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _question(text: str, max_tokens: int) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def _answered(params: types.InputResponseRequestParams, key: str, member: str) -> str | None:
    """What the form's member was filled in with, where it was."""
    answer = (params.input_responses or {}).get(key)
    if not isinstance(answer, types.ElicitResult) or answer.action != "accept":
        return None
    value = (answer.content or {}).get(member)
    return str(value) if value is not None else None


def _sampled(params: types.InputResponseRequestParams, key: str) -> str | None:
    answer = (params.input_responses or {}).get(key)
    if not isinstance(answer, types.CreateMessageResult | types.CreateMessageResultWithTools):
        return None
    content = answer.content[0] if isinstance(answer.content, list) and answer.content else answer.content
    return content.text if isinstance(content, types.TextContent) else None


def _roots(params: types.InputResponseRequestParams, key: str) -> list[str] | None:
    answer = (params.input_responses or {}).get(key)
    return [str(root.uri) for root in answer.roots] if isinstance(answer, types.ListRootsResult) else None
