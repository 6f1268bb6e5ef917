"""The triggers that refuse to change or delete rows of record, and how a migration or `prune` gets past them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text


@contextmanager
def lifted(connection: Connection, table: str, action: str) -> Iterator[None]:
    """Within this transaction, UPDATE or DELETE of a table is let through. DDL is transactional: nobody else ever sees the
    ledger without its trigger, nor does it stay without when the transaction fails."""
    name = f"{table}_no_{action.lower()}"
    connection.execute(text(f"DROP TRIGGER {name}"))
    yield
    guard(connection, table, action)


def guard(connection: Connection, table: str, action: str) -> None:
    """Has the database refuse UPDATE or DELETE of a table."""
    connection.execute(
        text(
            f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
        )
    )
