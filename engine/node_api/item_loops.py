"""Item nodes compiled: the loop over all items of a node run as one Python function.

:meth:`ItemNode.run_item` costs, for each item, a new parameter object, a method call and an emission. Where every
template has a Python form, a node type can write what it does to an item as source (:meth:`ItemNode.write_loop`), and
the loop costs a tenth. Where the loop meets a value that it does not cover, it raises, and the run starts again with
``run_item``, which reports failures exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from engine.expressions.fast_path import FastCode, FastForm
from engine.expressions.scope import ExpressionScope
from workflow.items import Item, Items, Outputs, pairs_of

Path = tuple[str | int, ...]
_BODY = 2
"""Indentation of the loop's body in the function, in levels."""


class ItemLoop(NamedTuple):
    """``run``: ``(items, scope)`` → the outputs that got items. ``reads_scope``: whether it needs the scope.

    ``run`` raises :class:`~engine.expressions.fast_values.FallThroughError` or a
    :class:`~workflow.errors.JobsprintError` where :meth:`ItemNode.run_item` must run instead.
    """

    run: Callable[[Items, ExpressionScope | None], Outputs]
    reads_scope: bool


class LoopCode:
    """The source of a loop while a node type writes it. Its body has one item as ``item``, and its JSON as ``json``."""

    def __init__(self, templates: Mapping[Path, FastForm]) -> None:
        self._templates = templates
        self._code = FastCode()
        self._item = self._code.constant(Item)
        self._outputs: dict[str, str] = {}

    def value(self, path: Path, raw: Any) -> str:
        """A Python expression for the parameter at ``path``; ``raw`` is what the definition writes there."""
        form = self._templates.get(path)
        if form is not None:
            return self._code.template(form.template, form.trees, _BODY)
        if not any(each[: len(path)] == path for each in self._templates):
            return self.constant(raw)
        if isinstance(raw, Mapping):
            members = (f"{self.constant(name)}: {self.value((*path, name), each)}" for name, each in raw.items())
            return "{" + ", ".join(members) + "}"
        return "[" + ", ".join(self.value((*path, place), each) for place, each in enumerate(raw)) + "]"

    def is_constant(self, *path: str | int) -> bool:
        """Whether no template stands at or below ``path``."""
        return not any(each[: len(path)] == path for each in self._templates)

    def named(self, expression: str) -> str:
        """The name of a variable that holds the expression's value; for values that are used twice."""
        if expression.isidentifier():
            return expression
        name = self._code.variable()
        self.line(f"{name} = {expression}")
        return name

    def constant(self, value: Any) -> str:
        """A name for ``value``, which is data or a function."""
        return self._code.constant(value)

    def line(self, text: str) -> None:
        """Add a line to the body."""
        self._code.line(_BODY, text)

    def emission(self, output: str, json: str) -> str:
        """The statement that sends an item on."""
        add = self._outputs.setdefault(output, f"out{len(self._outputs)}")
        return f"{add}.append({self._item}({json}, pair))"

    def finish(self) -> ItemLoop:
        """Compile the loop."""
        each = f"{self.constant(zip)}(items, {self.constant(pairs_of)}({self.constant(len)}(items)))"
        head = f"item, pair in {each}"
        if self._code.reads_index:
            head = f"index, (item, pair) in {self.constant(enumerate)}({each})"
        opening = [
            *(f"    {add} = []" for add in self._outputs.values()),
            f"    for {head}:",
            "        json = item.json",
        ]
        made = "".join(f"({self.constant(output)}, {add}), " for output, add in self._outputs.items())
        result = f"{{output: found for output, found in ({made}) if found}}"
        run = self._code.function("items, scope", result, opening=opening)
        return ItemLoop(run, self._code.reads_scope)
