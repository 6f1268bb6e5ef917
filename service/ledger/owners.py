"""One owner for each line among all processes on a ledger: what must be done once for a line is done by him alone.

A line is owned from the first question until `close`, or until the process dies: then whoever asks next owns it. Over PostgreSQL by an
advisory lock of a session, beside a file by a lock on one of its neighbours, which the kernel gives back with the process.
"""

from __future__ import annotations

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from service.errors import LedgerUnavailable

_ASK = text("SELECT pg_try_advisory_lock(:key)")
_STILL = text("SELECT 1")


class ServerOwners:
    """Fulfils ports.Owners, by a connection of its own. Any thread may ask."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._session: Connection | None = None
        self._mine: set[str] = set()

    def owns(self, line: str) -> bool:
        """Raises LedgerUnavailable; then nothing is owned any more."""
        with self._lock:
            try:
                if self._session is None:
                    self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                if line in self._mine:
                    self._session.execute(_STILL)
                elif self._session.execute(_ASK, {"key": _number(line)}).scalar_one():
                    self._mine.add(line)
            except (LedgerUnavailable, SQLAlchemyError):
                self._let_go()
                raise
            return line in self._mine

    def close(self) -> None:
        with self._lock:
            self._let_go()
        self._engine.dispose()

    def _let_go(self) -> None:
        """The session ends with its connection, which must not go back into the pool with its locks."""
        self._mine.clear()
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
            self._session = None


class FileOwners:
    """Fulfils ports.Owners, beside the file of a ledger."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._mine: dict[str, int] = {}

    def owns(self, line: str) -> bool:
        """Raises LedgerUnavailable."""
        with self._lock:
            if line not in self._mine:
                file = self._ledger.with_name(f"{self._ledger.name}.owner-{_digest(line)[:16]}")
                try:
                    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
                except OSError as error:
                    raise LedgerUnavailable(f"{file}: {error.strerror}") from error
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(descriptor)
                    return False
                self._mine[line] = descriptor
            return True

    def close(self) -> None:
        with self._lock:
            for descriptor in self._mine.values():
                os.close(descriptor)
            self._mine.clear()


def _digest(line: str) -> str:
    return sha256(f"owner of {line}".encode()).hexdigest()


def _number(line: str) -> int:
    """A key of an advisory lock: 64 bits with a sign."""
    return int.from_bytes(bytes.fromhex(_digest(line)[:16]), signed=True)
