"""The filters that templates may use: Jinja's own under their names, without those that could do harm, each of which
counts what it costs before it does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any

import orjson
from jinja2 import pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context, Undefined

from prompts.meter import Meter
from workflow.prompt_templates import PromptRenderError

MAX_WIDTH = 200
"""Of an indentation, in characters."""
MAX_DIGITS = 15
"""Behind the point; a float has no more."""

TEXTS = (
    frozenset({"capitalize", "count", "d", "default", "first", "float", "int", "last", "length", "lower", "string"})
    | frozenset({"title", "trim", "truncate", "upper", "wordcount"})
)  # fmt: skip
"""Filters that look at a value as a whole."""
LISTS = (
    frozenset({"dictsort", "items", "list", "map", "max", "min", "reject", "rejectattr", "reverse", "select"})
    | frozenset({"selectattr", "sort", "unique"})
)  # fmt: skip
"""Filters that look at every member."""
NAMES = TEXTS | LISTS | {"abs", "indent", "join", "replace", "round", "sum", "tojson"}

Filter = Callable[..., Any]


def as_text(value: Any) -> str:
    """How a value stands in a message: nothing for ``null``, JSON for lists and objects, ``true`` and ``false``."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool | dict | list | tuple):
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
    return str(value)


def filters() -> dict[str, Filter]:
    """Every filter by its name."""
    jinjas = TEXTS | LISTS | {"abs"}
    made: dict[str, Filter] = {name: _counting(FILTERS[name], looks_inside=name in LISTS) for name in jinjas}
    made |= {"indent": _indent, "join": _join, "replace": _replace, "round": _round, "sum": _sum, "tojson": _tojson}
    return made


def _counting(original: Filter, *, looks_inside: bool) -> Filter:
    """Jinja's filter, which counts what it is given and what it makes."""
    passed = getattr(original, "jinja_pass_arg", None)

    @pass_context
    def counting(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        meter: Meter = context.environment.meter  # type: ignore[attr-defined]
        meter.text(len(value) if isinstance(value, str) else 1)
        if looks_inside and isinstance(value, Sized) and not isinstance(value, Undefined):
            meter.step(len(value))
        first = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        leading = (first[passed.name],) if passed is not None else ()
        result = original(*leading, value, *args, **kwargs)
        if isinstance(result, str):
            return str(result)
        if isinstance(result, Iterator):
            result = list(meter.counted(result))
            meter.value(result)
        return result

    return counting


@pass_context
def _join(context: Context, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    """The members' texts in one, with ``d`` between them."""
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    members = list(meter.counted(value))
    if attribute is not None:
        members = [context.environment.getitem(each, attribute) for each in members]
    texts = [as_text(each) for each in members]
    meter.text(sum(map(len, texts)) + len(str(d)) * len(texts))
    return str(d).join(texts)


@pass_context
def _replace(context: Context, value: Any, old: str, new: str, count: int | None = None) -> str:
    """The text with ``new`` in place of ``old``."""
    text, old, new = as_text(value), as_text(old), as_text(new)
    times = text.count(old) if count is None else min(text.count(old), count)
    context.environment.meter.text(len(text) + times * len(new))  # type: ignore[attr-defined]
    return text.replace(old, new, -1 if count is None else count)


@pass_context
def _indent(context: Context, value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    """The text with ``width`` blanks in front of its lines, but for the first one."""
    if isinstance(width, bool) or not isinstance(width, int) or not 0 <= width <= MAX_WIDTH:
        raise PromptRenderError(
            "The width of indent is no number of blanks.", fix=f"Give a whole number from 0 to {MAX_WIDTH}."
        )
    text = as_text(value)
    lines = text.split("\n")
    context.environment.meter.text(len(text) + width * len(lines))  # type: ignore[attr-defined]
    blanks = " " * width
    indented = [blanks + line if line or blank else line for line in lines[1:]]
    return "\n".join([blanks + lines[0] if first else lines[0], *indented])


@pass_context
def _round(context: Context, value: Any, precision: int = 0) -> float:
    """The number with so many digits behind the point."""
    if not is_number(value) or not isinstance(precision, int) or abs(precision) > MAX_DIGITS:
        raise PromptRenderError("round takes a number and a few digits.", fix=f"Give at most {MAX_DIGITS} digits.")
    return round(float(value), precision)


@pass_context
def _sum(context: Context, value: Any, attribute: str | int | None = None) -> float:
    """The numbers together."""
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    members = list(meter.counted(value))
    if attribute is not None:
        members = [context.environment.getitem(each, attribute) for each in members]
    if not all(is_number(each) for each in members):
        raise PromptRenderError("sum takes numbers.", fix="Take the numbers out first, with map or attribute.")
    total: float = sum(members)
    return total


@pass_context
def _tojson(context: Context, value: Any, indent: int | None = None) -> str:
    """The value as JSON, with ``indent`` in lines for readers."""
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    if isinstance(value, Undefined):
        str(value)  # says which one it is
    option = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    text = orjson.dumps(value, option=option, default=str).decode()
    meter.text(len(text))
    return text


def is_number(value: Any) -> bool:
    """Whether a value is a number; ``true`` and ``false`` are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
