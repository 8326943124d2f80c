"""What the checks need to know of the node types, as a Protocol: the library itself lives in ``engine``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workflow.findings import PatchOperation

MAIN = "main"
"""The name of the one input or output that most nodes have."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ParameterProblem:
    """Something wrong with a node's parameters.

    ``path`` leads from the parameters to the place; paths in ``patch`` start at the parameters too.
    """

    code: str
    path: tuple[str | int, ...]
    message: str
    patch: tuple[PatchOperation, ...] = ()
    fix: str | None = None


class NodeSpec(Protocol):
    """What a node type says about its nodes. Parameters come as they were sent and may be wrong."""

    @property
    def name(self) -> str:
        """The type's name, as definitions write it."""
        ...

    @property
    def is_trigger(self) -> bool:
        """Whether executions start at its nodes; a trigger takes no input."""
        ...

    @property
    def is_scheduled(self) -> bool:
        """Whether its nodes start executions at certain times: each has a schedule once it is published."""
        ...

    @property
    def is_fork(self) -> bool:
        """Whether its outputs are ways that exclude each other, so that a connection should say which one it is."""
        ...

    @property
    def loop_output(self) -> str | None:
        """The output behind which connections may lead back to the node; only loops have one."""
        ...

    def inputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Names of the inputs, the default one first; empty for triggers."""
        ...

    def outputs_of(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Names of the outputs, the default one first."""
        ...

    def problems_of(self, parameters: Mapping[str, Any]) -> Sequence[ParameterProblem]:
        """Everything wrong with the parameters."""
        ...

    def webhook_path_of(self, parameters: Mapping[str, Any]) -> str | None:
        """The path that a webhook trigger listens on; ``None`` for every other type."""
        ...

    def credential_of(self, parameters: Mapping[str, Any]) -> str | None:
        """The credential that is named in the parameter ``credential``; ``None`` where none is."""
        ...


class NodeCatalogue(Protocol):
    """The node types there are."""

    def get(self, name: str) -> NodeSpec | None:
        """The type of this name."""
        ...

    def names(self) -> Collection[str]:
        """Every type's name."""
        ...
