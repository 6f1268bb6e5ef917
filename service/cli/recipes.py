"""`recipes`: which there are of a line, which is in force, and the order for another. The line's worker changes over while it runs."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from service.cli import building
from service.cli.model_orders import By, Note, Wait, opened, place, sentence
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput
from service.recipes import orders_of, standing
from service.records import ModelOrder, RecordedOrder, Role
from service.settings import Settings

commands = typer.Typer(
    help="The recipes of a line: which there are, and changing over while it runs.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="recipes")


@commands.command("list")
def list_recipes(config: Config = DEFAULT) -> None:
    """Which recipes there are, the one in force with a star, and every order: when, by whom, what became of it."""
    settings = _settings(config)
    orders: list[RecordedOrder] = []
    with suppress(InvalidInput), opened(settings, read_only=True) as ledger:
        orders = [*orders_of(settings.line, ledger)]
    taken = standing(orders, settings.recipes)
    in_force = taken.order.name if taken else settings.recipe
    for name, one in settings.recipes.items():
        number = f"{one.number:5}" if one.number is not None else "    –"
        typer.echo(
            f"{'*' if name == in_force else ' '} {name:20} {number}  {settings.line}:{name}  {one.product}".rstrip()
        )
    for recorded in orders:
        typer.echo(sentence(recorded))


@commands.command("use")
def use(
    recipe: Annotated[str, typer.Argument(help="The name of a recipe in line.yaml.")],
    by: By,
    note: Note = "",
    wait: Wait = 30.0,
    config: Config = DEFAULT,
) -> None:
    """Have the line change over, between two parts. Status 0: taken; 2: refused, the line goes on as before; 3: nobody answered."""
    settings = _settings(config)
    if recipe not in settings.recipes:
        raise InvalidInput(f"recipes use {recipe}: expected one of {', '.join(settings.recipes)}")
    place(settings, ModelOrder(settings.line, Role.RECIPE, "", recipe, by, note), wait)


def _settings(config: Config) -> Settings:
    settings = building.settings(config)
    if not settings.recipes:
        raise InvalidInput(f"{config}: recipes: none; expected some, by name")
    return settings
