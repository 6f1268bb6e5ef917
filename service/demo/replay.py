"""The demo on a simulated clock: capture times, label delays and closing buckets included, as fast as the machine can."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.demo.inspectors import SimulatedInspectors
from service.demo.parts import Production
from service.demo.report import LotLedger, Pages, Tally, at_risk, moment, report
from service.drawing import DrawPolicies, Steward
from service.images import decode
from service.inspection import Inspection
from service.monitor import Monitor
from service.ports import LabelLedger, PartLedger
from service.records import Frame, LineSnapshot
from service.thresholds import Thresholds

STARTS_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z: any fixed moment does, so that the same seed gives the same report


class SimulatedClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = STARTS_AT

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Replay:
    """One run. rate: parts a second on the simulated clock. good: the class that is no defect."""

    line: str
    production: Production
    inspection: Inspection
    policies: DrawPolicies
    steward: Steward
    thresholds: Callable[[], Thresholds]
    parts: PartLedger
    lots: LotLedger
    labels: LabelLedger
    monitor: Monitor
    inspectors: SimulatedInspectors
    clock: SimulatedClock
    good: str
    rate: float
    batch: int = 16

    def run(self, count: int, progress: Callable[[int, LineSnapshot, float], None]) -> dict[str, Any]:
        """Inspects `count` parts and returns the report. progress(parts, line, parts a second) after each bucket's worth."""
        tally, pages, timeline = Tally(), Pages(), []
        every = self.thresholds().line(self.line).bucket.parts
        started = time.perf_counter()
        for first in range(0, count, self.batch):
            numbers = range(first, min(first + self.batch, count))
            self._inspect(numbers, tally)
            self._label()
            if numbers[-1] // every > (first - 1) // every or numbers[-1] == count - 1:
                now = self._line_snapshot()
                self.steward.look(now)
                pages.note(now, numbers[-1] + 1)
                timeline.append(moment(numbers[-1] + 1, tally, now))
                progress(numbers[-1] + 1, now, (numbers[-1] + 1) / (time.perf_counter() - started))
        seconds = time.perf_counter() - started
        self._let_everything_arrive()
        last = self._line_snapshot()
        pages.note(last, count)
        touched = at_risk(last, self.lots)
        return report(tally, last, self.monitor.overall(self.line), pages, touched, timeline, count / seconds)

    def _inspect(self, numbers: range, tally: Tally) -> None:
        frames, fitted = [], []
        for number in numbers:
            self.clock.now = STARTS_AT + number / self.rate
            content = self.production.picture(number)
            lot = self.production.lot(number)
            frames.append(Frame(self.production.part_id(number), self.line, "demo", self.clock.now, content, lot))
            image = decode(content) if isinstance(content, bytes) else content
            fitted.append(self.inspection.detector.fit(image))
        version = self.thresholds().version
        verdicts = self.inspection.verdicts(frames, np.stack(fitted), self.policies.current(), version)
        for verdict in self.parts.record(verdicts):
            tally.add(verdict, self.production.actual(verdict.part_id) != self.good)
            self.inspectors.take(verdict)

    def _label(self) -> None:
        labels = self.inspectors.until(self.clock.now)
        if labels:
            self.labels.add_labels(labels)

    def _let_everything_arrive(self) -> None:
        while self.inspectors.waiting:
            self.clock.now += 1.0
            self._label()
        self.clock.now += self.thresholds().line(self.line).bucket.closes_after

    def _line_snapshot(self) -> LineSnapshot:
        return self.monitor.snapshot().lines[self.line]
