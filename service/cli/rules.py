"""`rules`: the alert rules for Prometheus, from the metrics' definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(rules)


def rules(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("deploy/prometheus/rules"),
) -> None:
    """Write the alert rules for Prometheus."""
    from exporters.rules import write

    for file in write(out):
        typer.echo(file)
