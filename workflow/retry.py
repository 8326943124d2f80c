"""When to try again after a failure: the arithmetic, without a clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow.definitions.definition import RetryDefinition

if TYPE_CHECKING:
    from workflow.definitions.definition import NodeDefinition

RETRY_AFTER_MAX_SECONDS = 300.0
"""A server that asks for a longer pause than this is not waited for."""

RETRYABLE_STATUSES = frozenset({408, 429})
"""4xx answers that trying again may help (docs/contract.md, "Failure"); so do all 5xx."""

DEFAULT_RETRY = RetryDefinition()
"""1, 2, 4, 8, 16 s between at most six attempts (docs/contract.md, "Failure")."""


JOB_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The pauses before a job is tried again that no worker could begin (docs/contract.md, "Failure")."""


def retry_of(node: NodeDefinition) -> RetryDefinition:
    """The node's own way to retry, or the one of docs/contract.md, "Failure"."""
    return node.retry or DEFAULT_RETRY


def delay_seconds(retry: RetryDefinition, *, attempts: int, retry_after_seconds: float | None) -> float | None:
    """How long to wait before the next attempt, after ``attempts`` have failed; ``None`` to give up.

    What the other side asked for (``Retry-After``) holds where it is longer than our own delay.
    """
    if attempts >= retry.max_attempts:
        return None
    delay: float = min(retry.first_delay_seconds * 2 ** (attempts - 1), retry.max_delay_seconds)
    if retry_after_seconds is None:
        return delay
    return max(delay, retry_after_seconds) if retry_after_seconds <= RETRY_AFTER_MAX_SECONDS else None


def is_transient(status: int) -> bool:
    """Whether the same request may get a better answer later."""
    return status >= 500 or status in RETRYABLE_STATUSES
