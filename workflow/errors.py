"""Every failure that Jobsprint raises on purpose, under one root (see :mod:`workflow.failure`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from workflow.failure import ErrorKind as ErrorKind
from workflow.failure import JobsprintError as JobsprintError
from workflow.failure import NextCall as NextCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow.findings import Finding


class InvalidArgumentsError(JobsprintError):
    """The arguments of a call do not fit its schema."""

    code = "invalid_arguments"
    kind = ErrorKind.INVALID

    @classmethod
    def of(cls, findings: Sequence[Finding], *, call: str = "") -> Self:
        """The error of arguments with these problems; ``call`` names what was called so."""
        first = findings[0]
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        error = cls(
            f"{call} cannot be called so: {first.message}{more}" if call else first.message + more,
            pointer=first.pointer,
            fix="Correct the arguments as the findings say and call again; nothing was done.",
        )
        error.findings = tuple(findings)
        return error


class InvalidDefinitionError(JobsprintError):
    """A definition has findings of severity ``error``; nothing was saved. Its findings are errors and warnings."""

    code = "invalid_definition"
    kind = ErrorKind.INVALID

    def __init__(self, findings: Sequence[Finding]) -> None:
        errors = sum(finding.severity == "error" for finding in findings)
        super().__init__(
            f"The definition has {errors} error{'s' if errors != 1 else ''}; nothing was saved.",
            fix="Mend each finding (apply its patch where it has one) and send the definition again.",
        )
        self.findings = tuple(findings)


class InvalidOperationError(JobsprintError):
    """An operation of an update cannot be applied to this definition; none was."""

    code = "invalid_operation"
    kind = ErrorKind.INVALID

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Self:
        """The error of operations that have not the form they must have."""
        error = cls(
            findings[0].message,
            pointer=findings[0].pointer,
            fix="Correct the operations as the findings say and send them again; none was applied.",
        )
        error.findings = tuple(findings)
        return error


class WorkflowNotFoundError(JobsprintError):
    """No workflow, or no such version of it."""

    code = "workflow_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, workflow_id: str, version: int | None = None) -> None:
        what = f"version {version} of workflow" if version is not None else "workflow"
        if version is not None:
            fix, call = "Read the current version.", NextCall("get_workflow", {"workflow_id": workflow_id})
        elif is_id(workflow_id):
            fix, call = "List the workflows there are; this one may have been deleted.", NextCall("list_workflows", {})
        else:
            fix = "No workflow has this id or name. Look for one whose name contains a part of it."
            call = NextCall("list_workflows", {"text": workflow_id})
        super().__init__(
            f"There is no {what} {workflow_id!r}.",
            pointer="/workflow_id" if version is None else "/version",
            fix=fix,
            next_call=call,
        )


class ExecutionNotFoundError(JobsprintError):
    """No execution has this id."""

    code = "execution_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, execution_id: str) -> None:
        super().__init__(
            f"There is no execution {execution_id!r}.",
            pointer="/execution_id",
            fix="List the executions there are.",
            next_call=NextCall("list_executions", {}),
        )


class NodeNotFoundError(JobsprintError):
    """A node was named that the workflow does not have, or that did not run."""

    code = "node_not_found"
    kind = ErrorKind.NOT_FOUND


class WebhookNotFoundError(JobsprintError):
    """No workflow listens on this webhook path with this method."""

    code = "webhook_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, path: str) -> None:
        super().__init__(
            f"No workflow listens on webhook path {path!r}.",
            fix="Check the path, and that the workflow was not deleted nor its trigger disabled.",
        )


class WebhookSignatureError(JobsprintError):
    """The webhook's signature is missing or does not fit its body."""

    code = "webhook_signature_invalid"
    kind = ErrorKind.FORBIDDEN


class VersionConflictError(JobsprintError):
    """Somebody else saved a version in between."""

    code = "version_conflict"
    kind = ErrorKind.CONFLICT

    def __init__(self, workflow_id: str, *, expected: int, actual: int) -> None:
        super().__init__(
            f"Workflow {workflow_id!r} is at version {actual}, not {expected}; nothing was saved.",
            pointer="/expected_version",
            fix=f"Read version {actual}, then repeat the update with expected_version {actual}.",
            next_call=NextCall("get_workflow", {"workflow_id": workflow_id}),
        )
        self.actual = actual


class WebhookPathTakenError(JobsprintError):
    """Another workflow listens on this path already; the error names it only to its owner."""

    code = "webhook_path_taken"
    kind = ErrorKind.CONFLICT

    def __init__(self, path: str, workflow_id: str | None) -> None:
        if workflow_id is not None:
            super().__init__(
                f"Webhook path {path!r} belongs to workflow {workflow_id!r}; nothing was published.",
                fix="Choose another path, or unpublish the other workflow.",
                next_call=NextCall("get_workflow", {"workflow_id": workflow_id}),
            )
        else:
            super().__init__(
                f"Webhook path {path!r} is taken by somebody else; nothing was published.", fix="Choose another path."
            )


