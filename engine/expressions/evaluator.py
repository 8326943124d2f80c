"""Evaluates templates: in Python where the result is the same, else in JavaScript, with one call per node run."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from engine.expressions.answers import ScriptResult, fix_of, items_json, lines_of, script_results
from engine.expressions.fast_path import FastForm, compile_fast
from engine.expressions.fast_values import FallThroughError
from engine.expressions.pool import CHECKS, ContextKey, WorkerPool
from engine.expressions.scope import ExpressionScope, NodeView
from engine.expressions.template import NODE_REFERENCE, Template, parse_template
from workflow.errors import ExpressionError
from workflow.items import JsonObject

Row = Sequence[Any] | ExpressionError
"""The values of all templates for one item, or the error of the first that failed."""

COMPILED_KEPT = 8_192
"""Compiled templates kept in memory: about 2 KB each."""

_NEEDS = {
    "luxon.min.js": re.compile(r"\$now|\$today|\b(?:DateTime|Duration|Interval|luxon)\b"),
    "intl.js": re.compile(r"\bIntl\b|toLocale|localeCompare"),
    "dates.js": re.compile(r"\bDate\b"),
    "jmespath.js": re.compile(r"\$jmespath\b"),
}
"""Sources of the worker that code with such words needs; a worker finds out by itself what the words do not tell."""
_UNPLAIN = re.compile(
    r"\b(?:this|super|arguments|eval|with|catch|finally|async|await|Promise|Function|constructor|prototype|__proto__"
    r"|globalThis|Reflect|luxon|checked|isFrozen|isExtensible|isSealed|getOwnPropertyDescriptors?)\b|\\u"
)
"""Words of code that could do something else, without an error, where it is strict and the built-ins are frozen."""
_OTHER_NODES = re.compile(r"\$(?:\(|node\b|items\s*\(\s*[^\s)])")
_NAMED_MEMBER = re.compile(r"\$node\.(?P<name>[A-Za-z_$][\w$]*)")
_PAIRED = re.compile(r"\.\s*(?:item|pairedItem|itemMatching|json)\b|\[")


@dataclass(slots=True, frozen=True, eq=False)
class CompiledTemplate:
    """A template, its Python form where it has one, and the data that its JavaScript needs.

    ``needs`` are sources of the worker. What ``is_plain`` does the same in a frozen context, or fails there.
    ``node_names`` are the other nodes that it reads; ``None`` where it computes a name, so that it may read any node.
    """

    source: str
    template: Template
    fast: FastForm | None
    needs: frozenset[str]
    is_plain: bool
    node_names: frozenset[str] | None
    needs_pairs: bool


class Evaluator:
    """Compiles and evaluates templates. Nothing of one execution is visible to another."""

    def __init__(self, *, pool: WorkerPool) -> None:
        self._pool = pool
        self._compiled: OrderedDict[str, CompiledTemplate] = OrderedDict()
        self._programs: OrderedDict[str, CompiledTemplate] = OrderedDict()

    def compile(self, source: str) -> CompiledTemplate:
        """The template, compiled once.

        Raises:
            ExpressionError: its braces are wrong, code ``bad_template``.
        """
        return _kept(self._compiled, source, _compile)

    def try_fast(self, templates: Sequence[CompiledTemplate], scope: ExpressionScope) -> list[Row] | None:
        """A row per item (one where there are no items), or ``None`` where JavaScript is needed."""
        functions = [template.fast.function for template in templates if template.fast is not None]
        if len(functions) < len(templates):
            return None
        try:
            return [
                [function(json, scope, index) for function in functions]
                for index, json in enumerate(scope.items or ({},))
            ]
        except FallThroughError:
            return None

    async def evaluate(
        self, templates: Sequence[CompiledTemplate], scope: ExpressionScope, *, execution_id: str
    ) -> Sequence[Row]:
        """A row per item (one where there are no items).

        Raises:
            ExpressionError: the expressions of the node run exceeded a limit.
        """
        fast = self.try_fast(templates, scope)
        if fast is not None:
            return fast
        needs = frozenset[str]().union(*(template.needs for template in templates))
        request = _request(templates, scope, await items_json(scope.items or ({},)))
        is_plain = all(template.is_plain for template in templates)
        context = ContextKey(scope.owner, execution_id)
        answer = await self._pool.call("evaluate", context, request, needs=needs, is_plain=is_plain)
        rows = await lines_of(answer)
        if len(rows) != len(scope.items or ({},)) or any(
            isinstance(row, list) and len(row) != len(templates) for row in rows
        ):
            raise ExpressionError(
                "An expression of this execution has replaced functions that JavaScript itself needs.",
                fix="Change copies of objects, not prototypes or globals.",
            )
        return [row if isinstance(row, list) else _row_error(row, index, scope) for index, row in enumerate(rows)]

    async def run_script(
        self, source: str, scope: ExpressionScope, *, each: bool, execution_id: str
    ) -> list[ScriptResult | ExpressionError]:
        """Run a function with this body: the values of the list that it returns for all items, or one for each item.

        With ``each``, items for which it failed have their error.

        Raises:
            ExpressionError: it failed or exceeded a limit.
        """
        used = _kept(self._programs, source, _compile_program)
        items = await items_json(scope.items or ({},))
        request = _request([used], scope, items, script={"source": source, "each": each})
        needs = {"script.js", *used.needs}
        context = ContextKey(scope.owner, execution_id)
        answer = await self._pool.call("script", context, request, needs=needs, is_plain=used.is_plain)
        return await script_results(await lines_of(answer), scope.items, each=each)

    async def check(self, sources: Sequence[str]) -> list[ExpressionError | None]:
        """For each template, which must parse: why one of its expressions is no expression, or ``None``.

        Nothing of the expressions runs.
        """
        expressions = [
            (place, expression)
            for place, source in enumerate(sources)
            for compiled in [self.compile(source)]
            if compiled.fast is None
            for expression in compiled.template.expressions
        ]
        found: list[ExpressionError | None] = [None] * len(sources)
        problems = await self._problems("expression", [expression for _, expression in expressions])
        for (place, expression), problem in zip(expressions, problems, strict=True):
            if problem is not None and found[place] is None:
                found[place] = ExpressionError(
                    f"{_shown(expression)} is not a JavaScript expression: {problem}.",
                    fix="Write one JavaScript expression between the braces; a code node takes statements.",
                )
        return found

    async def check_programs(self, sources: Sequence[str]) -> list[ExpressionError | None]:
        """For each program of a code node: why it is not the body of one function, or ``None``. Nothing of it runs."""
        return [
            ExpressionError(
                f"The code is not the body of one function: {problem}.",
                fix="Write statements that end with return and the items.",
            )
            if problem is not None
            else None
            for problem in await self._problems("body", sources)
        ]

    async def _problems(self, kind: str, sources: Sequence[str]) -> list[str | None]:
        if not sources:
            return []
        text = orjson.dumps([(kind, source) for source in sources])
        found: list[str | None] = orjson.loads(await self._pool.call("check", CHECKS, text))
        return found

    def forget(self, execution_id: str) -> None:
        """Free what workers keep for an execution that has ended."""
        self._pool.forget(execution_id)


def _kept(
    compiled: OrderedDict[str, CompiledTemplate], source: str, compile_: Callable[[str], CompiledTemplate]
) -> CompiledTemplate:
    """The compiled source, compiled now if it is not among those kept."""
    found = compiled.get(source)
    if found is None:
        found = compiled[source] = compile_(source)
        if len(compiled) > COMPILED_KEPT:
            compiled.popitem(last=False)
    return found


def _compile_program(source: str) -> CompiledTemplate:
    return _compiled(source, Template(("", ""), (source,)), None)


def _compile(source: str) -> CompiledTemplate:
    template = parse_template(source)
    return _compiled(source, template, compile_fast(template))


def _compiled(source: str, template: Template, fast: FastForm | None) -> CompiledTemplate:
    """The compiled template; its text shows which data its JavaScript needs."""
    code = "\n".join(template.expressions)
    uses = len(_OTHER_NODES.findall(code))
    names = [found["name"] for pattern in (NODE_REFERENCE, _NAMED_MEMBER) for found in pattern.finditer(code)]
    return CompiledTemplate(
        source=source,
        template=template,
        fast=fast,
        needs=frozenset(name for name, words in _NEEDS.items() if words.search(code)),
        is_plain=_UNPLAIN.search(code) is None,
        node_names=frozenset(names) if len(names) == uses else None,
        needs_pairs=bool(uses) and _PAIRED.search(code) is not None,
    )


def _request(
    templates: Sequence[CompiledTemplate],
    scope: ExpressionScope,
    items: Sequence[JsonObject] | orjson.Fragment,
    *,
    script: dict[str, Any] | None = None,
) -> bytes:
    names: set[str] = set()
    for template in templates:
        names.update(scope.nodes.names if template.node_names is None else template.node_names)
    needs_pairs = any(template.needs_pairs for template in templates)
    count = len(scope.items or ({},))
    return orjson.dumps(
        {
            "items": items,
            "templates": [
                {"texts": each.template.texts, "expressions": each.template.expressions} for each in templates
            ],
            "sole": [each.template.is_sole for each in templates],
            "nodes": {name: _node(scope, name, count if needs_pairs else 0) for name in sorted(names)},
            "execution": scope.execution,
            "workflow": scope.workflow,
            "vars": scope.vars,
            "prevNode": scope.prev_node,
            "parameters": scope.parameters,
            "runIndex": scope.run_index,
            "now": int(scope.now.timestamp() * 1000),
            "timezone": scope.timezone,
            "seed": scope.seed,
            "script": script,
        }
    )


def _node(scope: ExpressionScope, name: str, pairs: int) -> dict[str, Any]:
    """Another node's items and, for the first ``pairs`` items here, the index of the item from which each comes."""
    try:
        view = scope.view(name)
    except ExpressionError as error:
        return {"error": _error_json(error)}
    return {"items": view.items, "paired": [_paired(view, index) for index in range(pairs)]}


def _paired(view: NodeView, index: int) -> int | dict[str, Any]:
    try:
        return view.paired_index(index)
    except ExpressionError as error:
        return _error_json(error)


def _error_json(error: ExpressionError) -> dict[str, Any]:
    return {"code": error.expression_code, "message": error.message, "fix": error.fix}


def _row_error(failure: dict[str, Any], index: int, scope: ExpressionScope) -> ExpressionError:
    """The error of item ``index``; it names the expression and the fields that the item has."""
    fix = fix_of(failure, scope.items[index] if scope.items else {})
    source = failure.get("source")
    prefix = f"{_shown(source)}: " if source else ""
    return ExpressionError(prefix + failure["message"], code=failure["code"], item_index=index, fix=fix)


def _shown(expression: str) -> str:
    text = expression if len(expression) <= 120 else expression[:117] + "..."
    return "{{ " + text + " }}"
