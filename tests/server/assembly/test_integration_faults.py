"""Everything that can go wrong with other people's systems comes to what the contract names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.zapier import running_zapier
from tests.integration_faults import programs
from tests.integration_faults.cases import FAULTS, SETUPS, is_right, run
from tests.support.here import here


@pytest.mark.long
@pytest.mark.parametrize("setup", SETUPS)
async def test_every_fault_comes_to_what_the_contract_names_and_nothing_is_done_twice_without_a_mark(
    tmp_path: Path, setup: str
) -> None:
    wrong = {}
    async with here(tmp_path) as server, running_zapier() as double, running_zapier() as other:
        for fault in FAULTS:
            cell = await run(fault, setup, server, double, other)
            if not is_right(fault, setup, cell):
                wrong[fault.name] = cell, fault.expected[setup]
    assert wrong == {}


@pytest.mark.parametrize("setup", SETUPS)
async def test_every_death_of_a_program_comes_to_what_the_contract_names(tmp_path: Path, setup: str) -> None:
    wrong = {}
    async with here(tmp_path / "data", mcp_programs=programs.programs(tmp_path)) as server:
        for death in programs.DEATHS:
            cell = await programs.run(death, setup, server, tmp_path)
            if not programs.is_right(death, setup, cell):
                wrong[death.name] = cell, death.expected[setup]
    assert wrong == {}