class NotPublishedError(JobsprintError):
    """The published version of a workflow was asked for, and it has none."""

    code = "not_published"
    kind = ErrorKind.CONFLICT

    def __init__(self, workflow_id: str) -> None:
        super().__init__(
            f"Workflow {workflow_id!r} has no published version.",
            fix="Publish it with publish_workflow, or use its current version.",
            next_call=NextCall("publish_workflow", {"workflow_id": workflow_id}),
        )


class ToolNameTakenError(JobsprintError):
    """Another tool has this name already."""

    code = "tool_name_taken"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(
            f"The tool name {name!r} belongs to {owner}; nothing was published.",
            pointer="/tool/name",
            fix="Choose another name.",
        )


class IllegalTransitionError(JobsprintError):
    """An execution cannot go from the state it is in by this event."""

    code = "illegal_transition"
    kind = ErrorKind.CONFLICT


class QueueFullError(JobsprintError):
    """The job queue is at its bound; nothing was accepted.

    Attributes:
        retry_after_seconds: when to try again.
    """

    code = "queue_full"
    kind = ErrorKind.OVERLOADED

    def __init__(self, capacity: int, *, retry_after_seconds: int = 1) -> None:
        super().__init__(
            f"The queue holds {capacity} executions already; this one was not accepted.",
            fix=f"Try again in {retry_after_seconds} s.",
        )
        self.retry_after_seconds = retry_after_seconds


class ConcurrencyLimitError(JobsprintError):
    """The workflow runs as many executions as it may, and takes no more; nothing was accepted.

    Attributes:
        retry_after_seconds: when to try again.
    """

    code = "concurrency_limit"
    kind = ErrorKind.OVERLOADED

    def __init__(self, workflow_id: str, limit: int, *, retry_after_seconds: int = 1) -> None:
        super().__init__(
            f"Workflow {workflow_id!r} runs {limit} executions already, and its policy is to reject more.",
            fix=f"Try again in {retry_after_seconds} s, or set settings.concurrency.policy to queue.",
        )
        self.retry_after_seconds = retry_after_seconds


class NotWaitingError(JobsprintError):
    """The execution does not wait for this."""

    code = "not_waiting"
    kind = ErrorKind.CONFLICT

    def __init__(self, execution_id: str, state: str) -> None:
        super().__init__(
            f"Nothing in execution {execution_id!r} waits for this; it is {state}.",
            pointer="/execution_id",
            fix="Look at it: it may have been resumed already.",
            next_call=NextCall("inspect_execution", {"execution_id": execution_id}),
        )


class NodeError(JobsprintError):
    """A node failed on its data. The executor turns it into the node run's failure.

    Attributes:
        transient: whether trying again may help (docs/contract.md, "Failure").
        item_index: index of the input item it failed on, or ``None`` for the node as a whole.
        retry_after_seconds: how long the other side asked to be left alone, where it did.
    """

    code = "node_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        transient: bool = False,
        item_index: int | None = None,
        pointer: str | None = None,
        fix: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, pointer=pointer, fix=fix)
        self.node_code = code or self.code
        self.transient = transient
        self.item_index = item_index
        self.retry_after_seconds = retry_after_seconds


class ExpressionError(JobsprintError):
    """An expression could not be compiled or evaluated, or overran its limits."""

    code = "expression_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str = "expression_failed",
        item_index: int | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(message, fix=fix)
        self.expression_code = code
        self.item_index = item_index


class OutboundError(JobsprintError):
    """A request that left the process got no usable answer (timeout, refused, too large).

    ``was_sent`` is false where the other side certainly does not have the request.
    """

    code = "outbound_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        transient: bool,
        fix: str | None = None,
        retry_after_seconds: float | None = None,
        was_sent: bool = True,
    ) -> None:
        super().__init__(message, fix=fix)
        self.outbound_code = code
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.was_sent = was_sent


class StorageError(JobsprintError):
    """The store failed: it cannot be reached, is full or is locked."""

    code = "storage_failed"
    kind = ErrorKind.UNAVAILABLE


class QueueUnavailableError(StorageError):
    """The broker cannot be reached, or did not confirm what it was sent."""

    code = "queue_unavailable"


class UnfitBrokerError(JobsprintError):
    """The broker is too old, or has queues of our names that are made otherwise: nothing can start with it."""

    code = "unfit_broker"


class MalformedJobError(JobsprintError):
    """A message in the job queue is none that we know."""

    code = "malformed_job"
    kind = ErrorKind.INVALID


class LeaseLostError(StorageError):
    """Another process has claimed the execution, since this one's lease expired: this process must not write it."""

    code = "lease_lost"


class NotAcceptedError(StorageError):
    """A new execution could not be stored; it is forgotten, as if it had never been sent."""

    code = "not_accepted"


class UnstorableValueError(JobsprintError):
    """A value that JSON can spell and no store keeps: a whole number beyond 64 bits, half a surrogate pair."""

    code = "unstorable_value"
    kind = ErrorKind.INVALID


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of the ids that Jobsprint makes (UUIDs)."""
    return len(text) == 36 and text.count("-") == 4
