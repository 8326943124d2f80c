"""Workspaces, their members, invitations and audit log, over REST.

Must not decide what a role may do: ``workflow/identity.py`` does.
"""
