"""What Zapier says is enabled is read in each form that has been seen of it."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.zapier_listing import Listing
from workflow.actions import Action, ActionError
from workflow.items import JsonObject

TEXT = {"type": "string"}
FIELDS = [
    {"key": "repo", "label": "Repository", "type": "string", "required": True, "help_text": "Without its owner."},
    {"key": "state", "type": "string", "choices": [{"value": "o", "label": "Open"}, {"value": "c", "label": "Closed"}]},
    {"key": "most", "type": "integer"},
    {"key": "special", "type": "what is this"},
]
FIND: JsonObject = {"key": "repository_v2", "name": "Find Repository", "action_type": "search"}


def tool(name: str, *arguments: str) -> Action:
    """A tool with these arguments."""
    schema = {"type": "object", "properties": dict.fromkeys(arguments, TEXT)}
    return Action(connection="zapier", name=name, title=name, description="", input_schema=schema)


def listing(answers: Any, *, arguments: tuple[str, ...] = ("selected_api", "action", "tool_name")) -> Listing:
    """A listing tool that answers what the function gives."""

    async def ask(given: JsonObject) -> Any:
        answer = answers(given)
        if isinstance(answer, Exception):
            raise answer
        return answer

    execute = ("selected_api", "action", "params", "instructions")
    executing = {effect: tool(f"execute_zapier_{effect}_action", *execute) for effect in ("read", "write")}
    return Listing(tool=tool("inspect_zapier_actions", *arguments), executing=executing, ask=ask)


def three_questions(given: JsonObject) -> Any:
    """Apps, then actions, then params."""
    if not given:
        return {"apps": [{"app": "GitHub", "selected_api": "GitHubCLIAPI", "action_count": 1}]}
    return [{"app": "GitHub", "actions": [{**FIND, "params": FIELDS} if "action" in given else FIND]}]


async def test_apps_actions_and_params_are_asked_for_one_after_the_other() -> None:
    asked: list[JsonObject] = []

    def answers(given: JsonObject) -> Any:
        asked.append(given)
        return three_questions(given)

    (action,) = await listing(answers).enabled()
    assert asked == [{}, {"selected_api": "GitHubCLIAPI"}, {"selected_api": "GitHubCLIAPI", "action": "repository_v2"}]
    assert (action.name, action.title, action.group) == ("github_repository_v2", "Find Repository", "GitHub")
    assert (action.effect, action.details["tool"]) == ("read", "execute_zapier_read_action")
    assert action.details["arguments"] == {"selected_api": "GitHubCLIAPI", "action": "repository_v2"}
    assert action.input_schema == {
        "type": "object",
        "properties": {
            "repo": {"type": "string", "title": "Repository", "description": "Without its owner."},
            "state": {"type": "string", "enum": ["o", "c"]},
            "most": {"type": "integer"},
            "special": {},
        },
        "required": ["repo"],
    }


async def test_the_older_tool_is_asked_by_the_names_of_apps() -> None:
    asked: list[JsonObject] = []

    def answers(given: JsonObject) -> Any:
        asked.append(given)
        return three_questions(given)

    await listing(answers, arguments=("app", "action")).enabled()
    assert asked == [{}, {"app": "GitHub"}, {"app": "GitHub", "action": "repository_v2"}]


@pytest.mark.parametrize(
    "answer",
    [
        [{"app": "GitHub", "selected_api": "GitHubCLIAPI", "actions": [{**FIND, "params": FIELDS}]}],
        {"actions": [{**FIND, "selected_api": "GitHubCLIAPI", "params": FIELDS}]},
        [{"selected_api": "GitHubCLIAPI", "action": "repository_v2", "type": "search", "params_schema": {}}],
    ],
)
async def test_what_one_answer_says_is_not_asked_again(answer: Any) -> None:
    asked: list[JsonObject] = []

    def answers(given: JsonObject) -> Any:
        asked.append(given)
        return answer

    (action,) = await listing(answers).enabled()
    assert (action.name, action.effect, asked) == ("github_repository_v2", "read", [{}])


@pytest.mark.parametrize("answer", [{"apps": [], "hint": "Nothing."}, [], {}, [7, None], {"apps": [3]}])
async def test_nothing_enabled_is_no_actions(answer: Any) -> None:
    assert await listing(lambda given: answer).enabled() == []


async def test_what_does_not_say_that_it_reads_is_taken_to_change_something() -> None:
    answer = [{"key": "x", "selected_api": "OneCLIAPI", "params": []}]
    (action,) = await listing(lambda given: answer).enabled()
    assert (action.effect, action.is_repeatable) == ("write", False)


async def test_an_action_whose_params_are_refused_is_there_all_the_same() -> None:
    refusal = ActionError("no", code="action_refused")
    (action,) = await listing(lambda given: refusal if "action" in given else three_questions(given)).enabled()
    assert (action.name, action.input_schema) == ("github_repository_v2", {"type": "object"})


async def test_a_list_that_breaks_off_is_an_error_of_its_own_kind() -> None:
    failure = ActionError("slow down", code="http_status", transient=True)
    with pytest.raises(ActionError) as raised:
        await listing(lambda given: failure if "action" in given else three_questions(given)).enabled()
    assert raised.value is failure
