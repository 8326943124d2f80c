"""Who decides about clients: the user who is logged in, or this machine's local user while there is no account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from server.auth.pages.browser_sessions import CSRF_FIELD, PageSessions, PageUser
from server.auth.pages.html import Html
from server.auth.sessions.authentication import is_passed_on
from server.auth.sessions.first_run import FirstRun
from server.oauth.forms import Parameters, one
from storage.people.workspaces import SqlWorkspaces
from workflow.identity import LOCAL_ID, Role
from workflow.workspaces import Membership

R = TypeVar("R", bound=Response)
FORM_PATH = "/oauth"


@dataclass(slots=True, frozen=True, kw_only=True)
class Visitor:
    """A user who may allow clients in the workspaces they belong to. ``here`` is the current workspace."""

    user_id: str
    name: str
    memberships: Sequence[Membership]
    here: str
    page_user: PageUser | None


class Visitors:
    """Finds the visitor of a browser, and verifies the forms that were made for it."""

    def __init__(self, *, sessions: PageSessions, workspaces: SqlWorkspaces, first_run: FirstRun) -> None:
        self._sessions = sessions
        self._workspaces = workspaces
        self._first_run = first_run

    async def visitor(self, request: Request) -> Visitor | None:
        """The visitor; ``None`` where they have to log in."""
        user = await self._sessions.page_user(request)
        if user is not None:
            return Visitor(
                user_id=user.user_id,
                name=f"{user.name} ({user.email})",
                memberships=await self._workspaces.of_user(user.user_id),
                here=user.workspace_id,
                page_user=user,
            )
        if is_passed_on(request.scope["headers"]) or not await self._first_run.is_on():
            return None
        local = Membership(workspace_id=LOCAL_ID, workspace_name="Local", user_id=LOCAL_ID, role=Role.OWNER)
        return Visitor(
            user_id=LOCAL_ID, name="the user of this machine", memberships=[local], here=LOCAL_ID, page_user=None
        )

    def field(self, visitor: Visitor, request: Request) -> tuple[Html, str | None]:
        """The token that the visitor's forms carry, and its cookie if it is not the session's."""
        if visitor.page_user is not None:
            return self._sessions.csrf_field(visitor.page_user), None
        return self._sessions.strangers_form(request)

    def with_cookie(self, response: R, cookie: str | None) -> R:
        """The response, with the form's cookie."""
        return response if cookie is None else self._sessions.with_form(response, cookie, path=FORM_PATH)

    def require_own_form(self, visitor: Visitor, request: Request, form: Parameters) -> None:
        """Check that the form was made for this browser.

        Raises:
            ForgedFormError: it was not.
        """
        given = {CSRF_FIELD: one(form, CSRF_FIELD) or ""}
        if visitor.page_user is not None:
            self._sessions.require_csrf(visitor.page_user, given)
        else:
            self._sessions.require_strangers_form(request, given)
