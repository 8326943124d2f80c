"""The embedded authorization server (OAuth 2.1): how MCP clients get their users' consent, and machines their tokens.

Must not: know passwords or make tokens (:mod:`server.auth` does), fetch anything except through the port for it, answer
unauthenticated requests with anything that the standards do not name.
"""
