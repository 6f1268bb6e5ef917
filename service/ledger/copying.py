"""A ledger into another store, row by row as it was recorded; it goes on where it was broken off.

Nothing is written down of how far it got: rows of record are chained, so that what the target has says by itself whether it is the
beginning of the source. The source may be at work: what comes meanwhile is copied last, as of one moment, or by the next run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, insert, select

from service.errors import InvalidInput
from service.ledger.base import anchor, head
from service.ledger.chain import CHAINED, HASH
from service.ledger.schema import anchors, metadata
from service.ledger.verifying import verify

CHUNK = 5_000

PASSING = tuple(table for table in metadata.sorted_tables if table not in CHAINED and table is not anchors)
"""What is true only for a while, and has no history: as it stands at the end."""


def copy(source: Engine, target: Engine) -> Iterator[tuple[str, int]]:
    """Copies, and yields the name of a table and how many of its rows the target has, after each chunk. At the end the target is
    verified row by row, and holds what the source held at that moment.

    Raises InvalidInput for a target that has rows that are not the source's.
    """
    writing = target.execution_options(writing=True)
    with source.begin() as read, writing.begin() as write:
        _begin(read, write)
    for table in CHAINED:
        more = True
        while more:
            more = (
                _some(source, writing, table) == CHUNK
            )  # what has come since is for the end, or this would never be over
            with target.begin() as connection:
                yield table.name, head(connection, table)[0]
    with source.begin() as read:
        for table in CHAINED:
            while _chunk(read, writing, table):
                pass
        with writing.begin() as write:
            for table in PASSING:
                write.execute(delete(table))
                rows = [dict(row) for row in read.execute(select(table)).mappings()]
                if rows:
                    write.execute(insert(table), rows)
        _verify(read, target)


def _begin(read: Connection, write: Connection) -> None:
    """The target is the beginning of the source, or empty; older rows that the source has let go of are not missed."""
    for table in CHAINED:
        sequence, row_hash = head(write, table)
        there = read.execute(select(table.c[HASH]).where(table.c.sequence == sequence)).scalar()
        if sequence and row_hash != there and (sequence, row_hash) != anchor(read, table):
            raise InvalidInput(
                f"{table.name}: row {sequence} of the target is not the source's; expected an empty target, or one that was copied from there"
            )
    known = [tuple(row) for row in read.execute(select(anchors).order_by(anchors.c.name, anchors.c.line))]
    have = [tuple(row) for row in write.execute(select(anchors).order_by(anchors.c.name, anchors.c.line))]
    if have == known:
        return
    if have or any(head(write, table)[0] for table in CHAINED):
        raise InvalidInput("the source was pruned since the copy began; expected an empty target")
    write.execute(insert(anchors), [dict(row) for row in read.execute(select(anchors)).mappings()])


def _some(source: Engine, writing: Engine, table: Table) -> int:
    with source.begin() as read:
        return _chunk(read, writing, table)


def _chunk(read: Connection, writing: Engine, table: Table) -> int:
    """Copies the next rows, all or none; how many there were."""
    with writing.begin() as write:
        query = select(table).where(table.c.sequence > head(write, table)[0]).order_by(table.c.sequence).limit(CHUNK)
        rows: list[dict[str, Any]] = [dict(row) for row in read.execute(query).mappings()]
        if rows:
            write.execute(insert(table), rows)
    return len(rows)


def _verify(read: Connection, target: Engine) -> None:
    """The target's rows are chained, and end where the source's end."""
    with target.begin() as connection:
        wrong = next(verify(connection), None)
        if wrong is not None:
            raise InvalidInput(f"the copy is not right: {wrong.table}: row {wrong.sequence}: {wrong.what}")
        for table in CHAINED:
            if head(connection, table) != head(read, table):
                raise InvalidInput(f"the copy is not right: {table.name} does not end as in the source")
