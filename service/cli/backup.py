"""`ledger backup` and `ledger restore`: a copy of what is kept, and the way back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from service.cli import building, verifying
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput

if TYPE_CHECKING:
    from service.ledger.verifying import Pictures

LEDGER, IMAGES, KEY, HEADS = "redrabbit.db", "images", "audit.key", "heads.json"
"""What a back-up holds: as `var` of the default line.yaml does."""


def backup(
    target: Annotated[
        Path, typer.Argument(help="A new folder; or a new file NAME.db, for the ledger without pictures.")
    ],
    with_key: Annotated[bool, typer.Option("--with-key", help="Put the key of the audit draw in, mode 0600.")] = False,
    config: Config = DEFAULT,
) -> None:
    """Copy the ledger while the line works, with the pictures that it keeps, and verify the copy; status 1 when that finds something.

    Who has the key of the audit draw can predict it: it is left out unless asked for.
    """
    from service.ledger.backup import beside, copy_database, copy_pictures, copy_secret, file_of

    settings = building.settings(config)
    source = file_of(settings.ledger)
    alone = target.suffix == ".db"
    if alone and with_key:
        raise InvalidInput(f"--with-key: {target} is one file; expected a folder")
    with verifying.opened(settings.ledger), beside(target, LEDGER if alone else "") as folder:
        copy_database(source, folder / LEDGER)
        if not alone:
            images = settings.images.folder
            with verifying.opened(_url(folder / LEDGER)) as ledger:
                copied, missing = copy_pictures(ledger.kept_pictures(), images, folder / IMAGES, link=True)
            elsewhere = f", {missing} are not on this machine" if missing else ""
            typer.echo(f"pictures: {copied}{elsewhere}")
        if with_key:
            copy_secret(settings.audit_key, folder / KEY)
        here = settings.images.model_copy(update={"folder": folder / IMAGES})
        store = building.images(
            settings.model_copy(update={"images": here})
        )  # of this folder, else of the shared store
        found = _verified(folder, None if alone else partial(verifying.wrong, store))
        verifying.write_heads(folder / HEADS, found.heads)
    raise typer.Exit(_said(target, "written", found))


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="What `ledger backup` has written.")],
    target: Annotated[Path, typer.Argument(metavar="TO", help="A new folder such as var; of a file, a new file.")],
) -> None:
    """Copy a back-up to where a line works, and verify it against the heads that it holds. Nothing is overwritten.

    TO has the names of the default line.yaml: redrabbit.db, images, audit.key.
    """
    from service.ledger.backup import beside, copy_database, copy_pictures, copy_secret
    from service.ledger.images import FolderImages
    from service.ledger.store import migrate

    alone = source.is_file()
    database = source if alone else source / LEDGER
    if not database.is_file():
        raise InvalidInput(f"{source}: expected a back-up, a file or a folder with {LEDGER}")
    known = None if alone or not (source / HEADS).exists() else verifying.read_heads(source / HEADS)
    with verifying.undamaged(), beside(target, LEDGER if alone else "") as folder:
        copy_database(database, folder / LEDGER)
        migrate(_url(folder / LEDGER))  # a back-up may be older than this program
        if not alone:
            with verifying.opened(_url(folder / LEDGER)) as ledger:
                copied, missing = copy_pictures(ledger.kept_pictures(), source / IMAGES, folder / IMAGES, link=False)
            typer.echo(f"pictures: {copied}{f', {missing} are not in the back-up' if missing else ''}")
            if (source / KEY).exists():
                copy_secret(source / KEY, folder / KEY)
        store = FolderImages(folder / IMAGES, 0)

        def pictures(digest: str) -> str | None:
            """Those that are not there have been counted."""
            return None if store.load(digest) is None else verifying.wrong(store, digest)

        found = _verified(folder, None if alone else pictures, known)
    raise typer.Exit(_said(target, "restored", found))


def _verified(folder: Path, pictures: Pictures | None, known: verifying.Known | None = None) -> verifying.Found:
    with verifying.opened(_url(folder / LEDGER)) as ledger, ledger.still() as (_, connection):
        return verifying.rows(connection, pictures, known)


def _said(target: Path, what: str, found: verifying.Found) -> int:
    typer.echo(f"{target}: {what}{', but not all is good: see above' if found.count else ' and verified'}")
    return 1 if found.count else 0


def _url(file: Path) -> str:
    return f"sqlite:///{quote(str(file.absolute()))}"
