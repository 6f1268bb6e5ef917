"""Settings in, parts out: which concrete class stands behind which promise. Commands and tests call the same builders."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from math import inf
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult

import structlog

from service import settings as settings_file
from service.cli import judging
from service.drawing import DrawPolicies, Steward, audit_key
from service.errors import InvalidInput, LedgerUnavailable
from service.inspection import in_force
from service.monitor import Monitor
from service.parts.absent import PartsRule
from service.ports import Camera, ImageStore, LedgerReader, Meter
from service.pulse import Pulse
from service.recipes import Controls, orders_of, standing
from service.settings import Settings
from service.thresholds import WatchedThresholds
from service.worker import Line, Worker

log = structlog.get_logger()

STEWARD_EVERY = 5.0

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client import CollectorRegistry

    from service.cameras.pulled import PublishOptions
    from service.ledger.store import SqlLedger


def settings(path: Path, allow_ungated: bool = False) -> Settings:
    """line.yaml under the environment of this process, and under the flag --allow-ungated."""
    found = settings_file.load(path, os.environ)
    return found.model_copy(update={"allow_ungated": True}) if allow_ungated else found


def line_settings(path: Path, recipe: str) -> Settings:
    """Of a line as the ledger has it: with recipes that is LINE:RECIPE, of this one, "" for the one in force. Raises InvalidInput."""
    found = settings(path)
    if not found.recipes:
        if recipe:
            raise InvalidInput(f"--recipe {recipe}: {path} has no recipes")
        return found
    name = recipe or recipe_in_force(found)
    if name not in found.recipes:
        raise InvalidInput(f"--recipe {name}: expected one of {', '.join(found.recipes)}")
    return found.under(name)


def recipe_in_force(settings: Settings) -> str:
    """The one that the line's workers have changed over to, or begin with. Raises InvalidInput where the ledger cannot be read."""
    from service.ledger.sqlite import NotYet
    from service.ledger.store import open_ledger

    taken = None
    with suppress(NotYet), closing(open_ledger(settings.ledger, time.time, read_only=True)) as ledger:
        taken = standing(orders_of(settings.line, ledger), settings.recipes)
    return taken.order.name if taken else settings.recipe


def pulse() -> Pulse:
    """The sign of life of this process, to systemd too where that has started it."""
    return Pulse(os.environ.get("NOTIFY_SOCKET", ""))


def processes(config: Path, allow_ungated: bool = False) -> dict[str, Sequence[str]]:
    """The command lines of the three processes of one line."""
    commands = {
        name: [sys.executable, "-m", "service.cli", "--supervised", name, "--config", str(config)]
        for name in ("station", "exporter", "worker")
    }
    if allow_ungated:
        commands["worker"].append("--allow-ungated")
    return dict(commands)


