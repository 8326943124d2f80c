"""Hostile templates: nothing of Python is reached, and everything ends soon."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from prompts.rendering import Parts, rendered
from prompts.syntax import MAX_TOKENS, analysis
from tests.support.prompts import PromptHouse, draft
from workflow.identity import LOCAL_ID
from workflow.prompt_templates import PromptRenderError, PromptTemplate

SECONDS = 20.0
"""A bound for a machine that does much else; what is refused takes a part of a second on an idle one."""
BIG = "x" * 1_000_000
VALUES: dict[str, Any] = {"x": {"a": "b", "items": [1]}, "n": 3, "big": BIG, "same": BIG[:-1] + "x", "l": ["a", "b"]}


def double(times: int, start: str, step: str) -> str:
    """A template that makes a value twice as large, again and again."""
    return f"{{% set a = {start} %}}" + f"{{% set a = {step} %}}" * times + "{{ a }}"


REFUSED = {
    # Not let in: what could reach Python, or that has no end.
    "an attribute by a call": "{{ ''.__class__.mro() }}",
    "a method": "{{ '{0.__class__}'.format(x) }}",
    "a format string": "{{ '%s'|format(x) }}",
    "the filter attr": "{{ x|attr('__class__') }}",
    "attr by way of map": "{{ l|map('attr', '__class__')|list }}",
    "a filter of ours": "{{ l|_counted }}",
    "a filter of ours by way of map": "{{ l|map('_outside', 'x')|list }}",
    "a filter that a value names": "{{ l|map(x.a)|list }}",
    "a macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a call block": "{% call x() %}{% endcall %}",
    "an import": '{% import "a" as b %}',
    "a parent": '{% extends "a" %}',
    "a block": "{% block a %}{{ self.a() }}{% endblock %}",
    "self": "{{ self._TemplateReference__context }}",
    "the function range itself": "{{ range.__self__ }}",
    "joiner": "{{ joiner() }}",
    "cycler": "{{ cycler.__init__.__globals__.os }}{{ cycler() }}",
    "lipsum": "{{ lipsum(n=100000) }}",
    "namespace": "{% set ns = namespace(a=1) %}",
    "dict": "{{ dict(a=1) }}",
    "a power": "{{ 10 ** 10 ** 10 }}",
    "a recursive loop": "{% for a in l recursive %}{{ loop(l) }}{% endfor %}",
    "the loop as a function": "{% for a in l %}{{ loop.cycle('a') }}{% endfor %}",
    "a set block": "{% set a %}{{ big }}{{ big }}{% endset %}",
    "a filter block": "{% filter upper %}a{% endfilter %}",
    "autoescape": "{% autoescape true %}a{% endautoescape %}",
    "an include of a value": "{% include x.a %}",
    "an include of a list": "{% include ['a', 'b'] %}",
    "an include of a path": '{% include "../guides/build_workflow.toml" %}',
    "an include that may be missing": '{% include "a" ignore missing %}',
    "center": "{{ 'a'|center(1000000000) }}",
    "batch": "{{ l|batch(1000000000, 'x')|list }}",
    "urlize": "{{ big|urlize }}",
    "random": "{{ l|random }}",
    "pprint": "{{ x|pprint }}",
    "xmlattr": "{{ x|xmlattr }}",
    "spread arguments": "{{ l|join(*l) }}",
    "many brackets": "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
    "a tower of brackets": "{{ " + "[" * 5_000 + "]" * 5_000 + " }}",
    "many signs": "{{ " + "-" * 900 + "1 }}",
    "a long sum": "{{ " + "1+" * 900 + "1 }}",
    "many ifs": "{% if n %}" * 30 + "{% endif %}" * 30,
    "many loops": "{% for a in l %}" * 15 + "{% endfor %}" * 15,
    "more than a message may hold": "{{ n }}" * MAX_TOKENS,
    "a number of thousands of digits": "{{ " + "9" * 6_000 + " }}",
    "an end that is missing": "{% if n %}",
    "a beginning that is missing": "{% endif %}",
    "an unknown tag": "{% frobnicate %}",
    "an unclosed comment": "a{# b",
}

FAILING = {
    # Let in, and broken off or refused when it is rendered.
    "a dunder": "{{ x.__class__ }}",
    "a dunder by brackets": "{{ x['__class__'] }}",
    "a dunder of a text": "{{ ''.__class__ }}",
    "a dunder of a number": "{{ (1).__class__ }}",
    "a dunder of a loop": "{% for a in l %}{{ loop.__class__ }}{% endfor %}",
    "the loop's environment": "{% for a in l %}{{ loop._recurse }}{% endfor %}",
    "a dunder by way of map": "{{ l|map(attribute='__class__')|list }}",
    "a deep dunder by way of map": "{{ [x]|map(attribute='a.__class__.mro')|list }}",
    "a dunder by way of sort": "{{ [x, x]|sort(attribute='__class__') }}",
    "a dunder by way of selectattr": "{{ l|selectattr('__class__.__name__', 'eq', 'str')|list }}",
    "a dunder by way of join": "{{ l|join(',', attribute='__class__') }}",
    "a method of an object": "{{ x.keys }}",
    "a percent format": "{{ '%1000000000s' % 'x' }}",
    "a long loop": "{% for i in range(1000000000) %}x{% endfor %}",
    "an endless loop": "{% for i in range(10000000000000000000000000) %}{% endfor %}",
    "loops in loops": "{% for i in range(999) %}{% for j in range(999) %}{% for k in range(999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "loops over a value": "{% for i in big %}{% for j in big %}{% endfor %}{% endfor %}",
    "a loop with a test": "{% for i in range(1000000000) if i < 0 %}x{% endfor %}",
    "a long range as a list": "{{ range(1000000000)|list|length }}",
    "a long range, sorted": "{{ range(1000000000)|sort }}",
    "a long range, summed": "{{ range(1000000000)|sum }}",
    "a long range, joined": "{{ range(1000000000)|join }}",
    "a long range, mapped": "{{ range(1000000000)|map('string')|list|length }}",
    "a long range, selected": "{{ range(1000000000)|select('odd')|first }}{{ range(1000000000)|reject('odd')|list }}",
    "a text times a number": "{{ 'x' * 1000000000 }}",
    "a list times a number": "{{ [1] * 1000000000 }}",
    "a text doubled by ~": double(60, "'xxxxxxxx'", "a ~ a"),
    "a text doubled by +": double(60, "'xxxxxxxx'", "a + a"),
    "a text doubled by join": double(60, "'xxxxxxxx'", "[a, a]|join"),
    "a text doubled by replace": double(60, "'xxxxxxxx'", "a|replace('x', 'xx')"),
    "a text doubled by tojson": double(60, "'xxxxxxxx'", "[a, a]|tojson"),
    "a list doubled by +": double(60, "[1, 2]", "a + a"),
    "lists in lists": double(60, "['x']", "[a, a]"),
    "tuples in tuples": double(60, "('x', 'y')", "(a, a)"),
    "objects in objects": double(60, "{'k': 'x'}", "{'k': a, 'l': a}"),
    "lists in lists by way of map": double(60, "['x']", "['', '']|map('default', a, true)|list"),
    "lists in lists by way of +": double(60, "['x']", "[a] + [a]"),
    "a large text many times in a list": double(60, "[big]", "a + a"),
    "lists in lists, compared": double(60, "['x']", "[a, a]") + double(60, "['x']", "[a, a]") + "{{ a == a }}",
    "a number squared": double(60, "99", "a * a"),
    "a text joined in a loop": "{% for i in range(99999) %}{% set a = big ~ i %}{% endfor %}",
    "a text changed in a loop": "{% for i in range(99999) %}{% set a = big|upper %}{% endfor %}",
    "a text sliced in a loop": "{% for i in range(99999) %}{% set a = big[1:] %}{% endfor %}",
    "texts compared in a loop": "{% for i in range(99999) %}{% if big == same %}{% endif %}{% endfor %}",
    "a text searched in a loop": "{% for i in range(99999) %}{% if (n ~ 'y') in big %}{% endif %}{% endfor %}"
    "{% for i in range(99999) %}{% endfor %}",
    "a long message": "{% for i in range(100) %}{{ big }}{% endfor %}",
    "a separator that is long": "{{ range(9999)|join(big) }}",
    "a replacement that is long": "{{ big|replace('x', big) }}",
    "nothing replaced": "{{ big|replace('', big) }}",
    "a wide indentation": "{{ 'a'|indent(1000000000) }}",
    "an indentation of text": "{{ 'a\\nb'|indent(big) }}",
    "a round number": "{{ 2.5|round(1000000000) }}",
    "another way to round": "{{ 2.5|round(1000000000, 'floor') }}",
    "a sum of lists": "{{ [[1], [2]]|sum(start=[]) }}",
    "a text as list": "{{ big|list|length }}",
    "a division": "{{ 1 // 0 }}",
    "the rest of a division": "{{ 1 % 0 }}",
    "a member that is missing": "{{ x.missing }}",
    "a member of a member that is missing": "{{ x.missing.deeper }}",
    "a loop over nothing": "{% for i in x.missing %}{% endfor %}",
    "a loop over a number": "{% for i in n %}{% endfor %}",
    "a sum of unlike things": "{{ 'a' + 1 }}",
    "a sorted mixture": "{{ ['a', 1]|sort }}",
}


def document(text: str) -> PromptTemplate:
    """A template of one text with every variable."""
    variables = [{"name": "x", "type": "object"}, {"name": "n", "type": "integer"}, {"name": "l", "type": "array"}]
    return draft("hostile", text=text, variables=[*variables, {"name": "big"}, {"name": "same"}])


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_could_do_harm_is_no_template(text: str) -> None:
    began = time.monotonic()
    problems = analysis(text).problems
    assert problems
    assert all(each.message and each.fix for each in problems)
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
def test_what_costs_too_much_or_does_not_work_is_broken_off(text: str) -> None:
    assert analysis(text).problems == ()
    began = time.monotonic()
    with pytest.raises(PromptRenderError) as failed:
        rendered(Parts(document(text), {}), VALUES)
    assert time.monotonic() - began < SECONDS
    assert failed.value.pointer == "/messages/0/content"
    assert failed.value.fix
    for word in ("object at 0x", "<class", "Traceback", "jinja2.", "built-in"):
        assert word not in failed.value.message


def test_a_value_that_looks_like_a_template_is_text() -> None:
    for value in ("{{ n }}", "{% include 'a' %}", "{# #}", "{{ ''.__class__ }}", "# for x in y"):
        (message,) = rendered(Parts(draft("t", text="<{{ v }}>", variables=[{"name": "v"}]), {}), {"v": value})
        assert message.content == f"<{value}>"


def test_partials_that_multiply_each_other_are_broken_off() -> None:
    partials = {
        f"p{number}": draft(f"p{number}", text=f'{{% include "p{number + 1}" %}}' * 2, is_partial=True)
        for number in range(40)
    }
    partials["p40"] = draft("p40", text="x", is_partial=True)
    began = time.monotonic()
    with pytest.raises(PromptRenderError):
        rendered(Parts(draft("t", text='{% include "p0" %}'), partials), {})
    assert time.monotonic() - began < SECONDS


async def test_the_event_loop_goes_on_while_a_template_takes_its_time(house: PromptHouse) -> None:
    text = FAILING["texts compared in a loop"]
    rendering = asyncio.create_task(house.manager.preview(LOCAL_ID, document(text), VALUES))
    turns = 0
    while not rendering.done():
        await asyncio.sleep(0)
        turns += 1
    assert isinstance(rendering.exception(), PromptRenderError)
    assert turns > 100
