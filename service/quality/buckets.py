"""Sufficient statistics of a run of parts: everything that is ever said about quality follows from these counts.

Adding two buckets, or two workers' halves of one, gives exactly the counts of all their parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from service.records import ALL, Outcome, Verdict

REJECTS_RESOLVED = 0.8
"""A bucket with a smaller share of its rejects looked at again is left out, and counts as starved of labels."""


@dataclass(slots=True)
class Bucket:
    """Counts of a run of consecutive parts of one line.

    passed, drawn: {band: parts}. rejects: {(actual, predicted): parts looked at again}.
    audits: {(actual, band, weight): settled audited parts}. volunteered: {actual: labelled parts that were not drawn}.
    largest_weight: of any passed part, drawn or not. Times are capture times.
    """

    parts: int = 0
    flagged: int = 0
    first_captured_at: float = inf
    last_captured_at: float = -inf
    largest_weight: int = 1
    passed: Counter[int] = field(default_factory=Counter)
    drawn: Counter[int] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    audits: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    volunteered: Counter[str] = field(default_factory=Counter)

    def add_part(self, verdict: Verdict) -> None:
        """Counts one inspected part."""
        self.parts += 1
        self.first_captured_at = min(self.first_captured_at, verdict.captured_at)
        self.last_captured_at = max(self.last_captured_at, verdict.captured_at)
        if verdict.band is None:
            self.flagged += 1
            return
        self.passed[verdict.band] += 1
        self.largest_weight = max(self.largest_weight, verdict.weight)
        if verdict.outcome is Outcome.AUDIT:
            self.drawn[verdict.band] += 1

    def settle(self, verdict: Verdict, actual: str, step: int = 1) -> None:
        """Counts what a part turned out to be; step -1 takes an earlier answer back."""
        if verdict.band is None:
            self.rejects[actual, verdict.predicted] += step
        elif verdict.outcome is Outcome.AUDIT:
            self.audits[actual, verdict.band, verdict.weight] += step
        else:
            self.volunteered[actual] += step

    def merge(self, other: Bucket) -> None:
        """Adds the other's counts to this one."""
        self.parts += other.parts
        self.flagged += other.flagged
        self.first_captured_at = min(self.first_captured_at, other.first_captured_at)
        self.last_captured_at = max(self.last_captured_at, other.last_captured_at)
        self.largest_weight = max(self.largest_weight, other.largest_weight)
        self.passed.update(other.passed)
        self.drawn.update(other.drawn)
        self.rejects.update(other.rejects)
        self.audits.update(other.audits)
        self.volunteered.update(other.volunteered)

    def closed(self, size: int, closes_after: float, as_of: float) -> bool:
        """Whether the bucket is full and its labels have had `closes_after` seconds to arrive."""
        return self.parts >= size and as_of >= self.last_captured_at + closes_after

    @property
    def usable(self) -> bool:
        """Whether enough of its rejects were looked at again for its counts to be believed."""
        return self.rejects.total() >= REJECTS_RESOLVED * self.flagged

    def hits(self, defect: str, good: str) -> int:
        """True positives: flagged parts that actually are this defect (ALL: any), whatever they were predicted to be."""
        return sum(n for (actual, _), n in self.rejects.items() if _is(actual, defect, good))

    def false_rejects(self, defect: str, good: str) -> int:
        """False positives: good parts that were predicted this defect (ALL: any)."""
        return sum(
            n for (actual, predicted), n in self.rejects.items() if actual == good and defect in (ALL, predicted)
        )

    def true_rejects_named(self, defect: str, good: str) -> int:
        """Defective parts that were predicted this defect (ALL: any): what precision counts as right."""
        return sum(
            n for (actual, predicted), n in self.rejects.items() if actual != good and defect in (ALL, predicted)
        )

    def misses(self, defect: str, good: str) -> dict[float, int]:
        """{weight: confirmed audited misses}, each weight scaled by drawn / settled of its band for audits not returned."""
        found: Counter[float] = Counter()
        for (actual, band, weight), n in self.audits.items():
            if n and _is(actual, defect, good):
                found[weight * self._unreturned(band)] += n
        return dict(found)

    def plain_misses(self, defect: str, good: str) -> dict[int, int]:
        """{weight: count} as drawn, for the evidence: there an audit that did not return counts as nothing."""
        found: Counter[int] = Counter()
        for (actual, _, weight), n in self.audits.items():
            if n and _is(actual, defect, good):
                found[weight] += n
        return dict(found)

    def volunteered_misses(self, defect: str, good: str) -> int:
        """Known misses among parts that nobody drew."""
        return sum(n for actual, n in self.volunteered.items() if _is(actual, defect, good))

    def audited_good(self, good: str) -> tuple[int, float]:
        """Audited parts that are good: their number, and the number of passed parts they stand for."""
        rows = [
            (n, weight * self._unreturned(band)) for (actual, band, weight), n in self.audits.items() if actual == good
        ]
        return sum(n for n, _ in rows), sum(n * weight for n, weight in rows)

    def largest_scaled_weight(self) -> float:
        """w_M, scaled as the misses are."""
        return self.largest_weight * max([1.0, *(self._unreturned(band) for band in self.drawn)])

    def _unreturned(self, band: int) -> float:
        settled = sum(n for (_, b, _), n in self.audits.items() if b == band)
        return self.drawn[band] / settled if settled else 1.0


def _is(actual: str, defect: str, good: str) -> bool:
    return actual == defect if defect != ALL else actual != good


def merged(buckets: Iterable[Bucket]) -> Bucket:
    """One bucket with the counts of all."""
    total = Bucket()
    for bucket in buckets:
        total.merge(bucket)
    return total