def end_with_parent() -> None:
    """Asks this process to drain when the one that started it is gone: a supervisor that was killed leaves nobody behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, name="parent", daemon=True).start()


def check_addresses(settings: Settings) -> None:
    """Raises InvalidInput for an address that another program has, before any process is started."""
    wanted = {
        "station.listen": settings.station.listen,
        "metrics.exporter": settings.metrics.exporter,
        "metrics.worker": settings.metrics.worker,
    }
    for key, address in wanted.items():
        host, _, port = address.rpartition(":")
        try:
            family, *_, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
        except OSError as error:
            raise InvalidInput(f"{key}: cannot listen on {address}: {error.strerror}") from error


@contextmanager
def until_signalled(*then: Callable[[], None]) -> Iterator[Event]:
    """SIGTERM and SIGINT set the event, and call `then`, instead of ending the process; a second one ends it.

    A thread does both: the handler runs within whatever the main thread is about, and would wait for ever for a lock that it holds.
    """
    stopping = Event()
    signals: SimpleQueue[int] = SimpleQueue()  # its put takes no lock

    def handler(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        signals.put(number)

    def act() -> None:
        if signals.get():
            stopping.set()
            for call in then:
                call()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    acting = Thread(target=act, name="signals", daemon=True)
    acting.start()
    try:
        yield stopping
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
        signals.put(0)
        acting.join()


def serve_until_signalled(address: str, registry: CollectorRegistry) -> None:
    """The registry on HOST:PORT, with the health of this process, which does nothing else."""
    from exporters.serving import serve_metrics

    sign = pulse()
    with closing(serve_metrics(address, registry, sign, sign.beat)), until_signalled(sign.stopping) as stopping:
        while not stopping.wait(0.5):
            pass  # a signal that another thread was given wakes no waiting main thread


@contextmanager
def worker(
    settings: Settings, registry: CollectorRegistry, alive: Callable[[], None], controls: Controls | None = None
) -> Iterator[Worker]:
    """A worker with everything it needs; its metrics go to the registry, its signs of life to `alive`. controls: of a line with recipes."""
    from exporters.worker import WorkerMeter
    from service.ledger.store import open_ledger
    from service.releases import open_release
    from service.releases.floor import Surroundings

    thresholds = WatchedThresholds(settings.thresholds)
    key = audit_key(settings.audit_key)
    identity = f"{socket.gethostname()}-{os.getpid()}"
    with closing(open_ledger(settings.ledger, time.time)) as ledger, ExitStack() as opened:
        meter = WorkerMeter(settings.line, registry)
        judges = opened.enter_context(
            judging.judges(settings, key, ledger, thresholds, meter, identity, judging.admission(settings))
        )
        model = judges.active.info
        cameras = [opened.enter_context(closing(camera)) for camera in open_cameras(settings, meter, ledger.known)]
        begun: list[Worker] = []
        around = Surroundings(meter, lambda: begun[0].behind() if begun else inf, controls)
        releases = [opened.enter_context(closing(open_release(url, around))) for url in settings.releases]
        ledger.register(in_force(settings.line, model, time.time()))
        one = Worker(
            Line(
                name=settings.line,
                cameras=cameras,
                judges=judges,
                policies=DrawPolicies(settings.line, ledger, thresholds, time.time, model),
                thresholds=thresholds,
                ledger=ledger,
                images=opened.enter_context(shipped_images(settings, meter)),
                releases=releases,
                meter=meter,
                clock=time.time,
                batch_size=settings.batch.size,
                batch_wait=settings.batch.wait,
                alive=alive,
                parts=PartsRule(settings.parts.wait, settings.parts.missing) if settings.parts else None,
            ),
            identity=identity,
        )
        begun.append(one)
        yield one


def images(settings: Settings) -> ImageStore:
    """The pictures of parts: on this machine, and in the shared store where line.yaml names one. Raises InvalidInput."""
    from service.ledger.images import FolderImages
    from service.ledger.sharing import SharedImages, open_store

    here = FolderImages(settings.images.folder, settings.images.ring)
    return SharedImages(here, open_store(settings.images.store)) if settings.images.store else here


@contextmanager
def shipped_images(settings: Settings, meter: Meter) -> Iterator[ImageStore]:
    """The worker's pictures. What it keeps goes on to the shared store, where there is one. Raises InvalidInput."""
    from service.ledger.images import FolderImages
    from service.ledger.sharing import SharedImages, Shipper, open_store

    here = FolderImages(settings.images.folder, settings.images.ring)
    if not settings.images.store:
        yield here
        return
    store = open_store(settings.images.store)
    with closing(Shipper(here, store, meter)) as shipper:
        yield SharedImages(here, store, shipper.look)


def open_cameras(
    settings: Settings, meter: Meter, known: Callable[[Sequence[str]], Mapping[str, float]]
) -> list[Camera]:
    """The cameras of line.yaml, by URL."""
    from service.cameras import open_camera
    from service.cli.datasets import play

    return [
        open_camera(
            url,
            line=settings.line,
            name=name,
            meter=meter,
            clock=time.time,
            known=known,
            more={"dataset": play},
        )
        for name, url in settings.cameras.items()
    ]


