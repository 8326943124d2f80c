"""The pages on which people log in, make an account and log out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from server.auth.accounts.accounts import Accounts
from server.auth.accounts.logins import Logins
from server.auth.accounts.passwords import MIN_CHARACTERS
from server.auth.pages.browser_sessions import (
    ACCOUNT_PATH,
    LOGIN_PATH,
    ForgedFormError,
    PageSessions,
    caller_of,
    form_in,
    login_redirect,
    own_path,
)
from server.auth.pages.html import Html, element, hidden, labelled, page, together
from server.auth.sessions.first_run import FirstRun
from server.http.problems import STATUS_BY_KIND
from workflow.errors import JobsprintError

REGISTER_PATH = "/auth/register"


@dataclass(slots=True, frozen=True, kw_only=True)
class SignInOption:
    """Another way to sign in: a link on the login page to one of our paths, which gets ``next`` in its query."""

    label: str
    path: str


@dataclass(slots=True, frozen=True, kw_only=True)
class AuthPages:
    """Login, registration and the account's page."""

    accounts: Accounts
    logins: Logins
    first_run: FirstRun
    sessions: PageSessions
    options: Sequence[SignInOption] = ()

    def routes(self) -> list[Route]:
        """The pages; their forms are posted to the routes of :mod:`server.auth.routes`."""
        return [
            Route(LOGIN_PATH, self.login_page, methods=["GET"]),
            Route(REGISTER_PATH, self.register_page, methods=["GET"]),
            Route(ACCOUNT_PATH, self.account_page, methods=["GET"]),
        ]

    async def login_page(self, request: Request) -> Response:
        """The form to log in; a user who is logged in is redirected to ``next``."""
        next_path = own_path(request.query_params.get("next"))
        if await self.sessions.page_user(request) is not None:
            return RedirectResponse(next_path or ACCOUNT_PATH, 303)
        return await self._login_form(request, next_path)

    async def register_page(self, request: Request) -> Response:
        """The form to make an account."""
        return await self._register_form(request, own_path(request.query_params.get("next")))

    async def account_page(self, request: Request) -> Response:
        """Who is logged in, and the button to log out."""
        user = await self.sessions.page_user(request)
        if user is None:
            return login_redirect(request)
        described: list[Html] = []
        for each in await self.logins.memberships(user.user_id):
            described += [element("dt", None, each.workspace_name), element("dd", None, each.role.value)]
        return page(
            "Your account",
            element("p", None, f"You are logged in as {user.name} ({user.email})."),
            element("h2", None, "Workspaces"),
            element("dl", None, *described),
            element(
                "form",
                {"method": "post", "action": "/auth/logout"},
                self.sessions.csrf_field(user),
                element("button", None, "Log out"),
            ),
        )

    async def log_in(self, request: Request) -> Response:
        """Take the login form."""
        form = await form_in(request)
        next_path = own_path(form.get("next"))
        try:
            self.sessions.require_strangers_form(request, form)
            caller = caller_of(request, through="browser")
            _, tokens = await self.logins.log_in(
                form.get("email", ""), form.get("password", ""), caller=caller, has_refresh=False
            )
        except JobsprintError as error:
            return await self._login_form(request, next_path, email=form.get("email", ""), error=error)
        response = RedirectResponse(next_path or ACCOUNT_PATH, 303)
        return self.sessions.with_session(response, tokens.session_id)

    async def register(self, request: Request) -> Response:
        """Take the form of a new account."""
        form = await form_in(request)
        next_path = own_path(form.get("next"))
        try:
            self.sessions.require_strangers_form(request, form)
            user = await self.accounts.register(
                email=form.get("email", ""),
                password=form.get("password", ""),
                name=form.get("name"),
                invitation=form.get("invitation", "").strip() or None,
                is_first=await self.first_run.is_on(),
                client=caller_of(request, through="browser").client,
            )
        except JobsprintError as error:
            return await self._register_form(request, next_path, form=form, error=error)
        self.first_run.end()
        return await self.sessions.release_deferred(user, request, next_path=next_path)

    async def log_out(self, request: Request) -> Response:
        """End the browser's session."""
        user = await self.sessions.page_user(request)
        if user is not None:
            try:
                self.sessions.require_csrf(user, await form_in(request))
            except ForgedFormError as error:
                return page("Log out", _notice(error), status=_status(error))
            await self.logins.end(user.session_id, caller=caller_of(request, through="browser"))
        return self.sessions.without_session(RedirectResponse(LOGIN_PATH, 303))

    async def _login_form(
        self, request: Request, next_path: str | None, *, email: str = "", error: JobsprintError | None = None
    ) -> Response:
        field, cookie = self.sessions.strangers_form(request)
        others: list[Html] = [
            element("p", None, element("a", {"href": _with_next(option.path, next_path)}, option.label))
            for option in self.options
        ]
        if await self._may_register():
            others.append(element("p", None, element("a", {"href": _with_next(REGISTER_PATH, next_path)}, "Register")))
        response = page(
            "Log in",
            *([] if error is None else [_notice(error)]),
            element(
                "form",
                {"method": "post", "action": LOGIN_PATH},
                field,
                _next_field(next_path),
                _email_input(email),
                labelled(
                    "Password",
                    "password",
                    {"type": "password", "autocomplete": "current-password", "required": True},
                ),
                element("button", None, "Log in"),
            ),
            *others,
            status=200 if error is None else _status(error),
            headers=_headers(error),
        )
        return self.sessions.with_form(response, cookie)

    async def _register_form(
        self,
        request: Request,
        next_path: str | None,
        *,
        form: dict[str, str] | None = None,
        error: JobsprintError | None = None,
    ) -> Response:
        if not await self._may_register():
            closed = element("p", None, "The server's operator makes the accounts; ask them for one.")
            return page("Register", closed, status=403)
        field, cookie = self.sessions.strangers_form(request)
        sent = form or {}
        asks_for_invitation = self.accounts.registration == "invitation" and not await self.first_run.is_on()
        response = page(
            "Register",
            *([] if error is None else [_notice(error)]),
            element(
                "form",
                {"method": "post", "action": REGISTER_PATH},
                field,
                _next_field(next_path),
                _email_input(sent.get("email", "")),
                labelled("Name", "name", {"autocomplete": "name", "value": sent.get("name", "")}),
                labelled(
                    f"Password, of {MIN_CHARACTERS} characters or more",
                    "password",
                    {
                        "type": "password",
                        "autocomplete": "new-password",
                        "required": True,
                        "minlength": str(MIN_CHARACTERS),
                    },
                ),
                labelled(
                    "Invitation" if asks_for_invitation else "Invitation, if you have one",
                    "invitation",
                    {"autocomplete": "off", "required": asks_for_invitation, "value": sent.get("invitation", "")},
                ),
                element("button", None, "Register"),
            ),
            element("p", None, element("a", {"href": _with_next(LOGIN_PATH, next_path)}, "Log in")),
            status=200 if error is None else _status(error),
            headers=_headers(error),
        )
        return self.sessions.with_form(response, cookie)

    async def _may_register(self) -> bool:
        return self.accounts.registration != "closed" or await self.first_run.is_on()


def _email_input(value: str) -> Html:
    return labelled("E-mail", "email", {"type": "email", "autocomplete": "username", "required": True, "value": value})


def _next_field(next_path: str | None) -> Html:
    return together() if next_path is None else hidden("next", next_path)


def _with_next(path: str, next_path: str | None) -> str:
    return path if next_path is None else f"{path}?{urlencode({'next': next_path})}"


def _notice(error: JobsprintError) -> Html:
    return element("p", {"role": "alert", "class": "wrong"}, error.message, *([f" {error.fix}"] if error.fix else []))


def _status(error: JobsprintError) -> int:
    return STATUS_BY_KIND[error.kind]


def _headers(error: JobsprintError | None) -> dict[str, str]:
    seconds = getattr(error, "retry_after_seconds", None)
    return {} if seconds is None else {"retry-after": str(seconds)}
