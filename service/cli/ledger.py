"""`ledger`, `labels`, `token`: what is kept, what people bring, and who may."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from service.cli import backup, building, copying, pruning, verifying
from service.cli.people import noted
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput
from service.thresholds import seconds

ledger_commands = typer.Typer(help="The ledger itself.", no_args_is_help=True)
label_commands = typer.Typer(help="Labels in and out as CSV.", no_args_is_help=True)
token_commands = typer.Typer(help="Bearer tokens of the station.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    for command in (verifying.verify, backup.backup, backup.restore, copying.copy, pruning.prune):
        ledger_commands.command()(command)
    app.add_typer(ledger_commands, name="ledger")
    app.add_typer(label_commands, name="labels")
    app.add_typer(token_commands, name="token")


@ledger_commands.command("migrate")
def migrate(config: Config = DEFAULT) -> None:
    """Create the ledger or bring it to this program's version. Worker and station do so by themselves."""
    from service.ledger.store import migrate, shown

    settings = building.settings(config)
    typer.echo(f"{shown(settings.ledger)}: version {migrate(settings.ledger)}")


@label_commands.command("import")
def import_labels(
    file: Annotated[Path, typer.Argument(help="CSV with the columns part_id, label, inspector, labelled_at.")],
    inspector: Annotated[str, typer.Option(help="Who labelled, where the file does not say.")] = "",
    config: Config = DEFAULT,
) -> None:
    """Take labels in. A bad row names its line and stops no other; status 1 when there was one."""
    from service.ledger.store import open_ledger
    from service.station.access import Caller
    from service.station.csvfile import import_labels
    from service.station.desk import Desk
    from service.station.meter import Unmetered

    settings = building.settings(config)
    with closing(open_ledger(settings.ledger, time.time)) as ledger:
        desk = Desk(ledger, ledger, time.time, Unmetered())
        done = import_labels(file, desk, Caller(inspector, "admin"))
        noted(ledger, "imported labels", file.name)
    for line, reason in done.refused:
        typer.echo(f"{file}, line {line}: {reason}", err=True)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(done.counts.items()))
    typer.echo(f"{file}: {counts or 'no rows'}")
    raise typer.Exit(1 if done.refused else 0)


@label_commands.command("export")
def export_labels(
    file: Annotated[Path, typer.Argument(help="Write the CSV there.")],
    config: Config = DEFAULT,
) -> None:
    """Write every label of the ledger, in the order in which they came."""
    from service.ledger.store import open_ledger
    from service.station.csvfile import export_labels

    settings = building.settings(config)
    unfinished = file.with_suffix(f"{file.suffix}.unfinished")
    try:
        with (
            closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger,
            unfinished.open("w", encoding="utf-8", newline="") as out,
        ):
            count = export_labels(ledger, out)
        unfinished.replace(file)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be written: {error.strerror}") from error
    typer.echo(f"{file}: {count} labels")


@token_commands.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="Whose it is; an inspector labels under this name.")],
    role: Annotated[str, typer.Option(help="inspector, engineer, admin or scrape.")],
    line: Annotated[list[str] | None, typer.Option(help="Only this line. May be given again.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 12h or 90d.", show_default="never")] = None,
    config: Config = DEFAULT,
) -> None:
    """Make a token and print its secret: this once, as the ledger keeps only its hash."""
    from service.ledger.store import open_ledger
    from service.station.access import hash_secret, new_secret
    from service.station.desk import valid_inspector

    settings = building.settings(config)
    try:
        expires_at = None if expires_in is None else time.time() + seconds(expires_in)
    except ValueError as error:
        raise InvalidInput(f"--expires-in {expires_in}: {error}") from error
    if not valid_inspector(name):
        raise InvalidInput(f"token {name!r}: expected a name of up to 63 letters, digits, spaces and . @ -")
    secret = new_secret()
    with closing(open_ledger(settings.ledger, time.time)) as ledger:
        ledger.add_token(name, role, hash_secret(secret), line or (), expires_at)
        noted(ledger, "made a token", f"{name}, {role}")
    typer.echo(secret)


@token_commands.command("list")
def list_tokens(config: Config = DEFAULT) -> None:
    """Who has a token, and whether it is still good."""
    from service.ledger.store import open_ledger

    with closing(open_ledger(building.settings(config).ledger, time.time, read_only=True)) as ledger:
        for token in ledger.tokens():
            expired = token.expires_at is not None and token.expires_at <= time.time()
            state = "revoked" if token.revoked_at is not None else "expired" if expired else "good"
            typer.echo(f"{token.name:24} {token.role:10} {','.join(token.lines) or 'every line':24} {state}")


@token_commands.command("revoke")
def revoke_token(name: Annotated[str, typer.Argument(help="Whose token ends now.")], config: Config = DEFAULT) -> None:
    """End a token, at once and for ever."""
    from service.ledger.store import open_ledger

    with closing(open_ledger(building.settings(config).ledger, time.time)) as ledger:
        ledger.revoke_token(name)
        noted(ledger, "revoked a token", name)
    typer.echo(f"{name}: revoked")
