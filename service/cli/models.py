"""`train`, `export`, `rules`: files that are made from data or from definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    for command in (train, export, rules):
        app.command()(command)


def train(
    data: Annotated[str, typer.Argument(help="The data set: elpv, the solar cells of the demo.")],
    out: Annotated[Path, typer.Option(help="Write the checkpoint there.")],
    seed: Annotated[int, typer.Option(help="Of split and initial weights.")] = 1,
) -> None:
    """Train a model. Needs the extra `train`."""
    from service.model.train import train

    train(data, out, seed, typer.echo)


def export(
    checkpoint: Annotated[Path, typer.Argument(help="What `redrabbit train` wrote.")],
    out: Annotated[Path, typer.Option(help="Write the ONNX file there; its model card beside it.")],
) -> None:
    """Write a trained model as ONNX that says all of itself. Needs the extra `train`."""
    from service.model.export import export

    export(checkpoint, out, typer.echo)


def rules(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("deploy/prometheus/rules"),
) -> None:
    """Write the alert rules for Prometheus."""
    from exporters.rules import write

    for file in write(out):
        typer.echo(file)
