"""The tables, one module per subject. Migrations bring older databases here.

Must not hold queries.
"""
