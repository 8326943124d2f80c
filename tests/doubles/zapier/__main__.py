"""Runs the double by hand: ``make zapier-double``. It ends with Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio

from tests.doubles.authorization_server import AuthorizationServer
from tests.doubles.zapier import TOKEN, running_zapier
from tests.doubles.zapier.server import PATH


async def main() -> None:
    """Serve until somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8770, help="0 for any free one")
    parser.add_argument("--actions", type=int, default=50)
    parser.add_argument("--mode", choices=["managed", "agentic"], default="agentic")
    parser.add_argument("--token-seconds", type=int, default=3600, help="how long access tokens are good")
    given = parser.parse_args()
    guard = AuthorizationServer(path=PATH, expires_in=given.token_seconds)
    async with running_zapier(port=given.port, actions=given.actions, mode=given.mode, guard=guard) as double:
        print(f"A double of Zapier ({given.mode}, {given.actions} actions): {double.url}")
        print(f"Connection token: {TOKEN}; or OAuth, by a page with Allow and Deny.")
        print(f"What has happened: GET {guard.url}/admin. What is to go wrong: POST there, for example")
        print("""  {"traps": ["503", "slow success"], "traps_of": {"gmail_send_email": ["preview"]}}""")
        print(
            """  {"expire": true} ends access tokens, {"tokens": []} connection tokens, {"tasks_left": 0} the quota"""
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        try:
            runner.run(main())
        except KeyboardInterrupt:
            print("Ended.")
