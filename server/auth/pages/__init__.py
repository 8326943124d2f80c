"""Pages on which people log in, register and log out, and the cookie that names their session.

Must not need scripts.
"""
