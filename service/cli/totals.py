"""`totals`: recall over lines, plants and machines together, from the counts that a Prometheus adds up."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from service.cli import building
from service.errors import InvalidInput
from service.settings import address


def register(app: typer.Typer) -> None:
    app.command()(totals)


def totals(
    prometheus: Annotated[
        str, typer.Argument(help="Its URL, such as http://127.0.0.1:9090; it runs the rules of `redrabbit rules`.")
    ],
    by: Annotated[
        list[str] | None, typer.Option(help="A label to keep apart, such as plant. May be given again.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="Serve them as metrics on HOST:PORT, until stopped.", show_default="print once")
    ] = None,
) -> None:
    """Recall of all lines together with its limits, which PromQL cannot work out: print it, or serve it."""
    from exporters import totals as adding

    apart = by or []
    if not prometheus.startswith(("http://", "https://")):
        raise InvalidInput(f"{prometheus}: expected the URL of a Prometheus, http:// or https://")
    if wrong := [name for name in apart if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name)]:
        raise InvalidInput(f"--by {wrong[0]}: expected the name of a label, such as plant")
    if listen is not None:
        try:
            where = address(listen)
        except ValueError as error:
            raise InvalidInput(f"--listen {listen}: {error}") from error
        building.serve_until_signalled(where, adding.registry(prometheus, apart))
        return
    try:
        found = adding.totals(prometheus, apart)
    except adding.PrometheusUnavailable as error:
        raise InvalidInput(str(error)) from error
    typer.echo("".join(f"{name:16}" for name in ("defect", "window", *apart)) + "recall  limits")
    for total in found:
        recall = total.recall
        point = "   -  " if recall.point is None else f"{recall.point:.4f}"
        why = f"  {recall.reason}" if recall.reason else ""
        typer.echo(
            "".join(f"{value:16}" for value in total.labels) + f"{point}  {recall.lower:.4f} to {recall.upper:.4f}{why}"
        )
