"""What `redrabbit check` looks at, and `up` before it starts anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from urllib.parse import SplitResult, urlsplit

from service.cli import building, judging
from service.errors import InvalidInput
from service.orders import check_defects
from service.quality.draw import DEFAULT_GUESSES, DEFAULT_SHARES, weights
from service.quality.evidence import bets, misses_to_page
from service.quality.meter import limit_in_steps
from service.quality.recall import estimate
from service.records import ALL
from service.settings import Parts, Settings
from service.thresholds import LineThresholds, WatchedThresholds
from service.urls import redacted

FASTEST = 10.0
"""Parts a second of the line that `check` judges thresholds.yaml for: the faster the line, the more evidence a page takes."""


def checked(settings: Settings) -> Iterator[str]:
    """One line for each thing that is in order; raises InvalidInput at the first that is not. Starts and writes nothing."""
    for recipe in settings.recipes:
        yield f"recipe      {recipe}, of line {settings.line}"
        yield from _checked(settings.under(recipe))
    if not settings.recipes:
        yield from _checked(settings)


def _checked(settings: Settings) -> Iterator[str]:
    from prometheus_client import CollectorRegistry

    from exporters.worker import WorkerMeter
    from service.ledger.sharing import open_store
    from service.ledger.sqlite import NotYet
    from service.ledger.store import schema_version, shown
    from service.releases import open_release
    from service.station.serving import tls_files

    thresholds = WatchedThresholds(settings.thresholds)
    yield f"thresholds  {settings.thresholds}, version {thresholds().version}"
    model, ordered = judging.would_begin(settings)
    info = model.info
    check_defects(thresholds(), settings.line, info, str(settings.thresholds))
    why = ", by an order, not `model` of line.yaml" if ordered else ""
    yield f"model       {info.name} {info.digest[:12]} on {info.provider}, classes {', '.join(info.classes)}{why}"
    yield f"gate        {'passed' if info.gated else 'not passed, and allowed to judge all the same'}"
    yield from _pages(thresholds().line(settings.line), sorted(info.decision_thresholds))
    for camera in building.open_cameras(settings, WorkerMeter(settings.line, CollectorRegistry()), lambda _: {}):
        camera.close()
        yield f"camera      {camera.name} {redacted(urlsplit(settings.cameras[camera.name]))}"
    for url in settings.releases:
        open_release(url).close()
        yield f"release     {redacted(urlsplit(url))}"
    if settings.parts:
        yield f"parts       {_parts(settings, settings.parts)}"
    if tls := tls_files(settings.station.tls_certificate, settings.station.tls_key):
        yield f"tls         {tls[0]}"
    if settings.images.store:
        open_store(settings.images.store)
    if settings.publish:
        building.opened_publish(settings)
    try:
        yield f"ledger      {shown(settings.ledger)}, version {schema_version(settings.ledger)}"
    except NotYet:
        yield f"ledger      {shown(settings.ledger)}, to be made at the first start"


def answering(settings: Settings) -> Iterator[str]:
    """One line for each server that answers, of those that the line starts without, and waits for. Raises InvalidInput at the first that
    does not. Writes nothing there."""
    from service.cameras.options import parsed, split
    from service.cameras.pulled import PulledOptions
    from service.jetstream import SCHEMES, JetStream, NatsOptions
    from service.ledger.sharing import open_store

    streams: list[tuple[str, SplitResult, NatsOptions]] = []
    for name, text in settings.cameras.items():
        if (url := split(text, name)).scheme in SCHEMES:
            streams.append((f"camera {name}", url, parsed(PulledOptions, url, name)))
    if settings.publish:
        url, _, access = building.opened_publish(settings)
        streams.append(("publish", url, access))
    for what, url, options in streams:
        with closing(JetStream(url, options, f"redrabbit check {settings.line}", quiet=True)) as server:
            try:
                server.check()
            except InvalidInput as error:
                raise InvalidInput(f"{what}: {error}") from error
            yield f"nats        {server.shown} answers, for {what}"
    if settings.images.store:
        store = open_store(settings.images.store)
        store.check()
        yield f"images      {store.shown}"


def _parts(settings: Settings, rule: Parts) -> str:
    """Which parts that nobody judges become a record."""
    from service.jetstream import SCHEMES

    said = (
        f"not inspected {rule.wait:g} s after a gap in the trigger numbers: {rule.missing}, recorded before it is told"
    )
    blind = [name for name, url in settings.cameras.items() if urlsplit(url).scheme in SCHEMES]
    return f"{said}; no trigger numbers from {', '.join(blind)}" if blind else said


def _pages(rule: LineThresholds, defects: Sequence[str]) -> Iterator[str]:
    """What pages of each row: never anything without an audited miss, and always enough of them."""
    rows = [row for row in (ALL, *defects) if rule.row(row, len(defects)).recall.page is not None]
    for row in rows:
        threshold = rule.row(row, len(defects)).recall.page or 0.0
        stakes = bets(threshold, rule.audit.budget)
        fastest = rule.bucket.parts / FASTEST
        limit = limit_in_steps(rule.false_page_every * len(rows), fastest, threshold, stakes)
        weight = max(weights(rule.audit.budget, DEFAULT_SHARES, DEFAULT_GUESSES))
        needed = misses_to_page(threshold, stakes, limit, weight)
        if needed > rule.bucket.parts:
            raise InvalidInput(
                f"thresholds: {row}: a bucket of {rule.bucket.parts} parts could not page even if every part were an audited "
                f"miss ({needed} are needed); expected a larger bucket.parts or audit.budget, or a shorter false_page_every"
            )
        _check_provable(rule, row, threshold, weight)
        yield (
            f"page        {row}: recall below {threshold:g}; never without an audited miss, at once with {needed} of weight "
            f"{weight} in a bucket (at {FASTEST:g} parts a second; fewer on a slower line)"
        )


def _check_provable(rule: LineThresholds, row: str, threshold: float, weight: int) -> None:
    """A window in which recall could not be proven if every part were a caught defect: its page would never clear by itself."""
    for window in rule.windows:
        if window.parts is not None and estimate(window.parts, {}, weight).lower < threshold:
            raise InvalidInput(
                f"thresholds: {row}: no window of {window.name} can prove recall of {threshold:g} with audits of weight {weight}, "
                "so a page could never clear by itself; expected a larger window or audit.budget"
            )
