"""The providers of models as the settings name them, with presets for those that are well known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from prompts.models.provider import Price, ProviderConfig
from server.settings.settings import BadSettingsError
from workflow.findings import did_you_mean, nearest

SETTING = "JOBSPRINT_MODEL_PROVIDERS"


class PriceSettings(BaseModel):
    """Dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(default=0, ge=0)


class ProviderSettings(BaseModel):
    """One provider. With a preset every member is optional; otherwise ``kind`` and ``base_url`` are required."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["openai", "anthropic"] | None = None
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    api_key: SecretStr | None = None
    api_key_env: str | None = None
    models: tuple[str, ...] = ()
    prices: dict[str, PriceSettings] = Field(default_factory=dict)
    native_schema: bool | None = None
    output_limit: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    alternating_roles: bool | None = None


class Preset(NamedTuple):
    """What is known of a provider. ``key`` is the environment variable that usually holds its key."""

    base_url: str
    kind: Literal["openai", "anthropic"] = "openai"
    key: str | None = None
    is_free: bool = False
    native_schema: bool = True
    output_limit: str = "max_tokens"
    alternating_roles: bool = False


PRESETS: Mapping[str, Preset] = {
    # Its newer models refuse max_tokens.
    "openai": Preset("https://api.openai.com/v1", key="OPENAI_API_KEY", output_limit="max_completion_tokens"),
    "anthropic": Preset("https://api.anthropic.com", kind="anthropic", key="ANTHROPIC_API_KEY", native_schema=False),
    "openrouter": Preset("https://openrouter.ai/api/v1", key="OPENROUTER_API_KEY"),
    # Its users pay, so the developer does not; schemas are not documented.
    "puter": Preset(
        "https://api.puter.com/puterai/openai/v1/", key="PUTER_AUTH_TOKEN", is_free=True, native_schema=False
    ),
    "ollama": Preset("http://127.0.0.1:11434/v1", is_free=True),
    # Their models' own templates, of which Mistral's and Gemma's refuse two messages of one role in a row.
    "llamacpp": Preset("http://127.0.0.1:8080/v1", is_free=True, alternating_roles=True),
    "vllm": Preset("http://127.0.0.1:8000/v1", is_free=True, alternating_roles=True),
}


def provider_configs(
    given: Mapping[str, Any], *, named: tuple[str, ...], environment: Mapping[str, str | None]
) -> list[ProviderConfig]:
    """The providers that are set up, and the presets that the models ``named`` in other settings are of.

    Raises:
        BadSettingsError: a provider lacks something.
    """
    wanted = dict(given)
    for name in named:
        provider = name.partition("/")[0]
        if provider in PRESETS and "/" in name:
            wanted.setdefault(provider, {})
    return [_config(name, _parsed(name, value), environment) for name, value in wanted.items()]


def _parsed(name: str, value: Any) -> ProviderSettings:
    if "/" in name or not name:
        raise BadSettingsError(f"{SETTING}: {name!r} is no name of a provider.", fix="Use a name without a slash.")
    try:
        return ProviderSettings.model_validate(value)
    except ValidationError as error:
        # Without the input: it may hold a key.
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        known = ", ".join(ProviderSettings.model_fields)
        raise BadSettingsError(f"{SETTING}: {name}: {wrong}.", fix=f"A provider has {known}.") from None


def _config(name: str, settings: ProviderSettings, environment: Mapping[str, str | None]) -> ProviderConfig:
    preset = PRESETS.get(name)
    base_url = settings.base_url or (preset.base_url if preset is not None else None)
    if base_url is None:
        raise BadSettingsError(
            f"{SETTING}: {name!r} has no base_url.{did_you_mean(nearest(name, PRESETS))}",
            fix=f"Give its base_url, or use one of the presets: {', '.join(PRESETS)}.",
        )
    kind = settings.kind or (preset.kind if preset is not None else "openai")
    prices = {model: Price(each.input, each.output) for model, each in settings.prices.items()}
    if preset is not None and preset.is_free:
        prices.setdefault("", Price(0, 0))
    native = settings.native_schema
    if native is None:
        native = preset.native_schema if preset is not None and settings.kind is None else kind == "openai"
    alternating = settings.alternating_roles
    if alternating is None:
        alternating = preset is not None and preset.alternating_roles
    return ProviderConfig(
        name=name,
        kind=kind,
        base_url=base_url,
        api_key=_key(name, settings, preset, environment),
        models=settings.models,
        prices=prices,
        native_schema=native and kind == "openai",
        output_limit=settings.output_limit or (preset.output_limit if preset is not None else "max_tokens"),
        headers=settings.headers,
        alternating_roles=alternating,
    )


def _key(
    name: str, settings: ProviderSettings, preset: Preset | None, environment: Mapping[str, str | None]
) -> str | None:
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    variable = settings.api_key_env or (preset.key if preset is not None and settings.base_url is None else None)
    if variable is None:
        return None
    key = environment.get(variable)
    if not key:
        raise BadSettingsError(
            f"{SETTING}: {name} has no key: the variable {variable} is not set.",
            fix=f"Set {variable}, or give the provider an api_key or the name of a variable that holds it "
            "(api_key_env).",
        )
    return key
