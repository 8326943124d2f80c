"""The page on which a user allows or refuses a client."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.responses import Response

from server.auth.pages.html import Html, element, hidden, page, together
from server.oauth.authorization_requests import AuthorizationRequest
from server.oauth.clients import host_of
from server.oauth.redirects import is_loopback, origin_for_policy
from server.oauth.visitors import Visitor
from workflow.identity import SCOPES_OF_ROLE, Scope, Scopes

WORDS: Mapping[Scope, str] = {
    Scope.WORKFLOWS_READ: "See workflows",
    Scope.WORKFLOWS_WRITE: "Make, change, publish and delete workflows",
    Scope.EXECUTIONS_READ: "See executions and their data",
    Scope.EXECUTIONS_RUN: "Run workflows, and cancel, resume and repeat executions",
    Scope.PROMPTS_READ: "See prompts",
    Scope.PROMPTS_WRITE: "Make, change and delete prompts",
    Scope.INTEGRATIONS_READ: "See which integrations and credentials there are",
    Scope.INTEGRATIONS_WRITE: "Connect, change and remove integrations and credentials",
    Scope.ADMIN: "Administer the workspace: its members, everybody's keys, its audit log",
}
WORKSPACE_FIELD = "workspace"
SCOPE_FIELD = "scope_box"
DECISION_FIELD = "decision"


def attainable(visitor: Visitor) -> Scopes:
    """The scopes that the visitor can grant in at least one of their workspaces."""
    return frozenset[Scope]().union(*(SCOPES_OF_ROLE[each.role] for each in visitor.memberships))


def consent_page(
    asked: AuthorizationRequest, visitor: Visitor, *, field: Html, query: str, wrong: str | None = None
) -> Response:
    """The consent form: the client, its scopes, and the choice. ``query`` is the request's, which the form repeats."""
    boxes = [_box(scope) for scope in Scope if scope in asked.scopes & attainable(visitor)]
    return page(
        "Let this client in?",
        *([] if wrong is None else [element("p", {"role": "alert", "class": "wrong"}, wrong)]),
        element("p", None, element("strong", None, asked.client.name), " wants to use Jobsprint in your name."),
        element("p", {"class": "fine"}, "It gives itself this name; nobody has checked it."),
        element("dl", None, *_details(asked, visitor)),
        element(
            "form",
            {"method": "post", "action": f"/oauth/authorize?{query}"},
            field,
            _workspaces(visitor),
            element("fieldset", None, element("legend", None, "It may"), *boxes),
            element(
                "p",
                {"class": "fine"},
                "It can never do more than you can in the workspace. Let it in only if you have just asked it to "
                "connect.",
            ),
            element("button", {"name": DECISION_FIELD, "value": "allow"}, "Allow"),
            element("button", {"name": DECISION_FIELD, "value": "deny"}, "Deny"),
        ),
        status=200 if wrong is None else 400,
        form_targets=[origin_for_policy(asked.redirect_uri)],
    )


def refusal_page(title: str, message: str, *, status: int = 400) -> Response:
    """An error that is shown to the user, since it must not be sent to the client."""
    return page(
        title,
        element("p", {"role": "alert", "class": "wrong"}, message),
        element("p", None, "Nothing was allowed. Go back to the application that sent you here, and try again there."),
        status=status,
    )


def wrong_request_page(message: str, location: str) -> Response:
    """What is wrong with a client's request, and a link back to the client, which the user may follow."""
    host = host_of(location)
    return page(
        "This client asks for something that cannot be",
        element("p", {"role": "alert", "class": "wrong"}, message),
        element("p", None, element("a", {"href": location, "rel": "noreferrer"}, f"Go back to {host}")),
        status=400,
    )


def _details(asked: AuthorizationRequest, visitor: Visitor) -> list[Html]:
    parts = urlsplit(asked.redirect_uri)
    if parts.scheme not in ("http", "https"):
        target = f"an application on this device that opens {parts.scheme}: links"
    elif is_loopback(parts):
        target = f"a program on this device ({parts.netloc})"
    else:
        target = parts.netloc
    known_by = (
        host_of(asked.client.id)
        if asked.client.kind == "document"
        else f"its own registration on {asked.client.created_at:%d %B %Y}"
    )
    rows = [("Known by", known_by), ("Sends you back to", target), ("You are", visitor.name)]
    return [part for name, value in rows for part in (element("dt", None, name), element("dd", None, value))]


def _workspaces(visitor: Visitor) -> Html:
    if len(visitor.memberships) == 1:
        (only,) = visitor.memberships
        return together(
            hidden(WORKSPACE_FIELD, only.workspace_id),
            element("p", None, "In the workspace ", element("strong", None, only.workspace_name), "."),
        )
    choices = [
        element(
            "label",
            None,
            element(
                "input",
                {
                    "type": "radio",
                    "name": WORKSPACE_FIELD,
                    "value": each.workspace_id,
                    "required": True,
                    "checked": each.workspace_id == visitor.here,
                },
            ),
            f" {each.workspace_name} (you are its {each.role.value})",
        )
        for each in visitor.memberships
    ]
    return element("fieldset", None, element("legend", None, "In the workspace"), *choices)


def _box(scope: Scope) -> Html:
    box = element("input", {"type": "checkbox", "name": SCOPE_FIELD, "value": scope.value, "checked": True})
    return element("label", None, box, f" {WORDS[scope]}")
