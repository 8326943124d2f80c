"""``/secrets/enter``: the page on which a person enters a secret that an agent needs and must not see.

Opening it changes nothing, so previews of the link do no harm; only the form that is sent with its button does. Nothing
that was typed is ever shown again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.secret_links import ENTERED_KINDS, MANAGES, PATH, Entered, SecretLinkError, SecretLinks
from server.auth.pages.browser_sessions import PageSessions, PageUser, form_in, login_redirect
from server.auth.pages.html import Html, element, labelled, page
from server.auth.sessions.first_run import FirstRun
from server.auth.sessions.sessions import MACHINE
from server.http.problems import STATUS_BY_KIND
from workflow.credentials import StoredCredential
from workflow.errors import InvalidArgumentsError, JobsprintError
from workflow.identity import LOCAL_ACTOR, LOCAL_ID, Actor, InsufficientScopeError
from workflow.secret_links import SecretLink

AGAIN = "Ask your assistant for a new link: it calls connect_integration with do: secret."
STATUSES = {
    "bad": HTTPStatus.FORBIDDEN,
    "expired": HTTPStatus.GONE,
    "stale": HTTPStatus.GONE,
    "used": HTTPStatus.CONFLICT,
}


class Field(NamedTuple):
    """One field of the form of a kind of credential."""

    name: str
    label: str
    is_secret: bool = True
    is_required: bool = True


FIELDS: Mapping[str, Sequence[Field]] = {
    "bearer": [Field("token", "Token or API key")],
    "header": [Field("header", "Name of the header, such as X-Api-Key", is_secret=False), Field("value", "Its value")],
    "basic": [Field("username", "User name"), Field("password", "Password", is_required=False)],
    "oauth2": [
        Field("token_url", "Address where access tokens are fetched", is_secret=False),
        Field("client_id", "Client id", is_secret=False),
        Field("client_secret", "Client secret"),
        Field("scope", "Scope", is_secret=False, is_required=False),
    ],
    "address": [Field("url", "The whole secret address")],
    "database": [Field("url", "The database's URL, password included")],
    "signature": [Field("secret", "The secret that webhooks are signed with")],
}
"""What is asked for by kind."""
TITLES = {
    "bearer": "a token or API key, sent as Authorization: Bearer",
    "header": "a key that is sent in a header of its own",
    "basic": "a user name and a password",
    "oauth2": "an OAuth 2 client's id and secret",
    "address": "an address that is itself the secret",
    "database": "the URL of a database",
    "signature": "a secret that webhooks are signed with",
}
WITH_HOSTS = frozenset({"bearer", "header", "basic", "oauth2"})


@dataclass(slots=True, frozen=True, kw_only=True)
class SecretPages:
    """The page, for people who may manage credentials; while there are no accounts, for this machine's user."""

    links: SecretLinks
    sessions: PageSessions
    first_run: FirstRun

    def routes(self) -> list[Route]:
        """The one route. Only POST stores anything."""
        return [Route(PATH, self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """Show the form, or store what was entered; refusals are pages."""
        token = request.query_params.get("token", "")
        try:
            link, stored = await self.links.opened(token)
            user, actor = None, LOCAL_ACTOR if link.owner == LOCAL_ID and await self.first_run.is_on() else None
            if actor is None:
                user = await self.sessions.page_user(request)
                if user is None:
                    return login_redirect(request)
                actor = await self.sessions.person(request, link.owner)
            if actor is None:
                return _refusal("Only members of the workspace can enter its secrets.", HTTPStatus.FORBIDDEN)
            actor.require(MANAGES)
            if link.asked_by != actor.user_id and not link.asked_by.startswith(MACHINE):
                # Else somebody could have others enter their secrets for them (MCP, Elicitation, "Phishing").
                return _refusal(
                    "Somebody else was given this link; it is for who asked for it alone.", HTTPStatus.FORBIDDEN
                )
            shown = _Form(link, stored, request.query_params.get("kind"), token)
            if request.method != "POST":
                return self._shown(request, user, shown)
            return await self._entered(request, user, actor, shown)
        except SecretLinkError as error:
            return _refusal(str(error), STATUSES[error.reason])
        except InsufficientScopeError:
            return _refusal("Your role in the workspace does not let you manage its credentials.", HTTPStatus.FORBIDDEN)
        except JobsprintError as error:
            return _refusal(error.message, STATUS_BY_KIND[error.kind])

    def _shown(
        self,
        request: Request,
        user: PageUser | None,
        shown: _Form,
        *,
        wrong: Sequence[str] = (),
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        if shown.kind is None:
            return shown.choice()
        if user is not None:
            return shown.page(self.sessions.csrf_field(user), wrong=wrong, typed=typed or {})
        field, cookie = self.sessions.strangers_form(request)
        return self.sessions.with_form(shown.page(field, wrong=wrong, typed=typed or {}), cookie, path=PATH)

    async def _entered(self, request: Request, user: PageUser | None, actor: Actor, shown: _Form) -> Response:
        form = await form_in(request)
        if user is not None:
            self.sessions.require_csrf(user, form)
        else:
            self.sessions.require_strangers_form(request, form)
        if shown.kind is None:
            return shown.choice()
        try:
            entered = await self.links.enter(actor, shown.token, shown.document(form))
        except InvalidArgumentsError as error:
            wrong = [each.message for each in error.findings] or [error.message]
            return self._shown(request, user, shown, wrong=wrong, typed=form)
        return await self._thanks(actor, shown.link, entered)

    async def _thanks(self, actor: Actor, link: SecretLink, entered: Entered) -> Response:
        connected = entered.connected
        if entered.problem is not None:
            again = await self.links.again(actor, link)
            return page(
                "Stored, and refused",
                element("p", {"role": "alert", "class": "wrong"}, entered.problem.message),
                element("p", None, f"The secret is stored for {link.connection}, and does not work yet."),
                element("p", None, element("a", {"href": again}, "Enter another one")) if again is not None else "",
            )
        where = f"{link.connection} is connected, with {len(connected.actions)} actions." if connected else ""
        name = link.connection or link.credential
        check = f"connect_integration with do: check and name: {name} says that it is there"
        return page(
            "It is there",
            element("p", None, f"The secret {entered.stored.name} is stored, encrypted. {where}"),
            element(
                "p",
                None,
                f"Tell your assistant to go on: {check}, and what has failed for it can be run again with "
                "control_execution. You can close this window.",
            ),
        )


class _Form:
    """The form for one link. ``wanted`` is the kind that the person has chosen, where the link leaves that open."""

    def __init__(self, link: SecretLink, stored: StoredCredential | None, wanted: str | None, token: str) -> None:
        self.link = link
        self.token = token
        self._stored = stored
        self.kind = link.kind or (wanted if wanted in ENTERED_KINDS else None)

    def choice(self) -> Response:
        """The page that asks of which kind the secret is."""
        choices = [
            element("li", None, element("a", {"href": self._address(each)}, TITLES[each])) for each in ENTERED_KINDS
        ]
        return page("Enter a secret", *self._why(), element("p", None, "What is it?"), element("ul", None, *choices))

    def page(self, csrf: Html, *, wrong: Sequence[str], typed: Mapping[str, str]) -> Response:
        """The page with the form; ``typed`` are fields as they were sent, of which no secret is shown again."""
        told = [element("p", {"role": "alert", "class": "wrong"}, f"Nothing was stored. {each}") for each in wrong]
        fields = [self._input(each, typed) for each in self._fields()]
        return page(
            "Enter a secret",
            *told,
            *self._why(),
            element(
                "form",
                {"method": "post", "action": self._address(self.kind), "autocomplete": "off"},
                csrf,
                *fields,
                self._hosts(typed),
                element("p", None, element("button", None, "Store")),
            ),
            element("p", {"class": "fine"}, "It is encrypted, is never shown again, and your assistant never sees it."),
            status=HTTPStatus.BAD_REQUEST if wrong else HTTPStatus.OK,
        )

    def document(self, form: Mapping[str, str]) -> dict[str, Any]:
        """The credential, of what was typed and, where it is kept or fixed, of that."""
        made: dict[str, Any] = {"kind": self.kind, **self._kept()}
        made |= {each.name: form.get(each.name, "") for each in self._fields()}
        optional = {each.name for each in self._fields() if not each.is_required}
        if self.kind in WITH_HOSTS and "allowed_hosts" not in made:
            typed = form.get("allowed_hosts", "").replace(",", " ").split()
            made["allowed_hosts"] = list(self.link.hosts) if self._is_host_fixed() else typed
        return {name: value for name, value in made.items() if value != "" or name not in optional}

    def _address(self, kind: str | None) -> str:
        """The page itself; with the kind where the link leaves that open."""
        is_chosen = self.link.kind is None and kind is not None
        return f"{PATH}?{urlencode({'token': self.token, **({'kind': kind} if is_chosen else {})})}"

    def _why(self) -> list[Html]:
        link = self.link
        what = f"the connection {link.connection}" if link.connection else f"the credential {link.credential}"
        again = " It replaces the one that is stored." if self._stored is not None else ""
        return [
            element("p", None, "For ", element("strong", None, what), f", asked for by {link.asked_through}.{again}"),
            element("p", {"class": "fine"}, "Go on only if you expect this."),
        ]

    def _kept(self) -> dict[str, Any]:
        """What of the stored credential stays: where it goes, and how."""
        if self._stored is None or self.kind not in WITH_HOSTS:
            return {}
        return dict(self._stored.details)

    def _fields(self) -> list[Field]:
        kept = self._kept()
        return [each for each in FIELDS[self.kind or ""] if each.is_secret or each.name not in kept]

    def _input(self, field: Field, typed: Mapping[str, str]) -> Html:
        # Browsers ignore "off" in fields of this type, and would put the person's own password there.
        attributes = {
            "type": "password" if field.is_secret else "text",
            "autocomplete": "new-password" if field.is_secret else "off",
            "spellcheck": "false",
            "autocapitalize": "off",
            "required": field.is_required,
            "value": None if field.is_secret else typed.get(field.name),
        }
        return labelled(field.label, field.name, attributes)

    def _is_host_fixed(self) -> bool:
        return self.link.connection is not None and bool(self.link.hosts)

    def _hosts(self, typed: Mapping[str, str]) -> Html:
        if self.kind not in WITH_HOSTS:
            return Html("")
        hosts = self._kept().get("allowed_hosts") or (self.link.hosts if self._is_host_fixed() else None)
        if hosts is not None:
            return element("p", None, "It is sent to ", element("strong", None, ", ".join(hosts)), " only.")
        label = "It is sent to these hosts only. Check them: an assistant may have proposed them."
        value = typed.get("allowed_hosts", " ".join(self.link.hosts))
        return labelled(
            label, "allowed_hosts", {"type": "text", "autocomplete": "off", "required": True, "value": value or None}
        )


def _refusal(message: str, status: HTTPStatus | int) -> Response:
    return page(
        "Nothing was stored",
        element("p", {"role": "alert", "class": "wrong"}, message),
        element("p", None, AGAIN),
        status=int(status),
    )
