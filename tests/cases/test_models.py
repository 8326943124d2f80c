"""Cases of models, templates, memory and vectors that public bug reports taught, from the node to the server of models.

Kinds, and where more of each are tested:

* answers as servers really write them: ``tests/prompts/test_odd_answers.py``, ``test_odd_claude.py``;
* JSON among words and thoughts: ``tests/prompts/test_structured.py``;
* roles that take turns: ``tests/prompts/test_odd_answers.py``;
* lines that tags stand on, values that are nested too deeply: ``tests/prompts/test_lines_and_values.py``;
* what memory takes and refuses: ``tests/prompts/test_conversations.py``;
* vectors that are none, and those of another model: ``tests/prompts/test_vectors.py``,
  ``tests/storage/models/test_vectors.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.node_api.node_call import NodeCall
from prompts.conversations import ContextManager
from prompts.tails import MemoryTails
from storage.events.in_process import InProcessEventBus
from storage.ids import UuidFactory
from storage.models.conversations import SqlConversations
from storage.models.vectors import SqlVectors
from tests.doubles.models import Answer, ModelsDouble, calling, cut_off, data, embedded, in_turns, said, serving, status
from tests.support.accounts import SetClock
from tests.support.engine import EngineHarness
from tests.support.models import ModelsHarness, models_over
from tests.support.prompts import PromptHouse, prompt_house
from workflow.breaker import BreakerState
from workflow.states import ExecutionState

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
ANN = {"name": "Ann", "age": 7}
DOWN = {"code": 502, "message": "upstream went away"}
DEEP = "[" * 3_000 + "]" * 3_000


@dataclass(slots=True)
class House:
    """The engine over real models, prompts, conversations and vectors; only the server of models is a double."""

    engine: EngineHarness
    models: ModelsHarness
    prompts: PromptHouse
    memory: SqlConversations
    double: ModelsDouble

    async def node(self, node_type: str, parameters: dict[str, Any], item: Any = None) -> dict[str, Any]:
        """What a node makes of an item; ``error`` in it where the node fails."""
        done = await self.engine.node(node_type, parameters, {} if item is None else item, on_error="continue")
        assert done.state is ExecutionState.SUCCEEDED, done.run.error
        (made,) = done.items("node")
        return made

    async def said(self, key: str) -> list[tuple[str, str]]:
        """What is noted under a key."""
        return [(turn.message.role, turn.message.content) for turn in await self.memory.read("local", key)]


@pytest.fixture(params=["followed", "not followed"])
def is_followed(request: pytest.FixtureRequest) -> bool:
    """Whether a client follows the execution, so that answers are streamed."""
    return bool(request.param == "followed")


@pytest.fixture
async def house(harness: EngineHarness, tmp_path: Path) -> AsyncIterator[House]:
    """The house with two models: ``one/a`` and its fallback ``two/b``."""
    clock = SetClock()
    async with prompt_house(tmp_path) as prompts, serving() as double:
        database = prompts.manager.repository._database  # type: ignore[attr-defined]
        async with models_over(double, database) as models:
            store = SqlConversations(database, new_id=UuidFactory(clock=clock))
            harness.models = models.adapter  # type: ignore[assignment]
            harness.prompts = prompts.manager
            harness.vectors = SqlVectors(database)
            harness.conversations = ContextManager(
                store=store, tails=MemoryTails(), bus=InProcessEventBus(), clock=clock, new_id=UuidFactory(clock=clock)
            )
            yield House(harness, models, prompts, store, double)


@pytest.fixture
def followed(is_followed: bool, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Has answers streamed, or not, as if a client followed."""
    from engine.nodes.ai import model_calls

    def reporter(call: NodeCall[Any]) -> Any:
        return (lambda piece: None) if is_followed else None

    monkeypatch.setattr(model_calls, "_text_reporter", reporter)
    return is_followed


