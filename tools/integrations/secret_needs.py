"""Answers that say that a secret is missing, with the link to the page where a person enters it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from json import dumps
from typing import Any
from urllib.parse import urlsplit

from engine.definitions.authoring import Authoring
from integrations.secret_links import SecretLinks
from tools.protocol.caller import Caller
from tools.protocol.tool import Answer, Pending, Tool
from workflow.credential_forms import NAME
from workflow.credentials import CredentialList
from workflow.definitions.definition import NodeDefinition
from workflow.errors import JobsprintError, WorkflowNotFoundError
from workflow.identity import Actor
from workflow.redaction import ShownLink
from workflow.secret_links import SecretNeed

CODES = frozenset({"credential_not_found", "connection_unauthorized", "token_refused"})
"""Codes of failed runs that a secret mends; beside them a request with a credential that was answered with 401."""
UNAUTHORIZED = " answered 401"


class SecretNeeds:
    """Puts links into failures that carry a :class:`workflow.secret_links.SecretNeed`, and into answers about
    executions that have failed for want of a secret."""

    def __init__(
        self, *, links: SecretLinks, authoring: Authoring, known: CredentialList, webhook_secrets: Collection[str]
    ) -> None:
        self._links = links
        self._authoring = authoring
        self._known = known
        self._webhook_secrets = webhook_secrets

    def offered(self, tool: Tool[Any]) -> Tool[Any]:
        """The tool, whose answers have the links."""

        async def handler(arguments: Any, caller: Caller) -> Answer | Pending:
            try:
                answer = await tool.handler(arguments, caller)
            except JobsprintError as error:
                if error.secret_need is not None and error.secret_url is None:
                    error.secret_url = await self._url(caller.actor, error.secret_need)
                raise
            return answer if isinstance(answer, Pending) else await self._with_link(answer, caller.actor)

        return replace(tool, handler=handler)

    async def _with_link(self, answer: Answer, actor: Actor) -> Answer:
        """The answer, also that of a workflow that was made and run at once, with the link where the run wants one."""
        run = answer.content.get("run")
        if isinstance(run, Mapping):
            linked = await self._linked(run, answer.content, actor)
            return answer if linked is run else replace(answer, content={**answer.content, "run": linked})
        linked = await self._linked(await self._unsigned(answer.content, actor), answer.content, actor)
        return answer if linked is answer.content else replace(answer, content=dict(linked))

    async def _unsigned(self, content: Mapping[str, Any], actor: Actor) -> Mapping[str, Any]:
        """What is said of a workflow that was published: a webhook whose secret nobody knows refuses every request."""
        if content.get("status") != "published" or "version" not in content:
            return content
        stored = await self._authoring.workflows.get(actor.workspace_id, content["workflow_id"], content["version"])
        names = list(filter(None, (_webhook_secret(each) for each in stored.definition.nodes.values())))
        if all(each in self._webhook_secrets for each in names):
            return content
        known = {*self._webhook_secrets, *(each.name for each in await self._known.of_workspace(actor.workspace_id))}
        missing = next((each for each in names if each not in known), None)
        url = None if missing is None else await self._url(actor, SecretNeed(missing, kind="signature"))
        if url is None:
            return content
        then = (
            f"Nobody knows the webhook's secret {missing} yet, so every request is refused. Give the user secret_url: "
            "there they enter it, not here."
        )
        return {**content, "secret_url": ShownLink(url), "next": then}

    async def _linked(self, content: Mapping[str, Any], ids: Mapping[str, Any], actor: Actor) -> Mapping[str, Any]:
        """What is said of a run of the workflow that ``ids`` name."""
        error = content.get("error")
        if not isinstance(error, Mapping) or not _wants_secret(error):
            return content
        need = await self._need_of_run(ids, error, actor)
        url = None if need is None else await self._url(actor, need)
        if url is None:
            return content
        call = {"execution_id": content.get("execution_id"), "action": "retry"}
        then = f"Give the user secret_url: there they enter the secret, not here. Then control_execution {dumps(call)}"
        return {**content, "secret_url": ShownLink(url), "next": then}

    async def _need_of_run(self, ids: Mapping[str, Any], error: Mapping[str, Any], actor: Actor) -> SecretNeed | None:
        """What the failed node names."""
        workflow_id, version, name = ids.get("workflow_id"), ids.get("version"), error.get("node")
        if not isinstance(workflow_id, str) or not isinstance(version, int) or not isinstance(name, str):
            return None
        try:
            stored = await self._authoring.workflows.get(actor.workspace_id, workflow_id, version)
        except WorkflowNotFoundError:
            return None
        node = stored.definition.nodes.get(name)
        if node is None:
            return None
        connection, credential = node.parameters.get("connection"), node.parameters.get("credential")
        if isinstance(connection, str):
            return SecretNeed(connection, is_connection=True)
        host = urlsplit(str(node.parameters.get("url"))).netloc
        hosts = (host,) if host and "{" not in host and "@" not in host else ()
        return SecretNeed(credential, hosts=hosts) if isinstance(credential, str) else None

    async def _url(self, actor: Actor, need: SecretNeed) -> str | None:
        try:
            return await self._links.url(actor, need)
        except JobsprintError:
            return None  # there is nothing that the link would be for; what is being answered says more


def _wants_secret(error: Mapping[str, Any]) -> bool:
    message = str(error.get("message"))
    return error.get("code") in CODES or (error.get("code") == "http_status" and UNAUTHORIZED in message)


def _webhook_secret(node: NodeDefinition) -> str | None:
    """The name of the secret that the trigger's requests are signed with."""
    signature = node.parameters.get("signature") if node.type == "webhook" else None
    secret = signature.get("secret") if isinstance(signature, Mapping) else None
    return secret if isinstance(secret, str) and NAME.fullmatch(secret) else None
