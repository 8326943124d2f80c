"""Users, workspaces, sessions, keys, OAuth and the audit log.

Must not decide who may do what.
"""
