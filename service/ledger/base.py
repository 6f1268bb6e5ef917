"""What the parts of `SqlLedger` share: transactions, the clock, and questions about many part ids.

Sequence order is commit order, which `parts_after` and `labels_after` rely on: a writer takes the ledger's one write lock
before it takes a sequence and gives it back with the commit, so no smaller sequence can turn up later. PostgreSQL hands out
sequences without such a lock: there every writing transaction must first take one advisory lock of the ledger
(`pg_advisory_xact_lock`, in place of BEGIN IMMEDIATE); a lock per line would not do, as one sequence runs over all lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cache
from itertools import islice
from typing import Any, Self, cast

from sqlalchemy import Column, Connection, Engine, Row, Select, Table, insert, select

from service.ledger.chain import CHAINED, HASH, following
from service.ledger.schema import anchors
from service.ports import Clock

CHUNK = 500
"""Values in one IN list; every database allows as many."""

TICK = 1e-6


AnyRow = Row[*tuple[Any, ...]]


class _Begun:
    """In the place of an engine: every transaction is the one that has begun already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        yield self._connection


class Base:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._reader = engine
        self._writer = engine.execution_options(writing=True)
        self._clock = clock

    def close(self) -> None:
        self._reader.dispose()

    @contextmanager
    def still(self) -> Iterator[tuple[Self, Connection]]:
        """The ledger as of one moment, to be read by one thread while others write on; and the connection that sees it so."""
        with self._reader.begin() as connection:
            unmoved = copy(self)
            unmoved._reader = cast(Engine, _Begun(connection))
            yield unmoved, connection

    def _moment(self, connection: Connection) -> float:
        """When what is written now is recorded, in seconds UTC: this machine's time, and never before what is recorded already.

        Clocks of several machines differ, and clocks are set back; what comes later in the ledger is later nevertheless, so that
        whoever followed it and whoever reads it anew see one order. The write lock is held.
        """
        newest = max((at for at in connection.execute(_newest_moments()).one() if at is not None), default=0.0)
        now = self._clock()
        return now if now >= newest else newest + TICK

    @staticmethod
    def append(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Adds rows of record to a table, each holding on to the one before it, and returns the sequence of the first.

        The one way into the tables of what happened. The write lock is held: sequences are given here, without a gap, and no
        other writer can take the same.
        """
        sequence, row_hash = head(connection, table)
        first, chained = sequence + 1, []
        for sequence, row in enumerate(rows, first):
            link = {**row, "sequence": sequence}
            link[HASH] = row_hash = following(row_hash, table, link)
            chained.append(link)
        if chained:
            connection.execute(insert(table), chained)
        return first


def head(connection: Connection, table: Table) -> tuple[int, str]:
    """Sequence and hash of the newest row that the table has, or had before older rows were removed; 0 and its name before the first."""
    newest, removed = _heads(table)
    row = connection.execute(newest).first() or connection.execute(removed).first()
    return (row[0], row[1]) if row else (0, table.name)


def anchor(connection: Connection, table: Table) -> tuple[int, str] | None:
    """Sequence and hash of the newest row that was removed from the table, if any was."""
    row = connection.execute(_heads(table)[1]).first()
    return (row[0], row[1]) if row else None


@cache
def _heads(table: Table) -> tuple[Select[Any], Select[Any]]:
    """Written once: to put a statement together costs more than to answer it."""
    return (
        select(table.c.sequence, table.c[HASH]).order_by(table.c.sequence.desc()).limit(1),
        select(anchors.c.sequence, anchors.c.hash).where(anchors.c.name == table.name, anchors.c.line == ""),
    )


@cache
def _newest_moments() -> Select[Any]:
    """One column for each table of what happened: when its newest row was recorded."""
    return select(
        *(
            select(table.c.recorded_at).order_by(table.c.sequence.desc()).limit(1).scalar_subquery().label(table.name)
            for table in CHAINED
        )
    )


def rows_of(connection: Connection, query: Select[Any], column: Column[Any], values: Iterable[str]) -> Iterator[AnyRow]:
    """The rows of a query whose column has one of the values, asked for in chunks."""
    rest = iter(dict.fromkeys(values))
    while chunk := list(islice(rest, CHUNK)):
        yield from connection.execute(query.where(column.in_(chunk)))
