"""`cameras`: which industrial cameras are there; how the cameras of a line saw when the model in force took over, and having that taken anew."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import building
from service.cli.model_orders import By, utc
from service.cli.running import DEFAULT, Config, OfRecipe
from service.errors import InvalidInput
from service.records import CameraReference, ModelInForce, Role
from service.settings import Settings

if TYPE_CHECKING:
    from service.cameras.industrial import Found

PICTURE_WITHIN = 3.0

commands = typer.Typer(
    help="Which industrial cameras are there, and how the cameras of a line see.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="cameras")


@commands.command("find")
def find(
    pictures: Annotated[
        Path | None, typer.Option(help="A folder for a picture of each; the camera takes it as it is set.")
    ] = None,
    producer: Annotated[
        Path | None, typer.Option(help="The GenTL producer of a maker, a .cti file: look for its cameras instead.")
    ] = None,
) -> None:
    """Say which GigE Vision and USB3 Vision cameras are there, each by the URL that line.yaml takes."""
    from service.cameras.gentl import producer_of
    from service.cameras.gige import SEARCHES
    from service.cameras.industrial import Gone

    if pictures is not None:
        _made(pictures)
    count = 0
    searches = SEARCHES if producer is None else {"gentl": producer_of(producer).cameras}
    for kind, search in searches.items():
        try:
            for found in search():
                count += 1
                taken = "" if pictures is None else f"  {_pictured(found, pictures)}"
                name = f"{found.maker} {found.model}".strip()
                typer.echo(f"{found.url:28} {name}, at {found.address}{taken}")
        except Gone as why:
            typer.echo(f"{kind}: {why}", err=True)
    if not count:
        typer.echo("no camera answers")


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"cameras: --pictures {folder}: no folder can be made: {error.strerror}") from error


def _pictured(found: Found, folder: Path) -> str:
    """Takes the picture; says its name, or why there is none."""
    import cv2

    from service.cameras.features import FeatureRefused
    from service.cameras.industrial import Gone, picture_of
    from service.cameras.pixels import UnreadablePixels

    try:
        image = picture_of(found, PICTURE_WITHIN)
    except (Gone, FeatureRefused, UnreadablePixels) as why:
        return f"no picture: {why}"
    if image is None:
        return f"no picture within {PICTURE_WITHIN:g} s: it may wait for its trigger"
    path = folder / f"{re.sub('[^A-Za-z0-9._-]', '_', found.serial or found.address)}.png"
    part = path.with_suffix(".part")
    try:
        part.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        part.replace(path)
    except OSError as error:
        raise InvalidInput(f"cameras: {path}: cannot be written: {error.strerror}") from error
    return f"{path.name}, {image.shape[1]} x {image.shape[0]}"


@commands.command("list")
def listed(recipe: OfRecipe = "", config: Config = DEFAULT) -> None:
    """Say of each camera how its pictures looked when the model in force took over."""
    from service.ledger.store import open_ledger

    settings = building.line_settings(config, recipe)
    with closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger:
        model = _in_force(settings, ledger.line_state()[0])
        references = ledger.camera_references(settings.line, model)
    for camera in settings.cameras:
        typer.echo(f"{camera:12} {_said(references.get(camera))}")


@commands.command("retake")
def retake(
    camera: Annotated[str, typer.Argument(help="Its name in line.yaml.")],
    by: By,
    recipe: OfRecipe = "",
    config: Config = DEFAULT,
) -> None:
    """Take anew how a camera sees, from its next pictures on: after a lens was cleaned, say."""
    from service.ledger.store import open_ledger

    settings = building.line_settings(config, recipe)
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
