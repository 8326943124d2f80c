"""Workflows, their versions, and what is published of them.

Must not check definitions.
"""
