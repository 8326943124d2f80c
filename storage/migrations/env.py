"""Alembic's entry: it runs on the connection that :func:`storage.migrations.runner.migrate` gives it."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
