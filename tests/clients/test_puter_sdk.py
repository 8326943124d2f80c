"""Puter's own SDK finds in the double of its API what it expects, so that what the double taught us is true."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.auth.outside.puter import app_of
from tests.clients.conftest import Row
from tests.doubles.puter import PuterDouble, PuterUser, answering
from tests.support.foreign import NPM_PACKAGES, CannotInstallError, node_command
from tests.support.services import go_without

DRIVER = Path(__file__).with_name("drivers") / "puter_sdk.cjs"
SITE = "https://jobsprint.example"


async def seen_by_the_sdk(double: PuterDouble, token: str) -> dict[str, Any]:
    """What the SDK makes of a token."""
    process = await asyncio.create_subprocess_exec(
        *node_command(DRIVER), double.url, token, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert output, errors.decode()
    seen: dict[str, Any] = json.loads(output)
    return seen


@pytest.mark.anyio
async def test_puters_sdk_takes_the_double_for_puter(rows: list[Row]) -> None:
    try:
        node_command(DRIVER)
    except CannotInstallError as error:
        go_without(f"Puter's SDK was not tried: {error}")
    user = PuterUser()
    async with answering(PuterDouble()) as double:
        for token in (double.signed_in(user, SITE), double.in_full(user, SITE)):
            seen = await seen_by_the_sdk(double, token)
            assert (seen["user"]["uuid"], seen["user"]["username"]) == (user.uuid, user.username)
            assert seen["app"] == seen["user"]["app_name"] == app_of(SITE)
        assert (await seen_by_the_sdk(double, double.session(user)))["app"] is None
        assert await seen_by_the_sdk(double, double.forged(user, SITE)) == {"status": 401}
    rows.append(("Puter's SDK", NPM_PACKAGES["@heyputer/puter.js"], "HTTP", "whoami", "4", "yes"))
