"""`worker`, `station`, `exporter`: the three processes that share only the ledger. `up` runs all of them, `check` none."""

from __future__ import annotations

from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from service.cli import building
from service.cli.checking import answering, checked
from service.supervisor import Supervisor

Config = Annotated[
    Path, typer.Option("--config", "-c", help="The line's settings, line.yaml.", envvar="REDRABBIT_CONFIG")
]
DEFAULT = Path("line.yaml")
OfRecipe = Annotated[
    str, typer.Option("--recipe", help="Which, of a line with recipes.", show_default="the one in force")
]
Ungated = Annotated[
    bool, typer.Option("--allow-ungated", help="Run a model that has not passed the gate; a ticket says so.")
]


def register(app: typer.Typer) -> None:
    for command in (up, worker, station, exporter, check):
        app.command()(command)


def up(config: Config = DEFAULT, allow_ungated: Ungated = False) -> None:
    """Run worker, station and exporter, and start again what dies."""
    settings = building.settings(config, allow_ungated)
    for _ in checked(settings):
        pass  # nothing is started that could not run
    building.check_addresses(settings)
    with building.until_signalled() as stopping:
        supervisor = Supervisor(building.processes(config, allow_ungated))
        supervisor.start()
        status = supervisor.run(stopping)
    raise typer.Exit(status)


def worker(config: Config = DEFAULT, allow_ungated: Ungated = False) -> None:
    """Inspect: camera to verdict. Ends when its cameras end or at SIGTERM, drained."""
    from exporters.serving import serve_metrics
    from service.cli import changeover

    settings, pulse = building.settings(config, allow_ungated), building.pulse()
    shown, running = changeover.Shown(), changeover.Running()
    with (
        closing(serve_metrics(settings.metrics.worker, shown, pulse)),
        building.until_signalled(running.stop, pulse.stopping),
    ):
        if settings.recipes:
            changeover.run(settings, shown, running, pulse.beat)
        else:
            with building.worker(settings, shown.now, pulse.beat) as line_worker:
                running.run(line_worker)


def station(config: Config = DEFAULT) -> None:
    """Serve the review pages and the HTTP API; take labels in."""
    from service.station.serving import serve, tls_files

    settings, pulse = building.settings(config), building.pulse()
    tls = tls_files(settings.station.tls_certificate, settings.station.tls_key)
    with building.station_app(settings) as app, building.until_signalled(pulse.stopping) as stopping:
        serve(app, settings.station.listen, stopping, pulse.beat, tls)


def exporter(config: Config = DEFAULT) -> None:
    """Serve what the ledger says as Prometheus metrics. Reads only; is up before there is a ledger."""
    settings = building.settings(config)
    building.serve_until_signalled(settings.metrics.exporter, building.ledger_metrics(settings))


def check(config: Config = DEFAULT, allow_ungated: Ungated = False) -> None:
    """Check line.yaml, thresholds.yaml, the model, the cameras' and releases' addresses, and ask NATS and the picture store; start nothing."""
    settings = building.settings(config, allow_ungated)
    for found in chain(checked(settings), answering(settings)):
        typer.echo(found)
