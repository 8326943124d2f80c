"""The checks that every request passes before authentication.

Must not know routes or users.
"""
