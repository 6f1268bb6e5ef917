"""The line itself. For each batch: look, judge, draw, record, release. Plain threads, bounded queues, one stage a thread.

Nothing is released before its record is on disk. When the ledger cannot take it, the batch is held and tried again:
live cameras then drop frames, counted, and the others wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread, current_thread
from typing import Protocol, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from service.drawing import DrawPolicies
from service.errors import BadImage, LedgerUnavailable
from service.images import decode, encode
from service.inspection import Inspection
from service.judges import Judges
from service.parts.absent import AbsentParts, PartsRule
from service.ports import Camera, CameraLedger, Clock, ImageStore, Meter, PartLedger, Release
from service.records import Frame, Heartbeat, Outcome, Verdict
from service.sight import Sight
from service.thresholds import Thresholds

log = structlog.get_logger()

BEAT_EVERY = 5.0
RETRY_AFTER = 0.5
GIVE_UP_AFTER = 10.0
BATCHES_AHEAD = 2

Fitted = NDArray[np.uint8]
Fitting = tuple[Inspection, list[tuple["_Seen", Future[Fitted]]]]
"""A batch is fitted for one model and judged by it, whatever is in force meanwhile."""

T = TypeVar("T")


class LineLedger(PartLedger, CameraLedger, Protocol):
    """What a worker writes to."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a worker works with."""

    name: str
    cameras: Sequence[Camera]
    judges: Judges
    policies: DrawPolicies
    thresholds: Callable[[], Thresholds]
    ledger: LineLedger
    images: ImageStore
    releases: Sequence[Release]
    meter: Meter
    clock: Clock
    batch_size: int = 16
    batch_wait: float = 0.02
    decoders: int = 2
    beat_every: float = BEAT_EVERY
    parts: PartsRule | None = None
    """None: only what is judged is recorded."""
    alive: Callable[[], None] = lambda: None
    """Called once all is ready, then at every heartbeat by which all stages have come round."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame on its way, with the moment it arrived on the worker's monotonic clock."""

    frame: Frame
    camera: Camera
    arrived: float


