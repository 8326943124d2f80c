"""The token endpoint of an OAuth 2 authorization server (RFC 6749): asked, and its answer read."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

import orjson

from integrations.scrubbing import Scrubber
from workflow.errors import OutboundError
from workflow.ports import HttpClient, HttpRequest, HttpResponse

USUAL_SECONDS = 300
"""How long a token without a stated lifetime is kept. One that ends sooner is replaced when it is refused."""
LONGEST_SECONDS = 30 * 86_400

_ERROR = re.compile(r"[a-z_]{1,60}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(slots=True, frozen=True, kw_only=True)
class TokenClient:
    """Us, as the authorization server knows us. ``authentication`` says how the secret is sent: in a header (basic),
    in the form (body), or that there is none."""

    id: str
    secret: str | None = field(default=None, repr=False)
    authentication: Literal["none", "basic", "body"] = "none"

    def sign(self, fields: dict[str, str], headers: dict[str, str]) -> None:
        """Add who we are to a form, or to its headers."""
        if self.secret is not None and self.authentication == "basic":
            # RFC 6749, 2.3.1: both parts are encoded like form fields first.
            pair = f"{quote_plus(self.id)}:{quote_plus(self.secret)}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            return
        fields["client_id"] = self.id
        if self.secret is not None and self.authentication == "body":
            fields["client_secret"] = self.secret


async def post_form(
    http: HttpClient,
    url: str,
    client: TokenClient,
    fields: Mapping[str, str],
    *,
    timeout_seconds: float,
    never_shown: Sequence[str],
) -> HttpResponse:
    """The answer to a form that ``client`` sends.

    Raises:
        OutboundError: there is none; nothing of ``never_shown`` is in it.
    """
    content = dict(fields)
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    client.sign(content, headers)
    request = HttpRequest(
        method="POST",
        url=url,
        headers=headers,
        body=urlencode(content).encode(),
        timeout_seconds=timeout_seconds,
        follow_redirects=False,
    )
    try:
        return await http.send(request)
    except OutboundError as error:
        raise Scrubber(never_shown).in_error(error) from None


def error_in(answer: HttpResponse) -> str:
    """OAuth's code of what is wrong, or nothing. What else a token endpoint says is not shown: it may hold anything."""
    error = json_in(answer).get("error")
    return error if isinstance(error, str) and _ERROR.fullmatch(error) else ""


def json_in(answer: HttpResponse) -> dict[str, Any]:
    """The object that an answer is; an empty one where it is none."""
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def token_in(answer: HttpResponse, *, url: str, what: str) -> dict[str, Any]:
    """The answer, which has an access token. ``what`` says for what, in the error.

    Raises:
        OutboundError: it has none, code ``token_refused``.
    """
    content, why = json_in(answer), ""
    token, kind = content.get("access_token"), content.get("token_type", "bearer")
    if answer.status != 200:
        why = f"answered {answer.status} {error_in(answer)}".rstrip()
    elif not isinstance(token, str) or not _TOKEN.fullmatch(token):
        why = "answered without an access token"
    elif not isinstance(kind, str) or kind.lower() != "bearer":
        why = "gave a token that is not a bearer token"
    if not why:
        return content
    raise OutboundError(
        f"No access token for {what}: {urlsplit(url).hostname} {why}.",
        code="token_refused",
        transient=answer.status >= 500 or answer.status in (408, 429),
        fix="See whether the client and its grant are still good there; then replace the credential.",
    )


def seconds_in(given: Any) -> float:
    """For how long a token is good, by its ``expires_in``."""
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        return USUAL_SECONDS
    return min(seconds, LONGEST_SECONDS) if seconds > 0 else USUAL_SECONDS
