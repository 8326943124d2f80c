"""Every fault of a model ends as docs/contract.md, "Failure", names it: the matrix that ``make ai-faults`` prints."""

from __future__ import annotations

import pytest

from storage.database.database import Database
from tests.ai_faults.cases import FAULTS, SETUPS, Fault, expected_outcome, is_right, run
from tests.doubles.models import ModelsDouble


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_ends_as_the_contract_names_it(fault: Fault, double: ModelsDouble, database: Database) -> None:
    for setup in SETUPS:
        cell = await run(fault, setup, double, database)
        assert is_right(fault, setup, cell), f"{setup}: {cell}, not {expected_outcome(fault, setup)}"
