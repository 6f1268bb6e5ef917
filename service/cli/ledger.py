"""`ledger`, `labels`, `token`: what is kept, what people bring, and who may."""

from __future__ import annotations

import typer

from service.cli import building
from service.cli.running import DEFAULT, Config

ledger_commands = typer.Typer(help="The ledger itself.", no_args_is_help=True)
label_commands = typer.Typer(help="Labels in and out as CSV.", no_args_is_help=True)
token_commands = typer.Typer(help="Bearer tokens of the station.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(ledger_commands, name="ledger")
    app.add_typer(label_commands, name="labels")
    app.add_typer(token_commands, name="token")


@ledger_commands.command("migrate")
def migrate(config: Config = DEFAULT) -> None:
    """Create the ledger or bring it to this program's version. Worker and station do so by themselves."""
    from service.ledger.store import migrate

    settings = building.settings(config)
    typer.echo(f"{settings.ledger}: version {migrate(settings.ledger)}")
