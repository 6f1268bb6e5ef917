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
from functools import cache
from hashlib import sha256
from json.encoder import encode_basestring_ascii
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


def following(previous: str, table: Table, row: Mapping[Any, Any]) -> str:
    """The hash of a row that comes after the one with the hash `previous`. Raises Unreadable."""
    return sha256(str(previous).encode() + canonical(table, row)).hexdigest()


def canonical(table: Table, row: Mapping[Any, Any]) -> bytes:
    """The row's columns as bytes. row: as it goes in, or as `stored` has it. Raises Unreadable."""
    content, get = [], row.get
    for name, key, written in _columns(table):
        if (value := get(name)) is not None:
            try:
                content.append(key + written(value))
            except (TypeError, ValueError, OverflowError) as error:
                raise Unreadable(f"{name} is {value!r}") from error
    return f"{{{','.join(content)}}}".encode("ascii")


def stored(table: Table, names: Collection[str] | None = None) -> Select[Any]:
    """All rows by sequence, each value as the database has it: one that nothing of ours has written must not stop the reading.
    names: of the columns that are there, where that may not be all."""
    columns = [column for column in table.c if names is None or column.name in names]
    as_they_are: list[Any] = [type_coerce(column, String()).label(column.name) for column in columns]
    return select(*as_they_are).order_by(table.c.sequence)


def _number(value: Any) -> str:
    if type(value) is not float:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        value = float(value)
    return repr(value + 0.0)


def _whole(value: Any) -> str:
    if type(value) is not int:
        if isinstance(value, bool | str | bytes) or int(value) != value:
            raise TypeError
        value = int(value)
    return str(value)


def _either(value: Any) -> str:
    if value not in (False, True):
        raise ValueError
    return "true" if value else "false"


def _json(value: Any) -> str:
    """No document of ours is a text: one is what SQLite keeps of it."""
    return _encode(json.loads(value) if isinstance(value, str) else value)


Written = Callable[[Any], str]

_WRITTEN: Final[tuple[tuple[type[TypeEngine[Any]], Written], ...]] = (
    (Double, _number),
    (Boolean, _either),
    (Integer, _whole),
    (String, encode_basestring_ascii),
    (JSON, _json),
)


@cache
def _columns(table: Table) -> list[tuple[str, str, Written]]:
    """By name: each column's, how it stands in the bytes, and what writes its values."""
    columns = sorted((column for column in table.c if column.name != HASH), key=lambda column: column.name)
    return [(column.name, f"{encode_basestring_ascii(column.name)}:", _written(column.type)) for column in columns]


def _written(kind: TypeEngine[Any]) -> Written:
    inner = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return next(written for of, written in _WRITTEN if isinstance(inner, of))
