"""The embedded authorization server (OAuth 2.1): how MCP clients get their users' leave, and machines their own.

Must not: know passwords or make tokens (:mod:`server.auth` does), fetch anything but through the port for it, answer
strangers with anything but what the standards name.
"""
