"""`ledger verify`: whether the ledger still is what was recorded."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from service.cli import building
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput, LedgerUnavailable
from service.ports import ImageStore
from service.thresholds import load

if TYPE_CHECKING:
    from service.ledger.store import SqlLedger
    from service.ledger.verifying import Finding, Head, Pictures

    Known = Mapping[str, Head]

SHOWN = 20
"""So many findings of one table are printed."""

VERSION = 1
"""Of the file of heads."""

LedgerUrl = Annotated[str | None, typer.Option("--ledger", help="Its URL.", show_default="that of line.yaml")]


def verify(
    ledger: LedgerUrl = None,
    against: Annotated[
        Path | None, typer.Option(help="Heads that were written before: is all of that still there?")
    ] = None,
    heads: Annotated[
        Path | None, typer.Option(help="Write the heads there when all is good, to be kept elsewhere.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The pictures.", show_default="those of line.yaml")] = None,
    thresholds: Annotated[Path | None, typer.Option(help="For the figures.", show_default="those of line.yaml")] = None,
    config: Config = DEFAULT,
) -> None:
    """Read every row of record and say what is changed, missing, inserted or out of place; status 1 when anything is.

    Looks at the kept pictures too, and computes every figure from scratch. A ledger may be at work meanwhile: what is
    verified is how it stood when the command began.
    """
    from service.ledger.images import FolderImages

    store: ImageStore | None = None
    if ledger is None:
        settings = building.settings(config)
        ledger, store, thresholds = settings.ledger, building.images(settings), thresholds or settings.thresholds
    known = None if against is None else read_heads(against)
    rules = None if thresholds is None else load(thresholds)
    if images is not None:
        if not images.is_dir():
            raise InvalidInput(f"--images {images}: there is no such folder of pictures")
        store = FolderImages(images, 0)
    with opened(ledger) as there, there.still() as (unmoved, connection):
        found = rows(connection, None if store is None else partial(wrong, store), known)
        if found.count:
            typer.echo("figures: not computed, as rows or pictures are wrong")
        elif rules is None:
            typer.echo("figures: not computed, as no --thresholds are given")
        else:
            from service.recount import recount

            differences = [*recount(unmoved, rules, max(time.time(), unmoved.newest()[1]))]
            for line in differences:
                typer.echo(f"figures: {line}")
            found.count += len(differences)
            typer.echo(f"figures: {'NOT ' * bool(differences)}the same when computed from scratch")
    if heads is not None and not found.count:  # what is wrong must not take the place of what once was right
        write_heads(heads, found.heads)
    typer.echo("good" if not found.count else f"{found.count} found")
    raise typer.Exit(1 if found.count else 0)


@dataclass(slots=True)
class Found:
    """So much is wrong. heads: of every table that has a row."""

    count: int = 0
    heads: Mapping[str, Head] = field(default_factory=dict)


def rows(connection: Any, pictures: Pictures | None, known: Known | None) -> Found:
    """Prints what is wrong with rows and pictures, then the heads. known: heads as they once were."""
    from service.ledger import verifying

    found, shown = Found(), Counter[str]()

    def told() -> Iterator[Finding]:
        found.heads = yield from verifying.verify(connection, pictures, known)

    for one in told():
        shown[one.table] += 1
        found.count += 1
        if shown[one.table] <= SHOWN:
            typer.echo(f"{one.table}: row {one.sequence}: {one.what}")
    for table, count in shown.items():
        if count > SHOWN:
            typer.echo(f"{table}: and {count - SHOWN} more")
    for table, head in found.heads.items():
        typer.echo(f"head  {table:18} {head.sequence:>12} {head.row_hash}")
    if pictures is None:
        typer.echo("pictures: not looked at, as none are named")
    return found


def wrong(store: ImageStore, digest: str) -> str | None:
    try:
        content = store.load(digest)
    except LedgerUnavailable as error:
        return f"cannot be had: {error}"
    if content is None:
        return "is not there"
    return None if sha256(content).hexdigest() == digest else "has another content"


@contextmanager
def opened(url: str) -> Iterator[SqlLedger]:
    """A ledger whose database is sound. One that is not gives one line, and status 1."""
    from service.ledger.sqlite import Damaged
    from service.ledger.store import open_ledger
    from service.ledger.verifying import damage

    with undamaged(), closing(open_ledger(url, time.time, read_only=True)) as there:
        with there.still() as (_, connection):
            said = damage(connection)
        if said:
            raise Damaged(f"{url}: {said[0].splitlines()[-1]}")
        yield there


@contextmanager
def undamaged() -> Iterator[None]:
    """A database that turns out to be damaged gives one line, and status 1."""
    from service.ledger.sqlite import Damaged

    try:
        yield
    except Damaged as error:
        typer.echo(f"the database is damaged: {error}", err=True)
        raise typer.Exit(1) from error


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    sequence: int
    row_hash: str


class _Heads(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    version: int
    made_at: float
    heads: dict[str, _Head]


def read_heads(file: Path) -> Known:
    """Raises InvalidInput."""
    from service.ledger.verifying import Head

    try:
        said = _Heads.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"--against {file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise InvalidInput(f"--against {file}: expected a file that `ledger verify --heads` has written") from error
    return {table: Head(head.sequence, head.row_hash) for table, head in said.heads.items()}


def write_heads(file: Path, heads: Mapping[str, Head]) -> None:
    content = {
        "version": VERSION,
        "made_at": time.time(),
        "heads": {table: asdict(head) for table, head in heads.items()},
    }
    unfinished = file.with_suffix(f"{file.suffix}.unfinished")
    try:
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise InvalidInput(f"--heads {file}: cannot be written: {error.strerror}") from error
