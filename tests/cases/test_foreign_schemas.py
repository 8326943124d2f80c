"""Tools of other people's MCP servers: whatever their schemas, lists and results look like, calls reach them whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.definitions.action_checks import action_findings, named_actions
from engine.nodes.registry import NodeRegistry
from integrations.mcp.tool_lists import readable_tools
from tests.doubles.plain_mcp_server import PlainMcpServer, running_plain_server
from tests.support.actions import action
from tests.support.agents import agent_document
from tests.support.engine import EngineHarness
from tests.support.here import Here, here
from workflow.actions import Action, ActionCall, ActionError, ActionResult
from workflow.identity import LOCAL_ID
from workflow.schemas.foreign import argument_findings, usable_schema
from workflow.schemas.provider_rules import provider_findings
from workflow.states import ExecutionState

OK = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def tool(name: str, schema: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "description": f"Does {name}.", "inputSchema": schema}


def of(**properties: Any) -> dict[str, Any]:
    """A schema of these properties."""
    return {"type": "object", "properties": properties}


@asynccontextmanager
async def connected(tmp_path: Path, **members: Any) -> AsyncIterator[tuple[Here, PlainMcpServer]]:
    """Our server, connected to a plain one."""
    async with running_plain_server(**members) as plain, here(tmp_path) as server:
        made = await server.http.post(
            "/api/integrations", json={"name": "shop", "kind": "mcp", "settings": {"url": plain.url}}
        )
        assert made.status_code == 201, made.text
        yield server, plain


async def run(server: Here, name: str, **arguments: Any) -> ActionResult:
    """What a tool comes to."""
    call = ActionCall(owner=LOCAL_ID, connection="shop", action=name, arguments=arguments)
    return await server.services.integrations.actions.run(call)


# Schemas: what fits, and what is refused still.
SCHEMAS: dict[str, tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "tuples of draft-07": (
        of(t={"type": "array", "items": [{"type": "string"}, {"type": "number"}], "additionalItems": False}),
        [{"t": ["a", 1]}, {"t": ["a"]}],
        [{"t": [1]}, {"t": ["a", 1, 2]}],
    ),
    "a flag for a bound (draft-04)": (
        of(n={"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False}),
        [{"n": 1}, {"n": 9}],
        [{"n": 0}, {"n": 10}],
    ),
    "required beside the property (draft-03)": (
        of(a={"type": "string", "required": True}, b={"type": "string", "required": False}),
        [{"a": "x"}],
        [{}],
    ),
    "dependencies (draft-07)": (
        {**of(a={}, b={}), "dependencies": {"a": ["b"]}},
        [{"a": 1, "b": 2}, {"b": 1}],
        [{"a": 1}],
    ),
    "a reference to nothing": (of(a={"$ref": "#/definitions/Missing"}, b={"type": "string"}), [{"a": 1}], [{"b": 1}]),
    "a reference to another server": (of(a={"$ref": "https://example.com/a.json#/x"}), [{"a": {"x": 1}}], []),
    "a reference to a sibling": (
        of(a={"type": "string"}, b={"$ref": "#/properties/a"}, c={"$ref": "#/allOf/0"}),
        [{"b": "x"}],
        [{"b": 1}],
    ),
    "a reference to an anchor": (
        {**of(a={"$ref": "#money"}), "$defs": {"Money": {"$anchor": "money", "type": "integer"}}},
        [{"a": 1}],
        [{"a": "1"}],
    ),
    "a reference by its own name": (
        {"$id": "https://example.com/s.json", **of(a={"$ref": "https://example.com/s.json#/$defs/M"}),
         "$defs": {"M": {"type": "integer"}}},
        [{"a": 1}],
        [{"a": "1"}],
    ),
    "a reference that leads to itself": (
        {**of(a={"$ref": "#/$defs/a"}, b={"type": "string"}), "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        [{"a": 1}],
        [{"b": 1}],
    ),
    "a root that is a reference": (
        {"$ref": "#/definitions/Args", "definitions": {"Args": OK}}, [{"a": "x"}], [{"a": 1}, {}],
    ),
    "a tree": (
        {**of(tree={"$ref": "#/$defs/t"}),
         "$defs": {"t": {"type": "object", "properties": {"kids": {"items": {"$ref": "#/$defs/t"}}}}}},
        [{"tree": {"kids": [{"kids": []}]}}],
        [{"tree": {"kids": [{"kids": [1]}]}}],
    ),
    "an unknown type": (of(f={"type": "file"}, g={"type": ["string", "date"]}, h={"type": "STRING"}),
                        [{"f": "x", "g": 1, "h": "x"}], [{"h": 1}]),
    "no types at all": (of(a={"type": None}, b={"type": []}, c={"type": 7}), [{"a": 1, "b": [], "c": "x"}], []),
    "a pattern with look-ahead": (of(p={"type": "string", "pattern": "^(?=.*[0-9]).+$"}), [{"p": "abc1"}], [{"p": 1}]),
    "a pattern with a back-reference": (of(p={"pattern": r"^(a|b)\1$"}), [{"p": "aa"}, {"p": "ab"}], []),
    "a broken pattern": (of(p={"pattern": "["}, q={"pattern": 7}), [{"p": "x", "q": "x"}], []),
    "members by a pattern that is not known": (
        {**of(a={}), "patternProperties": {"^(?!x)": {"type": "string"}}, "additionalProperties": False},
        [{"b": "x"}, {"a": 1}],
        [],
    ),
    "what is not checked, negated": (
        of(p={"not": {"pattern": "^(?=a)"}},
           q={"oneOf": [{"type": "string", "pattern": "^(?=a)"}, {"type": "string", "maxLength": 3}]},
           r={"if": {"pattern": "^(?=z)"}, "then": {"type": "integer"}}),
        [{"p": "b", "q": "abc", "r": "b"}],
        [{"q": 7}],
    ),
    "what is not checked, negated by reference": (
        {**of(p={"not": {"$ref": "#/$defs/x"}}), "$defs": {"x": {"pattern": "^(?=a)"}}}, [{"p": "b"}], [],
    ),
    "bounds that are no numbers": (
        of(a={"minLength": "3", "maximum": None, "multipleOf": 0, "enum": [], "minItems": -1, "maxLength": 2.0}),
        [{"a": "x"}],
        [{"a": "xyz"}],
    ),
    "no properties where there should be": ({"type": "object", "properties": [], "required": "a"}, [{"a": 1}], []),
    "properties that are no schemas": (of(a=None, b="string", c=True, d=False), [{"a": 1, "b": 2, "c": 3}], [{"d": 1}]),
    "null where a schema is nullable": (of(a={"type": "string", "nullable": True}), [{"a": None}], [{"a": 1}]),
    "an empty schema": ({}, [{"a": 1}, {}], []),
    "no schema": (None, [{"a": 1}, {}], []),
    "a schema of something else": ({"type": "array", "items": {}}, [{"a": 1}], []),
    "combinators without branches": ({**OK, "anyOf": [], "allOf": None, "oneOf": {}}, [{"a": "x"}], [{}]),
    "unevaluated members beside patterns": (
        {**of(a={}), "patternProperties": {"^x": {}}, "unevaluatedProperties": False}, [{"xy": 1}, {"q": 1}], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "fitting", "unfit"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_of_any_make_lets_through_what_it_means(
    schema: Any, fitting: list[dict[str, Any]], unfit: list[dict[str, Any]]
) -> None:
    for each in fitting:
        assert argument_findings(schema, each)[0] == [], each
    for each in unfit:
        assert argument_findings(schema, each)[0], each


def test_what_is_dropped_is_noted_where_it_stood() -> None:
    made = usable_schema(of(a={"description": "A.", "pattern": "^(?=x)"}, b={"$ref": "#/nowhere"}, c={"type": "file"}))
    members = made["properties"]
    assert members["a"]["description"].startswith("A. (It has to match '^(?=x)', which is not checked here")
    assert "'#/nowhere'" in members["b"]["description"]
    assert "'file'" in members["c"]["description"]


def test_a_schema_that_is_usable_stays_as_it_is_so_that_pinned_digests_hold() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **of(a={"$ref": "#/$defs/x", "description": "A"}, b={"type": ["string", "null"], "enum": ["x", None]}),
        "required": ["a"],
        "additionalProperties": False,
        "x-mcp-header": {"any": ["thing"]},
        "$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1, "examples": [[]]}},
    }
    assert usable_schema(schema) == schema
    assert usable_schema(usable_schema(SCHEMAS["a reference to a sibling"][0])) == usable_schema(
        SCHEMAS["a reference to a sibling"][0]
    )


def deep(levels: int) -> Any:
    """A schema nested so deeply."""
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def wide(count: int) -> Any:
    """A schema with so many members."""
    return of(**{f"m{n}": {"type": "string", "description": "x" * 50} for n in range(count)})


def doubling(levels: int) -> Any:
    """A schema that doubles at each level."""
    definitions: dict[str, Any] = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 2} for n in range(levels)}
    return {**of(a={"$ref": "#/$defs/l0"}), "$defs": {**definitions, f"l{levels}": {}}}


@pytest.mark.parametrize(
    "schema",
    [
        deep(5_000),
        wide(50_000),
        doubling(40),
        of(a={"enum": [str(n) for n in range(300_000)]}),
        of(a={"description": "x" * 5_000_000}),
        of(**{f"p{n}": {"pattern": "(a{1,900}){1,900}" * 3} for n in range(500)}),
    ],
    ids=["deep", "wide", "doubling", "values", "text", "patterns"],
)
def test_no_schema_costs_more_than_its_bound(schema: Any) -> None:
    began = time.monotonic()
    made = usable_schema(schema)
    found, _ = argument_findings(schema, {"m1": "x"})
    assert time.monotonic() - began < 2.5
    assert found == []
    assert len(str(made)) < 1_000_000


def test_a_list_of_tools_costs_no_more_than_its_bound_and_every_tool_keeps_its_name() -> None:
    tools = [tool(f"t{n}", wide(200)) for n in range(2_000)]
    began = time.monotonic()
    made = readable_tools(tools)
    assert time.monotonic() - began < 10
    assert len(made) == 2_000
    assert sum(len(each["inputSchema"].get("properties", {})) for each in made) <= 60_000
    assert made[-1]["inputSchema"]["properties"], "the last one has its share, too"


async def test_one_tool_that_the_protocol_does_not_allow_costs_no_other(tmp_path: Path) -> None:
    odd = [
        tool("no_schema", None),
        {"name": "nothing"},
        tool("no_type", {"properties": {"a": {"type": "string"}}}),
        tool("a_list", {"type": "array"}),
        {"name": "bad_output", "inputSchema": OK, "outputSchema": {"type": "string", "pattern": "["}},
        {"name": "bad_hints", "inputSchema": OK, "annotations": {"readOnlyHint": "maybe"}, "title": 7},
        {"inputSchema": OK},
        "no tool",
        tool("", OK),
        *[tool(f"s{n}", schema) for n, (schema, _, _) in enumerate(SCHEMAS.values())],
        tool("good", OK),
    ]
    async with connected(tmp_path, tools=odd) as (server, plain):
        found = {each.name for each in await server.services.integrations.actions.actions(LOCAL_ID)}
        assert {"no_schema", "nothing", "no_type", "a_list", "bad_output", "bad_hints", "good"} <= found
        assert len(found) == 7 + len(SCHEMAS)
        for name in ("no_schema", "nothing", "no_type", "bad_output", "good"):
            assert (await run(server, name, a="x")).data == "done"
            assert plain.calls[-1] == (name, {"a": "x"})
        with pytest.raises(ActionError) as raised:
            await run(server, "good", a=1)
        assert raised.value.code == "action_arguments"


async def test_a_workflow_that_names_such_tools_is_checked_and_saved(tmp_path: Path) -> None:
    tools = [tool(f"s{n}", schema) for n, (schema, _, _) in enumerate(SCHEMAS.values())]
    async with connected(tmp_path, tools=tools) as (server, _):
        for place, (_, fitting, unfit) in enumerate(SCHEMAS.values()):
            for arguments, status in ((fitting[0], 201), *([(unfit[0], 400)] if unfit else [])):
                document = {
                    "name": f"tool {place}",
                    "nodes": {
                        "start": {"type": "manual"},
                        "call": {
                            "type": "mcp_tool",
                            "parameters": {"connection": "shop", "tool": f"s{place}", "arguments": arguments},
                        },
                    },
                    "connections": [["start", "call"]],
                }
                saved = await server.http.post("/api/workflows", json=document)
                assert saved.status_code == status, (place, arguments, saved.text)
                assert status == 201 or f"shop/s{place}" in saved.text


def test_many_calls_of_heavy_schemas_are_checked_within_one_bound(registry: NodeRegistry) -> None:
    heavy = action("shop", "heavy", input_schema=doubling(40))
    nodes = {
        f"n{n}": {"type": "mcp_tool", "parameters": {"connection": "shop", "tool": "heavy", "arguments": {"a": 1}}}
        for n in range(100)
    }
    named = named_actions({"nodes": nodes}, registry)
    began = time.monotonic()
    assert list(action_findings(named, ["shop"], [heavy])) == []
    assert time.monotonic() - began < 2


# What an agent's model gives, and what the tool gets.
MORE: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "any member": ({"type": "object", "additionalProperties": True}, {"x": 1}, {"x": 1}),
    "members of a schema": ({"type": "object", "additionalProperties": {"type": "string"}}, {"x": "1"}, {"x": "1"}),
    "no properties": ({"type": "object"}, {"x": 1, "connection": "c"}, {"x": 1, "connection": "c"}),
    "members by pattern": ({"type": "object", "patternProperties": {"^x-": {}}}, {"x-a": 1}, {"x-a": 1}),
    "some and more": ({**OK, "additionalProperties": {"type": "integer"}}, {"a": "x", "b": 2}, {"a": "x", "b": 2}),
    "not closed": (OK, {"a": "x", "b": 2}, {"a": "x", "b": 2}),
    "branches at the root": (
        {"type": "object", "anyOf": [of(a={"type": "string"}), of(b={"type": "string"})]}, {"b": "x"}, {"b": "x"},
    ),
    "a reference at the root": (
        {"$ref": "#/$defs/A", "$defs": {"A": OK}}, {"a": "x"}, {"a": "x"},
    ),
    "names that models cannot say": (
        {**of(größe={"type": "integer"}, **{"a b": of(**{"c d": {}})}), "required": ["größe"]},
        {"gr_e": 3, "a_b": {"c_d": 1}},
        {"größe": 3, "a b": {"c d": 1}},
    ),
    "a fixed name": (OK, {"a": "x", "connection": "other", "policy": "allow"}, {"a": "x"}),
}  # fmt: skip


@pytest.mark.parametrize(("schema", "given", "sent"), MORE.values(), ids=MORE)
async def test_an_agent_sends_every_argument_that_the_schema_allows(
    harness: EngineHarness, schema: Any, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    harness.actions.add(action("shop", "do", description="Does it.", input_schema=schema), {"done": True})
    harness.models.script = [[("do", given)], "Done."]
    tools = [{"name": "do", "connection": "shop", "action": "do", "policy": "allow"}]
    done = await harness.execute(agent_document(tools=tools), {"mail": "Do it."})
    assert done.state is ExecutionState.SUCCEEDED
    (call,) = harness.actions.calls
    assert call.arguments == sent
    (offered,) = harness.models.asked[0].tools
    assert provider_findings(offered.parameters) == [], "one tool would have the provider refuse all of them"


async def test_an_agent_with_a_tool_that_nobody_can_use_goes_on_with_the_others(harness: EngineHarness) -> None:
    odd = of(a={"type": "file", "pattern": "^(?=x)"}, b={"$ref": "#/nowhere"}, c={"items": [{"type": "string"}]})
    harness.actions.add(action("shop", "odd", description="Odd.", input_schema=odd), {"done": 1})
    harness.models.script = [[("odd", {"a": "x", "b": 1, "c": ["x"]})], [("odd", {"c": [1]})], "Done."]
    tools = [{"name": "odd", "connection": "shop", "action": "odd", "policy": "allow"}]
    done = await harness.execute(agent_document(tools=tools), {"mail": "Do it."})
    assert [each["outcome"] for each in done.items("agent")[0]["ai"]["tools"]] == ["done", "refused"]


# Lists.
def always(cursor: str) -> Any:
    return lambda _: {"tools": [tool("one", OK), tool("two", OK), tool("one", OK)], "nextCursor": cursor}


@pytest.mark.parametrize(
    ("page", "cursors", "names"),
    [
        (always(""), [None, ""], ["one", "two"]),
        (always("same"), [None, "same"], ["one", "two"]),
        (
            lambda cursor: {
                "tools": [tool(f"at_{cursor or 'start'}", OK)],
                "nextCursor": {None: "a", "a": "b", "b": "a"}[cursor],
            },
            [None, "a", "b"],
            ["at_a", "at_b", "at_start"],
        ),
        (
            lambda cursor: {"tools": [tool(f"at_{cursor}", OK)], **({"nextCursor": ""} if cursor is None else {})},
            [None, ""],
            ["at_", "at_None"],
        ),
        (lambda cursor: {"tools": [], "nextCursor": None}, [None], []),
    ],
    ids=["empty", "the same", "a circle", "an empty one that moves on", "none"],
)
async def test_a_cursor_that_was_asked_for_before_ends_the_list_and_names_are_kept_once(
    tmp_path: Path, page: Any, cursors: list[str | None], names: list[str]
) -> None:
    async with connected(tmp_path, page=page) as (server, plain):
        found: list[Action] = list(await server.services.integrations.actions.actions(LOCAL_ID))
        assert sorted(each.name for each in found) == names
        assert plain.cursors == cursors


async def test_pages_without_an_end_are_read_up_to_a_bound(tmp_path: Path) -> None:
    count = iter(range(1_000_000))
    page = lambda _: {"tools": [tool(f"t{next(count)}", OK)], "nextCursor": str(next(count))}  # noqa: E731
    async with connected(tmp_path, page=page) as (_, plain):
        assert len(plain.cursors) == 100


# Results.
TEXT = {"type": "text", "text": "No such order."}
RESOURCE = {"type": "resource", "resource": {"uri": "file:///log", "text": "The disk is full."}}
LINK = {"type": "resource_link", "uri": "https://example.com/help", "name": "help", "description": "See the help."}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"content": [TEXT]}, ["No such order."]),
        ({"content": [], "structuredContent": {"error": {"reason": "quota"}}}, ['"reason":"quota"']),
        ({"content": [RESOURCE]}, ["The disk is full."]),
        ({"content": [LINK]}, ["See the help.", "https://example.com/help"]),
        (
            {"content": [TEXT, RESOURCE], "structuredContent": {"code": 17}},
            ["No such order.", "The disk is full.", '{"code":17}'],
        ),
        ({"content": []}, ["it does not say why"]),
    ],
)
async def test_a_refusal_says_what_stands_in_any_part_of_the_answer(
    tmp_path: Path, result: dict[str, Any], said: list[str]
) -> None:
    async with connected(tmp_path, tools=[tool("do", OK)], result={**result, "isError": True}) as (server, _):
        with pytest.raises(ActionError) as raised:
            await run(server, "do", a="x")
    assert raised.value.code == "action_refused"
    for each in said:
        assert each in raised.value.message


async def test_a_refusal_that_its_text_repeats_is_said_once(tmp_path: Path) -> None:
    result = {"content": [{"type": "text", "text": '{"why": 1}'}], "structuredContent": {"why": 1}, "isError": True}
    async with connected(tmp_path, tools=[tool("do", OK)], result=result) as (server, _):
        with pytest.raises(ActionError) as raised:
            await run(server, "do", a="x")
    assert raised.value.message.count("why") == 1


def text(content: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": content}


IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}


@pytest.mark.parametrize(
    ("content", "structured", "kept"),
    [
        ([text("the file's text")], {"fileName": "a", "size": 3}, ["text"]),
        ([IMAGE], {"fileName": "a"}, ["image"]),
        ([text('{"size": 3, "fileName": "a"}')], {"fileName": "a", "size": 3}, []),
        ([text("hello")], {"result": "hello"}, []),
        ([text("7")], {"result": 7}, []),
        ([text('{"n": 1}'), text('{"n": 2}')], {"result": [{"n": 1}, {"n": 2}]}, []),
        ([text("  ")], {"a": 1}, []),
        ([text('{"a": 1}'), IMAGE, text("more")], {"a": 1}, ["image", "text"]),
    ],
)
async def test_what_stands_beside_structured_content_is_kept_where_it_says_more(
    tmp_path: Path, content: list[Any], structured: Any, kept: list[str]
) -> None:
    result = {"content": content, "structuredContent": structured}
    async with connected(tmp_path, tools=[tool("do", OK)], result=result) as (server, _):
        done = await run(server, "do", a="x")
    assert done.data == structured
    assert [each["type"] for each in done.details.get("content", [])] == kept


async def test_a_node_gives_what_says_more_beside_its_result(harness: EngineHarness) -> None:
    said = [{"type": "text", "text": "the file's text"}]
    harness.actions.add(action("shop", "do"), ActionResult(data={"size": 3}, details={"content": said}))
    done = await harness.node("mcp_tool", {"connection": "shop", "tool": "do"}, [{}])
    (item,) = done.items("node")
    assert (item["result"], item["content"]) == ({"size": 3}, said)


@pytest.mark.parametrize(
    "output",
    [
        {"type": "object", "properties": {"t": {"type": "string", "pattern": "^(a+)+$"}}},
        {"type": "object", "properties": {"t": {"type": "integer"}}},
        {"type": "object", "properties": {"t": {"$ref": "https://example.com/x"}}},
        {"type": "object", "required": ["other"]},
    ],
    ids=["backtracking", "another type", "elsewhere", "not there"],
)
async def test_an_output_schema_neither_holds_the_server_up_nor_loses_a_result(tmp_path: Path, output: Any) -> None:
    result = {"content": [], "structuredContent": {"t": "a" * 40 + "!"}}
    tools = [{**tool("do", OK), "outputSchema": output}]
    async with connected(tmp_path, tools=tools, result=result) as (server, _):
        async with asyncio.timeout(10):
            assert (await run(server, "do", a="x")).data == {"t": "a" * 40 + "!"}
