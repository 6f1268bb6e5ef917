"""What the parts of `SqlLedger` share: transactions, the clock, and questions about many part ids.

Sequence order is commit order, which `parts_after` and `labels_after` rely on: a writer takes the ledger's one write lock
before it takes a sequence and gives it back with the commit, so no smaller sequence can turn up later. PostgreSQL hands out
sequences without such a lock: there every writing transaction must first take one advisory lock of the ledger
(`pg_advisory_xact_lock`, in place of BEGIN IMMEDIATE); a lock per line would not do, as one sequence runs over all lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select, Table, insert, select

from service.ledger.chain import HASH, following
from service.ledger.schema import anchors
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

    @staticmethod
    def append(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Adds rows of record to a table, each holding on to the one before it, and returns the sequence of the first.

        The one way into the tables of what happened. The write lock is held: sequences are given here, without a gap, and no
        other writer can take the same.
        """
        sequence, row_hash = head(connection, table)
        first, chained = sequence + 1, []
        for sequence, row in enumerate(rows, first):
            numbered = {"sequence": sequence, **row}
            row_hash = following(row_hash, table, numbered)
            chained.append({**numbered, HASH: row_hash})
        if chained:
            connection.execute(insert(table), chained)
        return first


def head(connection: Connection, table: Table) -> tuple[int, str]:
    """Sequence and hash of the newest row that the table has, or had before older rows were removed; 0 and its name before the first."""
    newest = select(table.c.sequence, table.c[HASH]).order_by(table.c.sequence.desc()).limit(1)
    row = connection.execute(newest).one_or_none() or anchor(connection, table)
    return (row[0], row[1]) if row else (0, table.name)


def anchor(connection: Connection, table: Table) -> tuple[int, str] | None:
    """Sequence and hash of the newest row that was removed from the table, if any was."""
    query = select(anchors.c.sequence, anchors.c[HASH]).where(anchors.c.name == table.name, anchors.c.line == "")
    row = connection.execute(query).one_or_none()
    return (row[0], row[1]) if row else None


def rows_of(connection: Connection, query: Select[Any], column: Column[Any], values: Iterable[str]) -> Iterator[AnyRow]:
    """The rows of a query whose column has one of the values, asked for in chunks."""
    rest = iter(dict.fromkeys(values))
    while chunk := list(islice(rest, CHUNK)):
        yield from connection.execute(query.where(column.in_(chunk)))
