"""Idempotency keys: what makes a submission happen once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol


class BoundKey(NamedTuple):
    """What an idempotency key is bound to: an execution, and the digest of each part of the request that it was for;
    ``None`` where that was not kept."""

    execution_id: str
    request: Mapping[str, str] | None


class IdempotencyKeys(Protocol):
    """Keys that make a submission happen once, each for a day."""

    async def take(self, workflow_id: str, key: str, execution_id: str, *, now: datetime) -> str:
        """Bind the key to ``execution_id`` unless it is bound; the id that it is bound to then."""
        ...

    async def bind(
        self, workflow_id: str, key: str, execution_id: str, *, request: Mapping[str, str], now: datetime
    ) -> BoundKey:
        """Bind the key to ``execution_id`` and the digests of a ``request`` unless it is bound; its binding then."""
        ...

    async def free(self, workflow_id: str, key: str, execution_id: str) -> None:
        """Unbind the key where it is bound to ``execution_id``: nothing was accepted under it."""
        ...
