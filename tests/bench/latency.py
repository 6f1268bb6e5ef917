"""(b) From frame to released record at a calm rate, and which share of it is the disk making the record durable."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from tests.bench.line import Paced, detector, pictures, worker
from tests.bench.table import Row
from tests.line import Counts

PARTS = 400
RATE = 20.0


class Times(Counts):
    """Keeps every observation by stage, seconds a part, and how many commits there were."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, list[float]] = {}
        self.commits = 0

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        self.commits += stage == "record"
        self.seconds.setdefault(stage, []).extend([seconds] * parts)


def fsync_seconds(folder: Path, count: int = 100) -> float:
    """The median time that one fsync of 4 KiB appended to a file takes here."""
    times = []
    with (folder / "bare").open("wb") as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    return median(times)


def measure() -> Iterator[Row]:
    """At the demo's rate, batches forming by deadline."""
    meter = Times()
    camera = Paced([(f"p{number}", content) for number, content in enumerate(pictures(PARTS))], RATE)
    with TemporaryDirectory() as folder:
        with worker(detector(), camera, meter, Path(folder)) as (line, _):
            line.run()
        bare = fsync_seconds(Path(folder))
    cuts = quantiles(meter.seconds["total"], n=100)
    p50, p99 = cuts[49] * 1e3, cuts[98] * 1e3
    record = median(meter.seconds["record"]) * 1e3
    yield Row(
        "(b) frame to released record, p50",
        f"{p50:.1f} ms",
        f"record {record:.1f} ms of it; one bare fsync {bare * 1e3:.1f} ms",
        record / p50,
    )
    yield Row("(b) frame to released record, p99", f"{p99:.1f} ms")
