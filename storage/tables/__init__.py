"""The tables, one module per subject. An empty database gets them as they are; migrations bring older ones there.

Must not hold queries.
"""