@pytest.mark.parametrize(
    "answer",
    [
        said("", finish_reason="error"),
        said("", finish_reason="error", choice_error=DOWN),
        said("", choice_error=DOWN),
        said("", error=DOWN),
    ],
)
async def test_a_choice_that_failed_asks_the_next_model(house: House, followed: bool, answer: Answer) -> None:
    house.double.script("a", answer)
    house.double.script("b", said("fine"))
    made = await house.node("ai_chat", {"prompt": "?"})
    assert made["answer"] == "fine"
    assert made["ai"]["tried"][0] == {"model": "one/a", "outcome": "model_unavailable"}


@pytest.mark.parametrize(
    "text",
    [
        '<think>Is it {"name": "Bob"}?</think>{"name": "Ann", "age": 7}',
        'From {this} I take {"name": "Ann", "age": 7}',
        '{"name": "Ann", "age": 7} and {nothing} else',
        'As [1] says: ```json\n{"name": "Ann", "age": 7}\n``` {end}',
    ],
)
async def test_data_is_found_among_words_with_braces_at_the_first_try(house: House, text: str) -> None:
    house.double.script("a", said(text))
    assert (await house.node("ai_extract", {"output_schema": PERSON}))["data"] == ANN
    assert len(house.double.asked) == 1


async def test_a_text_that_was_cut_off_or_is_empty_says_so(house: House, followed: bool) -> None:
    house.double.script("a", cut_off("It was a"), said(""), said("fine"))
    cut, empty, fine = [await house.node("ai_chat", {"prompt": "?"}) for _ in range(3)]
    assert (cut["answer"], cut["ai"]["cut_off"]) == ("It was a", True)
    assert (empty["answer"], empty["ai"]["empty"]) == ("", True)
    assert fine["ai"].keys() == {"model", "input_tokens", "output_tokens"}


@pytest.mark.parametrize("answer", [cut_off('{"name": "Ann", "age": 7}'), cut_off('{"name": "An'), said("")])
async def test_data_that_was_cut_off_or_is_empty_is_an_error(house: House, answer: Answer) -> None:
    house.double.script("a", answer)
    made = await house.node("ai_extract", {"output_schema": PERSON})
    assert made["error"]["code"] == "model_answer_invalid"


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"arguments_as_objects": True},
        {"call_indexes": (0, 0)},
        {"call_indexes": (0, 0), "calls_at_once": True},
        {"call_indexes": (None, None)},
        {"call_ids": ("same", "same")},
        {"call_ids": (None, None), "call_indexes": (None, None)},
    ],
)
async def test_an_agent_makes_every_call_followed_or_not(house: House, followed: bool, odd: dict[str, Any]) -> None:
    wishes = (("find", {"text": "first"}), ("find", {"text": "second"}))
    house.double.script("a", calling(*wishes, **odd), said("done"))
    tool = {
        "name": "find",
        "description": "Finds texts.",
        "policy": "allow",
        "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        "node": "vector_store",
        "parameters": {"operation": "query", "collection": "c", "text": "<<text>>"},
    }
    made = await house.node("ai_agent", {"prompt": "?", "tools": [tool]})
    assert made["ai"]["tools"] == [{"tool": "find", "outcome": "done"}] * 2
    assert [each.body["input"] for each in house.double.asked_of("e")] == [["first"], ["second"]]
    again = house.double.asked_of("a")[1].body["messages"]
    ids = [call["id"] for call in again[-3]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [each["tool_call_id"] for each in again[-2:]] == ids


async def test_a_filter_at_the_provider_is_a_refusal_with_its_fix(house: House, followed: bool) -> None:
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    house.double.script("a", status(400, message=message, error_code="content_filter", param="prompt"))
    made = await house.node("ai_chat", {"prompt": "?"})
    assert made["error"]["code"] == "model_refused"
    assert not house.double.asked_of("b")


async def test_values_that_are_nested_too_deeply_are_told_and_no_model_is_asked(house: House) -> None:
    await house.prompts.put("deep", text="{{ list }}", variables=[{"name": "list", "type": "array"}])
    made = await house.node("ai_chat", {"template": "deep", "variables": {"list": "={{ $json.text }}"}}, {"text": DEEP})
    assert made["error"]["code"] == "invalid_arguments"
    assert "nested deeper" in made["error"]["message"]
    assert house.double.asked == []


@pytest.mark.parametrize("node_type", ["ai_chat", "ai_extract"])
async def test_an_input_that_is_nested_too_deeply_is_told_and_no_model_is_asked(house: House, node_type: str) -> None:
    deep = "={{ JSON.parse('['.repeat(500) + ']'.repeat(500)) }}"
    parameters = {"prompt": "?", "input": deep} if node_type == "ai_chat" else {"output_schema": PERSON, "input": deep}
    made = await house.node(node_type, parameters)
    assert made["error"]["code"] == "invalid_arguments"
    assert house.double.asked == []


async def test_an_empty_answer_is_remembered_as_nothing(house: House, followed: bool) -> None:
    house.double.script("a", said(""), said("I am here."))
    parameters = {"prompt": "={{ $json.text }}", "memory": {"key": "user:7"}, "concurrency": 1}
    await house.engine.node("ai_chat", parameters, [{"text": "Hello?"}, {"text": "Still there?"}])
    assert [each["content"] for each in house.double.asked[1].body["messages"]] == ["Hello?", "Still there?"]
    assert await house.said("user:7") == [
        ("user", "Hello?"),
        ("user", "Still there?"),
        ("assistant", "I am here."),
    ]


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {"a": {}}}, PERSON])
async def test_data_is_remembered_as_it_was_said(house: House, schema: dict[str, Any]) -> None:
    house.double.script("a", data(ANN))
    await house.node("ai_extract", {"output_schema": schema, "input": "x", "memory": {"key": "k"}})
    assert (await house.said("k"))[-1] == ("assistant", '{"name": "Ann", "age": 7}')


