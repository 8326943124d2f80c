"""MCP servers that are programs of this machine: only those that operators list, clean, and never left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest

from integrations.mcp.kinds import Programs
from integrations.mcp.programs import McpProgram, OverStdio
from integrations.mcp.sessions import McpSessions
from tests.support.engine import NOON
from workflow.actions import Action, ActionCall, ActionError
from workflow.connections import Connection
from workflow.errors import InvalidArgumentsError

ROOT = Path(__file__).parents[2]
OWNER = "mine"
PROGRAM = McpProgram(
    command=sys.executable,
    args=("-m", "tests.doubles.mcp_program"),
    cwd=str(ROOT),
    env={"SHOP": "7"},
    pass_env=("PASSED_ON", "NOT_THERE"),
)
LISTED = {
    "double": PROGRAM,
    "theirs": McpProgram(command="true", workspaces=("theirs",)),
    "missing": McpProgram(command="/no/such/program"),
}


class Used:
    """A source of programs, and what tests do with it."""

    def __init__(self, source: Programs) -> None:
        self.source = source

    def connection(self, program: str = "double") -> Connection:
        """A connection of a program."""
        return Connection(
            id=program,
            owner=OWNER,
            name="shop",
            kind="program",
            status="connected",
            settings={"program": program},
            created_by="ada",
            created_at=NOON,
            updated_at=NOON,
        )

    async def run(self, name: str, *, seconds: float = 20, **arguments: Any) -> Any:
        """What a call comes to."""
        found = {each.name: each for each in await self.source.actions(self.connection())}
        action: Action = found[name]
        call = ActionCall(owner=OWNER, connection="shop", action=name, arguments=arguments, timeout_seconds=seconds)
        return (await self.source.run(self.connection(), action, call)).data


@pytest.fixture
async def used(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Used]:
    """The source, with a secret in our own environment."""
    monkeypatch.setenv("OUR_SECRET", "never shown")
    monkeypatch.setenv("PASSED_ON", "yes")
    over_stdio = OverStdio(LISTED, info=types.Implementation(name="jobsprint", version="test"))
    async with McpSessions(over_stdio, on_tools_changed=lambda each: None, most=3) as sessions:
        yield Used(Programs(sessions, over_stdio))


async def test_a_program_is_called_and_sees_only_its_own_environment(used: Used) -> None:
    assert await used.run("echo", text="hi") == "hi"
    environment = await used.run("environment")
    assert (environment["SHOP"], environment["PASSED_ON"]) == ("7", "yes")
    assert "OUR_SECRET" not in environment


async def test_it_has_a_process_group_of_its_own_and_is_gone_when_it_is_forgotten(used: Used) -> None:
    process = await used.run("process")
    assert process["id"] == process["group"] != os.getpgid(0)
    assert (await used.run("process"))["id"] == process["id"], "it is kept"
    await used.source.forget(used.connection())
    with pytest.raises(ProcessLookupError):
        os.kill(process["id"], 0)


async def test_noise_does_no_harm(used: Used) -> None:
    assert await used.run("noise") == "made"
    assert await used.run("echo", text="hi") == "hi"


async def test_a_program_that_dies_leaves_a_write_in_doubt_and_is_started_again(used: Used) -> None:
    first = await used.run("process")
    with pytest.raises(ActionError) as raised:
        await used.run("die")
    assert (raised.value.outbound_code, raised.value.may_have_happened) == ("connection_failed", True)
    second = await used.run("process")
    assert second["id"] != first["id"]


async def test_a_call_that_hangs_is_given_up_and_the_next_one_works(used: Used) -> None:
    with pytest.raises(ActionError) as raised:
        await used.run("hang", seconds=0.5)
    assert (raised.value.outbound_code, raised.value.may_have_happened) == ("timeout", True)
    assert await used.run("echo", text="hi") == "hi"


async def test_a_program_that_cannot_be_started_is_unavailable(used: Used) -> None:
    with pytest.raises(ActionError) as raised:
        await used.source.actions(used.connection("missing"))
    assert (raised.value.outbound_code, raised.value.is_unavailable) == ("connection_failed", True)


@pytest.mark.parametrize("program", ["unknown", "theirs"])
async def test_only_programs_that_the_operator_lists_for_the_workspace_can_be_named(used: Used, program: str) -> None:
    assert used.source.settings(OWNER, {"program": "double"}) == {"program": "double", "pinned": []}
    with pytest.raises(InvalidArgumentsError) as raised:
        used.source.settings(OWNER, {"program": program})
    assert raised.value.pointer == "/settings/program"
    with pytest.raises(ActionError):
        await asyncio.wait_for(used.source.actions(used.connection(program)), 20)
