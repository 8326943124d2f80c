"""API keys, and answers that show a secret once.

Must not keep a key: only its hash is stored.
"""
