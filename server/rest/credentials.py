"""REST routes for credentials. Their secrets can be written and never read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.credentials import (
    Credentials,
    NewAddressCredential,
    NewBasicCredential,
    NewBearerCredential,
    NewDatabaseCredential,
    NewHeaderCredential,
    NewOAuth2Credential,
)
from server.http.access import GuardedRoute, actor_of
from server.http.json import json_response, optional_json, validated
from tools.protocol.tool import error_content
from workflow.credential_forms import (
    NAME,
    AddressCredential,
    BasicCredential,
    BearerCredential,
    DatabaseCredential,
    HeaderCredential,
    OAuth2Credential,
    SignatureCredential,
)
from workflow.credentials import StoredCredential
from workflow.errors import OutboundError
from workflow.identity import Scope
from workflow.messages import utc_text

READ, WRITE = [Scope.INTEGRATIONS_READ], [Scope.INTEGRATIONS_WRITE]


class NewCredential(RootModel[Any]):
    """Body of ``POST /api/credentials``: its name, its kind, and what the kind asks for."""

    root: Annotated[
        NewHeaderCredential
        | NewBasicCredential
        | NewBearerCredential
        | NewOAuth2Credential
        | NewAddressCredential
        | NewDatabaseCredential,
        Field(discriminator="kind"),
    ]


class CredentialContent(RootModel[Any]):
    """Body of ``PUT /api/credentials/{name}``: its kind, and what the kind asks for."""

    root: Annotated[
        HeaderCredential
        | BasicCredential
        | BearerCredential
        | OAuth2Credential
        | AddressCredential
        | DatabaseCredential
        | SignatureCredential,
        Field(discriminator="kind"),
    ]


class CredentialName(BaseModel):
    """Body of ``PATCH /api/credentials/{name}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=f"^{NAME.pattern}$", description="Its new name.")


@dataclass(slots=True, frozen=True)
class CredentialRoutes:
    """Routes under ``/api/credentials``."""

    credentials: Credentials

    def routes(self) -> list[Route]:
        """Every route; ``server.rest.openapi`` describes the same ones."""
        one = "/api/credentials/{name}"
        return [
            GuardedRoute("/api/credentials", self.list_credentials, methods=["GET"], scopes=READ),
            GuardedRoute("/api/credentials", self.create_credential, methods=["POST"], scopes=WRITE),
            GuardedRoute(one, self.get_credential, methods=["GET"], scopes=READ),
            GuardedRoute(one, self.replace_credential, methods=["PUT"], scopes=WRITE),
            GuardedRoute(one, self.rename_credential, methods=["PATCH"], scopes=WRITE),
            GuardedRoute(one, self.delete_credential, methods=["DELETE"], scopes=WRITE),
            GuardedRoute(f"{one}/check", self.check_credential, methods=["POST"], scopes=WRITE),
        ]

    async def list_credentials(self, request: Request) -> Response:
        """Every credential of the workspace, without its secret."""
        listed = await self.credentials.all(actor_of(request))
        return json_response({"credentials": [credential_content(each) for each in listed]})

    async def create_credential(self, request: Request) -> Response:
        """Keep a new credential: 201 with all of it but the secret."""
        stored = await self.credentials.create(actor_of(request), await optional_json(request))
        return json_response(credential_content(stored), 201, {"location": f"/api/credentials/{stored.name}"})

    async def get_credential(self, request: Request) -> Response:
        """A credential without its secret."""
        return json_response(credential_content(await self.credentials.get(actor_of(request), _name(request))))

    async def replace_credential(self, request: Request) -> Response:
        """Replace it as a whole: who changes its hosts must send the secret again."""
        stored = await self.credentials.replace(actor_of(request), _name(request), await optional_json(request))
        return json_response(credential_content(stored))

    async def rename_credential(self, request: Request) -> Response:
        """Give it another name."""
        body = validated(CredentialName, await optional_json(request))
        return json_response(
            credential_content(await self.credentials.rename(actor_of(request), _name(request), body.name))
        )

    async def delete_credential(self, request: Request) -> Response:
        """204 when it is deleted."""
        await self.credentials.delete(actor_of(request), _name(request))
        return Response(status_code=204)

    async def check_credential(self, request: Request) -> Response:
        """Whether it can be decrypted and, for OAuth 2, gets an access token; nothing else is sent anywhere."""
        error = await self.credentials.check(actor_of(request), _name(request))
        if error is None:
            return json_response({"is_usable": True})
        code = error.outbound_code if isinstance(error, OutboundError) else error.code
        return json_response({"is_usable": False, "error": {**error_content(error), "code": code}})


def credential_content(stored: StoredCredential) -> dict[str, Any]:
    """Everything that is ever shown of a credential."""
    return {
        "name": stored.name,
        "kind": stored.kind,
        **stored.details,
        "created_by": stored.created_by,
        "created_at": utc_text(stored.created_at),
        "updated_at": utc_text(stored.updated_at),
    }


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name
