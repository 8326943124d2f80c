"""Tools for other people's systems: connect one, find what it can do, have it done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Literal

import mcp_types as types
from pydantic import Field

from integrations.actions import ConnectedActions
from integrations.connections import Connected, Connections
from integrations.credentials import Credentials
from integrations.secret_links import SecretLinks
from tools.integrations.search import search
from tools.integrations.views import action_content, action_summary, connected_content
from tools.protocol.budget import fitting, tokens
from tools.protocol.caller import Caller, Elicitation
from tools.protocol.tool import AUTHORING, BOTH, READ_ONLY, RUNNING, Answer, Arguments, Tool, object_schema
from workflow.actions import Action, ActionAsksError, ActionCall, ActionProgress, ActionQuestion, ActionResult
from workflow.audit import AuditLog
from workflow.connections import ConnectionKind, ConnectionNotFoundError
from workflow.credential_forms import NAME
from workflow.credentials import CredentialNotFoundError
from workflow.errors import InvalidArgumentsError
from workflow.identity import RUNS, Scope, Scopes
from workflow.items import JsonObject
from workflow.messages import utc_text
from workflow.redaction import ShownLink
from workflow.secret_links import SecretNeed

READS: Scopes = frozenset({Scope.INTEGRATIONS_READ})
WRITES: Scopes = frozenset({Scope.INTEGRATIONS_WRITE})
USUAL_TOKENS = 2_000
ROOM_FOR_REST = 40
"""Tokens for what stands around a list."""
MOST_ROUNDS = 10
"""Of questions that the other side asks in one call."""

EXTERNAL = types.ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False)


class FindActions(Arguments):
    query: str | None = Field(default=None, description="A few words.")
    connection: str | None = None
    action: str | None = Field(default=None, description="With connection: all of this one, with its schema.")
    max_tokens: int = Field(default=USUAL_TOKENS, ge=200, le=20_000)


class RunAction(Arguments):
    connection: str
    action: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    instructions: str | None = Field(default=None, description="For Zapier: what is to be done, in words.")
    timeout_seconds: float = Field(default=30, gt=0, le=300)
    max_tokens: int = Field(default=USUAL_TOKENS, ge=200, le=20_000)


class ConnectIntegration(Arguments):
    do: Literal["connect", "secret", "authorize", "check", "disconnect"] = "connect"
    name: str
    kind: ConnectionKind | None = Field(default=None, description="To connect.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="{url}; {program}; {connector, …}; allow, pinned: lists of actions."
    )
    credential: str | None = Field(default=None, description="Name of a stored credential.")


class IntegrationTools:
    """The tools' work. No secret passes through them: secrets are entered, and consent is given, in a browser."""

    def __init__(
        self,
        *,
        connections: Connections,
        actions: ConnectedActions,
        credentials: Credentials,
        links: SecretLinks,
        audit: AuditLog,
    ) -> None:
        self._connections = connections
        self._actions = actions
        self._credentials = credentials
        self._links = links
        self._audit = audit

    def tools(self) -> list[Tool[Any]]:
        """All of them."""
        return [
            Tool(
                name="find_actions",
                title="Find actions",
                description="Search what connected systems (Zapier, MCP servers, APIs) can do, for run_action or a "
                "workflow's nodes.",
                arguments=FindActions,
                annotations=READ_ONLY,
                output_schema=object_schema({}),
                handler=self.find,
                scopes=READS,
                toolsets=BOTH,
            ),
            Tool(
                name="run_action",
                title="Run an action",
                description="Do one action of a connection now.",
                arguments=RunAction,
                annotations=EXTERNAL,
                output_schema=object_schema({}),
                handler=self.run,
                scopes=RUNS,
                toolsets=RUNNING,
            ),
            Tool(
                name="connect_integration",
                title="Connect an integration",
                description="Connect Zapier, an MCP server or an API. The user consents and enters secrets in a "
                "browser (do: secret).",
                arguments=ConnectIntegration,
                annotations=EXTERNAL,
                output_schema=object_schema({}),
                handler=self.connect,
                scopes=WRITES,
                toolsets=AUTHORING,
            ),
        ]

    async def find(self, arguments: FindActions, caller: Caller) -> Answer:
        """Actions that fit, or all of one."""
        owner = caller.actor.workspace_id
        if arguments.action is not None:
            if arguments.connection is None:
                raise InvalidArgumentsError(
                    "An action is named together with its connection.",
                    pointer="/connection",
                    fix="Give the connection, too; find_actions with a query shows both.",
                )
            found = await self._actions.find(owner, arguments.connection, arguments.action)
            seen = (await self._actions.shapes(owner, found.connection)).get(found.name)
            return Answer({**action_content(found, seen), "node": _node_of(found, await self._kind(caller, found))})
        actions = search(await self._actions.actions(owner, arguments.connection), arguments.query)
        connections = [
            {"name": each.name, "kind": each.kind, "status": each.status}
            for each in await self._connections.all(caller.actor)
        ]
        content: dict[str, Any] = {"connections": connections, "total": len(actions)}
        summaries = [action_summary(each) for each in actions[:500]]
        shown = summaries[: fitting(summaries, arguments.max_tokens - tokens(content) - ROOM_FOR_REST)]
        return Answer({"actions": shown, **content})

    async def run(self, arguments: RunAction, caller: Caller) -> Answer:
        """Do it, and put to the caller what the other side asks meanwhile."""
        answers: dict[str, JsonObject] = {}
        state: str | None = None
        for _ in range(MOST_ROUNDS):
            call = ActionCall(
                owner=caller.actor.workspace_id,
                connection=arguments.connection,
                action=arguments.action,
                arguments=arguments.arguments,
                instructions=arguments.instructions,
                timeout_seconds=arguments.timeout_seconds,
                user_id=caller.actor.user_id,
                answers=answers,
                state=state,
            )
            self._note(caller, arguments)
            try:
                return Answer(_result_content(await self._watched(call, caller)))
            except ActionAsksError as asks:
                state = asks.questions[0].state if asks.questions else None
                for question in asks.questions:
                    answers[question.key] = await _asked(question, arguments, caller)
        raise InvalidArgumentsError(
            f"{arguments.connection}/{arguments.action} goes on asking.",
            pointer="/arguments",
            fix="Give what it asks for in the arguments.",
        )

    async def connect(self, arguments: ConnectIntegration, caller: Caller) -> Answer:
        """Make, try, renew or end a connection."""
        actor, name = caller.actor, arguments.name
        if arguments.do == "disconnect":
            gone = await self._connections.disconnect(actor, name)
            return Answer({"name": gone.name, "status": "disconnected"})
        # Called again with the answer to whether the page was opened: it is begun already.
        if arguments.do == "check" or caller.goes_on_with == name:
            return await self._checked(name, caller)
        if arguments.do == "secret":
            return await self._secret(arguments, caller)
        if arguments.do == "authorize":
            made = await self._connections.authorize(actor, name)
        else:
            document: dict[str, Any] = {"name": name, "kind": arguments.kind, "settings": arguments.settings}
            if arguments.credential is not None:
                document["credential"] = arguments.credential
            made = await self._connections.connect(actor, document, may_wait_for_secret=True)
        if made.authorization_url is not None:
            message = f"Allow Jobsprint to use {name}, in your browser."
            page = Elicitation(key=f"connect {name}", message=message, form=_EMPTY_FORM, url=made.authorization_url)
            await caller.ask([page], about=name)
        return await self._answered(made, caller)

    async def _checked(self, name: str, caller: Caller) -> Answer:
        """How the connection does; where there is none of this name, whether there is such a credential."""
        try:
            return await self._answered(await self._connections.check(caller.actor, name), caller)
        except ConnectionNotFoundError as missing:
            try:
                stored = await self._credentials.get(caller.actor, name)
            except CredentialNotFoundError:
                if caller.goes_on_with != name:
                    raise missing from None
                how = f"When the user has entered it, connect_integration with do: check and name: {name} says so."
                return Answer({"name": name, "status": "missing", "next": how})
        at = utc_text(stored.updated_at)
        return Answer({"name": name, "status": "stored", "kind": stored.kind, **stored.details, "updated_at": at})

    async def _answered(self, made: Connected, caller: Caller) -> Answer:
        """The connection; where it needs a secret, with the link."""
        content = _connected(made)
        problem, name = made.problem, made.connection.name
        if problem is None or problem.outbound_code != "connection_unauthorized":
            return Answer(content)
        url = await self._links.url(caller.actor, SecretNeed(name, is_connection=True))
        if url is None:
            return Answer({**content, "next": f"connect_integration with do: authorize and name: {name}."})
        return await self._with_page(content, url, name, caller)

    async def _secret(self, arguments: ConnectIntegration, caller: Caller) -> Answer:
        """The link where a person enters a secret, for a connection or, where there is none of the name, a
        credential."""
        actor, name = caller.actor, arguments.name
        names = {each.name for each in await self._connections.all(actor)}
        kind, hosts = arguments.settings.get("kind"), arguments.settings.get("allowed_hosts")
        need = SecretNeed(
            name,
            is_connection=name in names,
            kind=kind if isinstance(kind, str) else None,
            hosts=tuple(each for each in hosts if isinstance(each, str))[:20] if isinstance(hosts, list) else (),
        )
        if NAME.fullmatch(name) is None:
            raise InvalidArgumentsError(
                f"{name!r:.100} names no credential.", pointer="/name", fix=f"A name has the form {NAME.pattern}."
            )
        url = await self._links.url(actor, need)
        if url is None:
            raise InvalidArgumentsError(
                "There is no page to enter this secret on: it is there by consent, or no browser reaches the server.",
                pointer="/do",
                fix=f"For a connection by consent: connect_integration with do: authorize and name: {name}. Else have "
                "the user serve over HTTP (jobsprint serve).",
            )
        return await self._with_page({"name": name}, url, name, caller)

    async def _with_page(self, content: dict[str, Any], url: str, name: str, caller: Caller) -> Answer:
        page = Elicitation(
            key=f"secret {name}", message=f"Enter the secret for {name}, in your browser.", form=_EMPTY_FORM, url=url
        )
        await caller.ask([page], about=name)
        how = (
            "Give the user secret_url: there they enter the secret, never here. It is good for an hour and one secret. "
            "Afterwards connect_integration with do: check says whether it is there."
        )
        return Answer({**content, "secret_url": ShownLink(url), "next": how})

    async def _watched(self, call: ActionCall, caller: Caller) -> ActionResult:
        """The result; the other side's reports of progress are passed on to the caller."""
        reports: asyncio.Queue[ActionProgress] = asyncio.Queue()

        async def pass_on() -> None:
            while True:
                report = await reports.get()
                await caller.report_progress(report.progress, report.total, report.message)

        passing_on = asyncio.create_task(pass_on(), name="action-progress")
        try:
            return await self._actions.run(replace(call, on_progress=reports.put_nowait))
        finally:
            passing_on.cancel()
            await asyncio.wait([passing_on])

    async def _kind(self, caller: Caller, action: Action) -> str:
        return (await self._connections.get(caller.actor, action.connection)).kind

    def _note(self, caller: Caller, arguments: RunAction) -> None:
        details: JsonObject = {"connection": arguments.connection, "action": arguments.action}
        self._audit.note(caller.actor, "action.run", f"action:{arguments.connection}/{arguments.action}", details)


