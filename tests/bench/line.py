"""A real worker on the shipped model, fed from memory, over a ledger and pictures on a real disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from service.cli.demo import MODEL
from service.drawing import DrawPolicies
from service.inspection import Inspection
from service.judges import Judges
from service.ledger.images import FolderImages
from service.ledger.store import SqlLedger, open_ledger
from service.model.detector import OnnxDetector
from service.model.elpv import heldout
from service.ports import Camera, Meter, Release
from service.records import Frame
from service.thresholds import parse
from service.worker import Line, Worker
from tests.line import Playlist

BATCH = 16
THREADS = 2
KEY = b"k" * 32
THRESHOLDS = parse("defaults: {audit: {budget: 0.02}}")


def pictures(count: int) -> list[bytes]:
    """Encoded held-out pictures, good ones and bad ones as the data set has them."""
    cells = heldout()
    distinct = [cell.read() for cell in cells[: min(200, len(cells))]]
    return [distinct[number % len(distinct)] for number in range(count)]


class Paced(Playlist):
    """Plays its parts at `rate` a second (None: as fast as they are taken)."""

    def __init__(self, parts: Sequence[tuple[str, bytes]], rate: float | None = None) -> None:
        super().__init__(parts)
        self._rate = rate

    def frames(self, stopping: Event) -> Iterator[Frame]:
        started = time.monotonic()
        for number, frame in enumerate(super().frames(stopping)):
            if self._rate is not None:
                stopping.wait(max(0.0, started + number / self._rate - time.monotonic()))
            yield frame


@contextmanager
def worker(
    judging: OnnxDetector | Judges,
    camera: Camera,
    meter: Meter,
    home: Path | None = None,
    releases: Sequence[Release] = (),
    url: str = "",
    batch_wait: float = 0.02,
) -> Iterator[tuple[Worker, SqlLedger]]:
    """Everything as `redrabbit worker` has it, but the camera. home: where ledger and pictures lie; None: in a folder for this once.
    url: of a ledger elsewhere. batch_wait: seconds."""
    judges = judging if isinstance(judging, Judges) else Judges(Inspection(judging, KEY))
    with (
        nullcontext(str(home)) if home else TemporaryDirectory() as where,
        closing(open_ledger(url or f"sqlite:///{where}/ledger.db", time.time)) as ledger,
    ):
        line = Line(
            name="a",
            cameras=[camera],
            judges=judges,
            policies=DrawPolicies("a", ledger, lambda: THRESHOLDS, time.time, judges.active.info),
            thresholds=lambda: THRESHOLDS,
            ledger=ledger,
            images=FolderImages(Path(where) / "images", 10**9),
            releases=releases,
            meter=meter,
            clock=time.time,
            batch_size=BATCH,
            batch_wait=batch_wait,
        )
        yield Worker(line, "bench"), ledger


def detector() -> OnnxDetector:
    """The shipped model on so many threads."""
    return OnnxDetector(MODEL, ("CPUExecutionProvider",), THREADS)
