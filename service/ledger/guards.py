"""The triggers that refuse to change or delete rows of record, and how a migration or `prune` gets past them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text


@contextmanager
def lifted(connection: Connection, table: str, action: str) -> Iterator[None]:
    """Within this transaction, UPDATE or DELETE of a table is let through. DDL is transactional: nobody else ever sees the
    ledger without its trigger, nor does it stay without when the transaction fails."""
    where = f" ON {table}" if _postgres(connection) else ""
    connection.execute(text(f"DROP TRIGGER {_name(table, action)}{where}"))
    yield
    guard(connection, table, action)


def guard(connection: Connection, table: str, action: str) -> None:
    """Has the database refuse UPDATE or DELETE of a table; a PostgreSQL with DELETE its TRUNCATE too."""
    if _postgres(connection):
        actions = f"{action} OR TRUNCATE" if action == "DELETE" else action
        connection.execute(text(_REFUSE))
        connection.execute(
            text(
                f"CREATE TRIGGER {_name(table, action)} BEFORE {actions} ON {table} EXECUTE FUNCTION redrabbit_only_grows()"
            )
        )
    else:
        connection.execute(
            text(
                f"CREATE TRIGGER {_name(table, action)} BEFORE {action} ON {table} BEGIN SELECT RAISE(ABORT, '{table} only grows: no {action}'); END"
            )
        )


_REFUSE = """CREATE OR REPLACE FUNCTION redrabbit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% only grows: no %', TG_TABLE_NAME, TG_OP; END $$"""


def _name(table: str, action: str) -> str:
    return f"{table}_no_{action.lower()}"


def _postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
