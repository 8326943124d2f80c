"""Nodes that ask a model, and what they share.

Must not name a provider: models go through the port in ``workflow/chat.py``.
"""
