"""Requests to identity providers: JSON over HTTP within bounds, and every failure as one error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from workflow.errors import ErrorKind, JobsprintError, OutboundError
from workflow.ports import HttpClient, HttpRequest

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 256 << 10
"""Google's metadata and keys together are 5 KiB."""


log = logging.getLogger(__name__)


class IssuerUnavailableError(JobsprintError):
    """The identity provider cannot be reached, or its answer is not valid."""

    code = "issuer_unavailable"
    kind = ErrorKind.UNAVAILABLE


class Asking:
    """Sends requests to ``whom``, and follows no redirects."""

    def __init__(self, whom: str, *, http: HttpClient) -> None:
        self._whom = whom
        self._http = http

    async def get(self, url: str, *, token: str | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON object at an address; ``token`` goes along as a bearer token.

        Raises:
            IssuerUnavailableError: see :meth:`send`.
        """
        headers = {"accept": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await self.send("GET", url, headers=headers)

    async def object_at(self, url: str, *, token: str | None = None) -> dict[str, Any]:
        """The JSON object at an address.

        Raises:
            IssuerUnavailableError: there is no answer, or it is not a JSON object.
        """
        status, content = await self.get(url, token=token)
        if status != 200:
            raise self.unavailable(f"answered {url} with status {status}")
        return content

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status of the answer to a request, and its JSON object; empty where a refusal has none.

        Raises:
            IssuerUnavailableError: there is no answer, it is too large, or it is not a JSON object.
        """
        request = HttpRequest(
            method=method,
            url=url,
            headers=headers,
            body=body,
            timeout_seconds=TIMEOUT_SECONDS,
            follow_redirects=False,
        )
        try:
            response = await self._http.send(request)
        except OutboundError as error:
            # For the log only: it may name internal addresses.
            log.warning("%s cannot be asked: %s", self._whom, error.message)
            raise self.unavailable("cannot be asked now") from error
        if len(response.body) > MAX_BYTES:
            raise self.unavailable(f"answered {url} with more than {MAX_BYTES} bytes")
        try:
            content = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            content = None
        if isinstance(content, dict):
            return response.status, content
        if response.status != 200:
            return response.status, {}
        raise self.unavailable(f"answered {url} with something that is no JSON object")

    def unavailable(self, what: str) -> IssuerUnavailableError:
        """The error that says what they did."""
        return IssuerUnavailableError(
            f"{self._whom} {what}.",
            fix="Try again later; if it fails again, the server's operator has to check its settings.",
        )
