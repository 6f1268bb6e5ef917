"""`rules`: the alert rules for Prometheus, from the metrics' definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.errors import InvalidInput


def register(app: typer.Typer) -> None:
    app.command()(rules)


def rules(
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("deploy/prometheus/rules"),
    station: Annotated[
        str, typer.Option(help="Where whoever is called reaches the station.")
    ] = "http://127.0.0.1:8080",
    grafana: Annotated[str, typer.Option(help="Where Grafana is.")] = "http://127.0.0.1:3000",
) -> None:
    """Write the alert and recording rules for Prometheus, with links to your station and Grafana."""
    from exporters.rules import Links, write

    for name, url in (("--station", station), ("--grafana", grafana)):
        if not url.startswith(("http://", "https://")):
            raise InvalidInput(f"{name} {url}: expected a URL, http:// or https://")
    for file in write(out, Links(station.rstrip("/"), grafana.rstrip("/"))):
        typer.echo(file)
