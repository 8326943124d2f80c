"""What templates are written in: the part of Jinja that cannot do harm, checked, and compiled with its bounds built in.

Allowed is what shows, chooses, repeats and includes. There are no macros, no calls (``range`` excepted), no
attributes of Python's objects: ``{{ x.y }}`` is a member of an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import cast

from jinja2 import TemplateSyntaxError, meta, nodes

from prompts.filters import NAMES as FILTERS
from prompts.sandbox import COUNTED, JOINED, MADE, OUTSIDE, SHOWN, TESTS, Sandbox
from workflow.findings import did_you_mean, listed, nearest

MAX_SOURCE_CHARACTERS = 50_000
"""Of one message."""
MAX_TOKENS = 2_000
"""Of one message, outside of plain text. Reading and compiling so many takes about half a second."""
MAX_DEPTH = 40
"""Of expressions and blocks in each other. Python itself compiles at most twenty blocks."""
MAX_BLOCKS = 10
CACHED = 512
"""Compiled messages that are kept."""

SLUG = r"[a-z][a-z0-9_-]{0,59}"
PARTIAL = re.compile(rf"(?P<name>{SLUG})(?:@(?P<version>[1-9][0-9]{{0,8}}))?")
"""What ``include`` names: a partial, and where wanted the version of it."""

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.For,
    nodes.If,
    nodes.With,
    nodes.Assign,
    nodes.Include,
    nodes.Name,
    nodes.Const,
    nodes.Tuple,
    nodes.List,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Getitem,
    nodes.Getattr,
    nodes.Slice,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Neg,
    nodes.Pos,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Call,
)
_LITERALS = (nodes.List, nodes.Tuple, nodes.Dict)
_BLOCKS = (nodes.For, nodes.If, nodes.With)
_WORDS = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.Block: "block",
    nodes.Extends: "extends",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.AssignBlock: "set as a block",
    nodes.Pow: "**",
    nodes.NSRef: "namespace",
    nodes.ScopedEvalContextModifier: "autoescape",
}
_TEXT_TOKENS = frozenset({"data", "whitespace", "comment", "comment_begin", "comment_end"})
RESERVED = frozenset({"loop", "range", "self", "super", "caller", "varargs", "kwargs"})
"""Names that mean something to Jinja."""
_NAMING = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
"""Filters that name another filter, or a test, and which of their arguments does."""
_CLEAN_FILTERS = frozenset({"length", "count", "wordcount"})
"""Filters that make a number, in which nobody can write anything."""


@dataclass(slots=True, frozen=True)
class Problem:
    """Something in a template's text that cannot stay."""

    line: int
    message: str
    fix: str


@dataclass(slots=True, frozen=True)
class Analysis:
    """What a message's text is made of: the ``names`` that it takes from outside of itself, those that it ``assigns``
    itself, and the partials that it includes, as it names them."""

    names: frozenset[str] = frozenset()
    assigns: frozenset[str] = frozenset()
    includes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@lru_cache(CACHED)
def analysis(source: str) -> Analysis:
    """What there is to know of a text; all its problems at once, or the one that keeps it from being read."""
    try:
        tree = _parse(source)
    except _BadSyntaxError as error:
        return Analysis(problems=(error.problem,))
    problems = tuple(_problems(tree))
    if problems:
        return Analysis(problems=problems)
    try:
        names = meta.find_undeclared_variables(tree)
        compiled(source, ())
    except (TemplateSyntaxError, SyntaxError, RecursionError, MemoryError) as error:
        return Analysis(problems=(Problem(1, f"It cannot be compiled: {error}.", "Make it simpler."),))
    if "loop" in names:
        return Analysis(problems=(Problem(1, "`loop` is there within for only.", "Use it between for and endfor."),))
    return Analysis(
        names=frozenset(names) - {"range"},
        assigns=frozenset(name for target, _ in _assignments(tree) for name in _names(target)),
        includes=tuple(dict.fromkeys(each.template.as_const() for each in tree.find_all(nodes.Include))),
    )


Outside = tuple[tuple[str, str], ...]
"""Names whose values come from outside, each with the variables that they come from, in the order of the names."""


@lru_cache(CACHED)
def compiled(source: str, outside: Outside) -> CodeType:
    """Python's code for a text without problems. What it shows of the names in ``outside`` is fenced."""
    tree = _parse(source)
    _Bounding(tree, dict(outside))
    return Sandbox().compile(tree, "prompt", "<prompt>")


