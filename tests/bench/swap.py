"""(g) How long a swap holds the line up: the largest gap between two releases around a swap, over the same without one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread

import numpy as np
import onnx

from service.cli.demo import MODEL
from service.inspection import Inspection
from service.judges import Judges
from service.model.detector import OnnxDetector
from service.model.shelf import Shelf
from service.orders import OrderFollower, Orders
from service.records import ModelOrder, Role, Taken, Verdict
from tests.bench.line import BATCH, KEY, THREADS, THRESHOLDS, Paced, detector, pictures, worker
from tests.bench.table import Row
from tests.line import Counts

PARTS = 1200
RATE = 40.0
SWAPS = 8
AROUND = 1.0


class Moments:
    """A release that remembers when."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def release(self, verdicts: Sequence[Verdict]) -> None:
        self.at.append(time.monotonic())

    def close(self) -> None:
        pass

    def largest(self, start: float, end: float) -> float:
        """Seconds between two releases that follow each other, of those that touch the span."""
        gaps = zip(self.at, self.at[1:], strict=False)
        return max(after - before for before, after in gaps if before <= end and after >= start)


def other(content: bytes) -> bytes:
    """The same model under another digest."""
    model = onnx.load_model_from_string(content)
    model.doc_string = "again"
    again: bytes = model.SerializeToString()
    return again


def batch_seconds() -> float:
    """The median time that one full batch takes on its own."""
    model, times = detector(), []
    batch = np.stack([model.fit(np.zeros((8, 8, 3), np.uint8))] * BATCH)
    for _ in range(20):
        started = time.perf_counter()
        model.judge(batch)
        times.append(time.perf_counter() - started)
    return median(times)


def measure() -> Iterator[Row]:
    """The shipped model takes its own place, again and again, at a calm rate; spans without a swap lie between."""
    camera = Paced([(f"p{number}", content) for number, content in enumerate(pictures(PARTS))], RATE)
    moments = Moments()
    with TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder) / "models")
        digests = [shelf.keep(content) for content in (other(MODEL.read_bytes()), MODEL.read_bytes())]

        def load(digest: str, role: Role) -> Inspection:
            return Inspection(OnnxDetector(shelf.file(digest), ("CPUExecutionProvider",), THREADS), KEY)

        judges = Judges(Inspection(detector(), KEY))
        with worker(judges, camera, Counts(), Path(folder), [moments]) as (line, ledger):
            orders = Orders("a", "bench", ledger, load, lambda: THRESHOLDS, Counts(), time.time, BATCH)
            follower = OrderFollower(orders, judges)
            running = Thread(target=line.run)
            running.start()
            spans = []
            for number in range(SWAPS):
                Event().wait(2 * AROUND)
                started = time.monotonic()
                ledger.order_model(ModelOrder("a", Role.ACTIVE, digests[number % 2], "again", "bench"))
                follower.look()
                spans.append((started, time.monotonic()))
            running.join()
            assert {order.outcome for order in ledger.model_orders("a")} == {Taken.TAKEN}
    around = [moments.largest(start, end) for start, end in spans]
    without = [moments.largest(start - AROUND - (end - start), start - AROUND) for start, end in spans]
    yield Row(
        f"(g) largest gap between two releases around a swap, median of {SWAPS}",
        f"{median(around) * 1e3:.0f} ms; the worst {max(around) * 1e3:.0f} ms",
        f"{median(without) * 1e3:.0f} ms without a swap, the worst {max(without) * 1e3:.0f} ms; "
        f"a part comes every {1e3 / RATE:.0f} ms, {BATCH} are judged in {batch_seconds() * 1e3:.0f} ms",
        median(around) / median(without),
    )
