"""The pages of one line: a meter per row over its closed buckets, one over its challenge parts, and which parts a page touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

from service.quality.buckets import Bucket, Filed, merged
from service.quality.challenge import Challenges, Passage
from service.quality.evidence import bets, challenge_bets
from service.quality.meter import Meter, Step, limit_in_steps
from service.quality.windows import in_window, quality
from service.records import ALL, Acknowledgement, Detector, EvidenceState, Page, Past, State
from service.thresholds import LineThresholds, Window


class Paging:
    """One per line, for the rows that carry a page threshold. Told of everything in the order in which it happened."""

    def __init__(
        self, line: str, rule: LineThresholds, rows: Sequence[str], good: str, challenges: Challenges, past: Past
    ) -> None:
        self._line = line
        self._rule = rule
        self._past = past
        self._good = good
        self._challenges = challenges
        self._thresholds = {row: page for row in rows if (page := self._page_threshold(row, rows)) is not None}
        self._meters = {
            (row, fed_by): Meter(line, row, threshold, fed_by, past.meters.get(row, {}).get(fed_by))
            for row, threshold in self._thresholds.items()
            for fed_by in Detector
        }
        self._passages = 0
        self._passed: dict[str, list[Passage]] = {row: [] for row in self._thresholds}
        self._least: list[float] = []
        self._proofs: dict[str, dict[int, bool]] = {row: {} for row in self._thresholds}
        self._corrected = False

    def _page_threshold(self, row: str, rows: Sequence[str]) -> float | None:
        return self._rule.row(row, len(rows) - 1).recall.page

    def forget_from(self, number: int) -> None:
        """The counts of this bucket changed."""
        self._corrected = True
        for proofs in self._proofs.values():
            for later in [bucket for bucket in proofs if bucket >= number]:
                del proofs[later]
        for (_, fed_by), meter in self._meters.items():
            if fed_by is Detector.AUDIT:
                meter.forget_from(number)

    def carry(self, filed: Filed, number: int) -> Past:
        """What those who begin with bucket `number`, which comes after closed ones, need of the buckets before it."""
        first = filed.start(number)
        steps = {
            (row, fed_by): number if fed_by is Detector.AUDIT else sum(one.ordinal < first for one in self._passed[row])
            for row, fed_by in self._meters
        }
        meters: dict[str, dict[str, dict[str, Any]]] = {}
        for (row, fed_by), meter in self._meters.items():
            if carried := meter.carry(steps[row, fed_by]):
                meters.setdefault(row, {})[fed_by.value] = carried
        least = [self._least_budget(filed, number - 1)] if number and self._thresholds else []
        least += [self._past.least_budget] if self._past.least_budget is not None else []
        return Past(
            ordinal=first,
            buckets=number + self._buckets_before,
            size=self._rule.bucket.parts,
            first_captured_at=self._first_captured_at(filed),
            least_budget=min(least, default=None),
            meters=meters,
        )

    @property
    def _buckets_before(self) -> int:
        """In buckets of the size that they have now."""
        return round(self._past.buckets * self._past.size / self._rule.bucket.parts)

    def _first_captured_at(self, filed: Filed) -> float:
        return (
            filed.buckets[0].first_captured_at if self._past.first_captured_at is None else self._past.first_captured_at
        )

    def follow(self, filed: Filed, passages: int, at: float) -> None:
        """Takes in all closed buckets, and the first `passages` challenge parts that came to be known, at this moment."""
        for row in self._thresholds:
            audited, challenged = self._meters[row, Detector.AUDIT], self._meters[row, Detector.CHALLENGE]
            if passages > self._passages:
                before, self._passed[row] = self._passed[row], self._challenges.of(row, passages)
                same = sum(one == other for one, other in zip(before, self._passed[row], strict=False))
                challenged.forget_from(same)
            raised = audited.follow(filed.closed, partial(self._bucket_step, filed, row), at)
            raised += challenged.follow(len(self._passed[row]), partial(self._passage_step, row), at)
            if raised or self._corrected:
                self._find_parts_at_risk(filed, row)
            if any(page.standing for page in (*audited.pages, *challenged.pages)):
                self._clear(filed, row, at)
        self._corrected, self._passages = False, passages

    def _find_parts_at_risk(self, filed: Filed, row: str) -> None:
        for fed_by in Detector:
            meter = self._meters[row, fed_by]
            meter.pages = [
                replace(page, at_risk_from=self._at_risk_from(filed, row, page)) if page.standing else page
                for page in meter.pages
            ]

    def _bucket_step(self, filed: Filed, row: str, number: int) -> Step:
        """A bucket whose rejects nobody looked at tells nothing."""
        bucket, threshold = filed.buckets[number], self._thresholds[row]
        seconds = (bucket.last_captured_at - self._first_captured_at(filed)) / (self._buckets_before + number + 1)
        wished = self._wished_seconds(filed.closed_at[number])
        limit = limit_in_steps(wished, seconds, threshold, bets(threshold, self._least_budget(filed, number)))
        use = bucket.usable
        return Step(
            hits=bucket.hits(row, self._good) if use else 0,
            misses=bucket.plain_misses(row, self._good) if use else {},
            bets=bets(threshold, self._budget(bucket)),
            limit=limit,
            ordinal=bucket.end,
            model=bucket.model,
        )

    def _budget(self, bucket: Bucket) -> float:
        return bucket.budget if bucket.budget < inf else self._rule.audit.budget

    def _least_budget(self, filed: Filed, number: int) -> float:
        """The smallest budget up to this bucket: the shyest bets let a meter rise highest on hits alone, and it keeps that."""
        for bucket in filed.buckets[len(self._least) : number + 1]:
            before = self._least[-1:] or [inf if self._past.least_budget is None else self._past.least_budget]
            self._least.append(min([self._budget(bucket), *before]))
        return self._least[number]

    def _passage_step(self, row: str, number: int) -> Step:
        one, threshold = self._passed[row][number], self._thresholds[row]
        steps = self._meters[row, Detector.CHALLENGE].steps_before + number + 1
        seconds = (one.captured_at - (self._challenges.registered_at or 0.0)) / steps
        stakes = challenge_bets(threshold)
        limit = limit_in_steps(self._wished_seconds(one.recorded_at), seconds, threshold, stakes)
        return Step(int(one.caught), {} if one.caught else {1: 1}, stakes, limit, one.ordinal + 1, one.model)

    def _wished_seconds(self, at: float) -> float:
        """Time between false pages that each meter may cause: the rows share the line's, and with challenge parts both
        meters of a row share the row's, 1/c = 1/c1 + 1/c2."""
        began = self._challenges.registered_at
        shared = 2 if began is not None and at >= began else 1
        return self._rule.false_page_every * len(self._thresholds) * shared

    def _proven(self, filed: Filed, row: str, upto: int) -> bool:
        """Whether every window proved recall when bucket `upto` closed, by what is known of its parts now."""
        known = self._proofs[row]
        if upto not in known:
            known[upto] = all(self._state(filed, row, upto, window) is State.PROVEN for window in self._rule.windows)
        return known[upto]

    def _state(self, filed: Filed, row: str, upto: int, window: Window) -> State:
        first = self._window_begins(filed, window, upto)
        total = merged(bucket for bucket in filed.buckets[first : upto + 1] if bucket.usable)
        return quality(total, self._line, row, self._good, window.name, self._thresholds[row]).state

    def _window_begins(self, filed: Filed, window: Window, upto: int) -> int:
        """Number of the first bucket of the window as it was when bucket `upto` closed."""
        return in_window(filed.buckets, window, filed.closed_at[upto], filed.buckets[upto].model, upto + 1)

    def _clear(self, filed: Filed, row: str, at: float) -> None:
        """Ends pages once windows that began after them are proven."""
        newest = filed.closed - 1
        if newest >= 0 and self._proven(filed, row, newest):
            first = min(self._window_begins(filed, window, newest) for window in self._rule.windows)
            for fed_by in Detector:
                self._meters[row, fed_by].clear_before(filed.start(first), at)

    def _at_risk_from(self, filed: Filed, row: str, page: Page) -> int:
        """Ordinal from which parts are in doubt: behind the last bucket that closed PROVEN before the page, or behind a
        challenge part that was caught since. A challenge that was caught frees no parts once a miss had been found."""
        upto = min(filed.closed, filed.holding(page.ordinal))
        proven = next((number + 1 for number in range(upto - 1, -1, -1) if self._proven(filed, row, number)), 0)
        first = filed.start(proven)
        misses = [
            filed.start(number)
            for number in range(proven, upto)
            if filed.buckets[number].plain_misses(row, self._good)
            or filed.buckets[number].volunteered_misses(row, self._good)
        ]
        passed = [one for one in self._passed[row] if first <= one.ordinal < page.ordinal]
        misses += [one.ordinal for one in passed if not one.caught]
        first_miss = min(misses, default=page.ordinal)
        freed = (one.ordinal for one in passed if one.caught and one.ordinal < first_miss)
        return max([first, *(filed.start(filed.holding(ordinal)) for ordinal in freed)])

    def acknowledge(self, said: Acknowledgement) -> None:
        for (row, _), meter in self._meters.items():
            if said.defect in (row, ALL):
                meter.acknowledge(said.recorded_at, said.by, said.note)

    def surge(self, model: str) -> bool:
        """Whether evidence about this model, the one in force, asks for more audits."""
        return any(meter.surge(model) for (_, fed_by), meter in self._meters.items() if fed_by is Detector.AUDIT)

    def pages(self) -> tuple[Page, ...]:
        """All that were ever raised, oldest first."""
        return tuple(
            sorted((page for meter in self._meters.values() for page in meter.pages), key=lambda page: page.raised_at)
        )

    def evidence(self, model: str) -> tuple[EvidenceState, ...]:
        """About this model, the one in force, of the meters that have been fed."""
        return tuple(state for meter in self._meters.values() if (state := meter.state(model)).steps)