@lru_cache(CACHED)
def reached_by(sources: tuple[str, ...], outside: Outside) -> Outside:
    """``outside`` with the names that texts give to values of these; the texts see each other's names."""
    found = dict(outside)
    pairs = [pair for source in sources for pair in _assignments(_parse(source))] if outside else []
    while True:
        new = {
            name: label
            for target, value in pairs
            if (label := _label(value, found))
            for name in _names(target)
            if name not in found
        }
        if not new:
            return tuple(sorted(found.items()))
        found |= new


def shown_of(source: str, outside: Outside) -> frozenset[str]:
    """The variables among ``outside`` whose values a text without problems shows itself."""
    found = dict(outside)
    return frozenset(
        name
        for output in _parse(source).find_all(nodes.Output)
        for each in output.nodes
        for name in _origins(each, found)
    )


class _BadSyntaxError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _parse(source: str) -> nodes.Template:
    environment = Sandbox()
    try:
        count = sum(kind not in _TEXT_TOKENS for _, kind, _ in environment.lex(source))
        if count > MAX_TOKENS:
            raise _BadSyntaxError(
                Problem(1, f"It has {count} words and signs of Jinja; {MAX_TOKENS} are the most.", "Make it simpler.")
            )
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        message = (error.message or "it is not Jinja").rstrip(".")
        raise _BadSyntaxError(
            Problem(error.lineno, f"Line {error.lineno}: {message}.", _hint(source, message))
        ) from error
    except RecursionError as error:
        raise _BadSyntaxError(Problem(1, "It is nested too deeply.", "Make it simpler.")) from error
    except ValueError as error:  # a number of thousands of digits
        raise _BadSyntaxError(Problem(1, f"A number cannot be read: {error}.", "Take a smaller one.")) from error
    return tree


def _hint(source: str, message: str) -> str:
    if "unknown tag" in message or "end of" in message:
        return "Known: {% if %}, {% for %}, {% set %}, {% with %}, {% include %}, each but set and include with an end."
    return "Variables are written {{ name }}; text with braces that is none goes into {% raw %}…{% endraw %}."


def _problems(tree: nodes.Template) -> Iterator[Problem]:
    called: set[int] = set()  # of the nodes that name what is called; a call comes before what is in it
    stack: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while stack:
        node, depth, blocks = stack.pop()
        blocks += isinstance(node, _BLOCKS)
        if depth > MAX_DEPTH or blocks > MAX_BLOCKS:
            yield Problem(node.lineno, f"Line {node.lineno}: it is nested too deeply.", "Make it simpler.")
            return
        yield from _problem(node, called)
        if type(node) in _ALLOWED:
            stack += [(child, depth + 1, blocks) for child in node.iter_child_nodes()]


def _problem(node: nodes.Node, called: set[int]) -> Iterator[Problem]:
    """What is wrong with one node by itself."""
    at = f"Line {node.lineno}: "
    if type(node) not in _ALLOWED:
        word = _WORDS.get(type(node), type(node).__name__.lower())
        yield Problem(node.lineno, f"{at}there is no {word} in prompt templates.", "Say it with if, for, set, include.")
    elif isinstance(node, nodes.Call):
        is_range = isinstance(node.node, nodes.Name) and node.node.name == "range"
        called.add(id(node.node))
        if not is_range or node.kwargs or node.dyn_args or node.dyn_kwargs:
            yield Problem(
                node.lineno,
                f"{at}nothing can be called but range.",
                "Use filters in place of methods: {{ text|upper }}, {{ list|join(', ') }}, "
                "{% for k, v in object|items %}.",
            )
    elif isinstance(node, nodes.Filter | nodes.Test):
        kind, known = ("filter", FILTERS) if isinstance(node, nodes.Filter) else ("test", TESTS)
        if node.name not in known or node.dyn_args or node.dyn_kwargs:
            near = did_you_mean(nearest(node.name, known))
            words = sorted(name for name in known if name.isidentifier())
            yield Problem(
                node.lineno,
                f"{at}there is no {kind} {node.name!r} in prompt templates.{near}",
                f"{kind.capitalize()}s are: {listed(words, most=60)}.",
            )
        if isinstance(node, nodes.Filter) and node.name in _NAMING:
            yield from _naming_problem(node, at)
    elif isinstance(node, nodes.For) and node.recursive:
        yield Problem(node.lineno, f"{at}there are no recursive loops.", "Show deep values with |tojson.")
    elif isinstance(node, nodes.Include):
        yield from _include_problem(node, at)
    elif isinstance(node, nodes.Name) and node.name in RESERVED:
        is_read = node.ctx == "load" and (node.name == "loop" or id(node) in called)
        if not is_read:
            yield Problem(node.lineno, f"{at}{node.name!r} has a meaning of its own.", "Choose another name.")


