"""What a failure tells its reader to call exists: tools with their arguments, routes, settings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client

from scripts.error_codes import ROOMS, ROOT
from scripts.error_page import catalogue
from server.settings.settings import Settings
from tests.support.here import Here, here

ADVICE = frozenset({"fix", "next", "how", "then", "text"})
"""Keywords, members and names under which advice stands."""
CALL = re.compile(
    r"\b(?P<tool>[a-z]+_[a-z_]+)`?\s+(?:with|again with)\s+`?(?P<argument>[a-z_]+)`?"
    r"(?::\s*`?(?P<value>[a-z_]+)`?(?![\w{]))?"
)
ROUTE = re.compile(r"\b(?P<method>GET|POST|PUT|PATCH|DELETE)\s+(?P<path>/[A-Za-z0-9_/{}.-]+)")
SETTING = re.compile(r"\bJOBSPRINT_[A-Z_]+")
PLACEHOLDER = re.compile(r"\{[^}]*\}")
NAMED = "{}"


def texts(node: ast.AST) -> Iterator[str]:
    """What is written out in an expression, with ``{}`` for what is computed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(each.value if isinstance(each, ast.Constant) else NAMED for each in node.values)
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BinOp):
        yield from texts(node.left)
        yield from texts(node.right)


def said_in(node: ast.AST) -> Iterator[ast.expr]:
    """What stands as advice in a call, an assignment or an object."""
    if isinstance(node, ast.keyword) and node.arg in ADVICE:
        yield node.value
    elif isinstance(node, ast.Assign):
        if any(isinstance(each, ast.Name) and each.id.lower() in ADVICE for each in node.targets):
            yield node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in ADVICE:
                yield value


def advice() -> dict[str, str]:
    """Every sentence that says what to do, in the sources and in the catalogue, by its place."""
    found: dict[str, str] = {f"errors.toml {code}": entry["mend"] for code, entry in catalogue().items()}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                said = list(said_in(node))
                for place, text in enumerate(text for each in said for text in texts(each)):
                    found[f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0) or said[0].lineno}.{place}"] = text
    return found


def sentences() -> dict[str, str]:
    """Every text that is written out in the sources, and what the catalogue says, by its place."""
    found = advice()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                for text in texts(node) if isinstance(node, ast.Constant | ast.JoinedStr) else ():
                    found[f"{path.relative_to(ROOT)}:{node.lineno}:{node.col_offset}"] = text
    return found


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with here(tmp_path_factory.mktemp("data")) as made:
        yield made


async def arguments_of(server: Here) -> dict[str, dict[str, Any]]:
    """The schemas of the tools' arguments, by tool."""
    async with Client(server.services.mcp) as agent:
        tools = (await agent.list_tools()).tools
    return {tool.name: tool.input_schema["properties"] for tool in tools}


async def test_the_calls_that_advice_names_can_be_made(server: Here) -> None:
    known = await arguments_of(server)
    wrong = []
    for place, text in sentences().items():
        for call in CALL.finditer(text):
            tool, argument, value = call["tool"], call["argument"], call["value"]
            if tool not in known:
                continue
            schema = known[tool].get(argument)
            choices = (schema or {}).get("enum")
            if value is not None and (schema is None or (choices is not None and value not in choices)):
                wrong.append(f"{place}: {call[0]}")
    assert wrong == []


async def test_the_routes_that_advice_names_are_there(server: Here) -> None:
    paths = (await server.http.get("/openapi.json")).json()["paths"]
    routes = {f"{method.upper()} {PLACEHOLDER.sub(NAMED, path)}" for path, each in paths.items() for method in each}
    routes |= {"GET /openapi.json"}
    wrong = [
        f"{place}: {route[0]}"
        for place, text in advice().items()
        for route in ROUTE.finditer(text)
        if f"{route['method']} {PLACEHOLDER.sub(NAMED, route['path']).rstrip('.')}" not in routes
    ]
    assert wrong == []


def test_the_settings_that_advice_names_exist() -> None:
    known = {f"JOBSPRINT_{name.upper()}" for name in Settings.model_fields}
    named = {(place, each) for place, text in advice().items() for each in SETTING.findall(text)}
    assert [f"{place}: {each}" for place, each in sorted(named) if each not in known] == []
