"""`models`: which model judges the line, and orders for another. The line's worker follows them while it runs."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import building
from service.cli.people import noted
from service.cli.running import DEFAULT, Config, OfRecipe
from service.errors import InvalidInput, LedgerUnavailable
from service.orders import ways_back
from service.records import ALL, ModelOrder, RecordedOrder, Role, Taken
from service.settings import Settings

if TYPE_CHECKING:
    from service.ledger.store import SqlLedger

NOBODY = 3
ASK_EVERY = 0.2
SAYS = {
    None: "waits for a worker",
    Taken.TRYING: "is being tried",
    Taken.TAKEN: "taken",
    Taken.REFUSED: "refused",
    Taken.ENDED: "ended",
}

commands = typer.Typer(help="The models of a line: swap, shadow, roll back, while it runs.", no_args_is_help=True)

By = Annotated[str, typer.Option(help="Who orders it.", show_default="your login", default_factory=lambda: _login())]
Note = Annotated[str, typer.Option(help="Why, for the history.")]
Wait = Annotated[float, typer.Option(help="So many seconds for the worker's answer.", min=0.0)]


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="models")


@commands.command("activate")
def activate(
    model: Annotated[Path, typer.Argument(help="The ONNX file.")],
    by: By,
    note: Note = "",
    wait: Wait = 30.0,
    recipe: OfRecipe = "",
    config: Config = DEFAULT,
) -> None:
    """Have another model judge the line. Status 0: taken; 2: refused, the old one judges on; 3: nobody answered."""
    settings = building.line_settings(config, recipe)
    name, digest = _kept(settings, model)
    place(settings, ModelOrder(settings.line, Role.ACTIVE, digest, name, by, note), wait)


@commands.command("shadow")
def shadow(
    by: By,
    model: Annotated[Path | None, typer.Argument(help="The ONNX file.", show_default=False)] = None,
    none: Annotated[bool, typer.Option("--none", help="End the shadow.")] = False,
    note: Note = "",
    wait: Wait = 30.0,
    recipe: OfRecipe = "",
    config: Config = DEFAULT,
) -> None:
    """Have a model judge the same parts beside, without a say, or end that. Statuses as of `activate`."""
    if none is (model is not None):
        raise InvalidInput("models shadow: expected either MODEL.onnx or --none")
    settings = building.line_settings(config, recipe)
    role, name, digest = (Role.NONE, "", "") if model is None else (Role.SHADOW, *_kept(settings, model))
    place(settings, ModelOrder(settings.line, role, digest, name, by, note), wait)


@commands.command("rollback")
def rollback(by: By, note: Note = "", wait: Wait = 30.0, recipe: OfRecipe = "", config: Config = DEFAULT) -> None:
    """Go back to the model that judged before the present one; again goes back further. Statuses as of `activate`."""
    from service.model.shelf import Shelf

    settings = building.line_settings(config, recipe)
    with opened(settings, read_only=True) as ledger:
        judged = [model for model in ledger.model_history(settings.line) if model.role == Role.ACTIVE]
    way = ways_back(model.digest for model in judged)
    if len(way) < 2:
        raise InvalidInput(f"models rollback: line {settings.line} has had no model before the one that judges now")
    Shelf(settings.models).file(way[1])
    name = next(model.name for model in judged if model.digest == way[1])
    place(settings, ModelOrder(settings.line, Role.ACTIVE, way[1], name, by, note or "roll back"), wait)


@commands.command("list")
def list_models(recipe: OfRecipe = "", config: Config = DEFAULT) -> None:
    """Which models are in force, and every order: when, by whom, what became of it."""
    settings = building.line_settings(config, recipe)
    with opened(settings, read_only=True) as ledger:
        models = [model for model in ledger.line_state()[0] if model.line == settings.line]
        orders = ledger.model_orders(settings.line)
    for one in models:
        typer.echo(f"{one.role:8} {one.name:24} {one.digest[:12]} since {utc(one.since)} on {one.provider}")
    for recorded in orders:
        typer.echo(sentence(recorded))


@commands.command("compare")
def compare(recipe: OfRecipe = "", config: Config = DEFAULT) -> None:
    """How shadows do against the active model on the parts that both judged, with a paired test."""
    from service.monitor import Monitor
    from service.quality.paired import in_words
    from service.thresholds import WatchedThresholds

    settings = building.line_settings(config, recipe)
    with opened(settings, read_only=True) as ledger:
        snapshot = Monitor(ledger, WatchedThresholds(settings.thresholds), time.time).snapshot()
        names = {model.digest: f"{model.name} {model.digest[:12]}" for model in ledger.model_history(settings.line)}
    line = snapshot.lines.get(settings.line)
    if line is None or not line.comparisons:
        raise InvalidInput(f"models compare: no shadow has judged parts of line {settings.line}")
    table: list[tuple[str, ...]] = []
    for one in line.comparisons:
        if one.defect == ALL:
            table.append(
                (f"shadow {names[one.shadow]} against {names[one.active]}: {one.parts} parts, {one.labelled} labelled",)
            )
            table.append(("defect", "", "recall", "precision", "alone caught", "alone rejected good"))
        shadow = (f"{found.by_shadow} ({found.audited} audited)" for found in (one.caught, one.false_rejects))
        active = (str(found.by_active) for found in (one.caught, one.false_rejects))
        for at, (role, alone) in enumerate((("active", active), ("shadow", shadow))):
            table.append(
                (one.defect if at == 0 else "", role, _share(one.recall[at]), _share(one.precision[at]), *alone)
            )
        table.append((f"  {in_words(one)}",))
    for row in table:
        typer.echo(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, (10, 6, 9, 9, 18, 18), strict=False)).rstrip()
        )


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def sentence(recorded: RecordedOrder) -> str:
    order = recorded.order
    what = "end the shadow" if order.role is Role.NONE else f"{order.role} {order.name} {order.digest[:12]}".rstrip()
    why = f": {recorded.why}" if recorded.why else ""
    note = f" ({order.note})" if order.note else ""
    unable = "".join(f"; {worker} cannot: {reason}" for worker, reason in recorded.unable.items())
    return f"{utc(recorded.recorded_at)}  {order.by}: {what}{note}  {SAYS[recorded.outcome]}{why}{unable}"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def _kept(settings: Settings, file: Path) -> tuple[str, str]:
    """(name, digest) of a model, whose copy stays in the models folder. Raises InvalidInput."""
    from service.model.contract import read
    from service.model.shelf import Shelf

    contract, content = read(file)
    return contract.name, Shelf(settings.models).keep(content)


def place(settings: Settings, order: ModelOrder, wait: float) -> None:
    """Writes the order, then says what the worker made of it. Ends with status 2 where it was refused, 3 where nobody answered."""
    until = time.monotonic() + wait
    with opened(settings) as ledger:
        recorded = ledger.order_model(order)
        what = "a recipe" if order.role is Role.RECIPE else "a model"
        noted(ledger, f"ordered {what}", f"{order.line}, {order.role.value}, {order.name}, by {order.by}")
        while recorded.open and time.monotonic() < until:
            time.sleep(ASK_EVERY)
            with suppress(LedgerUnavailable):  # the order stands, whatever can be read of it
                recorded = next(one for one in ledger.model_orders(order.line) if one.sequence == recorded.sequence)
    if recorded.open:
        typer.echo(
            f"{sentence(recorded)}; nobody answered in {wait:g} s. Does the worker run? The order stands", err=True
        )
        raise typer.Exit(NOBODY)
    typer.echo(sentence(recorded), err=recorded.outcome is not Taken.TAKEN)
    if recorded.outcome is not Taken.TAKEN:
        raise typer.Exit(2)


@contextmanager
def opened(settings: Settings, read_only: bool = False) -> Iterator[SqlLedger]:
    from service.ledger.store import open_ledger

    with closing(open_ledger(settings.ledger, time.time, read_only=read_only)) as ledger:
        yield ledger
