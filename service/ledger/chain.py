"""How rows of record hold on to each other: each carries the SHA-256 of the row before it in its table and of its own columns.

    row_hash = SHA-256(row_hash of the row before, 64 hex digits; the table's name before the first || canonical(row))

`canonical` is a JSON object of the columns that are not NULL, `row_hash` left out: names sorted, no blanks, ASCII with \\u
escapes; a time or ratio is a float as `repr` writes it (the shortest text that reads back exactly, -0.0 as 0.0), a whole
number has no point, a bool is true or false, a word of a fixed few is its text, a tuple an array. What a database makes of a
value on its way (an int in a column of floats, 0 and 1 for a bool) is taken back first, so that every database gives the
same bytes. A column that a later version adds is NULL in older rows, and their hashes stay what they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import JSON, Boolean, Double, Integer, Select, String, Table, TypeDecorator, select, type_coerce
from sqlalchemy.types import TypeEngine

from service.ledger.schema import metadata

HASH: Final = "row_hash"

CHAINED: Final = tuple(table for table in metadata.sorted_tables if HASH in table.c)
"""The tables of what happened."""

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Unreadable(ValueError):
    """A value that no row of ours has in this column."""


def following(previous: str, table: Table, row: Mapping[str, Any]) -> str:
    """The hash of a row that comes after the one with the hash `previous`. Raises Unreadable."""
    return sha256(previous.encode("ascii") + canonical(table, row)).hexdigest()


def canonical(table: Table, row: Mapping[str, Any]) -> bytes:
    """The row's columns as bytes. row: as it goes in, or as `stored` has it. Raises Unreadable."""
    content = {}
    for name, plain in _plain(table):
        if (value := row.get(name)) is not None:
            try:
                content[name] = plain(value)
            except (TypeError, ValueError, OverflowError) as error:
                raise Unreadable(f"{name} is {value!r}") from error
    return _encode(content).encode("ascii")


def stored(table: Table, names: Collection[str] | None = None) -> Select[Any]:
    """All rows by sequence, each value as the database has it: one that nothing of ours has written must not stop the reading.
    names: of the columns that are there, where that may not be all."""
    columns = [column for column in table.c if names is None or column.name in names]
    return select(*[type_coerce(column, String()).label(column.name) for column in columns]).order_by(table.c.sequence)


def _number(value: Any) -> float:
    if isinstance(value, bool | str | bytes):
        raise TypeError
    return float(value) + 0.0


def _whole(value: Any) -> int:
    if isinstance(value, bool | str | bytes) or int(value) != value:
        raise TypeError
    return int(value)


def _either(value: Any) -> bool:
    if value not in (False, True):
        raise ValueError
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _json(value: Any) -> Any:
    """No document of ours is a text: one is what SQLite keeps of it."""
    return json.loads(value) if isinstance(value, str) else value


_PLAIN: Final[tuple[tuple[type[TypeEngine[Any]], Callable[[Any], Any]], ...]] = (
    (Double, _number),
    (Boolean, _either),
    (Integer, _whole),
    (String, _text),
    (JSON, _json),
)

_columns: dict[Table, list[tuple[str, Callable[[Any], Any]]]] = {}


def _plain(table: Table) -> list[tuple[str, Callable[[Any], Any]]]:
    """The columns by name, with what makes of a value what it was before any database had it."""
    if table not in _columns:
        _columns[table] = sorted((column.name, _of(column.type)) for column in table.c if column.name != HASH)
    return _columns[table]


def _of(kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    inner = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return next(plain for of, plain in _PLAIN if isinstance(inner, of))
