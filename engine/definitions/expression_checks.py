"""Checks the expressions of a definition, and finds texts that look like expressions and are not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from engine.expressions.evaluator import Evaluator
from engine.expressions.template import NODE_REFERENCE, OPEN, is_template, parse_template
from engine.node_api.parameters import Path, template_leaves
from workflow.errors import ExpressionError
from workflow.findings import MOST_FINDINGS, Finding, PatchOperation, did_you_mean, listed, nearest, pointer

VARIABLES = frozenset(
    {
        "$json",
        "$input",
        "$node",
        "$items",
        "$execution",
        "$workflow",
        "$vars",
        "$prevNode",
        "$runIndex",
        "$itemIndex",
        "$parameter",
        "$now",
        "$today",
        "$if",
        "$ifEmpty",
        "$max",
        "$min",
        "$jmespath",
    }
)
"""What expressions see, apart from ``$('node')``; see ``prelude.js``."""

PROGRAMS = frozenset({("code", "javascript")})
"""Parameters that hold a program: braces in it belong to its language."""

MOST_TEMPLATES = 1_500
"""Templates of one definition: more would take long to compile."""
MOST_EXPRESSIONS = 10_000
"""Expressions in all templates of one definition: each takes some microseconds, however short it is."""
EXPRESSIONS_AT_ONCE = 50
"""Expressions that are looked at before other requests get their turn: some milliseconds."""
MOST_NAMES = 20
"""Unknown names that are reported for one template: each finding has the whole template in its patch."""

_BRACES = re.compile(r"\{\{([^{}]*+)\}\}")
_VARIABLE_OR_NODE = re.compile(r"\$[A-Za-z(]")
_BARE = re.compile(r"=?\s*\$(?:json|input|node|items|execution|workflow|vars|now|today|\()\s*[.\[(\"'`][^{}]*")
_STRINGS = re.compile(r"'(?:[^'\\]|\\.)*+'?|\"(?:[^\"\\]|\\.)*+\"?|`(?:[^`\\]|\\.)*+`?", re.DOTALL)
"""A string that is not closed extends to the end: to backtrack would take time that grows with the square of it."""
_VARIABLE = re.compile(r"(?<![\w$.])\$[A-Za-z_]\w*")
_DECLARATION = re.compile(r"=>|\b(?:let|const|var|function)\b")


async def expression_findings(document: Any, evaluator: Evaluator) -> list[Finding]:
    """Templates and code that do not parse, names that do not exist, and texts that were meant to be templates.

    Nothing of them runs, and other requests go on between the templates.
    """
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, dict):
        return []
    found: list[Finding] = []
    parsed: list[tuple[str, str]] = []
    programs: list[tuple[str, str]] = []
    expressions = turns = 0
    for name, node in nodes.items():
        parameters = node.get("parameters") if isinstance(node, dict) else None
        found += _literal_findings(name, node, parameters)
        programs += _programs(name, node, parameters)
        for path, source in template_leaves(parameters or {}):
            at = pointer("nodes", name, "parameters", *path)
            if len(parsed) == MOST_TEMPLATES:
                return [*found, _too_many(at, f"{MOST_TEMPLATES} templates")]
            expressions += max(1, source.count(OPEN))
            if expressions > MOST_EXPRESSIONS:
                return [*found, _too_many(at, f"{MOST_EXPRESSIONS} expressions")]
            found += _reference_findings(at, source, nodes)
            try:
                evaluator.compile(source)
            except ExpressionError as error:
                found.append(Finding(code="bad_expression", pointer=at, message=error.message, fix=error.fix))
            else:
                found += _variable_findings(at, source)
                found += _space_findings(at, source)
                parsed.append((at, source))
            if len(found) >= MOST_FINDINGS:
                return found
            if expressions // EXPRESSIONS_AT_ONCE > turns:
                turns = expressions // EXPRESSIONS_AT_ONCE
                await asyncio.sleep(0)
    errors = [
        *await evaluator.check([source for _, source in parsed]),
        *await evaluator.check_programs([source for _, source in programs]),
    ]
    for (at, _), problem in zip([*parsed, *programs], errors, strict=True):
        if problem is not None:
            found.append(Finding(code="bad_expression", pointer=at, message=problem.message, fix=problem.fix))
    return found


def _too_many(at: str, bound: str) -> Finding:
    return Finding(
        code="bad_expression",
        pointer=at,
        message=f"The definition has more than {bound}.",
        fix="Compute them in a code node, or divide the workflow by execute_workflow nodes.",
    )


def _programs(name: str, node: Any, parameters: Any) -> Iterator[tuple[str, str]]:
    """Pointer and source of the parameters that are programs."""
    kind = node.get("type") if isinstance(node, dict) else None
    for of_type, parameter in PROGRAMS:
        source = parameters.get(parameter) if kind == of_type and isinstance(parameters, dict) else None
        if isinstance(source, str) and not is_template(source):
            yield pointer("nodes", name, "parameters", parameter), source


def _literal_findings(name: str, node: Any, parameters: Any) -> Iterator[Finding]:
    """Texts that look like expressions, but are used as they are written."""
    kind = node.get("type") if isinstance(node, dict) else None
    for path, text in _texts(parameters, ()):
        if (kind, path[-1] if path else None) in PROGRAMS:
            continue
        at = pointer("nodes", name, "parameters", *path)
        if _BARE.fullmatch(text):
            expression = "={{ " + text.removeprefix("=").strip() + " }}"
            yield Finding(
                code="expression_without_braces",
                severity="warning",
                pointer=at,
                message=f"{text!r:.80} is used as written; an expression stands between braces in a text that starts "
                "with =.",
                patch=(PatchOperation(op="replace", path=at, value=expression),),
            )
        elif not is_template(text) and _has_expression(text):
            yield Finding(
                code="expression_without_equals",
                severity="warning",
                pointer=at,
                message=f"{text!r:.80} is used as written; only a text that starts with = is a template.",
                patch=(PatchOperation(op="replace", path=at, value=f"={text}"),),
            )


def _has_expression(text: str) -> bool:
    return any(_VARIABLE_OR_NODE.search(each[1]) for each in _BRACES.finditer(text))


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _texts(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, (*path, index))


def _variable_findings(at: str, source: str) -> Iterator[Finding]:
    """Unknown names with a dollar. They are warnings, because an expression may declare its own names."""
    code = _STRINGS.sub("''", "\n".join(parse_template(source).expressions))
    if _DECLARATION.search(code):
        return
    unknown = (name for name in dict.fromkeys(_VARIABLE.findall(code)) if name not in VARIABLES)
    for name in islice(unknown, MOST_NAMES):
        near = nearest(name, VARIABLES)
        patch: tuple[PatchOperation, ...] = ()
        if near is not None:
            corrected = re.sub(rf"(?<![\w$.]){re.escape(name)}\b", near.replace("\\", "\\\\"), source)
            patch = (PatchOperation(op="replace", path=at, value=corrected),)
        yield Finding(
            code="unknown_variable",
            severity="warning",
            pointer=at,
            message=f"Expressions have no {name}.{did_you_mean(near)}",
            patch=patch,
            fix=None if patch else f"They have $('node name') and {listed(sorted(VARIABLES))}.",
        )


def _space_findings(at: str, source: str) -> Iterator[Finding]:
    """One expression with space around it: its result becomes text, so that false is a text that counts as true."""
    template = parse_template(source)
    if len(template.expressions) == 1 and any(template.texts) and not any(map(str.strip, template.texts)):
        yield Finding(
            code="space_around_expression",
            severity="warning",
            pointer=at,
            message="The space around the expression makes its result a text; alone, it keeps its type.",
            patch=(PatchOperation(op="replace", path=at, value=f"={source[1:].strip()}"),),
        )


def _reference_findings(at: str, source: str, nodes: dict[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    named = dict.fromkeys(match["name"] for match in NODE_REFERENCE.finditer(source))
    for name in islice((name for name in named if name not in nodes), MOST_NAMES):
        near = nearest(name, nodes)
        patch: tuple[PatchOperation, ...] = ()
        if near is not None and "'" not in near and '"' not in near:
            corrected = NODE_REFERENCE.sub(
                lambda match, wrong=name, right=near: (  # type: ignore[misc]
                    match[0].replace(wrong, right) if match["name"] == wrong else match[0]
                ),
                source,
            )
            patch = (PatchOperation(op="replace", path=at, value=corrected),)
        found.append(
            Finding(
                code="unknown_node_reference",
                pointer=at,
                message=f"The expression names a node {name!r} that does not exist.{did_you_mean(near)}",
                patch=patch,
                fix=None if patch else f"The nodes are: {listed(nodes)}.",
            )
        )
    return found
