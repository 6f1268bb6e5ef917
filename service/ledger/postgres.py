"""How a ledger in a PostgreSQL database is opened, begun and what its faults mean.

One transaction writes at a time, behind one advisory lock: sequences are commit order, as `base.py` asks. It reads committed
rows, so it sees what every earlier writer has done; readers see one moment (REPEATABLE READ) and wait for nobody. What was
committed survives power loss, whatever the server's default is (synchronous_commit).
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, String, create_engine, event

from service.errors import InvalidInput, LedgerUnavailable
from service.ledger.chain import CHAINED
from service.ledger.guards import guard
from service.ledger.schema import Word, metadata
from service.ledger.sqlite import LOCK_SECONDS
from service.urls import hides

CONNECT_SECONDS = 10
WRITING = 0x7265_6472_6162_6269  # "redrabbi"
"""The advisory lock that a transaction takes before it writes. Advisory locks are the database's own: two ledgers share none."""

PAUSE_MS = 10_000
"""So long may a process that holds the lock say nothing: one that was stopped must not hold all others up."""

SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": f"{LOCK_SECONDS:g}s",
    "tcp_keepalives_idle": "10",  # a worker whose machine lost power must not hold the lock for hours
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


CONNECTION = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "redrabbit",
    "keepalives_idle": 10,  # nor may a worker wait for hours for a server whose machine lost power
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def without_password(url: URL) -> str:
    """The URL as it may be shown: no password before the host, no secret among the options."""
    secret = [name for name in url.query if hides(name)]
    return url.difference_update_query(secret).render_as_string(hide_password=True)


def open_server(url: URL, read_only: bool) -> Engine:
    """An engine over the database that the URL names; connects with the first transaction."""
    shown = without_password(url)
    if not url.database:
        raise InvalidInput(f"ledger {shown}: expected a database, as in postgresql://USER@HOST/DATABASE")
    try:
        import psycopg
    except ImportError as error:
        raise InvalidInput(f"ledger {shown}: needs the extra `postgres`: pip install 'redrabbit[postgres]'") from error
    outside = (
        psycopg.OperationalError,  # unreachable, gone, full, in recovery, told to stop, no such database, wrong password
        psycopg.InterfaceError,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.IdleInTransactionSessionTimeout,
    )
    settings = SETTINGS | {"default_transaction_read_only": "on"} if read_only else SETTINGS
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        max_overflow=-1,  # each thread finds or makes a connection, none waits for another's
        json_serializer=_compact,
        connect_args={
            **CONNECTION,
            "options": f"{url.query.get('options', '')} {options}".strip(),
        },
    )
    event.listen(engine, "begin", _begin)

    @event.listens_for(engine, "handle_error")
    def fault(context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, outside):
            raise LedgerUnavailable(f"{shown}: {_line(error)}") from error
        if isinstance(error, psycopg.DataError):
            raise InvalidInput(f"{shown}: a value that no row can have: {_line(error)}") from error

    return engine


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _line(error: BaseException) -> str:
    """What libpq says, which goes on for lines."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    if connection.get_execution_options().get("writing"):
        connection.exec_driver_sql(
            f"SELECT set_config('idle_in_transaction_session_timeout', '{PAUSE_MS}', true), pg_advisory_xact_lock({WRITING})"
        )
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def create(connection: Connection) -> None:
    """All tables of this version in an empty database. Raises InvalidInput for one whose encoding is not UTF-8."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise InvalidInput(
            f"a database in {encoding}; expected one in UTF8, as by createdb --encoding=UTF8 --template=template0"
        )
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        # Text is compared and sorted by its bytes, as the queries take it, whatever the database's language is.
        texts = [column.name for column in table.c if isinstance(column.type, String | Word)]
        if texts:
            changes = ", ".join(f'ALTER COLUMN "{name}" TYPE VARCHAR COLLATE "C"' for name in texts)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} {changes}")
    for table in CHAINED:
        for action in ("UPDATE", "DELETE"):
            guard(connection, table.name, action)
