"""What the tests of prompts share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.prompts import PromptHouse, prompt_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[PromptHouse]:
    """A prompt manager with built-in templates only."""
    async with prompt_house(tmp_path) as found:
        yield found
