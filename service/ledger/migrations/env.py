"""Alembic's entry: runs the migrations in the transaction that the caller has begun and will commit."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], version_table=context.config.attributes["version_table"]
)
context.run_migrations()
