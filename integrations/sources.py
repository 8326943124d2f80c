"""What a kind of connection is: the interface that every module which reaches one implements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from workflow.actions import Action, ActionCall, ActionResult, ResourceContent
from workflow.connections import Connection, ConnectionKind
from workflow.items import JsonObject


class ActionSource(Protocol):
    """Reaches the connections of a kind. It knows nothing of retries, breakers, figures, caches: its caller does."""

    def settings(self, owner: str, document: Mapping[str, Any]) -> JsonObject:
        """The settings of a connection of the workspace as they are kept.

        Raises:
            InvalidArgumentsError: they are not what the kind asks for, with pointers below ``/settings``.
        """
        ...

    def host(self, settings: Mapping[str, Any]) -> str | None:
        """The host (with a port where that is not the usual one) that a token for such a connection goes to, if any."""
        ...

    async def actions(self, connection: Connection) -> Sequence[Action]:
        """Everything that it can do now, asked of the other side; also whether it can be reached at all.

        Raises:
            ActionError: it does not say.
        """
        ...

    async def run(self, connection: Connection, action: Action, call: ActionCall) -> ActionResult:
        """Run an action once.

        Raises:
            ActionAsksError: the other side asks something first.
            ActionError: it was not done, or it is unknown whether it was.
        """
        ...

    async def read(self, connection: Connection, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource, where the kind has any.

        Raises:
            ActionError: there is none.
        """
        ...

    async def forget(self, connection: Connection) -> None:
        """Close what is kept open for it: it was changed or deleted."""
        ...


Sources = Mapping[ConnectionKind, ActionSource]
"""The kinds of connections there are."""
