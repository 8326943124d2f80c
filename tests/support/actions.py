"""Actions of connections for tests of nodes: each does what the test says, and every call is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow.actions import Action, ActionCall, ActionNotFoundError, ActionResult, ResourceContent
from workflow.connections import ConnectionNotFoundError

ANYTHING = {"type": "object"}


def action(connection: str, name: str, **members: Any) -> Action:
    """An action that takes anything."""
    return Action(
        **{
            "connection": connection,
            "name": name,
            "title": name,
            "description": "",
            "input_schema": ANYTHING,
            **members,
        }
    )


@dataclass(slots=True)
class ScriptedActions:
    """Implements :class:`workflow.actions.Actions`: what a call comes to is the next in its action's script.

    A script has results (or failures to raise), the last of which stays.
    """

    known: list[Action] = field(default_factory=list)
    scripts: dict[str, list[Any]] = field(default_factory=dict)
    calls: list[ActionCall] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)

    def add(self, found: Action, *script: Any) -> None:
        """An action, and what its calls come to."""
        self.known.append(found)
        self.scripts[f"{found.connection}/{found.name}"] = list(script) or [{"done": True}]

    async def find(self, owner: str, connection: str, name: str) -> Action:
        """The action."""
        of_connection = [each for each in self.known if each.connection == connection]
        if not of_connection:
            raise ConnectionNotFoundError(connection)
        found = next((each for each in of_connection if each.name == name), None)
        if found is None:
            raise ActionNotFoundError(connection, name, known=[each.name for each in of_connection])
        return found

    async def run(self, call: ActionCall) -> ActionResult:
        """The next of the script."""
        self.calls.append(call)
        script = self.scripts[f"{call.connection}/{call.action}"]
        outcome = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, Callable):  # type: ignore[arg-type]
            outcome = outcome(call)
        return outcome if isinstance(outcome, ActionResult) else ActionResult(data=outcome)

    async def read(self, owner: str, connection: str, uri: str, *, timeout_seconds: float) -> Sequence[ResourceContent]:
        """A resource that says which one it is."""
        return [ResourceContent(uri=uri, media_type="application/json", data={"of": connection})]

    def note_fallback(self, owner: str, connection: str, action: str) -> None:
        """Kept."""
        self.fallbacks.append(f"{connection}/{action}")
