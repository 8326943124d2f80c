"""Sessions and tokens: authentication of requests before any route sees them.

Must not know how the session was opened.
"""
