"""Which providers and models there are, and what their names lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prompts.models.provider import Price, Provider
from workflow.chat import AGENT, ModelError
from workflow.findings import did_you_mean, nearest


class Target(NamedTuple):
    """One model: the provider that has it, and what that calls it. ``name`` is both."""

    name: str
    provider: Provider
    model: str

    @property
    def price(self) -> Price | None:
        """What its tokens cost, where that is known."""
        prices = self.provider.config.prices
        return prices.get(self.model, prices.get(""))


class ModelCatalogue:
    """The configured providers, the order in which models are asked by default, and the model for embeddings."""

    def __init__(
        self, providers: Mapping[str, Provider], *, default: Sequence[str], embedding: str | None = None
    ) -> None:
        self._providers = dict(providers)
        self.default = tuple(default)
        self.embedding = embedding

    def order(self, names: Sequence[str]) -> list[Target | None]:
        """The models to ask, in order; ``None`` stands for the calling agent. Without names the default order.

        Raises:
            ModelError: a name leads nowhere, code ``no_model``.
        """
        return [None if name == AGENT else self.target(name) for name in names or self.default]

    def target(self, name: str) -> Target:
        """What a name leads to.

        Raises:
            ModelError: nothing, code ``no_model``.
        """
        provider_name, slash, model = name.partition("/")
        provider = self._providers.get(provider_name)
        if provider is None or not slash or not model:
            known = self.known()
            guess = did_you_mean(nearest(name, known)) or did_you_mean(nearest(provider_name, self._providers))
            raise ModelError(
                f"There is no model {name!r}.{guess}",
                code="no_model",
                transient=False,
                fix=f"Name it provider/model; {_listed('providers', self._providers)}, or {AGENT}. "
                "JOBSPRINT_MODEL_PROVIDERS adds providers.",
            )
        allowed = provider.config.models
        if allowed and model not in allowed:
            raise ModelError(
                f"Provider {provider_name!r} has no model {model!r}.{did_you_mean(nearest(model, allowed))}",
                code="no_model",
                transient=False,
                fix=f"Name one of {', '.join(f'{provider_name}/{each}' for each in allowed)}, or add it to the "
                "provider's models in JOBSPRINT_MODEL_PROVIDERS.",
            )
        return Target(name, provider, model)

    def known(self) -> list[str]:
        """The known models: those of the default order and of the providers' lists, and the agent."""
        listed = [f"{name}/{model}" for name, each in self._providers.items() for model in each.config.models]
        return list(dict.fromkeys([*self.default, *listed, AGENT]))

    def embedding_target(self, name: str | None) -> Target:
        """The model for embeddings.

        Raises:
            ModelError: there is none, code ``no_model``.
        """
        chosen = name or self.embedding
        if chosen is None or chosen == AGENT:
            raise ModelError(
                "No model for embeddings is configured.",
                code="no_model",
                transient=False,
                fix="Set JOBSPRINT_EMBEDDING_MODEL, or name a model.",
            )
        return self.target(chosen)


def _listed(what: str, names: Mapping[str, Provider]) -> str:
    return f"{what} here: {', '.join(names)}" if names else f"there are no {what} here"
