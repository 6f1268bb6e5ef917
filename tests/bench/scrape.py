"""(d) What a scrape of the exporter costs at 1, 50 and 200 lines of 10 defects, over what the client library takes to render the same families alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from exporters.families import exposition
from exporters.serving import snapshot_metrics
from service.monitor import Monitor
from service.records import Snapshot
from service.thresholds import WatchedThresholds
from tests.bench.memory import Endless
from tests.bench.table import Row
from tests.line import MODEL

DEFECTS = tuple(f"defect{number}" for number in range(10))
ROUNDS = 5


class TenDefects(Endless):
    """The made-up ledger under a model of ten defects."""

    def line_state(self):  # type: ignore[no-untyped-def]
        return [replace(MODEL, classes=("good", *DEFECTS))], [], []


class Static(Collector):
    """The same families, made once: what is left is the rendering, which is the client library's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._families = [_plain(family) for family in registry.collect()]

    def collect(self):  # type: ignore[no-untyped-def]
        return self._families


def _plain(family: Metric) -> Metric:
    """With its samples made, as the library's own classes have them."""
    found = Metric(family.name, family.documentation, family.type)
    found.samples = list(family.samples)
    return found


def _many(one: Snapshot, count: int) -> Snapshot:
    """The snapshot of so many lines that are all alike."""
    (line,) = one.lines.values()

    def renamed(name: str):  # type: ignore[no-untyped-def]
        rows = {
            key: tuple(replace(row, line=name) for row in getattr(line, key))
            for key in ("quality", "provisional", "evidence", "models")
        }
        return replace(line, line=name, **rows)

    names = [f"line{number}" for number in range(count)]
    return Snapshot(one.as_of, {name: renamed(name) for name in names})


def _seconds(render: Callable[[], bytes]) -> float:
    started = time.perf_counter()
    render()
    return time.perf_counter() - started


def measure() -> Iterator[Row]:
    """Seconds and bytes of one scrape, after the ledger has been followed."""
    ledger = TenDefects()
    ledger.parts_there = 50_000
    with TemporaryDirectory() as folder:
        file = Path(folder) / "thresholds.yaml"
        file.write_text("defaults: {audit: {budget: 0.02}}")
        watched = WatchedThresholds(file)
        one = Monitor(ledger, watched, lambda: 1e5).snapshot()
        for count in (1, 50, 200):
            snapshot = _many(one, count)
            registry = snapshot_metrics(lambda found=snapshot: found, watched)
            static = CollectorRegistry()
            static.register(Static(registry))
            ways = (lambda found=registry: exposition(found.collect()), lambda found=static: generate_latest(found))
            pairs = [[_seconds(way) for way in ways] for _ in range(ROUNDS)]
            ours, bare = (median(column) for column in zip(*pairs, strict=True))
            size = len(ways[0]()) / 1e6
            yield Row(
                f"(d) scrape, {count} lines of 10 defects",
                f"{ours * 1e3:.0f} ms, {size:.2f} MB",
                f"{bare * 1e3:.0f} ms for the client library to render alone",
                ours / bare,
            )
