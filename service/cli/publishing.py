"""`camera`: the cameras of a line on this machine, for workers on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing

import typer

from service.cli import building
from service.cli.running import DEFAULT, Config
from service.errors import InvalidInput, LedgerUnavailable
from service.settings import Settings


def register(app: typer.Typer) -> None:
    app.command()(camera)


def camera(config: Config = DEFAULT) -> None:
    """Publish every frame of the cameras to the JetStream that `publish` of line.yaml names; inspect nothing. SIGTERM drains."""
    from prometheus_client import CollectorRegistry

    from exporters.publisher import PublisherMeter
    from exporters.serving import serve_metrics
    from service.jetstream import JetStream
    from service.publishing import Publisher

    settings, registry, pulse = building.settings(config), CollectorRegistry(), building.pulse()
    url, stream, options = building.opened_publish(settings)
    meter = PublisherMeter(settings.line, registry)
    with ExitStack() as opened:
        opened.enter_context(closing(serve_metrics(settings.metrics.camera, registry, pulse)))
        server = opened.enter_context(closing(JetStream(url, options, f"redrabbit cameras {settings.line}")))
        cameras = building.open_cameras(settings, meter, _known(settings))
        publisher = Publisher(settings.line, cameras, server, stream, options.max_bytes, meter, pulse.beat)
        with building.until_signalled(publisher.stop, pulse.stopping):
            publisher.run()


def _known(settings: Settings) -> Callable[[Sequence[str]], Mapping[str, float]]:
    """What is recorded already, where the ledger can be asked from here. Where not, a frame may go out again, and is recorded once
    all the same."""
    ledger = building.late_ledger(settings.ledger)

    def known(part_ids: Sequence[str]) -> Mapping[str, float]:
        try:
            return ledger.known(part_ids)  # type: ignore[attr-defined, no-any-return]
        except (LedgerUnavailable, InvalidInput):
            return {}

    return known
