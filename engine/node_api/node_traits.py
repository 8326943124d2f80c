"""Traits that a few node types have beside their kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from workflow.items import Items


class DropsItems(ABC):
    """A type that sends items to outputs only to be rid of them: they are no result where no edge leads on."""

    dropped_outputs: ClassVar[frozenset[str]]


class MakesItems(ABC):
    """A type that may make many items of few; the runner asks before it runs, since large runs compute in a thread."""

    @abstractmethod
    def may_make(self, inputs: Sequence[Items], parameters: Mapping[str, Any]) -> int:
        """How many items a run may make at most; roughly, and found out quickly. ``parameters`` are as written."""


class RunsWithoutItems(ABC):
    """A type whose nodes may run once although no items came."""

    @abstractmethod
    def runs_without_items(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a node with these parameters does, as the definition writes them."""
