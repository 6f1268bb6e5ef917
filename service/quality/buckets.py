"""Sufficient statistics of a run of parts: everything that is ever said about quality follows from these counts.

Adding two buckets, or two workers' halves of one, gives exactly the counts of all their parts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from service.records import ALL, Outcome, Verdict

REJECTS_RESOLVED = 0.8
"""A bucket with a smaller share of its rejects looked at again is left out, and counts as starved of labels."""


@dataclass(slots=True)
class Bucket:
    """Counts of a run of consecutive parts of one line, challenge parts left out.

    passed, drawn: {(band, weight): parts}. rejects: {(actual, predicted): parts looked at again}.
    audits: {(actual, band, weight): settled audited parts}. volunteered: {actual: labelled parts that were not drawn}.
    challenges: parts of the run that were known beforehand; they fill the bucket and count nowhere.
    budget: the smallest audit budget that any part was drawn under. model: digest of the one that judged them, the same for
    all. end: ordinal of the part that comes after the newest. Times are capture times.
    """

    parts: int = 0
    flagged: int = 0
    challenges: int = 0
    budget: float = inf
    model: str = ""
    end: int = 0
    first_captured_at: float = inf
    last_captured_at: float = -inf
    passed: Counter[tuple[int, int]] = field(default_factory=Counter)
    drawn: Counter[tuple[int, int]] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    audits: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    volunteered: Counter[str] = field(default_factory=Counter)

    def add_part(self, verdict: Verdict, budget: float = inf) -> None:
        """Counts one inspected part, drawn under this audit budget."""
        self._seen(verdict)
        self.budget = min(self.budget, budget)
        self._count(verdict, 1)

    def add_challenge(self, verdict: Verdict) -> None:
        """Lets a challenge part take up its place, and counts it nowhere."""
        self._seen(verdict)
        self.challenges += 1

    def exclude(self, verdict: Verdict) -> None:
        """Makes a challenge part of one that was counted before anybody said what it is."""
        self._count(verdict, -1)
        self.challenges += 1

    def _seen(self, verdict: Verdict) -> None:
        self.first_captured_at = min(self.first_captured_at, verdict.captured_at)
        self.last_captured_at = max(self.last_captured_at, verdict.captured_at)

    def _count(self, verdict: Verdict, step: int) -> None:
        self.parts += step
        if verdict.band is None:
            self.flagged += step
            return
        self.passed[verdict.band, verdict.weight] += step
        if verdict.outcome is Outcome.AUDIT:
            self.drawn[verdict.band, verdict.weight] += step

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
        self.challenges += other.challenges
        self.budget = min(self.budget, other.budget)
        self.model = self.model or other.model
        self.end = max(self.end, other.end)
        self.first_captured_at = min(self.first_captured_at, other.first_captured_at)
        self.last_captured_at = max(self.last_captured_at, other.last_captured_at)
        self.passed.update(other.passed)
        self.drawn.update(other.drawn)
        self.rejects.update(other.rejects)
        self.audits.update(other.audits)
        self.volunteered.update(other.volunteered)

    def full(self, size: int) -> bool:
        """Whether all of its `size` parts are there."""
        return self.parts + self.challenges >= size

    @property
    def largest_weight(self) -> int:
        """w_M: of any passed part, drawn or not."""
        return max((weight for (_, weight), n in self.passed.items() if n), default=1)

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
                found[weight * self.scale(band)] += n
        return dict(found)

    def named_right(self, defect: str, good: str) -> int:
        """Hits that were predicted to be what they are (ALL: each its own kind)."""
        return sum(n for (actual, said), n in self.rejects.items() if actual == said and _is(actual, defect, good))

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
        rows = [(n, weight * self.scale(band)) for (actual, band, weight), n in self.audits.items() if actual == good]
        return sum(n for n, _ in rows), sum(n * weight for n, weight in rows)

    def largest_scaled_weight(self) -> float:
        """w_M, scaled as the misses are."""
        return self.largest_weight * max([1.0, *(self.scale(band) for band, _ in self.drawn)])

    def unreturned(self) -> dict[int, int]:
        """{weight: audited parts that nobody has settled}: in the worst case each of them is a miss."""
        missing: Counter[int] = Counter()
        for (_, weight), n in self.drawn.items():
            missing[weight] += n
        for (_, _, weight), n in self.audits.items():
            missing[weight] -= n
        return {weight: n for weight, n in missing.items() if n > 0}

    def scale(self, band: int) -> float:
        """Drawn / settled of a band: how many audits each one that came back stands for."""
        settled = sum(n for (_, b, _), n in self.audits.items() if b == band)
        return sum(n for (b, _), n in self.drawn.items() if b == band) / settled if settled else 1.0


@dataclass(frozen=True, slots=True)
class Filed:
    """The buckets of a line, in the order of its parts. The first of them are closed; closed_at: when, seconds UTC. begins: ordinal
    of its first part."""

    buckets: list[Bucket] = field(default_factory=list)
    closed_at: list[float] = field(default_factory=list)
    begins: int = 0

    @property
    def closed(self) -> int:
        """How many are closed."""
        return len(self.closed_at)

    def start(self, number: int) -> int:
        """Ordinal of the first part of this bucket, also of the one that is yet to come."""
        return self.buckets[number - 1].end if number else self.begins

    def holding(self, ordinal: int) -> int:
        """Number of the bucket that holds, or would hold, the part with this ordinal."""
        return bisect_right(self.buckets, ordinal, key=lambda bucket: bucket.end)


def _is(actual: str, defect: str, good: str) -> bool:
    return actual == defect if defect != ALL else actual != good


def merged(buckets: Iterable[Bucket]) -> Bucket:
    """One bucket with the counts of all."""
    total = Bucket()
    for bucket in buckets:
        total.merge(bucket)
    return total
