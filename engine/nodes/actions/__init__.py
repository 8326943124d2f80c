"""Nodes that run an action of a connection: Zapier, MCP servers, described APIs.

Must not name a vendor's protocol: actions run through the port in ``workflow/actions.py``.
"""
