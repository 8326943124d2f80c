"""Traits that a few node types have beside their kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar


class DropsItems(ABC):
    """A type that sends items to outputs only to be rid of them: they are no result where no edge leads on."""

    dropped_outputs: ClassVar[frozenset[str]]


class RunsWithoutItems(ABC):
    """A type whose nodes may run once although no items came."""

    @abstractmethod
    def runs_without_items(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a node with these parameters does, as the definition writes them."""
