"""The demo on a simulated clock: capture times, label delays and closing buckets included, as fast as the machine can."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from service.images import decode

from service.demo.inspectors import SimulatedInspectors
from service.demo.parts import Production
from service.drawing import DrawPolicies
from service.inspection import Inspection
from service.monitor import Monitor
from service.ports import LabelLedger, PartLedger
from service.records import ALL, Frame, LineSnapshot, Outcome, Verdict, WindowQuality
from service.thresholds import Thresholds

PAGE = "DefectRecallBelowThreshold"
STARTS_AT = 1_767_225_600.0  # 2026-01-01T00:00:00Z: any fixed moment does, so that the same seed gives the same report


class SimulatedClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = STARTS_AT

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Tally:
    """What the demo alone knows: every part's true class beside its verdict."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    truths: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    labels: int = 0

    def add(self, verdict: Verdict, defective: bool) -> None:
        self.outcomes[verdict.outcome] += 1
        self.truths[defective, verdict.flagged] += 1

    def true_recall(self) -> float | None:
        return _share(self.truths[True, True], self.truths[True, False])

    def true_precision(self) -> float | None:
        return _share(self.truths[True, True], self.truths[False, True])


@dataclass(frozen=True, slots=True)
class Replay:
    """One run. rate: parts a second on the simulated clock. good: the class that is no defect."""

    line: str
    production: Production
    inspection: Inspection
    policies: DrawPolicies
    thresholds: Callable[[], Thresholds]
    parts: PartLedger
    labels: LabelLedger
    monitor: Monitor
    inspectors: SimulatedInspectors
    clock: SimulatedClock
    good: str
    rate: float
    batch: int = 16

    def run(self, count: int, progress: Callable[[int, LineSnapshot, float], None]) -> dict[str, Any]:
        """Inspects `count` parts and returns the report. progress(parts, line, parts a second) after each bucket's worth."""
        tally, pages, timeline = Tally(), _Pages(), []
        every = self.thresholds().line(self.line).bucket.parts
        started = time.perf_counter()
        for first in range(0, count, self.batch):
            numbers = range(first, min(first + self.batch, count))
            self._inspect(numbers, tally)
            self._label(tally)
            if numbers[-1] // every > (first - 1) // every or numbers[-1] == count - 1:
                now = self._line_snapshot()
                pages.note(now, numbers[-1] + 1)
                timeline.append(_moment(numbers[-1] + 1, tally, now))
                progress(numbers[-1] + 1, now, (numbers[-1] + 1) / (time.perf_counter() - started))
        seconds = time.perf_counter() - started
        self._let_everything_arrive(tally)
        pages.note(self._line_snapshot(), count)
        overall = self.monitor.overall(self.line)
        return _report(count, tally, overall, pages.found, timeline, count / seconds)

    def _inspect(self, numbers: range, tally: Tally) -> None:
        frames, fitted = [], []
        for number in numbers:
            self.clock.now = STARTS_AT + number / self.rate
            content = self.production.picture(number)
            frames.append(Frame(self.production.part_id(number), self.line, "demo", self.clock.now, content))
            image = decode(content) if isinstance(content, bytes) else content
            fitted.append(self.inspection.detector.fit(image))
        version = self.thresholds().version
        verdicts = self.inspection.verdicts(frames, np.stack(fitted), self.policies.current(), version)
        for verdict in self.parts.record(verdicts):
            tally.add(verdict, self.production.actual(verdict.part_id) != self.good)
            self.inspectors.take(verdict)

    def _label(self, tally: Tally) -> None:
        labels = self.inspectors.until(self.clock.now)
        if labels:
            tally.labels += sum(receipt.status == "recorded" for receipt in self.labels.add_labels(labels))

    def _let_everything_arrive(self, tally: Tally) -> None:
        while self.inspectors.waiting:
            self.clock.now += 1.0
            self._label(tally)
        self.clock.now += self.thresholds().line(self.line).bucket.closes_after

    def _line_snapshot(self) -> LineSnapshot:
        return self.monitor.snapshot().lines[self.line]


class _Pages:
    """Notes each page once, when it begins to stand."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self._standing: set[str] = set()

    def note(self, line: LineSnapshot, part: int) -> None:
        standing = {row.defect for row in line.evidence if row.paged}
        self.found += [{"alert": PAGE, "defect": defect, "part": part} for defect in sorted(standing - self._standing)]
        self._standing = standing


def _report(
    count: int,
    tally: Tally,
    overall: Sequence[WindowQuality],
    pages: list[dict[str, Any]],
    timeline: list[dict[str, Any]],
    parts_per_second: float,
) -> dict[str, Any]:
    row = next(row for row in overall if row.defect == ALL)
    return {
        "parts": count,
        "verdicts": {outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "labels": tally.labels,
        "confusion": {
            "true_positive": row.true_positive,
            "false_positive": row.false_positive,
            "false_negative": row.false_negative,
            "true_negative": row.true_negative,
        },
        "recall": {
            "true": tally.true_recall(),
            "observed": row.observed,
            "point": row.recall.point,
            "lower": row.recall.lower,
            "upper": row.recall.upper,
            "state": row.state.value,
            "reason": row.reason,
        },
        "precision": {
            "true": tally.true_precision(),
            "point": row.precision.point,
            "lower": row.precision.lower,
            "upper": row.precision.upper,
        },
        "false_reject": row.false_reject,
        "pages": pages,
        "timeline": timeline,
        "parts_per_second": round(parts_per_second, 1),
    }


def _moment(part: int, tally: Tally, line: LineSnapshot) -> dict[str, Any]:
    """The line as its station would have shown it at that part, beside what was true so far."""
    row = next((row for row in line.quality if row.defect == ALL), None)
    evidence = line.evidence[0] if line.evidence else None
    return {
        "part": part,
        "true_positive": tally.truths[True, True],
        "escapes": tally.truths[True, False],
        "window": row.window if row else None,
        "observed": row.observed if row else None,
        "point": row.recall.point if row else None,
        "lower": row.recall.lower if row else 0.0,
        "upper": row.recall.upper if row else 1.0,
        "state": row.state.value if row else None,
        "evidence": evidence.evidence if evidence else None,
        "limit": evidence.limit if evidence else None,
        "paged": bool(evidence and evidence.paged),
    }


def _share(part: int, rest: int) -> float | None:
    return part / (part + rest) if part + rest else None
