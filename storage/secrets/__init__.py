"""Credentials and connections: encrypted at rest.

Must not give a secret to any code but the one that sends it.
"""
