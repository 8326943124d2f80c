"""What rows say of executions and journals, also where part of it is missing or damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from storage.executions.blobs import BlobStore
from storage.executions.records import execution_from_row, records_from_bytes
from workflow.executions import ErrorRecord, Execution, Record
from workflow.identity import NOBODY
from workflow.lost_data import LostDataError
from workflow.states import FINISHED, ExecutionState

T = TypeVar("T")

DATA = "what was stored of its input and output"


class RowReader:
    """Makes executions and records of rows; ``blobs`` has what is too large for a row.

    Every method raises :class:`OSError` where a file is there and cannot be read now.
    """

    def __init__(self, blobs: BlobStore | None) -> None:
        self._blobs = blobs

    def execution(self, row: Any) -> Execution:
        """The execution of a row.

        Raises:
            LostDataError: part of it is missing or damaged.
        """
        return self._decoded(row.id, row.data, lambda data: execution_from_row(row, data), part=DATA)

    def shown(self, row: Any) -> Execution:
        """The same for those who look at executions: where part is lost, what is left, and the error that says so."""
        try:
            return self.execution(row)
        except LostDataError as error:
            return lost_execution(row, error)

    def journal(self, execution_id: str, rows: Iterable[bytes]) -> list[Record]:
        """The records of a journal's rows.

        Raises:
            LostDataError: part of them is missing or damaged; ``records`` of the error are the others.
        """
        records: list[Record] = []
        first: LostDataError | None = None
        for number, stored in enumerate(rows, 1):
            try:
                records += self._decoded(
                    execution_id, stored, records_from_bytes, part=f"entry {number} of its journal"
                )
            except LostDataError as error:
                first = first or error
        if first is not None:
            first.records = records
            raise first
        return records

    def left_of(self, execution: Execution, rows: Iterable[bytes]) -> list[Record]:
        """The same for those who look at an execution: where it has failed because of that, the records that are left.

        Raises:
            LostDataError: part of them is missing or damaged, and the execution says nothing of that.
        """
        try:
            return self.journal(execution.id, rows)
        except LostDataError as error:
            if is_lost(execution) and execution.state in FINISHED:
                return list(error.records)
            raise

    def _decoded(self, execution_id: str, stored: bytes, decode: Callable[[bytes], T], *, part: str) -> T:
        try:
            return decode(stored if self._blobs is None else self._blobs.get(execution_id, stored))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise LostDataError(
                execution_id, f"{part}: the file {Path(str(error.filename)).name} is missing"
            ) from error
        except OSError:
            raise
        except Exception as error:  # whatever is in a row, only this row is to suffer from it
            raise LostDataError(
                execution_id, f"{part}: it is damaged ({type(error).__name__}: {error!s:.100})"
            ) from error


def is_lost(execution: Execution) -> bool:
    """Whether it is one of which :func:`lost_execution` tells what is left."""
    return execution.error is not None and execution.error.code == LostDataError.code


def lost_execution(row: Any, error: LostDataError) -> Execution:
    """What is left of an execution whose data is lost. It may have succeeded; without its output nobody can use that,
    so it counts as failed."""
    state = ExecutionState(row.state)
    return Execution(
        id=row.id,
        owner=row.owner,
        workflow_id=row.workflow_id,
        workflow_name="",
        workflow_version=0,
        state=ExecutionState.FAILED if state is ExecutionState.SUCCEEDED else state,
        trigger="manual",
        start_node="",
        input=None,
        created_at=row.created_at,
        initiator=NOBODY,
        error=ErrorRecord(code=error.code, message=error.message, fix=error.fix),
        wake_at=row.wake_at,
        root=getattr(row, "root_id", None),
    )
