"""`challenge`: parts known beforehand that are sent through on purpose, and whether the line caught them."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated

import typer

from service.cli import building
from service.cli.running import DEFAULT, Config, OfRecipe
from service.errors import InvalidInput

commands = typer.Typer(
    help="Challenge parts (red rabbits): parts known beforehand, sent through on purpose.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="challenge")


@commands.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called; a part NAME or NAME~anything is a pass of it.")],
    expect: Annotated[str, typer.Option(help="The class that it is known to be.")],
    every: Annotated[str | None, typer.Option(help="Due so often, such as 8h.", show_default="never")] = None,
    shift: Annotated[
        list[str] | None, typer.Option(help="Due at this time of day, HH:MM UTC. May be given again.")
    ] = None,
    after_change: Annotated[bool, typer.Option("--after-change", help="Due when model or thresholds change.")] = False,
    within: Annotated[str, typer.Option(help="Overdue so much later.")] = "15m",
    recipe: OfRecipe = "",
    config: Config = DEFAULT,
) -> None:
    """Register a challenge part, or change when it is due."""
    _register(
        config,
        recipe,
        name=name,
        expected=expect,
        every=every,
        shifts=shift or [],
        after_change=after_change,
        within=within,
    )
    typer.echo(f"{name}: expected {expect}; send it through as part {name} or {name}~anything, or report its part id")


@commands.command("report")
def report(
    part_id: Annotated[str, typer.Argument(help="The part that the line has recorded.")],
    name: Annotated[str, typer.Option("--as", help="The challenge part that it was.")],
    recipe: OfRecipe = "",
    config: Config = DEFAULT,
) -> None:
    """Say that a recorded part was a challenge part. It leaves the production figures."""
    from service.ledger.store import open_ledger

    with closing(open_ledger(building.line_settings(config, recipe).ledger, time.time)) as ledger:
        ledger.report_challenge(part_id, name, "command line")
    typer.echo(f"{part_id}: a pass of {name}")


@commands.command("list")
def list_parts(recipe: OfRecipe = "", config: Config = DEFAULT) -> None:
    """Which challenge parts there are, and which are overdue; how many were caught and missed."""
    from service.ledger.store import open_ledger
    from service.thresholds import WatchedThresholds

    settings = building.line_settings(config, recipe)
    with closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger:
        watcher = building.monitor(ledger, WatchedThresholds(settings.thresholds))
        line = watcher.snapshot().lines.get(settings.line)
        in_force = {part.name: part for _, part in ledger.challenge_parts_after(0) if part.line == settings.line}
    overdue = line.challenges.overdue if line else {}
    for part in in_force.values():
        if not part.retired:
            due = [f"every {part.every / 3600:g}h"] if part.every else []
            due += [f"at {int(start // 3600):02}:{int(start % 3600 // 60):02} UTC" for start in part.shifts]
            due += ["after a change"] if part.after_change else []
            late = "  OVERDUE" if part.name in overdue else ""
            typer.echo(f"{part.name:24} expected {part.expected:16} {', '.join(due) or 'no schedule'}{late}")
    if line:
        typer.echo(f"caught {line.challenges.caught}, missed {line.challenges.missed}")


@commands.command("retire")
def retire(
    name: Annotated[str, typer.Argument(help="Which one.")], recipe: OfRecipe = "", config: Config = DEFAULT
) -> None:
    """End a challenge part: it is never due again, and parts of its name are production."""
    from service.ledger.store import open_ledger

    settings = building.line_settings(config, recipe)
    with closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger:
        found = [part for _, part in ledger.challenge_parts_after(0) if (part.line, part.name) == (settings.line, name)]
    if not found:
        raise InvalidInput(f"challenge part {name!r}: line {settings.line} has none of that name")
    _register(config, recipe, name=name, expected=found[-1].expected, retired=True)
    typer.echo(f"{name}: retired")


def _register(config: Config, recipe: str, **asked: object) -> None:
    from service.ledger.store import open_ledger
    from service.station.challenge import Registration, challenge_part

    settings = building.line_settings(config, recipe)
    with closing(open_ledger(settings.ledger, time.time)) as ledger:
        models, *_ = ledger.line_state()
        registration = Registration(line=settings.line, **asked)  # type: ignore[arg-type]
        ledger.register_challenge(challenge_part(registration, models, "command line"))
