"""Prompt templates and their versions, over every database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage.database.database import Database
from storage.models.prompts import SqlPrompts
from workflow.errors import InvalidArgumentsError
from workflow.prompt_templates import (
    PromptConflictError,
    PromptNotFoundError,
    PromptTemplate,
    TemplateMessage,
    TemplateVariable,
)

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)


def greeting(name: str = "greeting", text: str = "Hello {{ who }}", **members: object) -> PromptTemplate:
    """A template with one of everything."""
    made = PromptTemplate(
        name=name,
        version=0,
        title="A greeting",
        description="Says hello.",
        messages=(TemplateMessage(role="system", content="Be kind.\0"), TemplateMessage(role="user", content=text)),
        variables=(
            TemplateVariable(name="who", description="Whom", enum=("Ann", "Bob"), is_from_outside=True),
            TemplateVariable(name="deep", type="object", required=False, default={"a": [1, 2.5, None]}),
        ),
    )
    return replace(made, **members)  # type: ignore[arg-type]


@pytest.fixture
def prompts(database: Database) -> SqlPrompts:
    """An empty store."""
    return SqlPrompts(database)


async def test_a_template_comes_back_as_it_was_saved(prompts: SqlPrompts) -> None:
    saved = await prompts.save("w", greeting(), expected_version=0, now=NOW)
    assert saved == greeting(version=1, created_at=NOW)
    assert await prompts.get("w", "greeting") == saved
    assert await prompts.get("w", "greeting", 1) == saved


async def test_versions_count_up_and_old_ones_stay_as_they_were(prompts: SqlPrompts) -> None:
    first = await prompts.save("w", greeting(), expected_version=0, now=NOW)
    second = await prompts.save("w", greeting(text="Hi", title="Short"), expected_version=1, now=NOW + timedelta(1))
    third = await prompts.save("w", greeting(text="Hey"), expected_version=None, now=NOW + timedelta(2))
    assert [first.version, second.version, third.version] == [1, 2, 3]
    assert await prompts.versions("w", "greeting") == [third, second, first]
    assert await prompts.get("w", "greeting") == third
    assert await prompts.get("w", "greeting", 1) == first
    assert await prompts.every("w") == [third]


async def test_another_expectation_than_what_is_there_is_a_conflict_that_changes_nothing(prompts: SqlPrompts) -> None:
    with pytest.raises(PromptConflictError) as absent:
        await prompts.save("w", greeting(), expected_version=3, now=NOW)
    assert absent.value.actual == 0
    saved = await prompts.save("w", greeting(), expected_version=0, now=NOW)
    for expected in (0, 2):
        with pytest.raises(PromptConflictError) as conflict:
            await prompts.save("w", greeting(text="other"), expected_version=expected, now=NOW)
        assert conflict.value.actual == 1
        assert conflict.value.fix
    assert await prompts.versions("w", "greeting") == [saved]


async def test_of_many_who_save_the_same_version_at_once_one_wins(prompts: SqlPrompts) -> None:
    for expected in (0, 1):
        ended = await asyncio.gather(
            *(prompts.save("w", greeting(text=f"{number}"), expected_version=expected, now=NOW) for number in range(5)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, PromptTemplate) for each in ended) == 1
        assert sum(isinstance(each, PromptConflictError) for each in ended) == 4
    assert [each.version for each in await prompts.versions("w", "greeting")] == [2, 1]


async def test_what_a_workspace_has_is_not_there_for_another(prompts: SqlPrompts) -> None:
    await prompts.save("w", greeting(), expected_version=0, now=NOW)
    with pytest.raises(PromptNotFoundError):
        await prompts.get("other", "greeting")
    with pytest.raises(PromptNotFoundError):
        await prompts.delete("other", "greeting")
    assert await prompts.versions("other", "greeting") == []
    assert (await prompts.page("other", text=None, limit=10, cursor=None)).items == []
    assert (await prompts.save("other", greeting(), expected_version=0, now=NOW)).version == 1


async def test_what_is_not_there_is_said_to_be_missing(prompts: SqlPrompts) -> None:
    await prompts.save("w", greeting(), expected_version=0, now=NOW)
    for name, version in (("none", None), ("greeting", 2)):
        with pytest.raises(PromptNotFoundError):
            await prompts.get("w", name, version)


async def test_templates_are_listed_by_name_page_by_page_and_found_by_text(prompts: SqlPrompts) -> None:
    for name in ("cc", "aa", "bb"):
        await prompts.save("w", greeting(name=name, title=f"The {name.upper()} 100%"), expected_version=0, now=NOW)
    await prompts.save("w", greeting(name="aa", title="New"), expected_version=1, now=NOW)
    first = await prompts.page("w", text=None, limit=2, cursor=None)
    second = await prompts.page("w", text=None, limit=2, cursor=first.next_cursor)
    assert [(each.name, each.version) for each in [*first.items, *second.items]] == [("aa", 2), ("bb", 1), ("cc", 1)]
    assert second.next_cursor is None
    for text, names in {"the b": ["bb"], "0%": ["bb", "cc"], "HELLO": ["aa", "bb", "cc"], "_": []}.items():
        found = await prompts.page("w", text=text, limit=9, cursor=None)
        assert [each.name for each in found.items] == names
    with pytest.raises(InvalidArgumentsError):
        await prompts.page("w", text=None, limit=2, cursor="nonsense")


async def test_a_deleted_template_is_gone_with_its_versions(prompts: SqlPrompts) -> None:
    for version in (0, 1):
        await prompts.save("w", greeting(), expected_version=version, now=NOW)
    await prompts.delete("w", "greeting")
    assert await prompts.versions("w", "greeting") == []
    with pytest.raises(PromptNotFoundError):
        await prompts.delete("w", "greeting")
    assert (await prompts.save("w", greeting(), expected_version=None, now=NOW)).version == 1
