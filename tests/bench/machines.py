"""(k) What the engines for many machines cost on one: frames over JetStream, and a ledger in PostgreSQL, over the same worker without them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from service.cameras import open_camera
from service.inspection import Inspection
from service.jetstream import JetStream, NatsOptions
from service.judges import Judges
from service.model.detector import OnnxDetector
from service.publishing import Publisher
from tests.bench.line import KEY, detector, pictures, worker
from tests.bench.table import Row
from tests.bench.throughput import ours
from tests.jetstream import Nats
from tests.jetstream import running as running_nats
from tests.line import Brightness, Counts, Playlist
from tests.postgres import running as running_postgres

PARTS = 960
ROUNDS = 3
WORKERS = 3
SECONDS = 0.01
"""That the model of a pool's worker takes for a picture."""

SYNCED = "fsync=on"
"""The tests' server does without, which would be no comparison."""


class _Counting(Counts):
    """Says when so many parts have been released, or published."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self._left = parts
        self._lock = Lock()
        self.all = Event()

    def observe(self, stage: str, seconds: float, parts: int = 1) -> None:
        if stage == "total":
            self.published("")

    def published(self, camera: str) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                self.all.set()


def _publish(server: Nats, contents: Sequence[bytes], prefix: str) -> None:
    url = urlsplit(f"nats://{server.address}/parts")
    camera = Playlist([(f"{prefix}{number}", content) for number, content in enumerate(contents)])
    with closing(JetStream(url, NatsOptions(), "bench")) as connection:
        Publisher("a", [camera], connection, "parts", 10**9, _Counting(len(contents)), lambda: None).run()


def _over_jetstream(
    judging: Sequence[OnnxDetector | Judges], contents: Sequence[bytes], server: Nats, prefix: str, url: str = ""
) -> float:
    """Parts a second of so many workers that find all of them in the stream. url: of the ledger that they share."""
    _publish(server, contents, prefix)
    meter = _Counting(len(contents))
    with ExitStack() as opened:
        lines = []
        for one in judging:
            camera = open_camera(
                f"nats://{server.address}/parts",
                line="a",
                name="left",
                meter=meter,
                clock=time.time,
                known=lambda _: {},
            )
            lines.append(opened.enter_context(worker(one, camera, meter, url=url))[0])
        running = [Thread(target=line.run) for line in lines]
        started = time.perf_counter()
        for thread in running:
            thread.start()
        meter.all.wait()
        seconds = time.perf_counter() - started
        for line in lines:
            line.stop()
        for thread in running:
            thread.join()
    return len(contents) / seconds


class _Elsewhere(Brightness):
    """A model that takes its time and none of these cores', as on a GPU."""

    def judge(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(SECONDS * len(batch))
        return super().judge(batch)


def measure() -> Iterator[Row]:
    """The median of rounds that alternate."""
    model, contents = detector(), pictures(PARTS)
    elsewhere = [Judges(Inspection(_Elsewhere(), KEY)) for _ in range(WORKERS)]
    with TemporaryDirectory() as folder, ExitStack() as opened:
        nats = opened.enter_context(running_nats(Path(folder) / "nats"))
        postgres = opened.enter_context(running_postgres(SYNCED))
        ours(model, contents[:64])
        rounds = [
            (
                _over_jetstream([model], contents, nats, f"r{number}-"),
                ours(model, contents, url=postgres.database()),
                ours(model, contents),
                _over_jetstream(elsewhere, contents, nats, f"p{number}-", postgres.database()),
                _over_jetstream(elsewhere[:1], contents[: PARTS // WORKERS], nats, f"o{number}-", postgres.database()),
            )
            for number in range(ROUNDS)
        ]
    jetstream, database, bare, pool, alone = (median(column) for column in zip(*rounds, strict=True))
    for what, figure, at in (("frames over JetStream", jetstream, 0), ("a ledger in PostgreSQL", database, 1)):
        ratio = median(each[at] / each[2] for each in rounds)
        yield Row(f"(k) worker, {what}, parts a second", f"{figure:.0f}", f"{bare:.0f} without", ratio)
    ratio = median(each[3] / (WORKERS * each[4]) for each in rounds)
    sum_of = f"{WORKERS} x {alone:.0f}, each alone"
    yield Row(f"(k) {WORKERS} workers on one JetStream and PostgreSQL, model elsewhere", f"{pool:.0f}", sum_of, ratio)
