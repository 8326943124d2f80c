"""Other people's systems: Zapier, MCP servers, described APIs, mail; all outgoing HTTP, and the credentials in it.

Must not: know who calls it (a node, a tool or a route).
"""