def _naming_problem(node: nodes.Filter, at: str) -> Iterator[Problem]:
    """What is wrong with a filter that names another filter, or a test."""
    place = _NAMING[node.name]
    known = FILTERS if node.name == "map" else TESTS
    for named in node.args[place : place + 1]:
        if not _is_text(named) or named.as_const() not in known:
            kind = "filter" if node.name == "map" else "test"
            message = f"{at}{node.name} takes the name of a {kind} there is, in quotes."
            yield Problem(node.lineno, message, f"One of: {listed(sorted(known))}.")


def _include_problem(node: nodes.Include, at: str) -> Iterator[Problem]:
    if not _is_text(node.template) or not PARTIAL.fullmatch(node.template.as_const()):
        yield Problem(
            node.lineno,
            f"{at}include takes the name of a partial, in quotes.",
            'Write {% include "name" %}, or {% include "name@2" %} for its version 2.',
        )
    elif node.ignore_missing:
        yield Problem(node.lineno, f"{at}a partial cannot be missing.", "Take `ignore missing` away.")


def _is_text(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _assignments(tree: nodes.Template) -> Iterator[tuple[nodes.Node, nodes.Node]]:
    """Each place that gives names to values, and the values."""
    for loop in tree.find_all(nodes.For):
        yield loop.target, loop.iter
        # loop.previtem and loop.nextitem are values too.
        yield nodes.Name("loop", "store"), loop.iter
    for assign in tree.find_all(nodes.Assign):
        yield assign.target, assign.node
    for block in tree.find_all(nodes.With):
        yield from zip(block.targets, block.values, strict=True)


def _names(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Name):
        yield node.name
    for child in node.iter_child_nodes():
        yield from _names(child)


def _label(node: nodes.Node, outside: Mapping[str, str]) -> str:
    """The variables from outside whose text can be in the value of an expression; empty for none."""
    return ", ".join(sorted(_origins(node, outside)))


def _origins(node: nodes.Node, outside: Mapping[str, str]) -> set[str]:
    if isinstance(node, nodes.Name):
        return set(outside[node.name].split(", ")) if node.name in outside else set()
    if isinstance(node, nodes.Compare | nodes.Test | nodes.Not):
        return set()
    if isinstance(node, nodes.Filter) and node.name in _CLEAN_FILTERS:
        return set()
    children: list[nodes.Node] = list(node.iter_child_nodes())
    if isinstance(node, nodes.CondExpr):
        children = [each for each in (node.expr1, node.expr2) if each is not None]
    return {name for child in children for name in _origins(child, outside)}


class _Bounding:
    """Puts the filters of :mod:`prompts.sandbox` around what costs and what is shown."""

    def __init__(self, tree: nodes.Template, outside: Mapping[str, str]) -> None:
        self._outside = outside
        self._environment = tree.environment
        self._walk(tree)

    def _walk(self, node: nodes.Node) -> None:
        for child in list(node.iter_child_nodes()):
            self._walk(child)
        for name in node.fields:
            value = getattr(node, name, None)
            if isinstance(value, nodes.Expr):
                setattr(node, name, self._bounded(value))
            elif isinstance(value, list):
                setattr(node, name, [self._bounded(each) if isinstance(each, nodes.Expr) else each for each in value])
        if isinstance(node, nodes.For):
            node.iter = self._filtered(cast("nodes.Expr", node.iter), COUNTED)
        elif isinstance(node, nodes.Output):
            node.nodes = [each if isinstance(each, nodes.TemplateData) else self._shown(each) for each in node.nodes]

    def _bounded(self, node: nodes.Expr) -> nodes.Expr:
        if isinstance(node, nodes.Concat):
            return self._filtered(nodes.List(node.nodes, lineno=node.lineno), JOINED)
        is_target = isinstance(node, nodes.Tuple) and node.ctx != "load"
        return self._filtered(node, MADE) if isinstance(node, _LITERALS) and not is_target else node

    def _shown(self, node: nodes.Expr) -> nodes.Filter:
        label = _label(node, self._outside)
        return self._filtered(node, OUTSIDE, label) if label else self._filtered(node, SHOWN)

    def _filtered(self, node: nodes.Expr, name: str, *arguments: str) -> nodes.Filter:
        constants: list[nodes.Expr] = [nodes.Const(each, lineno=node.lineno) for each in arguments]
        made = nodes.Filter(node, name, constants, [], None, None, lineno=node.lineno)
        made.set_environment(self._environment)  # type: ignore[arg-type]
        return made
