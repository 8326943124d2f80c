"""Circuit breakers around outgoing HTTP, one per workspace and target: a target that keeps failing is left alone for a
while by the workspace whose requests fail. What fails for one may work for another, who sends other things."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from workflow.breaker import Breakers, BreakerState
from workflow.errors import OutboundError
from workflow.ports import HttpClient, HttpRequest, HttpResponse
from workflow.retry import is_transient


class BreakerHttpClient:
    """An :class:`~workflow.ports.HttpClient` that asks the target's breaker before it sends.

    ``monotonic`` gives seconds that never go back.
    """

    def __init__(self, inner: HttpClient, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._inner = inner
        self._monotonic = monotonic
        self._breakers = Breakers()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send; see the port.

        Raises:
            OutboundError: also with the code ``circuit_open``, where the target has failed too often.
        """
        target = request.owner, target_of(request.url)
        wait_seconds = self._breakers.before_call(target, self._monotonic())
        if wait_seconds is not None:
            raise OutboundError(
                f"{target[1]} has failed too often; it is left alone for another {wait_seconds:.0f} s.",
                code="circuit_open",
                transient=True,
                fix="See what is wrong with it; calls go through again by themselves when it has recovered.",
                retry_after_seconds=wait_seconds,
            )
        try:
            response = await self._inner.send(request)
        except asyncio.CancelledError:
            self._breakers.after_cancel(target)
            raise
        except OutboundError as error:
            if error.transient:
                self._breakers.after_failure(target, self._monotonic())
            else:
                self._breakers.after_cancel(target)
            raise
        if is_transient(response.status) and response.status != RATE_LIMITED:
            self._breakers.after_failure(target, self._monotonic())
        else:
            self._breakers.after_success(target)
        return response

    def state(self, url: str, *, owner: str = "") -> BreakerState:
        """The state of the breaker of a URL's target, for requests of the workspace ``owner``."""
        return self._breakers.state((owner, target_of(url)))


RATE_LIMITED = 429
"""Asks for patience and shows that the target works: it does not open the breaker."""


def target_of(url: str) -> str:
    """What a breaker stands for, in one workspace: scheme, host and port."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # the client that sends it says what is wrong with it
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
