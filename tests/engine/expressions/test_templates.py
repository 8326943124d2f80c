"""Templates are split where their expressions begin and end."""

from __future__ import annotations

import pytest

from engine.expressions.template import Template, is_template, parse_template
from workflow.errors import ExpressionError


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
