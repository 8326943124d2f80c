"""Puts together the outside identity providers that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.routing import Route

from server.auth.outside.access_tokens import OutsideTokens
from server.auth.outside.issuer import Issuer
from server.auth.outside.oidc import OidcSignIn
from server.auth.outside.puter import Puter, app_of
from server.auth.outside.routes import CALLBACK_PATH, START_PATH, OidcRoutes, PuterRoutes
from server.auth.outside.vouching import VouchedUsers
from server.auth.pages.routes import SignInOption
from server.auth.routes import AuthApi
from server.auth.services import AuthServices
from server.http.access import TokenVerifier
from server.settings.secret_key import derived_key
from server.settings.settings import BadSettingsError, Settings
from workflow.ports import Clock, HttpClient


@dataclass(slots=True, frozen=True, kw_only=True)
class Outside:
    """What the settings turn on: verifiers of tokens, links for the login page, and routes."""

    verifiers: Sequence[TokenVerifier]
    options: tuple[SignInOption, ...]
    api: AuthApi
    routes: Sequence[Route]


def ways_in(settings: Settings, auth: AuthServices, *, secret: bytes, http: HttpClient, clock: Clock) -> Outside:
    """All of them; nothing is fetched yet.

    Raises:
        BadSettingsError: a setting that another one needs is missing.
    """
    users = VouchedUsers(accounts=auth.accounts, first_run=auth.first_run)
    oidc = _oidc(settings, auth, users, secret=secret, http=http, clock=clock)
    options = () if oidc is None else (SignInOption(label=f"Sign in with {oidc.name}", path=START_PATH),)
    api = auth.api(options=options)
    routes = [] if oidc is None else [*oidc.routes()]
    if settings.puter_sign_in:
        puter = Puter(
            api_origin=settings.puter_api_origin, app=settings.puter_app or app_of(settings.base_url), http=http
        )
        routes += PuterRoutes(puter=puter, users=users, api=api, pages=auth.pages).routes()
    return Outside(
        verifiers=_tokens(settings, auth, users, http=http, clock=clock), options=options, api=api, routes=routes
    )


def _tokens(
    settings: Settings, auth: AuthServices, users: VouchedUsers, *, http: HttpClient, clock: Clock
) -> Sequence[TokenVerifier]:
    if settings.oauth_issuer is None:
        return []
    return [
        OutsideTokens(
            issuer=Issuer(settings.oauth_issuer, http=http, clock=clock),
            audience=settings.oauth_audience or f"{settings.base_url}/mcp",
            scope_prefix=settings.oauth_scope_prefix,
            users=users,
            logins=auth.logins,
            standing=auth.users,
            may_register=settings.issuer_registration,
        )
    ]


def _oidc(
    settings: Settings, auth: AuthServices, users: VouchedUsers, *, secret: bytes, http: HttpClient, clock: Clock
) -> OidcRoutes | None:
    if settings.oidc_issuer is None:
        return None
    if settings.oidc_client_id is None:
        raise BadSettingsError(
            "JOBSPRINT_OIDC_ISSUER is set, and JOBSPRINT_OIDC_CLIENT_ID is not.",
            fix="Register this server with the issuer, and set the client id that it gives.",
        )
    client_secret = settings.oidc_client_secret
    return OidcRoutes(
        sign_in=OidcSignIn(
            issuer=Issuer(settings.oidc_issuer, http=http, clock=clock),
            client_id=settings.oidc_client_id,
            client_secret=None if client_secret is None else client_secret.get_secret_value(),
            redirect_uri=settings.base_url + CALLBACK_PATH,
            key=derived_key(secret, "oidc-sign-in"),
        ),
        name=settings.oidc_name or urlsplit(settings.oidc_issuer).netloc,
        users=users,
        pages=auth.pages,
        may_register=settings.issuer_registration,
        is_secure=settings.base_url.startswith("https:"),
    )
