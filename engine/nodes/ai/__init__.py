"""Nodes that ask a model, and what they share.

Must not name a provider: models are reached through the port in ``workflow/chat.py``.
"""
