"""Tasks of users by their shortest natural path: each is done in the world, in few calls and few tokens."""

from __future__ import annotations

from pathlib import Path

from tests.agent_tasks.measuring import measured, medians

MOST_CALLS, MOST_TOKENS = 3, 800


async def test_twenty_tasks_take_a_median_of_three_calls_and_800_tokens(tmp_path: Path) -> None:
    rows = await measured(tmp_path)
    calls, tokens = medians(rows)
    assert len(rows) == 20
    assert calls <= MOST_CALLS
    assert tokens <= MOST_TOKENS
