"""Sessions and tokens: who is calling, found out before any route sees the request.

Must not know how the session was opened.
"""
