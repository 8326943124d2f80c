"""Definitions as values: their form, graph, checks, differences and operations.

Must not import anything of the engine.
"""
