"""(d) What a scrape of the exporter costs at 1, 50 and 200 lines of 10 defects, over rendering the same text families alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

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
        self._families = list(registry.collect())

    def collect(self):  # type: ignore[no-untyped-def]
        return self._families


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


def _seconds(registry: CollectorRegistry) -> float:
    started = time.perf_counter()
    generate_latest(registry)
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
            pairs = [(_seconds(registry), _seconds(static)) for _ in range(ROUNDS)]
            ours, bare = (median(column) for column in zip(*pairs, strict=True))
            size = len(generate_latest(registry)) / 1e6
            yield Row(
                f"(d) scrape, {count} lines of 10 defects",
                f"{ours * 1e3:.0f} ms, {size:.2f} MB",
                f"{bare * 1e3:.0f} ms to render alone",
                ours / bare,
            )