def opened_publish(settings: Settings) -> tuple[SplitResult, str, PublishOptions]:
    """URL, stream and options of `publish`. Raises InvalidInput."""
    from service.cameras.options import parsed, split, unusable
    from service.cameras.pulled import PublishOptions
    from service.jetstream import SCHEMES, stream_of

    if not settings.publish:
        raise InvalidInput("publish: nothing; expected where the frames go, such as nats://HOST:4222/parts")
    url = split(settings.publish, "publish")
    if url.scheme not in SCHEMES:
        raise unusable("publish", url, "expected nats://HOST:4222/STREAM or tls://HOST:4222/STREAM")
    try:
        return url, stream_of(url), parsed(PublishOptions, url, "publish")
    except ValueError as error:
        raise unusable("publish", url, str(error)) from error


class _LateLedger:
    """Every call goes to the ledger, as soon as there is one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = Lock()
        self._ledger: SqlLedger | None = None

    def _opened(self) -> SqlLedger:
        from service.ledger.sqlite import NotYet
        from service.ledger.store import open_ledger

        with self._lock:
            if self._ledger is None:
                try:
                    self._ledger = open_ledger(self._url, time.time, read_only=True)
                except NotYet as error:
                    raise LedgerUnavailable(str(error)) from error
            return self._ledger

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(self._opened(), name)(*arguments)


def late_ledger(url: str) -> LedgerReader:
    """Reads a ledger that may not be there yet: LedgerUnavailable until somebody has made it."""
    return cast(LedgerReader, _LateLedger(url))


def monitor(reader: LedgerReader, thresholds: WatchedThresholds) -> Monitor:
    """On the clock of this machine."""
    return Monitor(reader, thresholds, time.time)


def ledger_metrics(settings: Settings) -> CollectorRegistry:
    """Everything that the ledger and thresholds.yaml say, computed at each scrape."""
    from exporters.serving import snapshot_metrics

    thresholds = WatchedThresholds(settings.thresholds)
    return snapshot_metrics(monitor(late_ledger(settings.ledger), thresholds).snapshot, thresholds)


@contextmanager
def station_app(settings: Settings) -> Iterator[FastAPI]:
    """The station's application over its own connections to the ledger: labels in, pages out."""
    from prometheus_client import CollectorRegistry, generate_latest

    from exporters.station import StationMetrics
    from service.ledger.groups import GroupCommit
    from service.ledger.store import open_ledger, open_owners
    from service.station.app import create_app
    from service.station.deps import Deps, Recipes
    from service.station.samples import Studies

    thresholds = WatchedThresholds(settings.thresholds)
    registry = CollectorRegistry()
    with (
        closing(open_ledger(settings.ledger, time.time)) as ledger,
        closing(GroupCommit(ledger)) as labels,
        closing(open_owners(settings.ledger)) as owners,
        _stewarding(watcher := monitor(ledger, thresholds), Steward(ledger, time.time, owners)),
    ):
        yield create_app(
            Deps(
                ledger=ledger,
                labels=labels,
                people=ledger,
                leases=ledger,
                challenges=ledger,
                images=images(settings),
                monitor=watcher,
                threshold=lambda line, defect, kinds: thresholds().line(line).row(defect, kinds).recall.page,
                heatmap=judging.heatmaps(settings),
                metrics=lambda: generate_latest(registry),
                clock=time.time,
                meter=StationMetrics(registry),
                samples=Studies(ledger, time.time),
                recipes=Recipes(
                    settings.line,
                    {name: (one.number, one.product) for name, one in settings.recipes.items()},
                    settings.recipe,
                    ledger,
                )
                if settings.recipes
                else None,
                open_on_loopback=settings.station.open_on_loopback,
            )
        )


@contextmanager
def _stewarding(watcher: Monitor, steward: Steward) -> Iterator[None]:
    """Looks after the draw of every line, beside what else the station does: it follows the ledger anyway."""
    ended = Event()

    def look() -> None:
        while not ended.wait(STEWARD_EVERY):
            try:
                for line in watcher.snapshot().lines.values():
                    steward.look(line)
            except LedgerUnavailable as error:
                log.warning("draw policies not looked after", why=str(error))

    thread = Thread(target=look, name="steward", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
