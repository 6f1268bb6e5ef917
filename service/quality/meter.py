"""Evidence over the buckets of one line and defect, replayed from the bucket that a correction touches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.quality.buckets import Bucket
from service.quality.evidence import Evidence, smallest_limit
from service.records import EvidenceState


def limit_in_buckets(
    false_page_every: float, bucket_seconds: float, defects: int, threshold: float, budget: float
) -> float:
    """c: the wished time between false pages in buckets, shared among the defects of a line (SPEC, "The page").

    Never so low that the meter could page without an audited miss. Times in seconds.
    """
    wished = defects * false_page_every / bucket_seconds if bucket_seconds > 0 else 0.0
    return max(wished, 1.01 * smallest_limit(threshold, budget))


class Meter:
    """The e-detector of one row, kept up to the newest closed bucket.

    A page is latched; it stands until windows that began after it are PROVEN (`clear_before`) or a correction
    takes its evidence away.
    """

    def __init__(self, defect: str, good: str, threshold: float, budget: float) -> None:
        self.defect = defect
        self._good = good
        self._meter = Evidence(threshold, budget, limit=1.0)
        self._after: list[tuple[float, ...]] = []
        self._values: list[float] = []
        self._limits: list[float] = []
        self._pages: list[int] = []
        self._cleared_before = 0

    def forget_from(self, number: int) -> None:
        """The counts of this bucket changed: everything from it on is replayed at the next `follow`."""
        if number < len(self._after):
            for kept in (self._after, self._values, self._limits):
                del kept[number:]
            self._pages = [page for page in self._pages if page < number]

    def follow(self, closed: Sequence[Bucket], limit_at: Callable[[int], float]) -> None:
        """Takes in closed buckets, oldest first; limit_at: c by number of the bucket."""
        for number in range(len(self._after), len(closed)):
            bucket, limit = closed[number], limit_at(number)
            self._meter.logs = self._after[-1] if self._after else (float("-inf"),) * len(self._meter.logs)
            self._meter.limit = limit
            use = bucket.usable
            value = self._meter.close(
                bucket.hits(self.defect, self._good) if use else 0,
                bucket.plain_misses(self.defect, self._good) if use else {},
            )
            if value >= limit:
                self._pages.append(number)
            self._after.append(self._meter.logs)
            self._values.append(value)
            self._limits.append(limit)

    def clear_before(self, number: int) -> None:
        """Ends the pages of buckets before this one: what came since is PROVEN on its own."""
        self._cleared_before = max(self._cleared_before, number)

    def state(self, line: str) -> EvidenceState:
        standing = [page for page in self._pages if page >= self._cleared_before]
        return EvidenceState(
            line=line,
            defect=self.defect,
            evidence=self._values[-1] if self._values else 0.0,
            limit=self._limits[-1] if self._limits else 0.0,
            paged=bool(standing),
            paged_bucket=standing[0] if standing else None,
            buckets=len(self._values),
        )
