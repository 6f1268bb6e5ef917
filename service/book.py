"""All that is kept in memory of one line: buckets, counters, parts that wait for a label, and the meters."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from service.quality.buckets import Bucket, merged
from service.quality.meter import Meter, limit_in_buckets
from service.quality.truth import SOURCES, needs_second_look, settled
from service.quality.windows import in_window, quality
from service.records import (
    ALL,
    EvidenceState,
    Histogram,
    LineSnapshot,
    ModelInForce,
    Outcome,
    RecordedLabel,
    RecordedVerdict,
    Source,
    State,
    WindowQuality,
)
from service.thresholds import LineThresholds

LAG_BOUNDS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 28800.0, 86400.0, 259200.0, 604800.0, float("inf"))

DUE_FOR = 30 * 86400.0


class LineBook:
    """One line as known so far. Rows come in ledger order; `snapshot` may be asked at any time from then on."""

    def __init__(self, line: str, rule: LineThresholds) -> None:
        self.line = line
        self._rule = rule
        self._model: ModelInForce | None = None
        self._buckets: list[Bucket] = []
        self._parts: Counter[tuple[str, Outcome]] = Counter()
        self._labels: Counter[tuple[Source, str]] = Counter()
        self._corrections = 0
        self._lag = [0] * len(LAG_BOUNDS)
        self._lag_total = 0.0
        self._last: dict[str, float] = {}
        self._waiting: dict[str, tuple[Source, float]] = {}
        self._meters: dict[str, Meter] = {}
        self._closed_before = 0
        self.second_looks: dict[str, None] = {}

    @property
    def good(self) -> str:
        return self._model.good if self._model else "good"

    @property
    def rows(self) -> tuple[str, ...]:
        """The defects that have figures, ALL first."""
        return (ALL, *(self._model.defects if self._model else ()))

    def use_model(self, model: ModelInForce) -> None:
        """The model in force names the classes."""
        if self._model != model:
            self._model = model
            self._meters.clear()

    def use_rule(self, rule: LineThresholds) -> bool:
        """Takes new thresholds; False when they cut the buckets differently and the line must be followed anew."""
        if rule == self._rule:
            return True
        same_cut = (rule.bucket.parts, rule.labels.second_look) == (
            self._rule.bucket.parts,
            self._rule.labels.second_look,
        )
        self._rule = rule
        self._meters.clear()
        return same_cut

    def add_part(self, row: RecordedVerdict) -> None:
        """Takes in one new part."""
        verdict = row.verdict
        number = row.ordinal // self._rule.bucket.parts
        while len(self._buckets) <= number:
            self._buckets.append(Bucket())
        self._buckets[number].add_part(verdict)
        self._parts[verdict.camera, verdict.outcome] += 1
        self._later("captured", verdict.captured_at)
        self._later("recorded", row.recorded_at)
        if verdict.outcome is not Outcome.PASS:
            self._waiting[verdict.part_id] = (SOURCES[verdict.outcome], verdict.captured_at)

    def add_label(self, part: RecordedVerdict, labels: Sequence[RecordedLabel]) -> None:
        """Takes in the last of `labels`, all rows of this part so far."""
        verdict, newest = part.verdict, labels[-1]
        second_look = self._rule.labels.second_look
        self._labels[SOURCES[verdict.outcome], newest.label.label] += 1
        self._corrections += any(row.label.inspector == newest.label.inspector for row in labels[:-1])
        lag = max(0.0, newest.label.labelled_at - verdict.captured_at)
        self._lag[bisect_left(LAG_BOUNDS, lag)] += 1
        self._lag_total += lag
        self._later("labelled", newest.recorded_at)
        self._waiting.pop(verdict.part_id, None)
        if needs_second_look(labels, verdict.outcome, self.good, second_look):
            self.second_looks[verdict.part_id] = None
        else:
            self.second_looks.pop(verdict.part_id, None)
        before = settled(labels[:-1], verdict.outcome, self.good, second_look)
        after = settled(labels, verdict.outcome, self.good, second_look)
        if before == after:
            return
        number = part.ordinal // self._rule.bucket.parts
        if before is not None:
            self._buckets[number].settle(verdict, before, step=-1)
        if after is not None:
            self._buckets[number].settle(verdict, after)
        for meter in self._meters.values():
            meter.forget_from(number)

    def _later(self, name: str, at: float) -> None:
        self._last[name] = max(at, self._last.get(name, at))

    def snapshot(self, as_of: float) -> LineSnapshot:
        """Figures of the line as seen at as_of. Closed buckets only; provisional ones beside."""
        count = self._closed_count(as_of)
        self._forget_overdue(as_of)
        closed = self._buckets[:count]
        official = self._quality(closed, as_of, provisional=False)
        pending = Counter(source for source, _ in self._waiting.values())
        pending[Source.REVIEW] += 0
        pending[Source.AUDIT] += 0
        return LineSnapshot(
            line=self.line,
            parts=dict(self._parts),
            labels=dict(self._labels),
            corrections=self._corrections,
            label_lag=Histogram(LAG_BOUNDS, tuple(accumulate(self._lag)), self._lag_total),
            pending=dict(pending),
            last_captured_at=self._last.get("captured"),
            last_recorded_at=self._last.get("recorded"),
            last_label_at=self._last.get("labelled"),
            oldest_pending_at=min((at for _, at in self._waiting.values()), default=None),
            closed_buckets=count,
            open_parts=sum(bucket.parts for bucket in self._buckets[count:]),
            defects=self.rows,
            quality=official,
            provisional=self._quality(self._buckets, as_of, provisional=True),
            evidence=self._evidence(closed, official, as_of),
        )

    def _forget_overdue(self, as_of: float) -> None:
        """Parts that nobody labelled for a month are no longer due; without this they would pile up in memory."""
        while self._waiting:
            oldest = next(iter(self._waiting))
            if self._waiting[oldest][1] > as_of - DUE_FOR:
                return
            del self._waiting[oldest]

    def _closed_count(self, as_of: float) -> int:
        """Buckets close in order: one that is open keeps those behind it open."""
        rule = self._rule.bucket
        count = min(self._closed_before, len(self._buckets))
        while count and not self._buckets[count - 1].closed(rule.parts, rule.closes_after, as_of):
            count -= 1
        while count < len(self._buckets) and self._buckets[count].closed(rule.parts, rule.closes_after, as_of):
            count += 1
        self._closed_before = count
        return count

    def _quality(self, buckets: Sequence[Bucket], as_of: float, provisional: bool) -> tuple[WindowQuality, ...]:
        found: list[WindowQuality] = []
        for window in self._rule.windows:
            inside = buckets[in_window(buckets, window, as_of) :]
            total = merged(bucket for bucket in inside if bucket.usable)
            starved = sum(not bucket.usable for bucket in inside)
            rows = [
                quality(total, self.line, defect, self.good, window.name, self._threshold(defect), starved)
                for defect in self.rows
            ]
            found += [replace(row, provisional=provisional) for row in rows]
        return tuple(found)

    def overall(self) -> tuple[WindowQuality, ...]:
        """Quality over every bucket, open ones included."""
        total = merged(self._buckets)
        return tuple(
            quality(total, self.line, defect, self.good, "overall", self._threshold(defect)) for defect in self.rows
        )

    def _threshold(self, defect: str) -> float | None:
        """What the state is judged against. ALL of a line with one kind of defect borrows its threshold, but never pages."""
        defects = self.rows[1:]
        row = defects[0] if defect == ALL and len(defects) == 1 else defect
        return self._rule.row(row, len(defects)).recall.page

    def _evidence(
        self, closed: Sequence[Bucket], official: Sequence[WindowQuality], as_of: float
    ) -> tuple[EvidenceState, ...]:
        rule, defects = self._rule, self.rows[1:]
        found = []
        for defect in self.rows:
            threshold = rule.row(defect, len(defects)).recall.page
            if threshold is None or not closed:
                continue
            if defect not in self._meters:
                self._meters[defect] = Meter(defect, self.good, threshold, rule.audit.budget)
            meter = self._meters[defect]
            watched = max(1, len(defects) if len(defects) == 1 else len(defects) + 1)
            meter.follow(
                closed,
                lambda number, t=threshold, k=watched: limit_in_buckets(  # type: ignore[misc]
                    rule.false_page_every, self._bucket_seconds(number), k, t, rule.audit.budget
                ),
            )
            if all(row.state is State.PROVEN for row in official if row.defect == defect):
                meter.clear_before(min(in_window(closed, window, as_of) for window in rule.windows))
            found.append(meter.state(self.line))
        return tuple(found)

    def _bucket_seconds(self, number: int) -> float:
        """Mean time a bucket took, idle times included, up to this one: the promise is made in time on the clock."""
        return (self._buckets[number].last_captured_at - self._buckets[0].first_captured_at) / (number + 1)
