"""The edges and the composition root: settings, app assembly, MCP endpoint, REST, webhooks, CLI.

Must not: hold business rules. It is the only room that sees all the others.
"""
