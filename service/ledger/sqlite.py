"""How a ledger in one SQLite file is opened, begun and what its faults mean.

WAL: readers never wait for a writer, nor a writer for them. synchronous FULL: a commit that returned has been synced, so it
survives power loss. A transaction that writes takes the write lock at its start (BEGIN IMMEDIATE): it never fails half-way
for want of it, and it sees what every earlier writer committed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from random import uniform
from threading import Event
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, ExceptionContext, QueuePool, create_engine, event

from service.errors import InvalidInput, LedgerUnavailable

LOCK_SECONDS = 30.0
AGAIN_AFTER = 0.001, 0.02
"""Seconds between two looks at the write lock, at first and at most. SQLite's own are up to 0.1 s apart, so that of many writers some wait
for a second; many writers that look every millisecond would do little else."""

_NEVER = Event()
"""Waited for in place of time.sleep, which fails under the faked clock of tests/faults."""

WAL_BYTES = 64 * 1024 * 1024

_OUTSIDE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}
"""What the disk, the operating system or another process did. Every other code is a bug of ours and stays what it is."""


class Damaged(LedgerUnavailable):
    """The database is not what SQLite has written: cut short, or overwritten."""


class NotYet(InvalidInput):
    """There is no ledger of this version to read yet: whoever may write it has to be started first. Wait or give up."""


def open_file(url: URL, read_only: bool) -> Engine:
    """An engine over the file that the URL names; the file itself is touched with the first connection."""
    if not url.database or url.database == ":memory:" or url.query:
        raise InvalidInput(f"{url}: expected the path of a file, as in sqlite:///ledger.db")
    path = Path(url.database).absolute()
    _must_be_openable(path, read_only)
    mode = "ro" if read_only else "rwc"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=LOCK_SECONDS,
            isolation_level=None,  # transactions begin where `_begin` says, never behind our back
            check_same_thread=False,
        )

    # pool_size 0: each thread finds or makes a connection, none waits for another's, and all are kept for the next time.
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=0, json_serializer=_compact)
    event.listen(engine, "connect", _read_settings if read_only else _write_settings)
    event.listen(engine, "begin", _begin)

    @event.listens_for(engine, "handle_error")
    def fault(context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUTSIDE:
            damaged = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                # Opened while the disk was read-only, it stays so for good, whatever the disk is by now.
                context.is_disconnect = context.invalidate_pool_on_disconnect = True
            raise (Damaged if damaged else LedgerUnavailable)(f"{path}: {error}") from error

    return engine


def _must_be_openable(path: Path, read_only: bool) -> None:
    if path.is_dir():
        raise InvalidInput(f"ledger {path}: a folder; expected a ledger or no file")
    if not read_only:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"ledger {path}: the folder cannot be made: {error.strerror}") from error
    elif not path.exists():
        above = next(folder for folder in path.parents if folder.exists())
        if not above.is_dir():
            raise InvalidInput(f"{path}: {above} is a file, not a folder")
        raise NotYet(f"{path}: there is no ledger yet; the worker or the station creates it")
    if path.exists():
        _must_be_whole_pages(path)


def _must_be_whole_pages(path: Path) -> None:
    """SQLite sees that pages are missing, and not that the last one is cut off. What is in the log yet will mend that."""
    log = path.with_name(f"{path.name}-wal")
    try:
        with path.open("rb") as file:
            begins = file.read(18)
        size, page = path.stat().st_size, int.from_bytes(begins[16:], "big")
        cut = begins.startswith(b"SQLite format 3\0") and size % (65536 if page == 1 else page or 1)
        if cut and not (log.exists() and log.stat().st_size):
            raise Damaged(f"{path}: ends in the middle of a page, after {size} bytes; restore a back-up of it")
    except OSError as error:
        raise LedgerUnavailable(f"{path}: {error.strerror}") from error


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _read_settings(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")


def _write_settings(connection: sqlite3.Connection, _: object) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LedgerUnavailable(
            f"SQLite cannot keep a WAL here (journal mode {mode}); expected a folder on a local disk"
        )
    for setting in ("synchronous = FULL", "foreign_keys = ON", f"journal_size_limit = {WAL_BYTES}"):
        connection.execute(f"PRAGMA {setting}")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("writing"):
        connection.exec_driver_sql("BEGIN")
        return
    file = cast(sqlite3.Connection, connection.connection.dbapi_connection)
    deadline = time.monotonic() + LOCK_SECONDS
    pause, most = AGAIN_AFTER
    file.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < deadline:
            try:
                file.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            _NEVER.wait(uniform(0.5, 1.5) * pause)
            pause = min(2 * pause, most)
    finally:
        file.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000:.0f}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")  # says what is wrong as every other statement does
