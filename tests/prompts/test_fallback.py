"""Who is asked next, who is left alone, and for how long."""

from __future__ import annotations

import pytest

from tests.doubles.models import ModelsDouble, cut_stream, said, status
from tests.support.models import ModelsHarness, asking
from workflow.breaker import OPEN_SECONDS, BreakerState
from workflow.chat import AGENT, AgentAnswersError, ModelError


async def test_the_answer_says_who_gave_it_and_who_was_asked(models: ModelsHarness) -> None:
    models.double.script("a", status(503))
    models.double.script("b", said("I am fine"))
    answer = await models.adapter.chat(asking())
    assert (answer.model, answer.text) == ("two/b", "I am fine")
    assert [(each.model, each.outcome, each.status) for each in answer.attempts] == [
        ("one/a", "model_unavailable", 503),
        ("two/b", "ok", 200),
    ]


async def test_a_model_that_asked_to_be_left_alone_is_not_asked_until_then(models: ModelsHarness) -> None:
    models.double.script("a", status(429, retry_after="30"), said("back"))
    assert (await models.adapter.chat(asking())).model == "two/b"
    models.seconds.now += 29
    left = await models.adapter.chat(asking())
    assert [(each.model, each.outcome) for each in left.attempts] == [("one/a", "model_rate_limited"), ("two/b", "ok")]
    assert len(models.double.asked_of("a")) == 1
    models.seconds.now += 2
    assert (await models.adapter.chat(asking())).model == "one/a"


async def test_where_all_ask_for_time_the_earliest_is_told(models: ModelsHarness) -> None:
    models.double.script("a", status(429, retry_after="30"))
    models.double.script("b", status(503, retry_after="5"))
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking())
    assert caught.value.transient
    assert caught.value.retry_after_seconds == 5
    models.seconds.now += 1
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking())
    assert caught.value.retry_after_seconds == 4
    assert len(models.double.asked) == 2


async def test_five_failures_open_the_breaker_and_three_successes_after_a_minute_close_it(
    models: ModelsHarness,
) -> None:
    models.double.script("a", *[status(500)] * 5, said("up again"))
    for _ in range(5):
        await models.adapter.chat(asking())
    assert models.adapter.availability.state("one/a") is BreakerState.OPEN
    models.seconds.now += OPEN_SECONDS - 1
    left = await models.adapter.chat(asking())
    assert [each.outcome for each in left.attempts] == ["circuit_open", "ok"]
    assert len(models.double.asked_of("a")) == 5
    models.seconds.now += 2
    for _ in range(2):
        assert (await models.adapter.chat(asking())).model == "one/a"
        assert models.adapter.availability.state("one/a") is BreakerState.HALF_OPEN
    await models.adapter.chat(asking())
    assert models.adapter.availability.state("one/a") is BreakerState.CLOSED


async def test_breakers_are_of_one_model_each(models: ModelsHarness) -> None:
    models.double.script("a", status(500))
    for _ in range(5):
        await models.adapter.chat(asking())
    other = await models.adapter.chat(asking(models=["one/other"]))
    assert other.model == "one/other"


async def test_the_agent_is_asked_where_its_turn_comes(models: ModelsHarness) -> None:
    models.double.script("a", status(503))
    with pytest.raises(AgentAnswersError) as caught:
        await models.adapter.chat(asking(models=["one/a", AGENT, "two/b"]))
    assert [each.model for each in caught.value.attempts] == ["one/a"]
    assert not models.double.asked_of("b")
    assert [each.outcome for each in await models.history()] == ["agent_asked"]


async def test_no_second_model_speaks_where_the_first_has_begun_to(models: ModelsHarness) -> None:
    models.double.script("a", cut_stream("I was about to say", after=2))
    pieces: list[str] = []
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(), on_text=pieces.append)
    assert pieces == ["I ", "was "]
    assert "passed on already" in caught.value.message
    assert not models.double.asked_of("b")


async def test_a_fallback_that_is_set_up_wrongly_does_not_end_what_would_be_tried_later(
    models: ModelsHarness,
) -> None:
    models.double.script("a", status(503))
    models.double.script("b", status(401))
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking())
    assert (caught.value.model_code, caught.value.transient) == ("model_unavailable", True)
    assert "two/b: status 401" in caught.value.message


@pytest.mark.parametrize(
    ("name", "guess"),
    [("onne/a", "one"), ("one", "one/a"), ("agnet", "agent"), ("gpt", ""), ("one/", "one/a")],
)
async def test_a_name_that_leads_nowhere_is_told_with_what_was_meant(
    models: ModelsHarness, double: ModelsDouble, name: str, guess: str
) -> None:
    with pytest.raises(ModelError) as caught:
        await models.adapter.chat(asking(models=[name]))
    assert caught.value.model_code == "no_model"
    assert guess in caught.value.message
    assert "providers here: one, two" in str(caught.value.fix)
    assert double.asked == []
