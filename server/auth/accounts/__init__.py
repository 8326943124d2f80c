"""Accounts with a password: made, logged in to, protected against guessing.

Must not know how a browser or a program carries the session.
"""
