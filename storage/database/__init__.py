"""What every repository stands on: the engine, column types, cursors, text search.

Must not know a table.
"""
