"""JSON Schema's keywords so that no schema can hold up the process: linear patterns, and a bound on all steps together.

Schemas come from the authors of workflows. ``jsonschema`` by itself would run their patterns with backtracking, compare
every two elements of a list, and follow references that double at each step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import orjson

MAX_STEPS = 50_000
"""Keywords looked at for one value; one takes some 25 microseconds."""
MAX_NESTING = 100
"""Keywords inside one another. Each takes some five frames of Python's stack, and where that ends in the middle of a
library written in Rust, it ends in a panic."""
CHARACTERS_PER_STEP = 256
"""What is written into messages or searched through counts too."""

_UNICODE_ESCAPE = re.compile(r"\\(\\|u([0-9a-fA-F]{4}))")


@dataclass(slots=True)
class Effort:
    """The steps that are left, and how many keywords are inside one another now."""

    steps_left: int
    nesting: int = 0


_effort: ContextVar[Effort] = ContextVar("_effort")


class TooManyStepsError(Exception):
    """A schema takes more steps than a value may be worth."""


class TooDeeplyNestedError(TooManyStepsError):
    """A schema refers to itself without an end, or a value is nested as deeply."""


@contextmanager
def bounded_steps(most: int = MAX_STEPS) -> Iterator[Effort]:
    """Bound what a validator of ours does inside; it raises :class:`TooManyStepsError` where that is not enough."""
    effort = Effort(most)
    token = _effort.set(effort)
    try:
        yield effort
    finally:
        _effort.reset(token)


@cache
def bounded_validator() -> Any:
    """The validator class of JSON Schema 2020-12 with our keywords.

    Made when the first schema is there: loading takes 60 ms, and most processes never see one.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    ours = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    keywords = {**Draft202012Validator.VALIDATORS, **ours}
    return extend(Draft202012Validator, {name: _counted(keyword) for name, keyword in keywords.items()})


@lru_cache(maxsize=1_000)
def pattern_of(text: str) -> Any:
    """A pattern, compiled to an automaton (RE2), which takes time in proportion to what it searches.

    Raises:
        ValueError: RE2 does not know it; the message says why.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    # The one escape of ECMAScript's that RE2 spells otherwise.
    spelled = _UNICODE_ESCAPE.sub(lambda each: rf"\x{{{each[2]}}}" if each[2] else each[0], text)
    try:
        return re2.compile(spelled, options)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error


def _spend(steps: int) -> None:
    effort = _effort.get()
    effort.steps_left -= steps
    if effort.steps_left < 0:
        raise TooManyStepsError


def _counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def counted(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        length = len(value) if isinstance(value, list) else 1
        _spend(1 + length // 16 + (len(instance) // CHARACTERS_PER_STEP if isinstance(instance, str) else 0))
        effort = _effort.get()
        effort.nesting += 1
        try:
            if effort.nesting > MAX_NESTING:
                raise TooDeeplyNestedError
            for error in keyword(validator, value, instance, schema) or ():
                _spend(len(error.message) // CHARACTERS_PER_STEP)
                yield error
        finally:
            effort.nesting -= 1

    return counted


def _found(pattern: str, text: str) -> bool:
    try:
        return pattern_of(pattern).search(text) is not None
    except (ValueError, UnicodeError):
        return False  # schemas from before patterns were checked; half a surrogate pair


def _pattern(validator: Any, pattern: str, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not _found(pattern, instance):
        yield ValidationError(f"{instance!r:.200} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Mapping[str, Any]
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in patterns.items():
        _spend(len(instance))
        for name, value in instance.items():
            if _found(pattern, name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    _spend(len(instance) * len(patterns))
    extra = [name for name in instance if name not in known and not any(_found(pattern, name) for pattern in patterns)]
    if isinstance(allowed, dict):
        for name in extra:
            yield from validator.descend(instance[name], allowed, path=name)
    elif not allowed and extra:
        names = ", ".join(f"{name!r:.60}" for name in extra[:10])
        yield ValidationError(f"Additional properties are not allowed ({names})")


def _unique_items(validator: Any, is_wanted: bool, instance: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not is_wanted or not isinstance(instance, list):
        return
    _spend(len(instance))
    texts = {orjson.dumps(_plain_numbers(each), option=orjson.OPT_SORT_KEYS) for each in instance}
    if len(texts) < len(instance):
        yield ValidationError("There are elements in it that are the same")


def _plain_numbers(value: Any) -> Any:
    """``1.0`` and ``1`` are the same number (JSON Schema, 4.2.2)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    if isinstance(value, list):
        return [_plain_numbers(each) for each in value]
    return {name: _plain_numbers(each) for name, each in value.items()} if isinstance(value, dict) else value
