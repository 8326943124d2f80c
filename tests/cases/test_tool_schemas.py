"""Schemas of tools that every provider of models takes: ours, those of published workflows, those of other systems."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
from mcp.client.client import Client

from tests.doubles.plain_mcp_server import running_plain_server
from tests.support.here import here
from tests.support.mcp_caller import McpCaller
from tests.support.server_process import ServerProcess
from tools.integrations.pinned import PinnedTool
from tools.workflows.published import PublishedTool
from workflow.identity import LOCAL_ID
from workflow.schemas.foreign import usable_schema
from workflow.schemas.provider_forms import ProviderForm
from workflow.schemas.provider_rules import fits_openai_strict, provider_findings
from workflow.schemas.schemas import schema_findings

STRING = {"type": "string"}


def of(**properties: Any) -> dict[str, Any]:
    """A schema of these properties."""
    return {"type": "object", "properties": properties}


@pytest.fixture
async def mcp(server: ServerProcess) -> AsyncIterator[McpCaller]:
    """A client of the shared server."""
    async with Client(f"{server.url}/mcp") as client:
        yield McpCaller(client)


async def test_our_own_tools_pass_the_rules_of_all_providers(mcp: McpCaller) -> None:
    listed = await mcp.client.list_tools()
    ours = [each for each in listed.tools if each.name != "x"]
    assert len(ours) >= 18
    for tool in ours:
        assert provider_findings(tool.input_schema, is_strict=True) == [], tool.name
        assert len(tool.name) <= 64
    shown = listed.model_dump_json(by_alias=True, exclude_none=True, include={"tools"})
    assert len(shown.encode()) / 4 < 5_000


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "anyOf at the root": ({**of(), "anyOf": [of(a=STRING), of(b=STRING)]}, "/anyOf"),
    "oneOf at the root": ({**of(k=STRING), "oneOf": [{"required": ["k"]}]}, "/oneOf"),
    "allOf at the root": ({**of(), "allOf": [{**of(a=STRING), "required": ["a"]}]}, "/allOf"),
    "not at the root": ({**of(a=STRING), "not": {"required": ["a"]}}, "/not"),
    "if at the root": ({**of(a=STRING), "if": {"required": ["a"]}, "then": of(b=STRING)}, "/if"),
    "a reference at the root": (
        {"type": "object", "$ref": "#/$defs/A", "$defs": {"A": {**of(a=STRING), "required": ["a"]}}}, "/$ref",
    ),
    "no properties": ({"type": "object"}, ""),
    "a blank in a name": (of(**{"first name": STRING}), "/properties/first name"),
    "an umlaut in a name": ({**of(größe=STRING, gr_e=STRING), "required": ["größe"]}, "/properties/größe"),
    "seventy letters": (of(**{"n" * 70: STRING}), f"/properties/{'n' * 70}"),
    "no letters": (of(**{"": STRING}), "/properties/"),
    "brackets and signs": (of(**{"$top": STRING}), "/properties/$top"),
    "a slash and a tilde": (of(**{"a/b~c": STRING}), "/properties/a~1b~0c"),
    "a name further in": (
        of(a={"type": "array", "items": of(**{"b c": STRING})}), "/properties/a/items/properties/b c",
    ),
    "a list without items": (of(a={"type": "array"}), "/properties/a"),
    "a list or nothing without items": (of(a={"type": ["array", "null"]}), "/properties/a"),
    "a list in a list without items": (of(a={"type": "array", "items": {"type": "array"}}), "/properties/a/items"),
    "a tuple without items": (of(a={"type": "array", "prefixItems": [STRING]}), "/properties/a"),
    "items that are no schema": (of(a={"type": "array", "items": True}), "/properties/a"),
    "an object without properties": (of(a={"type": "object"}), "/properties/a"),
    "a list in a definition": (
        {**of(a={"$ref": "#/$defs/L"}), "$defs": {"L": {"type": "array"}}}, "/$defs/L",
    ),
    "a member that is anything": (of(a=True), "/properties/a"),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "where"), REFUSED.values(), ids=REFUSED)
def test_what_a_provider_refuses_is_found_and_its_patch_mends_it(schema: dict[str, Any], where: str) -> None:
    assert schema_findings(schema) == [], "it is JSON Schema, all the same"
    found = provider_findings(schema)
    assert found[0].pointer == where
    assert found[0].severity == "error"
    document = {"tool": {"input_schema": copy.deepcopy(schema)}}
    for _ in range(5):
        findings = provider_findings(document["tool"]["input_schema"], at="/tool/input_schema")
        if not findings:
            break
        before = len(findings)
        document = jsonpatch.apply_patch(document, [each.to_json() for each in findings[0].patch])
        after = provider_findings(document["tool"]["input_schema"], at="/tool/input_schema")
        assert len(after) < before, "the patch mends this one and breaks nothing"
    assert provider_findings(document["tool"]["input_schema"]) == []
    assert schema_findings(document["tool"]["input_schema"]) == []


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        (of(a={"const": "x"}), "/properties/a/const"),
        (of(a={"type": "integer", "exclusiveMinimum": 0}), "/properties/a/exclusiveMinimum"),
        (of(a={"type": "number", "exclusiveMaximum": 5, "maximum": 9}), "/properties/a/exclusiveMaximum"),
        (of(a={"description": "anything"}), "/properties/a"),
        (of(a={"type": ["string", "number"]}), "/properties/a/type"),
        (of(a={"type": "array", "items": {}}), "/properties/a/items"),
    ],
)
def test_what_gemini_does_not_have_is_a_warning_with_a_patch(schema: dict[str, Any], where: str) -> None:
    assert provider_findings(schema) == []
    (found,) = provider_findings(schema, is_strict=True)
    assert (found.pointer.removesuffix("/0"), found.severity) == (where, "warning")
    patched = jsonpatch.apply_patch(schema, [each.to_json() for each in found.patch])
    assert provider_findings(patched, is_strict=True) == []


@pytest.mark.parametrize(
    "schema",
    [
        of(),
        of(a=STRING, **{"b.c-d_9": {"type": "array", "items": STRING}}),
        of(a={"type": "object", "additionalProperties": STRING}, b={"anyOf": [STRING, {"type": "null"}]}),
        {**of(a={"$ref": "#/$defs/t"}), "$defs": {"t": of(k={"type": "array", "items": {"$ref": "#/$defs/t"}})}},
    ],
)
def test_what_all_take_is_left_alone(schema: dict[str, Any]) -> None:
    assert provider_findings(schema) == []
    form = ProviderForm(schema)
    assert form.schema is schema
    arguments = {"a": "x"}
    assert form.original(arguments) is arguments


def test_the_patch_of_a_root_keeps_what_every_branch_requires() -> None:
    schema = {
        **of(k=STRING), "required": ["k"],
        "oneOf": [{**of(a=STRING, z=STRING), "required": ["a", "z"]}, {**of(b=STRING, z=STRING), "required": ["z"]}],
    }  # fmt: skip
    (found,) = provider_findings(schema)
    patched = jsonpatch.apply_patch(schema, [each.to_json() for each in found.patch])
    assert set(patched["properties"]) == {"k", "a", "b", "z"}
    assert patched["required"] == ["k", "z"]


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        ({**of(a=STRING), "required": ["a"], "additionalProperties": False}, True),
        ({**of(), "additionalProperties": False}, True),
        ({**of(a=STRING), "additionalProperties": False}, False),
        ({**of(a=STRING), "required": ["a"]}, False),
        ({**of(a={"type": "object"}), "required": ["a"], "additionalProperties": False}, False),
        ({**of(a={}), "required": ["a"], "additionalProperties": False}, False),
    ],
)
def test_what_fits_the_strict_mode_is_told(schema: dict[str, Any], is_strict: bool) -> None:
    assert fits_openai_strict(schema) is is_strict


@pytest.mark.parametrize(("schema", "where"), REFUSED.values(), ids=REFUSED)
def test_a_form_for_models_takes_their_arguments_back_to_the_tool(schema: dict[str, Any], where: str) -> None:
    form = ProviderForm(usable_schema(schema))
    assert provider_findings(form.schema) == []
    assert ProviderForm(form.schema).schema is form.schema


def test_names_are_translated_at_any_depth() -> None:
    schema = {
        **of(
            größe={"type": "integer"},
            liste={"type": "array", "items": {"$ref": "#/$defs/Teil"}},
            **{"filter[x]": {"anyOf": [of(**{"a b": STRING}), STRING]}, "a b": STRING, "a_b": STRING},
        ),
        "$defs": {"Teil": of(höhe=STRING, teil={"$ref": "#/$defs/Teil"})},
    }
    form = ProviderForm(schema)
    assert set(form.schema["properties"]) == {"gr_e", "liste", "filter_x_", "a_b_2", "a_b"}
    given = {
        "gr_e": 1,
        "liste": [{"h_he": "x", "teil": {"h_he": "y"}}],
        "filter_x_": {"a_b": "z"},
        "a_b": "own",
        "a_b_2": "blank",
        "more": {"gr_e": 1},
    }
    assert form.original(given) == {
        "größe": 1,
        "liste": [{"höhe": "x", "teil": {"höhe": "y"}}],
        "filter[x]": {"a b": "z"},
        "a_b": "own",
        "a b": "blank",
        "more": {"gr_e": 1},
    }


def start(**parameters: Any) -> dict[str, Any]:
    """Nodes that give back what they get."""
    return {"start": {"type": "manual", **({"parameters": parameters} if parameters else {})}, "end": {"type": "no_op"}}


@pytest.mark.parametrize(("schema", "where"), REFUSED.values(), ids=REFUSED)
async def test_such_a_tool_is_not_published_and_the_patch_makes_it_one(
    mcp: McpCaller, schema: dict[str, Any], where: str
) -> None:
    workflow_id = await mcp.create(start(), ("start", "end"), name=f"tool {where}")
    offer: dict[str, Any] = {"name": "case_of_schemas", "description": "A case.", "input_schema": schema}
    for _ in range(5):
        result = await mcp.client.call_tool("publish_workflow", {"workflow_id": workflow_id, "tool": offer})
        if not result.is_error:
            break
        error = await mcp.fail("publish_workflow", workflow_id=workflow_id, tool=offer)
        assert error["code"] == "invalid_arguments"
        finding = error["findings"][0]
        assert finding["pointer"].startswith("/tool/input_schema")
        offer = jsonpatch.apply_patch({"tool": offer}, finding["patch"])["tool"]
    listed = await mcp.client.list_tools()
    (tool,) = [each for each in listed.tools if each.name == "case_of_schemas"]
    assert provider_findings(tool.input_schema) == []
    await mcp.call("delete_workflow", workflow_id=workflow_id)


async def test_a_tool_without_a_schema_has_one_that_all_take(mcp: McpCaller) -> None:
    workflow_id = await mcp.create(start(), ("start", "end"))
    await mcp.call("publish_workflow", workflow_id=workflow_id, tool={"name": "no_schema", "description": "None."})
    listed = await mcp.client.list_tools()
    (tool,) = [each for each in listed.tools if each.name == "no_schema"]
    assert tool.input_schema == {"type": "object", "properties": {}}
    assert await mcp.call("no_schema", anything=1) == {"anything": 1}
    await mcp.call("delete_workflow", workflow_id=workflow_id)


async def test_the_schema_of_a_trigger_is_checked_when_it_becomes_a_tools(mcp: McpCaller) -> None:
    refused = of(**{"first name": STRING})
    workflow_id = await mcp.create(start(input_schema=refused), ("start", "end"))
    await mcp.call("publish_workflow", workflow_id=workflow_id)  # as a workflow it is in order
    offer = {"name": "by_trigger", "description": "By its trigger."}
    error = await mcp.fail("publish_workflow", workflow_id=workflow_id, tool=offer)
    assert error["code"] == "invalid_definition"
    (finding,) = error["findings"]
    assert finding["pointer"] == "/nodes/start/parameters/input_schema/properties/first name"
    await mcp.call(
        "update_workflow",
        workflow_id=workflow_id,
        expected_version=1,
        operations=[{"op": "patch", "patch": finding["patch"]}],
    )
    await mcp.call("publish_workflow", workflow_id=workflow_id, tool=offer)
    assert await mcp.call("by_trigger", first_name="Ada") == {"first_name": "Ada"}
    await mcp.call(
        "update_workflow",
        workflow_id=workflow_id,
        expected_version=2,
        operations=[{"op": "patch", "patch": [
            {"op": "replace", "path": "/nodes/start/parameters/input_schema", "value": refused}]}],
    )  # fmt: skip
    error = await mcp.fail("publish_workflow", workflow_id=workflow_id)
    assert error["code"] == "invalid_definition", "it is a tool already, and stays one"
    await mcp.call("delete_workflow", workflow_id=workflow_id)


async def test_what_was_published_before_is_listed_as_providers_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.definitions.publishing.provider_findings", lambda *_, **__: [])
    schema = {**of(größe={"type": "integer"}), "anyOf": [{"required": ["größe"]}]}
    async with here(tmp_path) as server:
        document = {"name": "old", "nodes": start(), "connections": [["start", "end"]]}
        made = (await server.http.post("/api/workflows", json=document)).json()
        offer = {"tool": {"name": "old_tool", "description": "Old.", "input_schema": schema}}
        published = await server.http.post(f"/api/workflows/{made['workflow_id']}/publish", json=offer)
        assert published.status_code == 200, published.text
        tool = await server.services.offers.tools.get(LOCAL_ID, "old_tool")
        assert isinstance(tool, PublishedTool)
        assert provider_findings(tool.listed.input_schema) == []
        assert tool.as_execution({"gr_e": 3})["input"] == {"größe": 3}


async def test_a_pinned_action_is_listed_as_providers_take_it_and_called_by_its_own_names(tmp_path: Path) -> None:
    schema = {**of(**{"filter[x]": STRING, "tags": {"type": "array"}}), "oneOf": [{"required": ["filter[x]"]}]}
    tools = [{"name": "search", "inputSchema": schema}]
    async with running_plain_server(tools=tools) as plain, here(tmp_path) as server:
        settings = {"url": plain.url, "pinned": ["*"]}
        made = await server.http.post("/api/integrations", json={"name": "shop", "kind": "mcp", "settings": settings})
        assert made.status_code == 201, made.text
        tool = await server.services.offers.tools.get(LOCAL_ID, "shop_search")
        assert isinstance(tool, PinnedTool)
        assert provider_findings(tool.listed.input_schema) == []
        assert set(tool.listed.input_schema["properties"]) == {"filter_x_", "tags"}
        assert tool.form.original({"filter_x_": "a"}) == {"filter[x]": "a"}
