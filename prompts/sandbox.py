"""The environment that templates run in. They see data only: no attributes of Python's objects, no calls but ``range``.

:mod:`prompts.syntax` lets nothing else come here; what is here holds even if something did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import BaseLoader, StrictUndefined, Template, TemplateNotFound, pass_context
from jinja2.environment import Environment
from jinja2.lexer import Lexer
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prompts.fences import ends_fence, fenced
from prompts.filters import as_text, filters, is_number
from prompts.meter import Meter
from prompts.tag_lines import TagLineLexer
from workflow.findings import did_you_mean, listed, nearest
from workflow.prompt_templates import PromptRenderError

Render = Callable[[Context], Iterator[str]]
"""What renders a template, in pieces."""

LOOP_MEMBERS = frozenset(
    {"index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0"}
)
TESTS = (
    frozenset({"boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float", "ge", "greaterthan"})
    | frozenset({"gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none", "number"})
    | frozenset({"odd", "sequence", "string", "true", "undefined", "upper", "==", "!=", ">", ">=", "<", "<="})
)  # fmt: skip
LARGEST = 2**63
"""Whole numbers stay below it: those of any length would make a short template take for ever."""

STEPS_OF_PARTIAL = 10
"""What an ``include`` counts as."""

COUNTED, JOINED, MADE, SHOWN, OUTSIDE = "_counted", "_joined", "_made", "_shown", "_outside"
"""Filters that :mod:`prompts.syntax` puts in: around what loops go over, what is joined, lists and objects that are
made, what is shown, and what is shown of values from outside. Templates cannot name them."""


class Sandbox(ImmutableSandboxedEnvironment):
    """One rendering's environment; ``codes`` are the compiled partials by name."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})
    intercepted_unops = frozenset({"+", "-"})

    def __init__(self, codes: Mapping[str, Any] | None = None) -> None:
        super().__init__(
            loader=_Partials(codes or {}),
            undefined=StrictUndefined,
            autoescape=False,
            optimized=False,
            keep_trailing_newline=False,
            cache_size=0,
        )
        self.meter = Meter()
        self.filters = {**filters(), COUNTED: _counted, JOINED: _joined, MADE: _made, SHOWN: _shown, OUTSIDE: _outside}
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}
        self.globals = {"range": self._range}

    @property
    def lexer(self) -> Lexer:
        """The lexer, the same for all."""
        return _lexer()

    def render(self, code: Any, values: Mapping[str, Any]) -> str:
        """The text that compiled code makes of the values."""
        template = Template.from_code(self, code, dict(self.globals))
        pieces: list[str] = []
        for piece in template.root_render_func(template.new_context(dict(values))):
            self.meter.output(len(piece))
            pieces.append(piece)
        return "".join(pieces)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute``: a member of an object, or what a loop knows of itself."""
        if isinstance(obj, LoopContext):
            if attribute in LOOP_MEMBERS:
                return getattr(obj, attribute)
            return self.undefined(hint=f"A loop has no {attribute!r}; it has {listed(sorted(LOOP_MEMBERS))}.")
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``obj[argument]``: a member of an object, list or text."""
        if isinstance(obj, Undefined):
            return obj[argument]
        try:
            if isinstance(obj, Mapping):
                return obj[argument]
            if isinstance(obj, list | tuple | str) and isinstance(argument, int | slice):
                if isinstance(argument, slice):
                    self.meter.text(len(obj))
                return obj[argument]
        except (KeyError, IndexError, TypeError, ValueError):
            return self.undefined(hint=_no_member(obj, argument))
        return self.undefined(hint=_no_member(obj, argument))

    def is_safe_callable(self, obj: Any) -> bool:
        """Nothing can be called but ``range``."""
        return bool(obj == self._range)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers of a bounded size; ``+`` also joins two texts, or two lists."""
        for side in (left, right):
            if isinstance(side, Undefined):
                str(side)  # says which one it is
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.meter.text(len(left) + len(right))
            return left + right
        if operator == "+" and isinstance(left, list) and isinstance(right, list):
            self.meter.step(len(left) + len(right))
            self.meter.value(left + right)
            return left + right
        if not (is_number(left) and is_number(right)):
            raise PromptRenderError(
                f"{operator} is for numbers, not for {_kind(left)} and {_kind(right)}.",
                fix="Join texts with ~, and make numbers of texts with |int or |float.",
            )
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) >= LARGEST:
            raise PromptRenderError("A number is too large.", fix="Calculate with smaller ones.")
        return result

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        """A number with its sign."""
        if not is_number(arg):
            raise PromptRenderError(f"{operator} is for numbers, not for {_kind(arg)}.", fix="Use |int or |float.")
        return super().call_unop(context, operator, arg)

    def _range(self, *bounds: int) -> range:
        """Whole numbers; the loop over them counts its steps."""
        if not all(is_number(each) and isinstance(each, int) for each in bounds):
            raise PromptRenderError("range takes whole numbers.", fix="Use |int.")
        return range(*bounds)


class _Partials(BaseLoader):
    """Hands out partials that were fetched and compiled before."""

    def __init__(self, codes: Mapping[str, Any]) -> None:
        self._codes = codes
        self._made: dict[str, Template] = {}

    def load(self, environment: Environment, name: str, globals: Any = None) -> Template:  # noqa: A002
        """The partial of this name. The environment calls this at each ``include``."""
        if name not in self._codes:
            raise TemplateNotFound(name)
        environment.meter.step(STEPS_OF_PARTIAL)  # type: ignore[attr-defined]
        if name not in self._made:
            made = Template.from_code(environment, self._codes[name], dict(globals or {}))
            made.root_render_func = _without_last_break(made.root_render_func, environment.meter)  # type: ignore[attr-defined]
            self._made[name] = made
        return self._made[name]


@lru_cache(1)
def _lexer() -> Lexer:
    return TagLineLexer(Environment(keep_trailing_newline=False))


def _without_last_break(render: Render, meter: Meter) -> Render:
    """A partial's text without line breaks at its end: the line that includes it has its own. Behind a fence one stays,
    since what follows on its line would be part of the fence."""

    def rendered(context: Context) -> Iterator[str]:
        breaks = last = ""
        for piece in render(context):
            meter.text(len(piece))
            kept = f"{breaks}{piece}".rstrip("\n")
            breaks = f"{breaks}{piece}"[len(kept) :]
            if kept:
                last = kept
                yield kept
        if breaks and ends_fence(last):
            yield "\n"

    return rendered


@pass_context
def _counted(context: Context, values: Any) -> Iterable[Any]:
    """What a loop goes over, each pass counted."""
    if isinstance(values, Undefined):
        iter(values)  # says which one it is
    if not isinstance(values, Iterable):
        raise PromptRenderError(f"A loop cannot go over {_kind(values)}.", fix="Loop over a list, an object or a text.")
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    return _Counted(meter, values)


class _Counted:
    """Values of a loop, each of which is a step; its length, which loops know, is that of the values."""

    def __init__(self, meter: Meter, values: Iterable[Any]) -> None:
        self._meter = meter
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return self._meter.counted(self._values)

    def __len__(self) -> int:
        return len(self._values)  # type: ignore[arg-type]


@pass_context
def _joined(context: Context, texts: Any) -> str:
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    made = [_text(each) for each in texts]
    meter.text(sum(map(len, made)))
    return "".join(made)


@pass_context
def _made(context: Context, value: Any) -> Any:
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    meter.value(value)
    return value


@pass_context
def _shown(context: Context, value: Any) -> str:
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    text = _text(value)
    meter.text(len(text))
    return text


@pass_context
def _outside(context: Context, value: Any, names: str) -> str:
    """The value as it is shown, within a fence."""
    meter: Meter = context.environment.meter  # type: ignore[attr-defined]
    text = _text(value)
    meter.text(2 * len(text))
    return fenced(text, names)


def _no_member(obj: Any, name: Any) -> str:
    if isinstance(obj, Mapping):
        names = [str(each) for each in obj]
        near = did_you_mean(nearest(str(name), names))
        return f"The object has no member {name!r:.80}; it has {listed(names)}.{near}"
    if isinstance(obj, list | tuple | str):
        return f"There is no place {name!r:.80} in {_kind(obj)} of length {len(obj)}."
    return f"{_kind(obj).capitalize()} has no members, and so no {name!r:.80}."


def _text(value: Any) -> str:
    return str(value) if isinstance(value, Undefined) else as_text(value)


def _kind(value: Any) -> str:
    kinds = {str: "a text", bool: "true or false", list: "a list", tuple: "a list", dict: "an object"}
    if value is None:
        return "null"
    return kinds.get(type(value), "a number" if is_number(value) else "this")
