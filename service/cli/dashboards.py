"""`dashboards`: Grafana's dashboards, from the metrics' definitions."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from service.errors import InvalidInput


def register(app: typer.Typer) -> None:
    app.command()(dashboards)


def dashboards(
    folder: Annotated[Path, typer.Argument(help="The folder to write to.")] = Path("deploy/grafana/dashboards"),
    station: Annotated[str, typer.Option(help="Where the panels' links find the station.")] = "http://127.0.0.1:8080/",
    runbook: Annotated[
        str | None, typer.Option(help="Where they find the runbook.", show_default="the station's own")
    ] = None,
) -> None:
    """Write the dashboards for Grafana. Needs the extra `dashboards`."""
    if find_spec("grafana_foundation_sdk") is None:
        raise InvalidInput("dashboards needs grafana-foundation-sdk: pip install 'redrabbit[dashboards]'")
    from exporters.dashboards import write
    from exporters.dashboards.grafana import Places

    places = Places(station, f"{station.rstrip('/')}/runbook" if runbook is None else runbook)
    try:
        written = write(folder, places)
    except OSError as error:
        raise InvalidInput(f"dashboards {folder}: cannot be written: {error.strerror}") from error
    for file in written:
        typer.echo(file)
