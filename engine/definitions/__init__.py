"""Definitions on their way to be run: authored, checked, compiled to plans, published.

Must not run anything.
"""
