"""Whether the rows of record are those that were recorded: every one is read, in the order of the chain, and none kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, exists, select, text
from sqlalchemy.exc import DBAPIError

from service.ledger.base import anchor
from service.ledger.chain import CHAINED, HASH, Unreadable, following, stored
from service.ledger.schema import anchors, parts, study_parts
from service.records import Outcome

CHUNK: Final = 5_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and with which row; sequence 0: with the table."""

    table: str
    sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of a table: whoever keeps it elsewhere can tell later whether that row, and all before it, are still the same."""

    sequence: int
    row_hash: str


Row = Mapping[Any, Any]
Pictures = Callable[[str], str | None]
"""What is wrong with the kept picture of this digest, if anything is."""


def damage(connection: Connection) -> list[str]:
    """What the database itself says is wrong with it, the first few things. Raises LedgerUnavailable where it can say no more."""
    if connection.dialect.name != "sqlite":
        return []
    said = connection.execute(text("PRAGMA integrity_check(5)")).scalars().all()
    return [one for one in said if one != "ok"]


def verify(
    connection: Connection, pictures: Pictures | None = None, known: Mapping[str, Head] | None = None
) -> Generator[Finding, None, dict[str, Head]]:
    """Yields what is wrong; returns the newest row of every table that has, or had, one.

    pictures: asked about each picture that the ledger promises to keep. known: heads as they once were.
    """
    heads = {}
    for table in CHAINED:
        beside = _Parts(connection, pictures).look if table is parts else None
        head = yield from _walk(connection, table, (known or {}).get(table.name), beside)
        if head.sequence:
            heads[table.name] = head
    if pictures is not None:
        yield from _studied(connection, pictures)
    return heads


def _walk(
    connection: Connection, table: Table, known: Head | None, beside: Callable[[Row], Iterator[Finding]] | None
) -> Generator[Finding, None, Head]:
    chain = _Chain(table, Head(*(anchor(connection, table) or (0, table.name))), known)
    rows, last = stored(table).limit(CHUNK), None
    while True:
        try:
            query = rows if last is None else rows.where(table.c.sequence > last)
            chunk = connection.execute(query).mappings().all()
        except DBAPIError as error:
            yield Finding(table.name, chain.at.sequence + 1, f"cannot be read, nor what comes after it: {error.orig}")
            return chain.at
        for row in chunk:
            yield from chain.look(row)
            if beside is not None:
                yield from beside(row)
        if not chunk:
            break
        last = chunk[-1]["sequence"]
    yield from chain.end()
    return chain.at


class _Chain:
    """One table, from where it begins. known: its head as it once was."""

    def __init__(self, table: Table, begins: Head, known: Head | None) -> None:
        self._table = table
        self._begins = begins.sequence
        self._known = known
        self.at = begins

    def look(self, row: Row) -> Iterator[Finding]:
        sequence, said = row["sequence"], row[HASH]
        if sequence <= self._begins:
            yield self._finding(sequence, "was inserted: the table begins after it")
            return
        missing = range(self.at.sequence + 1, sequence)
        if missing:
            which = f"row {missing[0]} is" if len(missing) == 1 else f"rows {missing[0]} to {missing[-1]} are"
            yield self._finding(missing[0], f"{which} missing")
        elif said == "":
            yield self._finding(sequence, "was inserted by something else than redrabbit: it has no hash")
        else:
            yield from self._changed(row)
        self.at = Head(sequence, said)
        yield from self._known_otherwise()

    def _changed(self, row: Row) -> Iterator[Finding]:
        sequence = row["sequence"]
        try:
            if following(self.at.row_hash, self._table, row) != row[HASH]:
                yield self._finding(
                    sequence, "is not the row that was recorded here: changed, inserted or put in another's place"
                )
        except Unreadable as error:
            yield self._finding(sequence, f"was changed: {error}")

    def _known_otherwise(self) -> Iterator[Finding]:
        if self._known and self._known.sequence == self.at.sequence and self._known.row_hash != self.at.row_hash:
            yield self._finding(
                self.at.sequence, "has another hash than the heads say: it, or rows before it, were chained anew"
            )

    def end(self) -> Iterator[Finding]:
        if self.at.sequence == self._begins:
            yield from self._known_otherwise()
        if self._known and self.at.sequence < self._known.sequence:
            yield self._finding(
                self.at.sequence + 1,
                f"the end is missing: the heads know rows up to {self._known.sequence}, the last one here is {self.at.sequence}",
            )

    def _finding(self, sequence: int, what: str) -> Finding:
        return Finding(self._table.name, sequence, what)


class _Parts:
    """What holds of parts beside their chain: ordinals without a gap in each line, and pictures that are kept."""

    def __init__(self, connection: Connection, pictures: Pictures | None) -> None:
        begun = select(anchors.c.line, anchors.c.ordinal).where(anchors.c.name == parts.name, anchors.c.line != "")
        self._next: dict[str, int] = {row.line: row.ordinal for row in connection.execute(begun)}
        self._pictures = pictures

    def look(self, row: Row) -> Iterator[Finding]:
        line, ordinal, sequence = row["line"], row["ordinal"], row["sequence"]
        expected = self._next.get(line, 0)
        if ordinal != expected:
            yield Finding(parts.name, sequence, f"has ordinal {ordinal} of line {line}, expected {expected}")
        self._next[line] = ordinal + 1 if isinstance(ordinal, int) else expected + 1
        if self._pictures and row["image"] and row["outcome"] != Outcome.PASS:
            yield from _picture(self._pictures, sequence, row["image"])


def _studied(connection: Connection, pictures: Pictures) -> Iterator[Finding]:
    """Passed parts whose pictures are kept because a study has them."""
    query = select(parts.c.sequence, parts.c.image).where(
        exists().where(study_parts.c.part_id == parts.c.part_id), parts.c.image != "", parts.c.outcome == Outcome.PASS
    )
    for sequence, image in connection.execute(query.order_by(parts.c.sequence)):
        yield from _picture(pictures, sequence, image)


def _picture(pictures: Pictures, sequence: int, image: str) -> Iterator[Finding]:
    if wrong := pictures(image):
        yield Finding(parts.name, sequence, f"its picture {image} {wrong}")
