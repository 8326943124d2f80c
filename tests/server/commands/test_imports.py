"""What a command loads: each package costs every start of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "alembic",
    "asyncpg",
    "cryptography",
    "mcp",
    "openai",
    "pydantic",
    "redis",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}
"""What commands that only print something have no use for."""
FOR_SOME = {"aio_pika", "alembic", "anthropic", "jsonschema", "openai", "redis"}
"""What a server needs only with certain settings, an older database, or once it is asked for."""


@pytest.mark.parametrize(
    ("module", "unwanted"), [("server.commands.cli", HEAVY), ("server.commands.serving", FOR_SOME)]
)
def test_a_command_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    loaded = set(json.loads(done.stdout))
    assert "typer" in loaded or "uvicorn" in loaded
    assert not loaded & unwanted
