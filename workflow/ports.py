"""What one room needs of another, as Protocols. ``server`` chooses the implementations and wires them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from workflow.credentials import CredentialRef
from workflow.definitions.definition import WorkflowDefinition
from workflow.definitions.publication import Exposure, Publication, VersionSummary
from workflow.execution_figures import ExecutionFigures, ExecutionFilter, LatestRun, Rerun
from workflow.executions import EncodedRecord, Execution, Record
from workflow.messages import Event, Job
from workflow.schedules.schedules import SlotEntry

T = TypeVar("T")


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""
        ...


class NewId(Protocol):
    """A source of ids: version 7 UUIDs, so that rows sort by creation."""

    def __call__(self) -> str:
        """An id that was never given out before."""
        ...


@dataclass(slots=True, frozen=True)
class Page(Generic[T]):
    """A part of a list, newest first; ``next_cursor`` is ``None`` on the last page."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(slots=True, frozen=True, kw_only=True)
class StoredWorkflow:
    """One version of a workflow. Versions count from 1 and are never changed. ``owner`` is its workspace.

    The current one is the draft; ``published_version`` is the one that is in use, ``None`` where none is.
    """

    id: str
    owner: str
    version: int
    definition: WorkflowDefinition
    created_at: datetime
    updated_at: datetime
    published_version: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class WorkflowSummary:
    """A workflow in a list; ``deleted_at`` is when it was deleted, where it was."""

    id: str
    name: str
    description: str
    version: int
    node_count: int
    updated_at: datetime
    published_version: int | None = None
    deleted_at: datetime | None = None


class WorkflowRepository(Protocol):
    """Workflows and their versions. Every method is one transaction: it happens whole or not at all.

    ``owner`` is the workspace that asks. What belongs to another one is not there for it.
    """

    async def create(
        self,
        owner: str,
        workflow_id: str,
        definition: WorkflowDefinition,
        *,
        change: str,
        publication: Publication | None = None,
        now: datetime,
    ) -> StoredWorkflow:
        """Store version 1, and publish it where there is a ``publication``.

        Raises:
            WebhookPathTakenError, ToolNameTakenError: see :meth:`publish`.
        """
        ...

    async def save_version(
        self,
        owner: str,
        workflow_id: str,
        definition: WorkflowDefinition,
        *,
        expected_version: int,
        change: str,
        now: datetime,
    ) -> StoredWorkflow:
        """Store the next version and make it the current one; ``change`` says in a line what is new in it.

        Raises:
            WorkflowNotFoundError: no such workflow.
            VersionConflictError: the current version is not ``expected_version``.
        """
        ...

    async def get(self, owner: str, workflow_id: str, version: int | None = None) -> StoredWorkflow:
        """One version, the current one by default.

        Raises:
            WorkflowNotFoundError: no such workflow or version, or it is deleted.
        """
        ...

    async def named(self, owner: str, name: str, *, deleted: bool = False) -> Sequence[str]:
        """The ids of the workflows of exactly this name, last updated first; at most two."""
        ...

    async def versions(self, owner: str, workflow_id: str, *, limit: int, cursor: str | None) -> Page[VersionSummary]:
        """A workflow's versions, newest first.

        Raises:
            WorkflowNotFoundError: no such workflow, or it is deleted.
            InvalidArgumentsError: ``cursor`` is not one that this method gave out.
        """
        ...

    async def page(
        self, owner: str, *, text: str | None, limit: int, cursor: str | None, deleted: bool = False
    ) -> Page[WorkflowSummary]:
        """Workflows, last updated first; ``text`` narrows to names and descriptions that contain it.

        With ``deleted`` those that are deleted and can be restored, in place of the others.

        Raises:
            InvalidArgumentsError: ``cursor`` is not one that this method gave out.
        """
        ...

    async def publish(self, owner: str, workflow_id: str, version: int, publication: Publication) -> StoredWorkflow:
        """Put a version into use in place of the one that is: it gets the webhook paths, and the tool.

        Raises:
            WorkflowNotFoundError: no such workflow or version.
            WebhookPathTakenError: another workflow has one of the paths.
            ToolNameTakenError: another workflow of the same owner is a tool of this name.
        """
        ...

    async def unpublish(self, owner: str, workflow_id: str) -> None:
        """Take a workflow out of use: it has no webhook paths any more, and is no tool.

        Raises:
            WorkflowNotFoundError: no such workflow.
        """
        ...

    async def withdraw_tool(self, owner: str, workflow_id: str) -> None:
        """Offer the workflow as a tool no more, and leave it published.

        Raises:
            WorkflowNotFoundError: no such workflow.
        """
        ...

    async def exposed(self, owner: str) -> Sequence[tuple[Exposure, StoredWorkflow]]:
        """Every workflow that is offered to ``owner`` as a tool, in its published version, by the tools' names."""
        ...

    async def delete(self, owner: str, workflow_id: str, *, now: datetime) -> None:
        """Unpublish a workflow and hide it; its versions and executions stay.

        Raises:
            WorkflowNotFoundError: no such workflow.
        """
        ...

    async def restore(self, owner: str, workflow_id: str) -> StoredWorkflow:
        """Bring a deleted workflow back, as a draft; one that is not deleted stays as it is.

        Raises:
            WorkflowNotFoundError: no such workflow.
        """
        ...

    async def purge(self, *, deleted_before: datetime, limit: int) -> int:
        """Delete for good up to ``limit`` workflows, of all workspaces, that were deleted before then; how many."""
        ...

    async def by_webhook_path(self, path: str) -> StoredWorkflow:
        """The workflow that listens on ``path``, in its published version. Anybody who knows the path may call it.

        Raises:
            WebhookNotFoundError: none does.
        """
        ...