@pytest.mark.parametrize(
    "parameters",
    [
        {"prompt": "?", "input": "={{ 'x'.repeat(300000) }}", "memory": {"key": "k", "budget_tokens": 1_000_000}},
        {"prompt": "={{ 'x'.repeat(199999) + 'é'.repeat(40000) }}", "memory": {"key": "k", "budget_tokens": 1_000_000}},
        {"prompt": "?", "memory": {"key": "={{ ' k ' }}"}},
        {"prompt": "?", "memory": {"key": "={{ 'a\\u0000b' }}"}},
        {"prompt": "?", "input": "={{ 'word '.repeat(50000) }}", "memory": {"key": "k", "budget_tokens": 200}},
    ],
)
async def test_what_memory_refuses_is_refused_before_a_model_is_paid(house: House, parameters: dict[str, Any]) -> None:
    made = await house.node("ai_chat", parameters)
    assert made["error"]["code"] in ("invalid_arguments", "bad_parameter")
    assert house.double.asked == []


async def test_an_answer_that_is_too_long_for_memory_is_kept_shortened(house: House) -> None:
    house.double.script("a", said("word " * 60_000))
    made = await house.node("ai_chat", {"prompt": "?", "memory": {"key": "k"}})
    assert len(made["answer"]) == 300_000
    (_, asked), (role, kept) = await house.said("k")
    assert (asked, role) == ("?", "assistant")
    assert kept.endswith("more characters are left out here.]")


@pytest.mark.parametrize("vector", [[1.0, None, 2.0], ["1.0", 2.0], [True, False], []])
@pytest.mark.parametrize("node_type", ["ai_embed", "vector_store"])
async def test_a_vector_that_is_none_is_an_unreadable_answer(house: House, node_type: str, vector: Any) -> None:
    house.double.script("e", embedded(vector))
    store = {"operation": "upsert", "collection": "c", "id": "x"} if node_type == "vector_store" else {}
    done = await house.engine.node(node_type, {"text": "hello", **store}, {}, retry={"max_attempts": 1})
    assert done.state is ExecutionState.WAITING, "it may pass: another server may answer"
    (waits,) = done.run.waiting.values()
    assert "model_unavailable" in str(waits.details)