_EMPTY_FORM: JsonObject = {"type": "object", "properties": {}}
_NODES = {"zapier": "zapier_action", "mcp": "mcp_tool", "program": "mcp_tool"}


def _node_of(action: Action, kind: str) -> JsonObject:
    """How a workflow does it."""
    node = _NODES.get(kind, "api_action")
    name, given = {"mcp_tool": ("tool", "arguments"), "zapier_action": ("action", "params")}.get(
        node, ("action", "arguments")
    )
    return {"type": node, "parameters": {"connection": action.connection, name: action.name, given: {}}}


def _result_content(result: ActionResult) -> dict[str, Any]:
    content: dict[str, Any] = {"result": result.data, "from_outside": ["result"]}
    if result.is_preview:
        content["is_preview"] = True
    if result.details:
        content["details"] = result.details
    return content


def _connected(made: Connected) -> dict[str, Any]:
    content = connected_content(made)
    if made.authorization_url is not None:
        content["next"] = "When the user has consented there, call connect_integration with do: check."
    return content


async def _asked(question: ActionQuestion, arguments: RunAction, caller: Caller) -> JsonObject:
    """What the person behind the caller answers."""
    source = f"{arguments.connection}/{arguments.action}"
    put = Elicitation(
        key=question.key,
        message=f"{source} asks: {question.message}",
        form=question.schema or _EMPTY_FORM,
        url=question.url,
    )
    answer = (await caller.ask([put])).get(question.key)
    return {"action": "decline"} if answer is None else {"action": "accept", "content": answer}
