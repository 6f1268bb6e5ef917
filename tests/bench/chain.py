"""(j) What it costs that rows of record hold on to each other: recording, verifying, and chaining a ledger that had no chain."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Table, insert, text

from service.ledger.guards import lifted
from service.ledger.migrations.versions.r0009_chain import TABLES, chain
from service.ledger.store import SqlLedger, open_ledger
from service.ledger.verifying import verify
from service.records import Verdict
from tests.bench.table import Row
from tests.ledger.rows import verdict

BATCH = 16
BATCHES = 500
ROUNDS = 5
MANY = 500_000


class _Unchained(SqlLedger):
    @staticmethod
    def append(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        connection.execute(insert(table), rows)
        return 0


def _batch(name: str, size: int = BATCH) -> list[Verdict]:
    return [verdict(f"{name}-{number}", scores=(0.123456789, 0.87654321, 0.4)) for number in range(size)]


def _rate(kind: type[SqlLedger], url: str, name: str) -> float:
    """Rows a second, in batches of a worker, each synced."""
    with closing(open_ledger(url, time.time)) as opened:
        ledger = kind(opened._reader, time.time)
        batches = [_batch(f"{name}.{number}") for number in range(BATCHES)]
        started = time.perf_counter()
        for batch in batches:
            ledger.record(batch)
        return BATCH * BATCHES / (time.perf_counter() - started)


def measure() -> Iterator[Row]:
    """By turns, each in a ledger of its own."""
    with TemporaryDirectory() as folder:
        chained, bare = f"sqlite:///{folder}/chained.db", f"sqlite:///{folder}/bare.db"
        pairs = [(_rate(_Unchained, bare, str(turn)), _rate(SqlLedger, chained, str(turn))) for turn in range(ROUNDS)]
        before, after = (median(column) for column in zip(*pairs, strict=True))
        yield Row(
            f"(j) rows recorded a second, {BATCH} a batch",
            f"{after:.0f}",
            f"{before:.0f} without the chain",
            after / before,
        )
    with TemporaryDirectory() as folder, closing(open_ledger(f"sqlite:///{folder}/many.db", time.time)) as ledger:
        for number in range(MANY // 5000):
            ledger.record(_batch(str(number), 5000))
        started = time.perf_counter()
        with ledger.still() as (_, connection):
            assert not [*verify(connection)]
            verified = time.perf_counter() - started
            started = time.perf_counter()
            last, bare = 0, text("SELECT * FROM parts WHERE sequence > :last LIMIT 5000")
            while rows := connection.execute(bare, {"last": last}).all():
                last = rows[-1][0]
            read = time.perf_counter() - started
        yield Row(
            f"(j) verifying {MANY:,} parts",
            f"{verified:.0f} s",
            f"{read:.0f} s to read the rows alone",
            verified / read,
        )
        with ledger._writer.begin() as connection:
            with lifted(connection, "parts", "UPDATE"):
                started = time.perf_counter()
                connection.execute(text("UPDATE parts SET row_hash = ''"))
                emptied = time.perf_counter() - started
            started = time.perf_counter()
            chain(connection, TABLES[0])
        chaining = time.perf_counter() - started
        size = Path(f"{folder}/many.db").stat().st_size / 1e6
        yield Row(
            f"(j) chaining {MANY:,} parts of a ledger that had no chain, {size:.0f} MB",
            f"{chaining:.0f} s",
            f"{emptied:.0f} s for one UPDATE of all",
            chaining / emptied,
        )