class ExecutionStore(Protocol):
    """Executions and their journals. Only the holder of an execution's lease writes it.

    ``owner`` is the workspace that asks. What belongs to another one is not there for it.
    """

    def save(
        self,
        execution: Execution,
        records: Sequence[Record | EncodedRecord] = (),
        *,
        job: Job | None = None,
        is_new: bool = False,
        follows: str | None = None,
        slot: SlotEntry | None = None,
    ) -> None:
        """Note an execution as it is now, and what to add to its journal; the next batch takes both to the disk.

        Of several states noted before a batch only the last is written. Never waits. With a ``job`` this process
        releases the lease: the broker gets the job for sure, for any worker, or for the dead letters where the
        execution is dead. ``is_new`` says that it is submitted now. With ``follows`` it is written if and only if the
        state of that execution, saved in the same turn of the loop, is: under its lease. ``slot`` is the entry of a
        schedule's ledger that is written if and only if it is.
        """
        ...

    def encode(self, record: Record) -> bytes:
        """A record as an :class:`EncodedRecord` has it, or
        :class:`workflow.errors.UnstorableValueError`. Threads may call this."""
        ...

    async def committed(self, execution_id: str) -> None:
        """Return when everything noted of the execution so far is on the disk.

        Raises:
            StorageError: the batch could not be written. A new execution is forgotten then; of one that was
                stored before, what is noted stays noted for the next batch.
            LeaseLostError: another process holds the execution's lease, and nothing of it was written.
        """
        ...

    async def get(self, owner: str, execution_id: str) -> Execution:
        """One execution as it is on the disk.

        Raises:
            ExecutionNotFoundError: no such execution.
        """
        ...

    async def journal(self, execution_id: str) -> Sequence[Record]:
        """Everything in the journal of an execution that the caller has read, in the order in which it was noted."""
        ...

    async def recorded(self, owner: str, execution_id: str) -> tuple[Execution, Sequence[Record]]:
        """One execution and everything in its journal, in one read.

        Raises:
            ExecutionNotFoundError: no such execution.
        """
        ...

    async def unended_children(self, execution_id: str) -> Sequence[Execution]:
        """The executions that this one waits for and that have not ended."""
        ...

    async def orphans(self, *, limit: int) -> Sequence[Execution]:
        """Executions that have not ended although the one that waits for them has failed or was cancelled."""
        ...

    async def count_of_root(self, root_id: str) -> int:
        """How many executions the chains of sub-workflows from this one have, whatever became of them."""
        ...

    async def page(self, where: ExecutionFilter, *, limit: int, cursor: str | None) -> Page[Execution]:
        """Executions, newest first.

        Raises:
            InvalidArgumentsError: ``cursor`` is not one that this method gave out.
        """
        ...

    async def figures(self, where: ExecutionFilter) -> ExecutionFigures:
        """The executions counted and measured, children aside."""
        ...

    async def latest(self, owner: str, workflow_ids: Collection[str]) -> Mapping[str, LatestRun]:
        """The last execution of each of these workflows, children aside; those without one are left out."""
        ...

    async def reruns(self, execution_id: str) -> Sequence[Rerun]:
        """The executions that were started from this one (retried, rerun), newest first; few at most."""
        ...

    async def prune(self, *, ended_before: datetime | None, keep: int | None, limit: int) -> int:
        """Delete up to ``limit`` ended executions that were made before then, or are not among the latest ``keep``."""
        ...

    async def owner_of(self, execution_id: str) -> str:
        """The workspace that the execution belongs to, for requests that come by a signed link.

        Raises:
            ExecutionNotFoundError: no such execution.
        """
        ...


class EventBus(Protocol):
    """Sends events to those who listen now. Delivery is at most once: listeners read the store for the truth."""

    @property
    def hears_others(self) -> bool:
        """Whether events of other processes arrive now; where they do not, listeners ask the store more often."""
        ...

    def publish(self, event: Event) -> None:
        """Tell every listener. Never waits: a listener that does not keep up loses the oldest events."""
        ...

    def is_heard(self, aggregate_id: str, event_type: str) -> bool:
        """Whether somebody may listen for such an event of the aggregate now; where nobody does, do not make it."""
        ...

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever events may have been missed, so that caches drop what may be old."""
        ...

    def subscribe(
        self, aggregate_id: str | None = None, *, event_types: Collection[str] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Listen from now on, to one aggregate or to all, to events of some types or of all; leaving the context
        ends it."""
        ...


@dataclass(slots=True, frozen=True, kw_only=True)
class HttpRequest:
    """A request to send. ``body`` is raw bytes; ``timeout_seconds`` bounds the whole exchange.

    ``credential`` names what is added to it just before it is sent; the maker of the request never sees the secret.
    ``max_response_bytes`` is for those who want less than the client would read. ``owner`` is the workspace, if any.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    timeout_seconds: float = 30.0
    follow_redirects: bool = True
    credential: CredentialRef | None = None
    max_response_bytes: int | None = None
    owner: str = ""


@dataclass(slots=True, frozen=True, kw_only=True)
class HttpResponse:
    """An answer, of whatever status. Header names are lower case; repeated ones are joined by ``, ``, cookies
    (``set-cookie``) by line breaks, since they have commas in them."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class HttpClient(Protocol):
    """How HTTP requests leave the process."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send and read the whole answer.

        Raises:
            OutboundError: there was no usable answer (timeout, connection, size, bad URL).
        """
        ...
