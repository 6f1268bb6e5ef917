"""Who judges the parts of a line: one model that has the say, and perhaps a shadow that has none."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread, get_native_id

import numpy as np
import structlog

from service.errors import LedgerUnavailable
from service.images import decode
from service.inspection import Inspection
from service.ports import Meter, ModelLedger
from service.records import Frame, ShadowVerdict

log = structlog.get_logger()

BATCHES_BEHIND = 8
ROWS_AT_ONCE = 256
WRITE_EVERY = 1.0
PATIENCE = 5.0
NICENESS = 10


@dataclass(slots=True)
class Judges:
    """The worker asks between two batches who judges the next one: a swap is the exchange of a reference."""

    active: Inspection
    shadow: Shadow | None = None

    def offer(self, frames: Sequence[Frame]) -> None:
        """Recorded and released parts, for the shadow if there is one."""
        shadow = self.shadow
        if shadow is not None:
            shadow.offer(frames)


class Shadow:
    """Judges recorded parts a second time, in a thread of its own. The line never waits for it, and what goes wrong in it ends
    it alone. failure: why it has ended by itself, "" while it has not."""

    def __init__(self, inspection: Inspection, ledger: ModelLedger, meter: Meter) -> None:
        self.inspection = inspection
        self.failure = ""
        self._ledger = ledger
        self._meter = meter
        self._queue: Queue[Sequence[Frame]] = Queue(BATCHES_BEHIND)
        self._closing = Event()
        self._thread = Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, frames: Sequence[Frame]) -> None:
        """Never waits: what there is no room for is counted."""
        if self.failure or self._closing.is_set():
            return
        try:
            self._queue.put_nowait(frames)
        except Full:
            self._meter.shadow_dropped(len(frames))

    def close(self) -> None:
        """Judges and writes what it was offered, if it can within a few seconds."""
        self._closing.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        with suppress(
            OSError, AttributeError
        ):  # the line comes first, where the operating system can tell threads apart
            os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)
        try:
            self._judge()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told by `failure` and must not reach the line
            self.failure = f"{type(error).__name__}: {error}"

    def _judge(self) -> None:
        rows: list[ShadowVerdict] = []
        written = time.monotonic()
        while not (self._closing.is_set() and self._queue.empty() and not rows):
            with suppress(Empty):
                frames = self._queue.get(timeout=WRITE_EVERY / 4)
                rows += self.inspection.shadow_verdicts(frames, np.stack([self._fitted(frame) for frame in frames]))
            late = time.monotonic() - written > WRITE_EVERY or self._closing.is_set()
            if rows and (late or len(rows) >= ROWS_AT_ONCE):
                self._write(rows)
                rows, written = [], time.monotonic()

    def _fitted(self, frame: Frame) -> np.typing.NDArray[np.uint8]:
        image = decode(frame.content) if isinstance(frame.content, bytes) else frame.content
        return self.inspection.detector.fit(image)

    def _write(self, rows: Sequence[ShadowVerdict]) -> None:
        try:
            self._ledger.record_shadow(rows)
        except LedgerUnavailable as error:  # the line itself is held by now: its parts matter, these do not
            log.warning("what the shadow said is lost", parts=len(rows), why=str(error))
            self._meter.shadow_dropped(len(rows))
