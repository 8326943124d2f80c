"""Workflows that are named by their name in the place of their id."""

from __future__ import annotations

from workflow.errors import ErrorKind, JobsprintError, NextCall


class AmbiguousNameError(JobsprintError):
    """Several workflows have the name that was given in the place of an id."""

    code = "ambiguous_name"
    kind = ErrorKind.CONFLICT

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Several workflows have the name {name!r}.",
            pointer="/workflow_id",
            fix="Give the id of the one that you mean; the list has them.",
            next_call=NextCall("list_workflows", {"text": name}),
        )
