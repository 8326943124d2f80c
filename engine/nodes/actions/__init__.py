"""Nodes that have an action of a connection done: Zapier, MCP servers, described APIs.

Must not name a vendor's protocol: actions go through the port in ``workflow/actions.py``.
"""
