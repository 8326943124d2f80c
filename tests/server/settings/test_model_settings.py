"""Providers of models as the settings name them, and the route that shows what was said."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from prompts.models.provider import ProviderConfig
from server.assembly.app import http_app
from server.assembly.composition import running_services
from server.assembly.model_parts import catalogue_of, providers_of, running_ai
from server.assembly.model_providers import PRESETS, provider_configs
from server.settings.settings import BadSettingsError, Settings
from storage.clock import SystemClock
from storage.database.database import Database
from storage.ids import UuidFactory
from storage.migrations.runner import migrate
from tests.doubles.models import ModelsDouble, serving
from tests.support.models import asking
from tests.support.services import REDIS_URL, need
from workflow.chat import AGENT, AgentAnswersError, Asker


def configs(given: dict[str, Any], **environment: str) -> dict[str, ProviderConfig]:
    """The providers by name."""
    return {each.name: each for each in provider_configs(given, named=(), environment=environment)}


def catalogue(environment: dict[str, str] | None = None, **members: Any) -> Any:
    """The catalogue of these settings."""
    settings = Settings(**members)
    return catalogue_of(settings, providers_of(settings, httpx2.AsyncClient, environment=environment or {}))


def test_a_preset_needs_no_more_than_its_name() -> None:
    found = configs({"ollama": {}})["ollama"]
    assert (found.base_url, found.api_key) == ("http://127.0.0.1:11434/v1", None)
    assert found.prices[""].input == 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_its_key_from_where_it_is_by_custom(name: str) -> None:
    key = PRESETS[name].key
    found = configs({name: {}}, **({key: "the key"} if key else {}))[name]
    assert found.api_key == ("the key" if key else None)
    assert "the key" not in repr(found)


def test_a_key_may_stand_in_the_setting_or_in_any_variable() -> None:
    given = {"mine": {"base_url": "http://10.0.0.1/v1", "api_key_env": "MINE"}, "openai": {"api_key": "direct"}}
    found = configs(given, MINE="from there")
    assert (found["mine"].api_key, found["openai"].api_key) == ("from there", "direct")


@pytest.mark.parametrize(
    ("given", "message", "fix"),
    [
        ({"openai": {}}, "OPENAI_API_KEY is not set", "Set OPENAI_API_KEY"),
        ({"olama": {}}, "Did you mean 'ollama'?", "presets"),
        ({"ollama": {"base_ulr": "http://x/v1"}}, "base_ulr", "base_url"),
        ({"ollama": {"base_url": "localhost:1"}}, "base_url", "base_url"),
        ({"a/b": {}}, "no name of a provider", "slash"),
        ({"openai": {"api_key": ["sk-very-secret"]}}, "api_key", "api_key"),
    ],
)
def test_what_is_wrong_with_a_provider_is_told_without_its_key(given: dict[str, Any], message: str, fix: str) -> None:
    with pytest.raises(BadSettingsError) as caught:
        configs(given)
    assert message in caught.value.message
    assert fix in str(caught.value.fix)
    assert "very-secret" not in str(caught.value) + str(caught.value.__cause__)


def test_models_that_are_named_bring_their_presets() -> None:
    found = catalogue({"OPENAI_API_KEY": "key"}, models="openai/gpt-5-mini, ollama/llama3.2, agent")
    assert [target and target.name for target in found.order([])] == ["openai/gpt-5-mini", "ollama/llama3.2", None]


def test_without_models_the_agent_is_asked() -> None:
    assert catalogue().order([]) == [None]
    assert catalogue(models="").default == (AGENT,)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"models": "opnai/gpt"}, "JOBSPRINT_MODELS: There is no model 'opnai/gpt'"),
        ({"models": "agent", "embedding_model": "nobody/x"}, "JOBSPRINT_EMBEDDING_MODEL: "),
        (
            {"models": "ollama/llama4", "model_providers": {"ollama": {"models": ["llama3.2"]}}},
            "has no model 'llama4'. Did you mean 'llama3.2'?",
        ),
    ],
)
def test_models_that_are_not_there_stop_the_server_from_starting(members: dict[str, Any], message: str) -> None:
    with pytest.raises(BadSettingsError) as caught:
        catalogue(**members)
    assert message in caught.value.message


async def test_the_server_shows_a_workspace_what_it_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    double = ModelsDouble()
    async with serving(double):
        settings = Settings(
            data_dir=tmp_path,
            models=("here/m",),
            model_providers={"here": {"base_url": double.openai_url, "api_key": "sk-of-the-operator-123456"}},
        )
        async with running_services(settings, has_http=True) as services, http_app(settings, services) as app:
            await services.ai.models.chat(asking("Hello", asker=Asker("local", "local", "w", "e", "n")))
            await services.ai.models.chat(asking("Foreign", asker=Asker("another", "eve")))
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url=settings.base_url) as http:
                answer = await http.get("/api/exchanges", params={"execution_id": "e"})
                wrong = await http.get("/api/exchanges", params={"limit": "0"})
                description = (await http.get("/openapi.json")).json()
    (shown,) = answer.json()["exchanges"]
    assert (shown["model"], shown["outcome"], shown["node"]) == ("here/m", "ok", "n")
    assert shown["answer"] == {"text": "Hello"}
    assert shown["usage"] == {"input": 1, "output": 1, "is_estimate": False, "cost_dollars": None}
    assert wrong.status_code == 400
    assert "/api/exchanges" in description["paths"]
    assert "of-the-operator" not in answer.text + caplog.text


async def test_servers_that_share_a_redis_share_answers(tmp_path: Path) -> None:
    need("Redis")
    clock = SystemClock()
    new_id = UuidFactory(clock=clock)
    request = asking(f"Hello {new_id()}", may_cache=True)
    async with serving() as double, Database(f"sqlite:///{tmp_path / 'test.db'}") as database:
        await migrate(database)
        settings = Settings(
            redis_url=SecretStr(REDIS_URL),
            models=("here/m",),
            model_providers={"here": {"base_url": double.openai_url}},
        )
        answers = []
        for _ in range(2):
            async with running_ai(settings, database, clock=clock, new_id=new_id, user_agent="test") as ai:
                answers.append(await ai.models.chat(request))
    assert [answer.is_from_cache for answer in answers] == [False, True]
    assert answers[0].text == answers[1].text
    assert len(double.asked) == 1


async def test_a_server_without_providers_asks_the_agent(tmp_path: Path) -> None:
    async with running_services(Settings(data_dir=tmp_path), has_http=False) as services:
        with pytest.raises(AgentAnswersError):
            await services.ai.models.chat(asking())