@pytest.mark.parametrize(
    "vector", ["={{ [true, 1] }}", "={{ ['1', '2'] }}", "={{ [null, 1] }}", [True, 1.0], ["1"], []]
)
async def test_a_vector_that_is_given_holds_numbers_only(house: House, vector: Any) -> None:
    parameters = {"operation": "query", "collection": "c", "vector": vector}
    if isinstance(vector, list):
        from workflow.definitions.checks import check_definition

        nodes = {"start": {"type": "manual"}, "node": {"type": "vector_store", "parameters": parameters}}
        report = check_definition(
            {"name": "n", "nodes": nodes, "connections": [["start", "node"]]}, house.engine.registry
        )
        assert any(each.pointer.startswith("/nodes/node/parameters/vector") for each in report.findings)
        return
    made = await house.node("vector_store", parameters)
    assert made["error"]["code"] == "bad_parameter"


async def test_a_question_with_another_models_vector_is_an_error_that_says_so(house: House) -> None:
    put = {"operation": "upsert", "collection": "c", "id": "a", "text": "hello"}
    find = {"operation": "query", "collection": "c"}
    await house.node("vector_store", put)
    (hit,) = (await house.node("vector_store", {**find, "text": "hello"}))["matches"]
    assert hit["id"] == "a"
    # The settings' model by its name, and its vectors given as such, are the same.
    vector = (await house.node("ai_embed", {"text": "hello"}))["vector"]
    for same in ({"text": "hello", "model": "one/e"}, {"vector": vector}, {"vector": vector, "model": "one/e"}):
        assert (await house.node("vector_store", {**find, **same}))["matches"][0]["id"] == "a"
    for other in ({"text": "hello", "model": "two/other"}, {"vector": vector, "model": "two/other"}):
        for parameters in ({**find, **other}, {**put, "text": None, "id": "b", **other}):
            made = await house.node("vector_store", {name: each for name, each in parameters.items() if each})
            assert made["error"]["code"] == "bad_vector"
            assert "'one/e'" in made["error"]["message"]
            assert "'two/other'" in made["error"]["message"]
    # So is a question after the settings name another model.
    house.models.adapter.catalogue.embedding = "two/later"
    made = await house.node("vector_store", {**find, "text": "hello"})
    assert "'two/later'" in made["error"]["message"]


async def test_half_a_character_reaches_the_model_as_a_mark_and_the_breaker_stays_closed(
    house: House, followed: bool
) -> None:
    house.double.script("a", said("fine"))
    for parameters in (
        {"prompt": "?", "input": "cut \ud83d"},
        {"prompt": "?", "input": {"text": "cut \ud83d"}, "memory": {"key": "k"}},
    ):
        assert (await house.node("ai_chat", parameters))["answer"] == "fine"
        assert "cut \ufffd" in house.double.asked[-1].last_text
    assert house.models.adapter.availability.state("one/a") is BreakerState.CLOSED


async def test_a_server_that_insists_on_turns_gets_a_question_with_input(
    harness: EngineHarness, house: House, followed: bool
) -> None:
    house.double.decide = in_turns
    providers = {"strict": {"base_url": house.double.openai_url, "alternating_roles": True}}
    database = house.prompts.manager.repository._database  # type: ignore[attr-defined]
    settings = {"models": "strict/m", "embedding_model": None}
    async with models_over(house.double, database, providers=providers, settings=settings) as strict:
        harness.models = strict.adapter  # type: ignore[assignment]
        house.double.script("m", said("fine"))
        parameters = {"system": "Be kind.", "prompt": "Sum it up.", "input": "a mail", "memory": {"key": "k"}}
        for _ in range(2):
            assert (await house.node("ai_chat", parameters))["answer"] == "fine"
    system, first, _, _ = [each["role"] for each in house.double.asked[1].body["messages"]]
    assert (system, first) == ("system", "user")
