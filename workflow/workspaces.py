"""Workspaces and who belongs to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from workflow.errors import ErrorKind, JobsprintError
from workflow.identity import Role


@dataclass(slots=True, frozen=True, kw_only=True)
class Membership:
    """A workspace that a user belongs to, and as what."""

    workspace_id: str
    workspace_name: str
    user_id: str
    role: Role


@dataclass(slots=True, frozen=True, kw_only=True)
class Member:
    """A user who belongs to a workspace, as its other members see them. A disabled one cannot do anything."""

    user_id: str
    name: str
    email: str
    role: Role
    since: datetime
    is_disabled: bool


class WorkspaceNotFoundError(JobsprintError):
    """There is no such workspace, or the caller does not belong to it; the error does not say which."""

    code = "workspace_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, workspace_id: str) -> None:
        super().__init__(
            f"There is no workspace {workspace_id!r:.60} that you belong to.",
            fix="List yours with GET /api/workspaces.",
        )


class MemberNotFoundError(JobsprintError):
    """The user does not belong to the workspace."""

    code = "member_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self, user_id: str) -> None:
        super().__init__(
            f"The workspace has no member {user_id!r:.60}.", fix="List its members; the id is their user_id."
        )


class LastOwnerError(JobsprintError):
    """A workspace would be left without an owner."""

    code = "last_owner"
    kind = ErrorKind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "This is the workspace's last owner; nothing was changed.", fix="Make another member an owner first."
        )


@dataclass(slots=True, frozen=True, kw_only=True)
class Invitation:
    """What lets somebody become a member of a workspace, or (without one) make an account. Its token is not in it.

    ``email`` says who may use it; anybody who has the token where there is none. ``invited_by`` is a user's id.
    """

    id: str
    email: str | None
    workspace_id: str | None
    role: Role | None
    invited_by: str
    created_at: datetime
    expires_at: datetime


class InvitationNotFoundError(JobsprintError):
    """There is no such invitation, or it is not for this user; the error does not say which."""

    code = "invitation_not_found"
    kind = ErrorKind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(
            "There is no such invitation: it was used or taken back, its time is over, or it is somebody else's.",
            fix="Ask the person who invited you for another one, for the e-mail address of your account.",
        )


class AlreadyMemberError(JobsprintError):
    """An invitation was shown by somebody who belongs to the workspace already; it was not used up."""

    code = "already_member"
    kind = ErrorKind.CONFLICT

    def __init__(self, role: Role) -> None:
        super().__init__(
            f"You belong to this workspace already, as {role}; the invitation was not used.",
            fix="Ask an owner of the workspace if you need another role.",
        )
