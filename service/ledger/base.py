"""What the parts of `SqlLedger` share: transactions, the clock, and questions about many part ids.

Sequence order is commit order, which `parts_after` and `labels_after` rely on: a writer takes the ledger's one write lock
before it takes a sequence and gives it back with the commit, so no smaller sequence can turn up later. PostgreSQL hands out
sequences without such a lock: there every writing transaction must first take one advisory lock of the ledger
(`pg_advisory_xact_lock`, in place of BEGIN IMMEDIATE); a lock per line would not do, as one sequence runs over all lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select

from service.ports import Clock

CHUNK = 500
"""Values in one IN list; every database allows as many."""


AnyRow = Row[*tuple[Any, ...]]


class Base:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._reader = engine
        self._writer = engine.execution_options(writing=True)
        self._clock = clock

    def close(self) -> None:
        self._reader.dispose()


def rows_of(connection: Connection, query: Select[Any], column: Column[Any], values: Iterable[str]) -> Iterator[AnyRow]:
    """The rows of a query whose column has one of the values, asked for in chunks."""
    rest = iter(dict.fromkeys(values))
    while chunk := list(islice(rest, CHUNK)):
        yield from connection.execute(query.where(column.in_(chunk)))
