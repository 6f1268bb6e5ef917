"""(k) What the engines for many machines cost on one: frames over JetStream, and a ledger in PostgreSQL, over the same worker without them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from urllib.parse import urlsplit

from service.cameras import open_camera
from service.jetstream import JetStream, NatsOptions
from service.model.detector import OnnxDetector
from service.publishing import Publisher
from tests.bench.line import detector, pictures, worker
from tests.bench.table import Row
from tests.bench.throughput import ours
from tests.jetstream import Nats
from tests.jetstream import running as running_nats
from tests.line import Counts, Playlist
from tests.postgres import running as running_postgres

PARTS = 960
ROUNDS = 3
SYNCED = "fsync=on"
"""The tests' server does without, which would be no comparison."""


class _Counting(Counts):
    """Says when so many parts have been released, or published."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self._left = parts
        self.all = Event()

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        if stage == "total":
            self.published("")

    def published(self, camera: str) -> None:
        self._left -= 1
        if not self._left:
            self.all.set()


def _publish(server: Nats, contents: Sequence[bytes], prefix: str) -> None:
    url = urlsplit(f"nats://{server.address}/parts")
    camera = Playlist([(f"{prefix}{number}", content) for number, content in enumerate(contents)])
    with closing(JetStream(url, NatsOptions(), "bench")) as connection:
        Publisher("a", [camera], connection, "parts", 10**9, _Counting(len(contents)), lambda: None).run()


def _over_jetstream(model: OnnxDetector, contents: Sequence[bytes], server: Nats, prefix: str) -> float:
    """Parts a second of a worker that finds all of them in the stream."""
    _publish(server, contents, prefix)
    meter = _Counting(len(contents))
    url = f"nats://{server.address}/parts"
    camera = open_camera(url, line="a", name="left", meter=meter, clock=time.time, known=lambda _: {})
    with worker(model, camera, meter) as (line, _):
        running = Thread(target=line.run)
        started = time.perf_counter()
        running.start()
        meter.all.wait()
        seconds = time.perf_counter() - started
        line.stop()
        running.join()
    return len(contents) / seconds


def measure() -> Iterator[Row]:
    """The median of rounds that alternate."""
    model, contents = detector(), pictures(PARTS)
    with TemporaryDirectory() as folder, ExitStack() as opened:
        nats = opened.enter_context(running_nats(Path(folder) / "nats"))
        postgres = opened.enter_context(running_postgres(SYNCED))
        ours(model, contents[:64])
        rounds = [
            (
                _over_jetstream(model, contents, nats, f"r{number}-"),
                ours(model, contents, url=postgres.database()),
                ours(model, contents),
            )
            for number in range(ROUNDS)
        ]
    jetstream, database, bare = (median(column) for column in zip(*rounds, strict=True))
    for what, figure, at in (("frames over JetStream", jetstream, 0), ("a ledger in PostgreSQL", database, 1)):
        ratio = median(each[at] / each[2] for each in rounds)
        yield Row(f"(k) worker, {what}, parts a second", f"{figure:.0f}", f"{bare:.0f} without", ratio)