class Worker:
    """Runs one line until its cameras end or `stop` is called; then drains what is on its way."""

    def __init__(self, line: Line, identity: str) -> None:
        self._line = line
        self._identity = identity
        self._stopping = Event()
        self._left = False
        self._judged_all = Event()
        self._failure: BaseException | None = None
        self._frames: Queue[_Seen | None] = Queue(maxsize=line.batch_size * BATCHES_AHEAD)
        self._decoding: Queue[Fitting | None] = Queue(maxsize=BATCHES_AHEAD)
        self._judged: Queue[list[tuple[_Seen, Verdict]] | None] = Queue(maxsize=BATCHES_AHEAD)
        self._sights = {
            camera.name: Sight(line.name, camera.name, line.meter, time.monotonic) for camera in line.cameras
        }
        self._absent = AbsentParts(line.name, self._sights, line.parts) if line.parts else None
        self._releasing = Lock()
        self._came_round: set[str] = set()
        self._came_round_at: dict[str, float] = {}
        self._stages: list[Thread] = []

    def stop(self) -> None:
        """Takes no more frames; what has been taken is still judged, recorded and released."""
        self._stopping.set()

    def leave(self) -> None:
        """Stops because the line goes on under another recipe: nobody is to miss this worker."""
        self._left = True
        self.stop()

    def behind(self) -> float:
        """For how many seconds the slowest stage that runs has not come round; infinity where none runs, or one has not begun."""
        running = [stage.name for stage in self._stages if stage.is_alive()]
        oldest = min((self._came_round_at.get(name, -inf) for name in running), default=-inf)
        return time.monotonic() - oldest

    def run(self) -> None:
        """Blocks until drained. Raises what ended a stage, if anything did."""
        started = self._line.clock()
        pool = ThreadPoolExecutor(self._line.decoders, thread_name_prefix="decode")
        looking = [self._thread(f"camera-{camera.name}", self._look, camera) for camera in self._line.cameras]
        stages = self._stages = [
            self._thread("batch", self._batch, pool),
            self._thread("judge", self._judge),
            self._thread("record", self._record),
            *([self._thread("absent", self._record_absent, self._absent)] if self._absent else []),
        ]
        self._beat(started, stopped=False)
        self._line.alive()  # ready: the model is warm, the cameras are open, the ledger has been written
        while any(thread.is_alive() for thread in looking):
            for thread in looking:
                thread.join(self._line.beat_every / len(looking))
            self._beat(started, stopped=False)
            self._live(stages)
        self._put(self._frames, None)
        for thread in stages:
            if thread.name == "absent":
                self._judged_all.set()
            while thread.is_alive():
                thread.join(self._line.beat_every)
                self._beat(started, stopped=False)
                self._live(stages)
        pool.shutdown(cancel_futures=True)
        for camera in self._line.cameras:
            camera.close()
        for release in self._line.releases:
            release.close()
        if self._failure is not None:
            raise self._failure
        self._beat(started, stopped=self._left or not self._stopping.is_set())

    def _thread(self, name: str, stage: Callable[..., None], *arguments: object) -> Thread:
        def guarded() -> None:
            try:
                stage(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised again by run(): a dead stage must not look alive
                self._failure = self._failure or error
                self._stopping.set()

        thread = Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _beat(self, started: float, stopped: bool) -> None:
        beat = Heartbeat(self._line.name, self._identity, started, self._line.clock(), stopped)
        try:
            self._line.ledger.beat(beat)
            for sight in self._sights.values():
                sight.follow(self._line.judges.active.info.digest, self._line.ledger)
        except LedgerUnavailable as error:
            log.warning("no heartbeat", line=self._line.name, why=str(error))

    def _live(self, stages: Sequence[Thread]) -> None:
        """One sign of life for a round of all stages that still run: a stage that hangs must not look alive."""
        if all(stage.name in self._came_round or not stage.is_alive() for stage in stages):
            self._came_round.clear()
            self._line.alive()

    def _comes_round(self) -> None:
        name = current_thread().name
        self._came_round.add(name)
        self._came_round_at[name] = time.monotonic()

    def _look(self, camera: Camera) -> None:
        """Takes frames of one camera. A live one loses frames when the line is full; others wait."""
        for frame in camera.frames(self._stopping):
            seen = _Seen(frame, camera, time.monotonic())
            # It ends with counting triggers: hardly a scrape falls between them and the frames.
            self._sights[camera.name].arrived(frame)
            self._line.meter.camera_frame(camera.name, frame.captured_at)
            if self._absent:
                self._absent.arrived(frame)
            if not camera.live:
                self._put(self._frames, seen)
                continue
            try:
                self._frames.put_nowait(seen)
            except Full:
                self._line.meter.dropped(camera.name, "line_full")
                if self._absent:
                    self._absent.unjudged(frame, "line_full")

    def _batch(self, pool: ThreadPoolExecutor) -> None:
        """Forms batches by size or by deadline, whichever comes first, and has them decoded."""
        more = True
        while more:
            first = self._get(self._frames)
            if first is None:
                break
            batch = [first]
            deadline = time.monotonic() + self._line.batch_wait
            while len(batch) < self._line.batch_size:
                try:
                    seen = self._frames.get(timeout=max(0.0, deadline - time.monotonic()))
                except Empty:
                    break
                if seen is None:
                    more = False
                    break
                batch.append(seen)
            inspection = self._line.judges.active
            fitting = [(seen, pool.submit(self._fit, inspection, seen)) for seen in batch]
            self._put(self._decoding, (inspection, fitting))
        self._put(self._decoding, None)

    def _fit(self, inspection: Inspection, seen: _Seen) -> Fitted:
        before = time.monotonic()
        content = seen.frame.content
        image = decode(content) if isinstance(content, bytes) else content
        self._sights[seen.camera.name].seen(image)
        fitted = inspection.detector.fit(image)
        self._line.meter.observe("decode", time.monotonic() - before)
        return fitted

    def _judge(self) -> None:
        while (fitting := self._get(self._decoding)) is not None:
            inspection, batch = fitting
            seen, fitted = [], []
            for one, future in batch:
                try:
                    fitted.append(future.result())
                    seen.append(one)
                except BadImage as fault:
                    self._refuse(one, fault)
            if not seen:
                continue
            self._line.policies.follow(inspection.info)
            policy = self._line.policies.current()
            before = time.monotonic()
            frames = [one.frame for one in seen]
            version = self._line.thresholds().version
            verdicts = inspection.verdicts(frames, np.stack(fitted), policy, version)
            self._line.meter.observe("infer", (time.monotonic() - before) / len(seen), len(seen))
            self._put(self._judged, list(zip(seen, verdicts, strict=True)))
        self._put(self._judged, None)

    def _refuse(self, seen: _Seen, fault: BadImage) -> None:
        log.warning("no image", camera=seen.camera.name, part=seen.frame.part_id, why=str(fault))
        self._line.meter.dropped(seen.camera.name, fault.reason)
        seen.camera.refused(seen.frame, fault)
        if self._absent:
            self._absent.unjudged(seen.frame, fault.reason)

    def _together(self) -> Iterator[list[tuple[_Seen, Verdict]]]:
        """What has been judged while the last was recorded: one transaction, so that a slow ledger is asked less often."""
        batch = self._get(self._judged)
        while batch is not None:
            following: list[tuple[_Seen, Verdict]] | None = []
            with suppress(Empty):
                while len(batch) < self._line.batch_size and following is not None:
                    following = self._judged.get_nowait()
                    batch = batch + (following or [])
            yield batch
            batch = None if following is None else self._get(self._judged)

    def _record(self) -> None:
        for batch in self._together():
            before = time.monotonic()
            recorded = self._until_recorded(batch)
            if recorded is None:
                continue
            after = time.monotonic()
            self._line.meter.observe("record", (after - before) / len(batch), len(batch))
            with self._releasing:
                for release in self._line.releases:
                    release.release(recorded)
            for (seen, _), verdict in zip(batch, recorded, strict=True):
                seen.camera.released(seen.frame, verdict)
                self._line.meter.observe("total", time.monotonic() - seen.arrived)
            self._line.meter.observe("release", (time.monotonic() - after) / len(batch), len(batch))
            self._line.judges.offer([seen.frame for seen, _ in batch])

    def _until_recorded(self, batch: list[tuple[_Seen, Verdict]]) -> Sequence[Verdict] | None:
        return self._held(
            lambda: self._line.ledger.record([self._with_image(seen.frame, verdict) for seen, verdict in batch]),
            len(batch),
        )

    def _record_absent(self, absent: AbsentParts) -> None:
        """What nobody judges is recorded before it is released too."""
        last = False
        while self._failure is None and not last:
            self._comes_round()
            last = self._judged_all.is_set()
            if last:
                absent.end()
            missing = absent.take(0.0 if last else 0.2)
            if missing and (
                recorded := self._held(partial(self._line.ledger.record_not_inspected, missing), len(missing))
            ):
                log.warning("not inspected", line=self._line.name, parts=len(recorded), first=recorded[0].part_id)
                with self._releasing:
                    for release in self._line.releases:
                        release.release_not_inspected(recorded)

    def _held(self, record: Callable[[], Sequence[T]], parts: int) -> Sequence[T] | None:
        """Tries until the ledger takes it; while stopping only so long. None: not recorded, so not released."""
        stopping_since: float | None = None
        while True:
            try:
                recorded = record()
            except LedgerUnavailable as error:
                self._line.meter.ledger_up(False)
                log.error("held, not released: the ledger takes no record", parts=parts, why=str(error))
                if self._stopping.is_set():
                    stopping_since = stopping_since or time.monotonic()
                    if time.monotonic() - stopping_since > GIVE_UP_AFTER:
                        return None
                time.sleep(RETRY_AFTER)
                self._came_round.add(current_thread().name)  # alive, and yet `behind`: no verdict comes
            else:
                self._line.meter.ledger_up(True)
                return recorded

    def _with_image(self, frame: Frame, verdict: Verdict) -> Verdict:
        """Pictures of rejects and audits are kept, on disk before the record that names them; others go to the ring."""
        content = frame.content if isinstance(frame.content, bytes) else encode(frame.content)
        store = self._line.images.ring if verdict.outcome is Outcome.PASS else self._line.images.keep
        return replace(verdict, image=store(content))

    def _put(self, queue: Queue[T], item: T) -> None:
        """Waits for room, but not behind a stage that has died."""
        while self._failure is None:
            self._comes_round()
            with suppress(Full):
                queue.put(item, timeout=0.2)
                return

    def _get(self, queue: Queue[T | None]) -> T | None:
        """The next item; None at the end, or when a stage has died."""
        while self._failure is None:
            self._comes_round()
            with suppress(Empty):
                return queue.get(timeout=0.2)
        return None
