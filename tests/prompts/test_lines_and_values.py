"""Lines that tags stand on, and values that are nested too deeply."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.prompts import PromptHouse
from workflow.errors import InvalidArgumentsError
from workflow.identity import LOCAL_ID


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("a\n{% if yes %}\nb\n{% endif %}\nc", "a\nb\nc"),
        ("a\n  {% if yes %}  \n  b\n  {% endif %}\t\nc", "a\n  b\nc"),
        ("Hello {% if yes %}Ann{% endif %}\nWorld", "Hello Ann\nWorld"),
        ("Hello {% if no %}Ann{% endif %}\nWorld", "Hello \nWorld"),
        ("{% for n in list %}\n- {{ n }}{% if not loop.last %},{% endif %}\n{% endfor %}\nend", "- 1,\n- 2\nend"),
        ("{% for n in list %}{{ n }}\n{% endfor %}end", "1\n2\nend"),
        ("a {# why #}\nb", "a \nb"),
        ("a\n{# why #}\nb", "a\nb"),
        ("a\n{# why\nand how #}\nb", "a\nb"),
        ("{% if yes %}{% if yes %}\nx\n{% endif %} {% endif %}\nq", "x\nq"),
        ("{% set a = 1 %}\n{% set b = 2 %}\n{{ a }}{{ b }}\nz", "12\nz"),
        ("  {% set a = 1 %} {{ a }}\nz", "   1\nz"),
        ("a\n{% raw %}\n{{ b }}\n{% endraw %}\nc", "a\n{{ b }}\nc"),
        ("a {% raw %}{{ b }}{% endraw %}\nc", "a {{ b }}\nc"),
        ("a\n{%+ if yes %}\nb{% endif +%}\nc", "a\n\nb\nc"),
        ("a  {%- if yes %} b{% endif -%}\n\n c", "a bc"),
        ("a\n{% if yes\n   and list %}\nb\n{% endif %}\nc", "a\nb\nc"),
        ("{{ '{%' }}\n{% if yes %}\nb\n{% endif %}", "{%\nb"),
        ("a\r\n{% if yes %}\r\nb\r\n{% endif %}\r\nc", "a\nb\nc"),
        ('a\n{% include "part" %}\nb', "a\nPART\nb"),
        ('a\n  {% include "part" %}\nb', "a\n  PART\nb"),
        ('a {% include "part" %} b\nc', "a PART b\nc"),
        ('a\n{% if yes %}\n{% include "tail" %}\n{% endif %}\nb', "a\nTAIL\nmore\nb"),
    ],
)
async def test_a_line_of_tags_is_left_out_and_every_other_line_stays(
    house: PromptHouse, text: str, becomes: str
) -> None:
    await house.put("part", text="PART\n", is_partial=True)
    await house.put("tail", text="TAIL\n{% if true %}\nmore\n{% endif %}\n", is_partial=True)
    variables = [
        {"name": "yes", "type": "boolean", "default": True},
        {"name": "no", "type": "boolean", "default": False},
        {"name": "list", "type": "array", "default": [1, 2]},
    ]
    await house.put("lines", text=text, variables=variables)
    assert await house.text("lines") == becomes


async def test_the_built_in_list_of_labels_has_a_line_for_each(house: PromptHouse) -> None:
    values = {"text": "It broke", "labels": ["bug", "praise"], "meanings": {"bug": "does not work"}}
    system = (await house.manager.render(LOCAL_ID, "classify", values))[0]
    assert "Labels:\n- bug: does not work\n- praise\n\nAnswer" in system.content


async def test_the_built_in_partial_ends_its_own_line(house: PromptHouse) -> None:
    system = (await house.manager.render(LOCAL_ID, "triage_support_mail", {"body": "Help"}))[0]
    assert "\nPromise nothing" in system.content


DEEP = "[" * 3_000 + "]" * 3_000


def nested(levels: int) -> Any:
    """Lists in each other."""
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "text of 3,000 levels": DEEP,
    "text of 150 levels": "[" * 150 + "]" * 150,
    "text of objects": '{"a":' * 150 + "1" + "}" * 150,
    "150 levels": nested(150),
    "900 levels": nested(900),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("kind", ["array", "object", "string", "number", "integer", "boolean"])
async def test_values_that_are_nested_too_deeply_are_bad_values(house: PromptHouse, kind: str, value: Any) -> None:
    await house.put("deep", text="{{ v }}", variables=[{"name": "v", "type": kind}])
    if kind == "string" and isinstance(value, str):
        assert await house.text("deep", v=value) == value
        return
    with pytest.raises(InvalidArgumentsError) as caught:
        await house.manager.render(LOCAL_ID, "deep", {"v": value})
    (found,) = caught.value.findings
    assert (found.code, found.pointer) == ("bad_value", "/variables/v")


async def test_values_of_a_hundred_levels_are_shown(house: PromptHouse) -> None:
    await house.put("deep", text="{{ v }}{{ v|tojson }}{{ v == v }}", variables=[{"name": "v", "type": "array"}])
    assert "true" in await house.text("deep", v=nested(100))


@pytest.mark.parametrize("place", ["default", "enum"])
async def test_a_template_with_values_that_are_nested_too_deeply_is_not_saved(house: PromptHouse, place: str) -> None:
    variable = {"name": "v", "type": "array", place: nested(150) if place == "default" else [nested(150)]}
    with pytest.raises(InvalidArgumentsError) as caught:
        await house.put("deep", text="{{ v }}", variables=[variable])
    assert caught.value.findings[0].code == "bad_value"
