"""JSON documents and JSON Schemas that users bring along, within bounds.

Must not fetch what a schema refers to.
"""
