"""Which parts of a line nobody judges: no picture came, or it could not be judged. Each is told of once, to be recorded and released."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from threading import Condition
from time import monotonic
from typing import Final
from uuid import uuid4

import structlog

from service.parts.gaps import Gaps
from service.records import NO_PICTURE, FailSafe, Frame, NotInspected

log = structlog.get_logger()

MOST: Final = 100_000
"""Parts that may wait for the ledger. Beyond them the newest are given up, and logged: memory has an end."""


@dataclass(frozen=True, slots=True)
class PartsRule:
    """wait: seconds from the picture that shows a gap until what is missing counts as missing. missing: what becomes of such a part."""

    wait: float
    missing: FailSafe


class AbsentParts:
    """One line's. Any thread may call it."""

    def __init__(self, line: str, cameras: Iterable[str], rule: PartsRule) -> None:
        self._line = line
        self._rule = rule
        self._change = Condition()
        self._gaps = {name: Gaps() for name in cameras}
        self._ready: deque[NotInspected] = deque()
        self._wait = rule.wait
        self.lost = 0

    def arrived(self, frame: Frame) -> None:
        """A frame of a camera, each in the order in which they came."""
        if frame.trigger is None:
            return
        with self._change:
            counted = self._gaps[frame.camera].add(frame.trigger, monotonic(), frame.captured_at)
            self._change.notify_all()
        if not counted:
            log.warning("trigger numbers leapt: not taken for missing parts", camera=frame.camera, to=frame.trigger)

    def unjudged(self, frame: Frame, reason: str) -> None:
        """Its picture came, and nobody will judge it."""
        with self._change:
            self._add(frame.part_id, frame.camera, frame.trigger, frame.captured_at, reason)
            self._change.notify_all()

    def end(self) -> None:
        """No frame comes any more: what is missing now is missing."""
        with self._change:
            self._wait = 0.0
            self._change.notify_all()

    def take(self, seconds: float) -> list[NotInspected]:
        """What is to be recorded, the oldest first; waits so long for some to be there."""
        end = monotonic() + seconds
        with self._change:
            while True:
                now = monotonic()
                self._collect(now)
                if self._ready or now >= end:
                    found = list(self._ready)
                    self._ready.clear()
                    return found
                self._change.wait(max(0.001, min(end, self._next()) - now))

    def _next(self) -> float:
        noticed = [at for gaps in self._gaps.values() if (at := gaps.next()) is not None]
        return min(noticed, default=inf) + self._wait

    def _collect(self, now: float) -> None:
        for camera, gaps in self._gaps.items():
            for gap in gaps.older_than(now - self._wait):
                part_id = _part_id(camera, gap.captured_at, gap.trigger)
                self._add(part_id, camera, gap.trigger, gap.captured_at, NO_PICTURE)

    def _add(self, part_id: str, camera: str, trigger: int | None, captured_at: float, reason: str) -> None:
        if len(self._ready) >= MOST:
            self.lost += 1
            if self.lost == 1:
                log.error(
                    "parts that were not inspected are not recorded: too many wait for the ledger", line=self._line
                )
            return
        missing = NotInspected(part_id, self._line, camera, trigger, captured_at, reason, self._rule.missing)
        self._ready.append(missing)


def _part_id(camera: str, captured_at: float, trigger: int) -> str:
    """As industrial cameras call a part whose picture came; no two of them are the same. An id has no two points in a row."""
    name = re.sub(r"\.{2,}", ".", camera)
    return f"{name}-{int(captured_at * 1000)}-{trigger}-{uuid4().hex[:8]}"
