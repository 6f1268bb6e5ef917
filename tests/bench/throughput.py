"""(a) Parts a second of a worker, over a bare loop of cv2.imdecode, resize and session.run: same model, batch, threads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from service.model.detector import OnnxDetector
from tests.bench.line import BATCH, Paced, detector, pictures, worker
from tests.bench.table import Row
from tests.line import Counts

PARTS = 960
ROUNDS = 3


def bare(model: OnnxDetector, contents: Sequence[bytes]) -> float:
    """Parts a second without any of our own code around the libraries but the resize."""
    started = time.perf_counter()
    for first in range(0, len(contents), BATCH):
        images = [
            cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            for content in contents[first : first + BATCH]
        ]
        model.judge(np.stack([model.fit(image) for image in images]))
    return len(contents) / (time.perf_counter() - started)


def ours(
    model: OnnxDetector, contents: Sequence[bytes], home: Path | None = None, prefix: str = "p", url: str = ""
) -> float:
    """Parts a second from camera to released record, of ids that begin so. url: of a ledger that is not a file."""
    camera = Paced([(f"{prefix}{number}", content) for number, content in enumerate(contents)])
    with worker(model, camera, Counts(), home, url=url) as (line, _):
        started = time.perf_counter()
        line.run()
        seconds = time.perf_counter() - started
    assert len(camera.answered) == len(contents)
    return len(contents) / seconds


def measure() -> Iterator[Row]:
    """The median of rounds that alternate, as the machine's speed changes by the minute."""
    model, contents = detector(), pictures(PARTS)
    bare(model, contents[: 4 * BATCH])
    pairs = [(ours(model, contents), bare(model, contents)) for _ in range(ROUNDS)]
    ratio = median(mine / other for mine, other in pairs)
    mine, other = (median(column) for column in zip(*pairs, strict=True))
    yield Row(
        "(a) worker, parts a second",
        f"{mine:.0f}",
        f"{other:.0f} in a bare loop of imdecode, resize, session.run",
        ratio,
    )
