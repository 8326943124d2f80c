"""Templates as files: exported and imported, as JSON and as TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from prompts.documents import document_of, exported, imported, read_text, toml_text
from prompts.templates import load_templates
from tests.support.prompts import PromptHouse, draft
from workflow.errors import InvalidArgumentsError
from workflow.identity import LOCAL_ACTOR, LOCAL_ID
from workflow.prompt_templates import (
    InvalidPromptError,
    PromptNotFoundError,
)

BUILT_IN = load_templates()

AWKWARD = {
    "title": 'A "title" \\ with\ttabs',
    "messages": [
        {"role": "system", "content": '\n"""quoted"""\n'},
        {"role": "user", "content": '\n\nends with "\n  é \x7f \u2028 {{ a }}\\'},
        {"role": "assistant", "content": 'one\r\ntwo\nquote"'},
    ],
    "variables": [
        {"name": "a", "type": "object", "default": {"k k": [1, 2.5, True, "x\ny"]}},
        {"name": "b", "enum": ["x", "y"], "required": False, "from_outside": True},
    ],
}


def test_a_template_survives_export_and_import_in_both_forms() -> None:
    templates = [draft("awkward", **AWKWARD), *BUILT_IN]
    document = exported(templates)
    assert imported(document) == templates
    assert tomllib.loads(toml_text(document)) == document
    assert imported(read_text(toml_text(document))) == templates
    one = {"name": "awkward", **document_of(templates[0])}
    assert imported(read_text(toml_text(one))) == templates[:1]


async def test_an_import_stores_what_differs_all_or_nothing(house: PromptHouse) -> None:
    await house.put("same", text="same")
    await house.put("other", text="old")
    coming = [
        draft("letter", text='{% include "sign" %}'),
        draft("sign", text="x", is_partial=True),
        draft("same", text="same"),
        draft("other", text="new"),
    ]
    with pytest.raises(InvalidPromptError) as refused:
        await house.manager.import_all(LOCAL_ACTOR, [*coming, draft("bad", text="{{ x }}")])
    assert refused.value.findings[0].pointer == "/prompts/4/messages/0/content"
    with pytest.raises(PromptNotFoundError):
        await house.manager.get(LOCAL_ID, "letter")
    done = await house.manager.import_all(LOCAL_ACTOR, coming)
    assert [(each.template.name, each.template.version, each.outcome) for each in done] == [
        ("letter", 1, "created"),
        ("sign", 1, "created"),
        ("same", 1, "unchanged"),
        ("other", 2, "updated"),
    ]
    assert await house.text("letter") == "x"


@pytest.mark.parametrize("document", [{}, [], {"prompts": []}, {"prompts": {}}, "x", None])
def test_what_is_no_export_is_refused(document: Any) -> None:
    with pytest.raises(InvalidArgumentsError):
        imported(document)


@pytest.mark.parametrize("text", ["{", "a = ", "[1", '["a"', b"\xff"])
def test_what_is_neither_json_nor_toml_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidArgumentsError):
        read_text(text)
