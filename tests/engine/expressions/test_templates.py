"""Templates are split where their expressions begin and end."""

from __future__ import annotations

import time

import pytest

from engine.definitions.expression_checks import expression_findings
from engine.expressions.evaluator import Evaluator
from engine.expressions.pool import WorkerPool
from engine.expressions.template import Template, is_template, parse_template
from workflow.errors import ExpressionError

LARGEST_STALL_SECONDS = 0.25
"""Other requests wait as long, at most."""


@pytest.mark.parametrize(
    ("source", "template"),
    [
        ("=plain", Template(("plain",), ())),
        ("={{ $json.a }}", Template(("", ""), ("$json.a",))),
        ("=a {{ 1 }} b {{2}}", Template(("a ", " b ", ""), ("1", "2"))),
        ("={{ {a: {b: 1}} }}", Template(("", ""), ("{a: {b: 1}}",))),
        ("={{ '}}' + \"}}\" + `}}` }}", Template(("", ""), ("'}}' + \"}}\" + `}}`",))),
        ("={{ 'it\\'s }}' }}", Template(("", ""), ("'it\\'s }}'",))),
        ("={{ /['\"]/.test($json.a) }}", Template(("", ""), ("/['\"]/.test($json.a)",))),
        ("={{ $json.a; }}", Template(("", ""), ("$json.a",))),
        ("= {{ 1 }}", Template((" ", ""), ("1",))),
        ("={{ /[}}'\"]/.test(x) }}", Template(("", ""), ("/[}}'\"]/.test(x)",))),
        ("={{ a / 2 }} / {{ 3 / b }}", Template(("", " / ", ""), ("a / 2", "3 / b"))),
        ("={{ (a) / 2 + '}}' }}", Template(("", ""), ("(a) / 2 + '}}'",))),
        ("={{ typeof /}}/ }}", Template(("", ""), ("typeof /}}/",))),
        ("={{ `${ {a: `}}`}.a }}}` }}", Template(("", ""), ("`${ {a: `}}`}.a }}}`",))),
        ("={{ a /* }} */ + 1 }}", Template(("", ""), ("a /* }} */ + 1",))),
        ("={{ a // }}\n + 1 }}", Template(("", ""), ("a // }}\n + 1",))),
        ("={{ $json.a }} }} {{ 1 }}", Template(("", " }} ", ""), ("$json.a", "1"))),
        ("={{ (}} and {{ 1 }}", Template(("", " and ", ""), ("(", "1"))),
    ],
)
def test_a_template_is_texts_around_expressions(source: str, template: Template) -> None:
    assert is_template(source)
    assert parse_template(source) == template


def test_one_expression_alone_keeps_its_type() -> None:
    assert parse_template("={{ 1 }}").is_sole
    assert not parse_template("={{ 1 }} ").is_sole
    assert not parse_template("=1").is_sole


@pytest.mark.parametrize("source", ["={{ $json.a", "={{ }}", "={{}}", "=a {{ 1 }} {{"])
def test_braces_that_are_not_closed_or_empty_are_refused(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_template(source)
    assert caught.value.expression_code == "bad_template"


@pytest.mark.parametrize("value", ["text", "", 1, None, {"a": 1}])
def test_other_values_are_no_templates(value: object) -> None:
    assert not is_template(value)


HOSTILE = {
    "brackets that nothing closes": "{{(}}" * 3_000,
    "expressions by the hundred thousand": "{{1}}" * 100_000,
    "comments that nothing closes": "{{ /* }}" * 50_000,
    "strings that nothing closes": "{{ '\n}}" * 50_000,
    "template literals that nothing closes": "{{ ` }}" * 50_000,
    "regular expressions that nothing closes": "{{ /a }}" * 50_000,
    "classes that nothing closes": "{{ " + "/[" * 400_000,
    "braces in braces": "{{" * 400_000,
    "brackets in braces": "{{[{" * 200_000,
    "a deep expression": "{{ " + "(" * 400_000 + ")" * 400_000 + " }}",
    "divisions": "{{ a" + " / a" * 200_000 + " }}",
    "a long text": "x" * 1_000_001,
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_what_is_too_much_is_refused_before_it_costs_anything(source: str) -> None:
    started = time.process_time()
    with pytest.raises(ExpressionError) as caught:
        parse_template(f"={source}")
    assert time.process_time() - started < LARGEST_STALL_SECONDS
    assert caught.value.expression_code == "bad_template"
    assert caught.value.fix


DEEP = {
    "choices": "={{ " + "$json.a ? 1 : " * 150 + "2 }}",
    "conjunctions": "={{ " + "$json.a && (" * 120 + "2" + ")" * 120 + " }}",
    "sums": "={{ " + "1+" * 1_900 + "1 }}",
    "negations": "={{ " + "!" * 3_900 + "1 }}",
    "parentheses": "={{ " + "(" * 1_900 + "1" + ")" * 1_900 + " }}",
    "many expressions": "=" + "{{ $json.a }}" * 1_000,
}


@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP)
def test_deep_and_long_expressions_compile_or_are_left_to_javascript(source: str, pool: WorkerPool) -> None:
    started = time.process_time()
    compiled = Evaluator(pool=pool).compile(source)
    assert time.process_time() - started < LARGEST_STALL_SECONDS
    if compiled.fast is not None:
        assert compiled.fast.function({"a": 1}, None, 0) is not None  # type: ignore[arg-type]


async def test_a_definition_has_a_largest_number_of_templates(pool: WorkerPool) -> None:
    fields = {f"f{number}": f"={{{{ $json.f{number} }}}}" for number in range(2_000)}
    nodes = {"start": {"type": "manual"}, "node": {"type": "set", "parameters": {"fields": fields}}}
    (found,) = await expression_findings({"name": "many", "nodes": nodes}, Evaluator(pool=pool))
    assert found.code == "bad_expression"
    assert found.pointer == "/nodes/node/parameters/fields/f1500"


async def test_a_definition_has_a_largest_number_of_expressions(pool: WorkerPool) -> None:
    fields = {f"f{number}": "=" + "{{ $json.a }}" * 1_000 for number in range(11)}
    nodes = {"start": {"type": "manual"}, "node": {"type": "set", "parameters": {"fields": fields}}}
    (found,) = await expression_findings({"name": "many", "nodes": nodes}, Evaluator(pool=pool))
    assert found.code == "bad_expression"
    assert found.pointer == "/nodes/node/parameters/fields/f10"
    assert "10000 expressions" in found.message


async def test_findings_of_one_template_stay_few(pool: WorkerPool) -> None:
    source = "={{ [" + ", ".join(f"$x{number}" for number in range(2_000)) + "] }}"
    nodes = {"node": {"type": "set", "parameters": {"fields": {"a": source}}}}
    assert len(await expression_findings({"name": "n", "nodes": nodes}, Evaluator(pool=pool))) == 20
