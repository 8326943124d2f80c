"""Definitions before they run: stored as versions, checked, compiled, published.

Must not execute anything.
"""
