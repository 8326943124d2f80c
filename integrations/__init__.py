"""Other people's systems: outgoing HTTP today; Zapier, upstream MCP servers and n8n come here too.

Must not: know who calls it (a node, a tool or a route).
"""
