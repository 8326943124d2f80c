"""Every code that the sources can answer with, read from the sources themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("workflow", "engine", "prompts", "integrations", "storage", "tools", "server")
CODE = re.compile(r"[a-z][a-z0-9_]+")
CODE_TABLES = ("_CODES", "_FIELD_CODES", "codes")
"""Dictionaries whose values are codes."""
CODE_FUNCTIONS = ("_add", "_failure", "limit_error")
"""Functions whose first argument is a code."""
CODE_RETURNS = ("_code_of",)
"""Functions that return codes."""
IN_JAVASCRIPT = re.compile(r"\bcode: '([a-z_]+)'")
NO_CODES = frozenset({"code", "jobsprint_error"})
"""The name of the parameter itself, and the root's own, which nothing raises."""


def codes_in_sources() -> dict[str, list[str]]:
    """Each code with the modules that it stands in, as paths from the root."""
    found: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for code in _codes_in(ast.parse(path.read_text())):
                found.setdefault(code, []).append(str(path.relative_to(ROOT)))
    for path in sorted((ROOT / "engine").rglob("*.js")):
        if "vendor" not in path.parts:
            for code in IN_JAVASCRIPT.findall(path.read_text()):
                found.setdefault(code, []).append(str(path.relative_to(ROOT)))
    return {code: list(dict.fromkeys(found[code])) for code in sorted(found)}


def _codes_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            values += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            values += node.args[:1] if name in CODE_FUNCTIONS else []
        elif isinstance(node, ast.ClassDef):
            values += [
                member.value for member in node.body if isinstance(member, ast.Assign) and _named(member, "code")
            ]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and _named(node, *CODE_TABLES):
            values += node.value.values
        elif isinstance(node, ast.FunctionDef) and node.name in CODE_RETURNS:
            values += [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
        for value in values:
            yield from _constants(value)
        if isinstance(node, ast.AnnAssign) and _name(node.target) == "code" and isinstance(node.value, ast.Call):
            yield from (
                code for each in node.value.keywords if each.arg == "default" for code in _constants(each.value)
            )


def _named(assignment: ast.Assign, *names: str) -> bool:
    return any(_name(target) in names for target in assignment.targets)


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def _constants(value: ast.expr | None) -> Iterator[str]:
    """The codes that an expression can give: a text, or one of several."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        if CODE.fullmatch(value.value) and value.value not in NO_CODES:
            yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _constants(value.body)
        yield from _constants(value.orelse)
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "get":
        for default in value.args[1:]:
            yield from _constants(default)
    elif isinstance(value, ast.BoolOp):
        for each in value.values:
            yield from _constants(each)
