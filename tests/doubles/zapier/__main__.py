"""Runs the double by hand: ``make zapier-double``. It ends with Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio

from tests.doubles.zapier.server import TOKEN, running_zapier


async def main() -> None:
    """Serve until somebody ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8770)
    parser.add_argument("--actions", type=int, default=50)
    parser.add_argument("--mode", choices=["managed", "agentic"], default="agentic")
    given = parser.parse_args()
    async with running_zapier(port=given.port, actions=given.actions, mode=given.mode) as double:
        print(f"A double of Zapier ({given.mode}, {given.actions} actions): {double.url}")
        print(f"Connection token: {TOKEN}; or OAuth, by a page with Allow and Deny.")
        print(f"What has happened: GET {double.guard.url}/admin; what is to go wrong: POST there, for example")
        print("""  {"traps": ["503", "slow success"]}""")
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        try:
            runner.run(main())
        except KeyboardInterrupt:
            print("Ended.")
