"""The OpenAPI 3.1 description of the REST API, made from the routes and the models that check their input."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from integrations.connections import ConnectionChanges, NewConnection
from prompts.documents import NamedDocument, TemplateDocument
from server.auth.keys.routes import KeyBody, KeysQuery
from server.auth.outside.routes import PuterBody
from server.auth.routes import LoginBody, LogoutBody, PasswordBody, RefreshBody, RegisterBody
from server.auth.workspaces.audit_routes import AuditQuery
from server.auth.workspaces.invitations import AcceptBody, InvitationBody
from server.auth.workspaces.routes import RoleBody, WorkspaceBody
from server.http.access import GuardedRoute
from server.http.json import PageQuery
from server.oauth.machines import MachineBody
from server.rest import answers, schedules
from server.rest.connections import ActionsQuery, DeclaredEffect, FiguresQuery
from server.rest.conversations import TurnsQuery
from server.rest.credentials import CredentialContent, CredentialName, NewCredential
from server.rest.model_history import ExchangesQuery
from server.rest.operation import Operation
from server.rest.prompts import ExportQuery, PreviewBody, PromptDifferenceQuery, PromptExport, PromptVersionQuery
from server.rest.versions import DifferenceQuery, PublishBody, VersionsQuery
from server.rest.workflows_and_executions import (
    CreateQuery,
    ExecuteBody,
    ExecutionsQuery,
    RerunBody,
    ResumeBody,
    TryBody,
    VersionQuery,
    WorkflowsQuery,
)
from workflow.definitions.definition import WorkflowDefinition

_PARAMETER = re.compile(r"\{(\w+)\}")
_REFERENCE = "#/components/schemas/{model}"


_ANSWERS = {**answers.ANSWERS, **schedules.ANSWERS}


class Changes(RootModel[dict[str, Any] | list[dict[str, Any]]]):
    """What changes: ``{"operations": […]}``, a JSON Merge Patch, or (an array) a JSON Patch."""


_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    **schedules.OPERATIONS,
    ("GET", "/api/workspaces"): Operation(success={200: "Your workspaces."}),
    ("POST", "/api/workspaces"): Operation(
        success={201: "The new workspace."}, body=WorkspaceBody, problems=(400, 403)
    ),
    ("PATCH", "/api/workspaces/{workspace_id}"): Operation(
        success={200: "The workspace with its new name."}, body=WorkspaceBody, problems=(400, 403, 404, 409)
    ),
    ("GET", "/api/workspaces/{workspace_id}/members"): Operation(
        success={200: "Everybody who belongs to it."}, problems=(404, 409)
    ),
    ("PATCH", "/api/workspaces/{workspace_id}/members/{user_id}"): Operation(
        success={200: "The member in the new role."}, body=RoleBody, problems=(400, 403, 404, 409)
    ),
    ("DELETE", "/api/workspaces/{workspace_id}/members/{user_id}"): Operation(
        success={204: "They do not belong to it any more."}, problems=(403, 404, 409)
    ),
    ("GET", "/api/workspaces/{workspace_id}/invitations"): Operation(
        success={200: "The invitations that can still be used."}, problems=(403, 404, 409)
    ),
    ("POST", "/api/workspaces/{workspace_id}/invitations"): Operation(
        success={201: "The invitation, with its token."}, body=InvitationBody, problems=(400, 403, 404, 409)
    ),
    ("DELETE", "/api/workspaces/{workspace_id}/invitations/{invitation_id}"): Operation(
        success={204: "It cannot be used any more."}, problems=(403, 404, 409)
    ),
    ("POST", "/api/invitations/accept"): Operation(
        success={200: "The workspace that you belong to now."}, body=AcceptBody, problems=(400, 403, 404, 409)
    ),
    ("GET", "/api/keys"): Operation(
        success={200: "A page of API keys, newest first."}, query=KeysQuery, problems=(400, 403)
    ),
    ("POST", "/api/keys"): Operation(success={201: "The key, shown this once."}, body=KeyBody, problems=(400, 403)),
    ("DELETE", "/api/keys/{key_id}"): Operation(success={204: "It does not count any more."}, problems=(404,)),
    ("GET", "/api/audit"): Operation(
        success={200: "A page of the audit log, newest first."}, query=AuditQuery, problems=(400, 403)
    ),
    ("POST", "/api/workflows"): Operation(
        success={201: "The stored workflow."}, body=WorkflowDefinition, query=CreateQuery, problems=(400, 409)
    ),
    ("GET", "/api/workflows"): Operation(success={200: "A page of workflows."}, query=WorkflowsQuery, problems=(400,)),
    ("GET", "/api/workflows/{workflow_id}"): Operation(
        success={200: "The workflow."}, query=VersionQuery, problems=(400, 404, 409)
    ),
    ("PUT", "/api/workflows/{workflow_id}"): Operation(
        success={200: "The new version."}, body=WorkflowDefinition, problems=(400, 404, 409)
    ),
    ("PATCH", "/api/workflows/{workflow_id}"): Operation(
        success={200: "The new version."}, body=Changes, problems=(400, 404, 409)
    ),
    ("DELETE", "/api/workflows/{workflow_id}"): Operation(success={204: "It is out of use."}, problems=(404,)),
    ("POST", "/api/workflows/{workflow_id}/restore"): Operation(
        success={200: "The workflow, back as a draft."}, problems=(404,)
    ),
    ("GET", "/api/workflows/{workflow_id}/versions"): Operation(
        success={200: "A page of versions, newest first."}, query=VersionsQuery, problems=(400, 404)
    ),
    ("POST", "/api/workflows/{workflow_id}/versions/{version}/restore"): Operation(
        success={200: "The new version."}, problems=(400, 404, 409)
    ),
    ("GET", "/api/workflows/{workflow_id}/difference"): Operation(
        success={200: "What has changed."}, query=DifferenceQuery, problems=(400, 404, 409)
    ),
    ("POST", "/api/workflows/{workflow_id}/publish"): Operation(
        success={200: "The published version."}, body=PublishBody, problems=(400, 404, 409)
    ),
    ("POST", "/api/workflows/{workflow_id}/unpublish"): Operation(success={200: "The draft."}, problems=(404, 409)),
    ("DELETE", "/api/workflows/{workflow_id}/tool"): Operation(
        success={204: "It is no tool any more."}, problems=(404, 409)
    ),
    ("POST", "/api/workflows/{workflow_id}/execute"): Operation(
        success={200: "The execution, ended.", 202: "The execution, under way."},
        body=ExecuteBody,
        problems=(400, 404, 409, 429),
    ),
    ("GET", "/api/executions"): Operation(
        success={200: "A page of executions."}, query=ExecutionsQuery, problems=(400,)
    ),
    ("POST", "/api/executions"): Operation(
        success={200: "What the definition came to."}, body=TryBody, problems=(400, 404, 429)
    ),
    ("GET", "/api/executions/{execution_id}"): Operation(
        success={200: "The execution with its node runs."}, problems=(404,)
    ),
    ("GET", "/api/exchanges"): Operation(success={200: "A page of exchanges."}, query=ExchangesQuery, problems=(400,)),
    ("POST", "/api/executions/{execution_id}/cancel"): Operation(
        success={200: "The execution, cancelled."}, problems=(404, 409)
    ),
    ("POST", "/api/executions/{execution_id}/resume"): Operation(
        success={200: "The execution, which goes on."}, body=ResumeBody, problems=(400, 404, 409)
    ),
    ("POST", "/api/executions/{execution_id}/redrive"): Operation(
        success={202: "The dead letter, queued again."}, problems=(404, 409)
    ),
    ("POST", "/api/executions/{execution_id}/retry"): Operation(
        success={202: "The execution that tries again."}, problems=(404, 409)
    ),
    ("POST", "/api/executions/{execution_id}/rerun"): Operation(
        success={202: "The new execution."}, body=RerunBody, problems=(400, 404, 429)
    ),
    ("GET", "/api/conversations"): Operation(
        success={200: "A page of conversations."}, query=PageQuery, problems=(400,)
    ),
    ("GET", "/api/conversations/{key}"): Operation(
        success={200: "The conversation with a page of its turns."}, query=TurnsQuery, problems=(400, 404)
    ),
    ("DELETE", "/api/conversations/{key}"): Operation(success={204: "It is forgotten."}, problems=(400, 404)),
    ("GET", "/api/prompts"): Operation(success={200: "A page of prompt templates."}, query=PageQuery, problems=(400,)),
    ("POST", "/api/prompts"): Operation(success={201: "The stored template."}, body=NamedDocument, problems=(400, 409)),
    ("GET", "/api/prompts/export"): Operation(success={200: "All templates."}, query=ExportQuery, problems=(400,)),
    ("POST", "/api/prompts/import"): Operation(
        success={200: "What became of each template."}, body=PromptExport, problems=(400, 409)
    ),
    ("GET", "/api/prompts/{name}"): Operation(
        success={200: "The template."}, query=PromptVersionQuery, problems=(400, 404)
    ),
    ("PUT", "/api/prompts/{name}"): Operation(
        success={200: "The new version."}, body=TemplateDocument, problems=(400, 409)
    ),
    ("DELETE", "/api/prompts/{name}"): Operation(success={204: "It is gone."}, problems=(404,)),
    ("GET", "/api/prompts/{name}/versions"): Operation(success={200: "Every version."}, problems=(404,)),
    ("POST", "/api/prompts/{name}/versions/{version}/restore"): Operation(
        success={200: "The new version."}, problems=(400, 404, 409)
    ),
    ("GET", "/api/prompts/{name}/difference"): Operation(
        success={200: "What has changed."}, query=PromptDifferenceQuery, problems=(400, 404)
    ),
    ("POST", "/api/prompts/{name}/preview"): Operation(
        success={200: "The messages."}, body=PreviewBody, problems=(400, 404)
    ),
    ("GET", "/api/integrations"): Operation(success={200: "Every connection, without its secret."}),
    ("POST", "/api/integrations"): Operation(
        success={201: "The connection, which works; or where somebody has to consent."},
        body=NewConnection,
        problems=(400, 404, 409, 503),
    ),
    ("GET", "/api/integrations/{name}"): Operation(
        success={200: "The connection, without its secret."}, problems=(404,)
    ),
    ("PATCH", "/api/integrations/{name}"): Operation(
        success={200: "The connection, and what is wrong with it."},
        body=ConnectionChanges,
        problems=(400, 404, 409),
    ),
    ("DELETE", "/api/integrations/{name}"): Operation(success={204: "It is forgotten."}, problems=(404,)),
    ("POST", "/api/integrations/{name}/check"): Operation(
        success={200: "The connection, and what is wrong with it."}, problems=(404,)
    ),
    ("POST", "/api/integrations/{name}/authorize"): Operation(
        success={200: "Where somebody has to consent in a browser."}, problems=(400, 404, 503)
    ),
    ("GET", "/api/integrations/{name}/actions"): Operation(
        success={200: "Actions, with the schemas of their arguments."}, query=ActionsQuery, problems=(400, 404, 503)
    ),
    ("PUT", "/api/integrations/{name}/actions/{action}/effect"): Operation(
        success={200: "The action, which counts as a read."}, body=DeclaredEffect, problems=(400, 403, 404, 409)
    ),
    ("DELETE", "/api/integrations/{name}/actions/{action}/effect"): Operation(
        success={200: "The action, which is an assumed write again."}, problems=(404,)
    ),
    ("GET", "/api/integrations/{name}/figures"): Operation(
        success={200: "What became of its calls, by action and day."}, query=FiguresQuery, problems=(400, 404)
    ),
    ("GET", "/api/credentials"): Operation(success={200: "Every credential, without its secret."}),
    ("POST", "/api/credentials"): Operation(
        success={201: "The credential, without its secret."}, body=NewCredential, problems=(400, 409)
    ),
    ("GET", "/api/credentials/{name}"): Operation(
        success={200: "The credential, without its secret."}, problems=(404,)
    ),
    ("PUT", "/api/credentials/{name}"): Operation(
        success={200: "The credential, without its secret."}, body=CredentialContent, problems=(400, 404)
    ),
    ("PATCH", "/api/credentials/{name}"): Operation(
        success={200: "The credential under its new name."}, body=CredentialName, problems=(400, 404, 409)
    ),
    ("DELETE", "/api/credentials/{name}"): Operation(success={204: "It is forgotten."}, problems=(404,)),
    ("POST", "/api/credentials/{name}/check"): Operation(
        success={200: "Whether it can be used, and what is wrong with it."}, problems=(404,)
    ),
    ("POST", "/webhooks/{path}"): Operation(
        success={202: "Accepted; or the workflow's own answer, of whatever status."}, problems=(403, 404, 405, 429)
    ),
    ("POST", "/auth/register"): Operation(
        success={201: "The user, and the tokens of a session."},
        body=RegisterBody,
        problems=(400, 403, 404, 409, 413, 429),
    ),
    ("POST", "/auth/login"): Operation(
        success={200: "The user, and the tokens of a session."},
        body=LoginBody,
        problems=(400, 401, 403, 404, 413, 429),
    ),
    ("POST", "/auth/puter"): Operation(
        success={200: "The user, and the tokens of a session."},
        body=PuterBody,
        problems=(400, 401, 403, 404, 413, 503),
    ),
    ("POST", "/auth/refresh"): Operation(
        success={200: "New tokens of the session."}, body=RefreshBody, problems=(400, 401, 413)
    ),
    ("POST", "/auth/logout"): Operation(
        success={204: "The session has ended, or there was none."}, body=LogoutBody, problems=(400, 413)
    ),
    ("GET", "/auth/me"): Operation(success={200: "Who is calling."}),
    ("POST", "/auth/password"): Operation(
        success={204: "The password is changed."}, body=PasswordBody, problems=(400, 413, 429)
    ),
    ("POST", "/api/machines"): Operation(
        success={201: "The machine, with its secret, which is shown this once."}, body=MachineBody, problems=(400, 413)
    ),
    ("GET", "/api/machines"): Operation(success={200: "The machines of the workspace."}),
    ("DELETE", "/api/machines/{machine_id}"): Operation(success={204: "It is let in no more."}, problems=(404,)),
    ("GET", "/api/grants"): Operation(success={200: "The clients that the user has let in."}),
    ("DELETE", "/api/grants/{grant_id}"): Operation(success={204: "It is let in no more."}, problems=(404,)),
    ("GET", "/healthz"): Operation(success={200: "The process is up."}),
    ("GET", "/readyz"): Operation(success={200: "The process can work."}, problems=(503,)),
}


def describe(routes: Iterable[Route], *, version: str, base_url: str) -> dict[str, Any]:
    """The whole document; every route that is not MCP's or the document's own is in it."""
    models = {model for each in _OPERATIONS.values() for model in (each.body, each.query) if model is not None}
    models |= set(_ANSWERS.values())
    _, components = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda each: each.__name__)], ref_template=_REFERENCE
    )
    schemas = components["$defs"] | {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted(route.methods or ()):
            operation = _OPERATIONS.get((method, route.path_format))
            if operation is not None:
                documented = route.endpoint if inspect.isroutine(route.endpoint) else type(route.endpoint).__call__
                summary = (inspect.getdoc(documented) or "").partition("\n")[0]
                described = _operation(route.path_format, operation, summary, schemas)
                _describe_answer(described, _ANSWERS.get((method, route.path_format)))
                if isinstance(route, GuardedRoute):
                    _guard(described, route)
                for status in _WALLS:
                    described["responses"].setdefault(str(status), {"$ref": f"#/components/responses/Refused{status}"})
                paths.setdefault(route.path_format, {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Jobsprint", "version": version, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {"schemas": schemas, "responses": _walls(), "securitySchemes": {"caller": _BEARER}},
    }


_WALLS: Mapping[int, str] = {
    403: "Pages of this origin may not call the server.",
    408: "The body took too long to arrive.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body is compressed.",
    421: "The server does not answer to this Host.",
    429: "The caller has sent too many requests, or the server has too much to do.",
    431: "The headers are too large.",
    503: "Something that the server needs is not there now.",
}
"""What any request may be answered with, before or instead of what its route says."""


def _walls() -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _reference("Problem")}}
    later = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
    return {
        f"Refused{status}": {
            "description": text,
            "content": content,
            **({"headers": later} if status == 429 else {}),
        }
        for status, text in _WALLS.items()
    }


def _operation(path: str, operation: Operation, summary: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {str(status): {"description": text} for status, text in operation.success.items()}
    for status in operation.problems:
        content = {"application/problem+json": {"schema": _reference("Problem")}}
        answers[str(status)] = {"description": "What is wrong and how to mend it.", "content": content}
    described: dict[str, Any] = {"summary": summary, "responses": answers}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]
    if operation.query is not None:
        members = schemas[operation.query.__name__]["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in members.items()]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body.__name__)}}
        described["requestBody"] = {"content": content}
    return described


def _describe_answer(described: dict[str, Any], answer: type[BaseModel] | None) -> None:
    for status, response in described["responses"].items():
        if answer is not None and status.startswith("2") and status != "204":
            response["content"] = {"application/json": {"schema": _reference(answer.__name__)}}


def _guard(described: dict[str, Any], route: GuardedRoute) -> None:
    """Describe the token and scopes that the route requires."""
    # OpenAPI 3.1 (4.8.30): for schemes other than OAuth2 the list names the required roles.
    described["security"] = [{"caller": sorted(route.scopes)}]
    refusals = {"401": "The caller is not known."}
    if route.scopes:
        refusals["403"] = "The caller may not do this."
    content = {"application/problem+json": {"schema": _reference("Problem")}}
    for status, text in refusals.items():
        described["responses"].setdefault(status, {"description": text, "content": content})


def _reference(model: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model)}


_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token, or an API key. Without accounts this machine's own user needs none.",
}

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457, with a stable code.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "pointer": {"type": "string", "description": "JSON pointer into the input."},
        "fix": {"type": "string", "description": "What to do next."},
        "findings": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["title", "status", "code"],
}
