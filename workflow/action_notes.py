"""What a workspace knows of actions beside what the other side says: declared reads, and shapes of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from workflow.errors import ErrorKind, JobsprintError


@dataclass(slots=True, frozen=True, kw_only=True)
class ReadDeclaration:
    """A person has declared that an action only reads.

    ``identity`` is a digest of what the action was then (its description, schema and details, and where its connection
    leads): the declaration counts for as long as the action is the same.
    """

    connection_id: str
    action: str
    identity: str
    declared_by: str
    declared_at: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class ResultShape:
    """The shape of a recent result of an action, as :func:`workflow.shapes.shape_of` gives it: no values."""

    connection_id: str
    action: str
    shape: Any
    seen_at: datetime


class EffectKnownError(JobsprintError):
    """The other side says what the action does, so nobody can declare otherwise."""

    code = "effect_known"
    kind = ErrorKind.CONFLICT

    def __init__(self, connection: str, action: str, effect: str) -> None:
        super().__init__(
            f"{connection}/{action} is a {effect}: the other side says so. Nothing was declared.",
            pointer="/effect",
            fix="Declare only what is an assumed write; find_actions shows each action's effect.",
        )


class ActionNotes(Protocol):
    """Stores both. Every method sees only what belongs to connections of the workspace ``owner``.

    With a connection everything of it is deleted.
    """

    async def declare_read(self, owner: str, declaration: ReadDeclaration) -> None:
        """Keep it, in place of an earlier one of the same action; nothing where the connection is gone."""
        ...

    async def withdraw_read(self, owner: str, connection_id: str, action: str) -> bool:
        """Delete the declaration; whether there was one."""
        ...

    async def declared_reads(self, owner: str) -> Sequence[ReadDeclaration]:
        """All of them."""
        ...

    async def keep_shape(self, owner: str, shape: ResultShape) -> None:
        """Keep it, in place of the one before; nothing where the connection is gone."""
        ...

    async def shapes(self, owner: str, connection_id: str) -> Sequence[ResultShape]:
        """Those of one connection."""
        ...
