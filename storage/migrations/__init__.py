"""Schema versions and how to reach the newest: Alembic, run when the server starts.

Must not: read ``storage.tables`` in a migration. A released migration is never changed, whatever the tables become.
"""
