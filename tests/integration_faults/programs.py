"""A program that is an MCP server dies: before it is asked, as it starts, before and after it has done its work."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrations.mcp.programs import McpProgram
from tests.doubles import mortal_program
from tests.integration_faults.cases import (
    AGAIN,
    ASKED,
    DONE,
    FALLBACK,
    IN_DOUBT,
    OTHER_WAY,
    READ,
    REPEAT,
    Cell,
    every,
    settled,
)
from tests.support.here import Here
from tests.support.waiting import until

_names = (f"program-{number}" for number in itertools.count(1))


@dataclass(slots=True, frozen=True)
class Death:
    """How a program dies, and what is to come of it by setup."""

    name: str
    order: Callable[[Path], Awaitable[None]]
    expected: Mapping[str, str]


def at(moment: str) -> Callable[[Path], Awaitable[None]]:
    """The program ends itself at this moment, once."""

    async def order(folder: Path) -> None:
        (folder / "dies").write_text(moment)
        if moment == "start":
            await _killed(folder)

    return order


async def _killed(folder: Path) -> None:
    """The program is gone, and its parent has noticed."""
    process_id = int((folder / "pid").read_text())
    os.kill(process_id, signal.SIGKILL)
    await until(lambda: not _is_there(process_id), seconds=5)


def _is_there(process_id: int) -> bool:
    """Whether the process is there, or its parent has not noticed yet that it is gone."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


DEATHS = (
    Death("nothing", at("never"), every(DONE)),
    Death("killed before it is asked", _killed, every(DONE)),
    # Nothing was done, so it is tried again; the program that did not start has no ledger of that.
    Death("killed, and dies as it starts anew", at("start"), every(DONE, fallback=OTHER_WAY)),
    Death("dies before it has done it", at("before"), IN_DOUBT),
    Death("dies after it has done it", at("after"), IN_DOUBT),
)


def programs(folder: Path) -> dict[str, McpProgram]:
    """Two programs, each with a folder of its own."""
    listed = {}
    for name in ("mortal", "other"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        listed[name] = McpProgram(command=sys.executable, args=("-S", mortal_program.__file__, str(folder / name)))
    return listed


async def run(death: Death, setup: str, server: Here, folder: Path) -> Cell:
    """What comes of it in the setup."""
    name = next(_names)
    for program in ("mortal", "other"):
        for kept in ("ledger", "attempts", "dies"):
            (folder / program / kept).unlink(missing_ok=True)
        made = await server.http.post(
            "/api/integrations",
            json={"name": f"{name}-{program}", "kind": "program", "settings": {"program": program}},
        )
        assert made.status_code == 201, made.text
    await death.order(folder / "mortal")
    seen = await server.execution(_workflow(name, setup))
    outcome, marked = await settled(server, seen, _outcome(seen, folder))
    for program in ("mortal", "other"):
        await server.http.delete(f"/api/integrations/{name}-{program}")
    return Cell(outcome, _lines(folder, "mortal", "ledger") + _lines(folder, "other", "ledger"), marked)


def is_right(death: Death, setup: str, cell: Cell) -> bool:
    """Whether it is what the contract names, and nothing was done twice without a mark."""
    return cell.outcome == death.expected[setup] and (cell.done <= 1 or cell.marked or setup == READ)


def _workflow(name: str, setup: str) -> dict[str, Any]:
    tool = "read" if setup == READ else "write"
    arguments = {"text": "hello"}
    parameters: dict[str, Any] = {"connection": f"{name}-mortal", "tool": tool, "arguments": arguments}
    if setup == FALLBACK:
        parameters["fallback"] = [{"connection": f"{name}-other", "action": tool, "arguments": arguments}]
    if setup == REPEAT:
        parameters["on_doubt"] = "repeat"
    retry = {"max_attempts": 2, "first_delay_seconds": 0.01}
    return {
        "name": f"{name} {setup}",
        "nodes": {"start": {"type": "manual"}, "act": {"type": "mcp_tool", "parameters": parameters, "retry": retry}},
        "connections": [["start", "act"]],
    }


def _outcome(seen: Mapping[str, Any], folder: Path) -> str:
    if seen["status"] == "waiting":
        return ASKED
    if seen["status"] != "succeeded":
        return f"failed: {seen['error']['code']}"
    if _lines(folder, "other", "ledger"):
        return OTHER_WAY
    return AGAIN if _lines(folder, "mortal", "attempts") > 1 else DONE


def _lines(folder: Path, program: str, name: str) -> int:
    path = folder / program / name
    return len(path.read_text().splitlines()) if path.exists() else 0
