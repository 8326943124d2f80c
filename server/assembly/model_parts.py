"""What AI nodes need, put together from the settings: models, and the history of what was said to them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2
from dotenv import dotenv_values

from integrations.model_http import model_client
from prompts.models.adapter import ModelAdapter
from prompts.models.anthropic import AnthropicProvider
from prompts.models.catalogue import ModelCatalogue
from prompts.models.history import History
from prompts.models.limits import DailyLimit, ModelLimits, Spending
from prompts.models.memory import InProcessMemory
from prompts.models.openai import OpenAIProvider
from prompts.models.provider import Provider, ProviderConfig
from server.assembly.model_providers import SETTING, provider_configs
from server.settings.settings import ENV_FILE, BadSettingsError, Settings
from storage.database.database import Database
from storage.models.exchanges import SqlExchanges
from workflow.chat import AGENT, ModelError
from workflow.exchanges import AnswerMemory
from workflow.ports import Clock, NewId


@dataclass(slots=True, frozen=True, kw_only=True)
class AiServices:
    """What nodes and edges call."""

    models: ModelAdapter
    exchanges: SqlExchanges


@asynccontextmanager
async def running_ai(
    settings: Settings, database: Database, *, clock: Clock, new_id: NewId, user_agent: str
) -> AsyncIterator[AiServices]:
    """The services, with their connections, until the context is left.

    Raises:
        BadSettingsError: the settings of models are wrong.
        StorageError: the address of Redis is not valid.
    """
    async with AsyncExitStack() as stack:

        def new_client() -> httpx2.AsyncClient:
            client = model_client(
                max_connections=settings.http_max_connections,
                max_response_bytes=settings.http_max_response_bytes,
                user_agent=user_agent,
            )
            stack.push_async_callback(client.aclose)
            return client

        catalogue = catalogue_of(settings, providers_of(settings, new_client))
        exchanges = SqlExchanges(database)
        memory: AnswerMemory = InProcessMemory(seconds=settings.ai_cache_seconds)
        if settings.redis_url is not None:
            from storage.redis.answers import RedisAnswers

            answers = RedisAnswers(
                settings.redis_url.get_secret_value(), seconds=settings.ai_cache_seconds, prefix=settings.redis_prefix
            )
            memory = await stack.enter_async_context(answers)
        yield AiServices(
            models=ModelAdapter(
                catalogue=catalogue,
                history=History(exchanges, clock=clock, new_id=new_id),
                spending=Spending(exchanges, limits=_limits(settings), clock=clock),
                memory=memory,
            ),
            exchanges=exchanges,
        )


def catalogue_of(settings: Settings, providers: Mapping[str, Provider]) -> ModelCatalogue:
    """The models that the settings name, over these providers.

    Raises:
        BadSettingsError: a model's provider is not configured.
    """
    embedding = settings.embedding_model
    catalogue = ModelCatalogue(providers, default=settings.models, embedding=embedding)
    for name in _named(settings):
        if name == AGENT:
            continue
        try:
            catalogue.target(name)
        except ModelError as error:
            setting = "JOBSPRINT_EMBEDDING_MODEL" if name == embedding else "JOBSPRINT_MODELS"
            raise BadSettingsError(f"{setting}: {error.message}", fix=error.fix) from error
    return catalogue


def providers_of(
    settings: Settings,
    new_client: Callable[[], httpx2.AsyncClient],
    *,
    environment: Mapping[str, str | None] | None = None,
) -> dict[str, Provider]:
    """The providers that the settings name. An HTTP client is made only if a provider needs one.

    Raises:
        BadSettingsError: a provider lacks something.
    """
    environment = {**dotenv_values(ENV_FILE), **os.environ} if environment is None else environment
    configs = provider_configs(settings.model_providers, named=_named(settings), environment=environment)
    if not configs:
        return {}
    http = new_client()
    return {config.name: _provider(config, http) for config in configs}


def _named(settings: Settings) -> tuple[str, ...]:
    return (*settings.models, *([settings.embedding_model] if settings.embedding_model else []))


def _provider(config: ProviderConfig, http: httpx2.AsyncClient) -> Provider:
    if config.kind == "openai":
        return OpenAIProvider(config, http=http)
    try:
        return AnthropicProvider(config, http=http)
    except ModuleNotFoundError as error:
        raise BadSettingsError(
            f"{SETTING}: {config.name} needs the package anthropic, which is not installed.",
            fix="Install jobsprint[anthropic], or take the provider out.",
        ) from error


def _limits(settings: Settings) -> ModelLimits:
    return ModelLimits(
        user=DailyLimit(
            setting="JOBSPRINT_AI_USER",
            tokens=settings.ai_user_tokens_per_day,
            cost_micros=_micros(settings.ai_user_dollars_per_day),
        ),
        workflow=DailyLimit(
            setting="JOBSPRINT_AI_WORKFLOW",
            tokens=settings.ai_workflow_tokens_per_day,
            cost_micros=_micros(settings.ai_workflow_dollars_per_day),
        ),
    )


def _micros(dollars: float | None) -> int | None:
    return None if dollars is None else round(dollars * 1_000_000)
