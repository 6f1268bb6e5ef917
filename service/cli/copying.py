"""`ledger copy`: from one store to another, such as from a file to a server."""

from __future__ import annotations

from typing import Annotated

import typer

from service.errors import InvalidInput


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="URL of a ledger.")],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="URL of an empty one, or of one that was copied from there.")
    ],
) -> None:
    """Copy a ledger into another store, row by row as it was recorded, and verify it. Broken off, the same command goes on.

    Pictures are not part of it: they stay where they are.
    """
    from service.ledger.copying import copy
    from service.ledger.store import migrate, opened, shown

    if source == target:
        raise InvalidInput(f"{shown(target)}: expected another ledger than the source")
    with opened(source, read_only=True) as read:
        migrate(target)
        with opened(target, read_only=False) as write:
            for table, rows in copy(read, write):
                typer.echo(f"{table}: {rows} rows", err=True)
    typer.echo(f"{shown(target)}: a copy of {shown(source)}, verified")
