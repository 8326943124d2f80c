"""Credentials and connections: encrypted at rest.

Must not give a secret to anybody but who sends it.
"""
