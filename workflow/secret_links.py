"""Links to the page where a person enters a secret, so that none is ever typed to an agent, and the port to which of
them were used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


class SecretNeed(NamedTuple):
    """A secret that somebody has to enter: for the credential ``name``, or for the connection of that name
    (``is_connection``). ``kind`` and ``hosts`` are proposals for a credential that is new."""

    name: str
    is_connection: bool = False
    kind: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True, kw_only=True)
class SecretLink:
    """What a link is for, as its token says, which the server has signed.

    It names the workspace ``owner``, the ``credential`` and the purpose: a new secret (``revision`` is ``None``) or
    another one in place of what was kept at ``revision``; ``connection`` is what it is for, where that is one.
    """

    id: str
    owner: str
    asked_by: str
    asked_through: str
    credential: str
    kind: str | None
    hosts: tuple[str, ...]
    connection: str | None
    revision: str | None
    expires_at: datetime


@dataclass(slots=True, frozen=True, kw_only=True)
class UsedLink:
    """Who has entered a secret by a link, and when."""

    used_by: str
    used_at: datetime


class UsedLinks(Protocol):
    """Stores which links were used, until they would have expired."""

    async def use(self, link: SecretLink, *, by: str, at: datetime) -> bool:
        """Note that the link is used; false where it was before. Of two at once one gets true."""
        ...

    async def release(self, link: SecretLink) -> None:
        """Forget it again: nothing was kept."""
        ...

    async def used(self, link: SecretLink) -> UsedLink | None:
        """Who has used it, if anybody has."""
        ...

    async def forget(self, *, expired_before: datetime) -> None:
        """Delete what is refused by its age."""
        ...
