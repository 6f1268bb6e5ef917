"""`cameras`: how the cameras of a line saw when the model in force took over, and having that taken anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Annotated

import typer

from service.cli import building
from service.cli.model_orders import By, utc
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput
from service.records import CameraReference, ModelInForce, Role
from service.settings import Settings

commands = typer.Typer(help="How the cameras of a line see.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="cameras")


@commands.command("list")
def listed(config: Config = DEFAULT) -> None:
    """Say of each camera how its pictures looked when the model in force took over."""
    from service.ledger.store import open_ledger

    settings = building.settings(config)
    with closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger:
        model = _in_force(settings, ledger.line_state()[0])
        references = ledger.camera_references(settings.line, model)
    for camera in settings.cameras:
        typer.echo(f"{camera:12} {_said(references.get(camera))}")


@commands.command("retake")
def retake(
    camera: Annotated[str, typer.Argument(help="Its name in line.yaml.")], by: By, config: Config = DEFAULT
) -> None:
    """Take anew how a camera sees, from its next pictures on: after a lens was cleaned, say."""
    from service.ledger.store import open_ledger

    settings = building.settings(config)
    if camera not in settings.cameras:
        raise InvalidInput(
            f"cameras: line {settings.line} has no camera {camera!r}; expected one of {', '.join(settings.cameras)}"
        )
    with closing(open_ledger(settings.ledger, time.time)) as ledger:
        model = _in_force(settings, ledger.line_state()[0])
        ledger.keep_camera_reference(CameraReference(settings.line, camera, model, 0, 0.0, 0.0, 0.0, by))
    typer.echo(f"{camera}: taken anew from the next pictures on")


def _in_force(settings: Settings, models: Sequence[ModelInForce]) -> str:
    for model in models:
        if (model.line, model.role) == (settings.line, Role.ACTIVE):
            return model.digest
    raise InvalidInput(f"cameras: no model has judged parts of line {settings.line} so far")


def _said(known: CameraReference | None) -> str:
    if known is None or not known.pictures:
        return f"is being looked at{f', as {known.by} asked' if known and known.by else ''}"
    asked = f", as {known.by} asked" if known.by else ""
    return (
        f"sharpness {known.sharpness:.4f}  brightness {known.brightness:.3f}  overexposed {known.overexposed:.2%}  "
        f"of {known.pictures} pictures until {utc(known.recorded_at)}{asked}"
    )
