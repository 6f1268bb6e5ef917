"""What another decision threshold would have let through, thrown away, and given people to look at."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from service.quality.recall import estimate
from service.records import ALL, Estimate

FACTORS = tuple(round(10 ** (step / 20), 4) for step in range(-20, 13))
"""Decision thresholds as multiples of those in force: 0.1 to 4 in steps of an eighth."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """At decision thresholds `factor` times as high. flagged: share of parts that would be rejected. recall: with limits. escapes,
    overkill: defective parts passed and good parts rejected, as shares of all parts; None where nothing is known."""

    factor: float
    flagged: float
    recall: Estimate
    escapes: float | None
    overkill: float | None


class Tradeoff:
    """Counts of one line. Parts are told apart by u, the largest score / threshold.

    A rejected part counts once, an audited one for as many as its weight, whatever it would have been at another threshold: the
    weights are those it was drawn under (Horvitz and Thompson 1952).
    """

    def __init__(self, factors: Sequence[float] = FACTORS) -> None:
        self._factors = factors
        self._parts = [0] * (len(factors) + 1)
        self._settled: Counter[tuple[int, int, str]] = Counter()
        self._largest = 1

    def add_part(self, exceedance: float, weight: int) -> None:
        """Any part, labelled or not."""
        self._parts[bisect_right(self._factors, exceedance)] += 1
        self._largest = max(self._largest, weight)

    def settle(self, exceedance: float, weight: int, actual: str) -> None:
        """A rejected or audited part whose class is known."""
        self._settled[bisect_right(self._factors, exceedance), weight, actual] += 1

    def outlooks(self, defect: str, good: str) -> list[Outlook]:
        """Of one defect (ALL: any), for each factor, ascending. With factor 1 it is what the line did."""
        total = sum(self._parts)
        return [self._outlook(at, defect, good, total) for at in range(len(self._factors))] if total else []

    def _outlook(self, at: int, defect: str, good: str, total: int) -> Outlook:
        caught, missed, overkill = Counter[int](), Counter[int](), 0
        for (place, weight, actual), n in self._settled.items():
            if actual == good:
                overkill += weight * n if place > at else 0
            elif defect in (ALL, actual):
                (caught if place > at else missed)[weight] += n
        hits, escapes = (sum(weight * n for weight, n in kind.items()) for kind in (caught, missed))
        return Outlook(
            factor=self._factors[at],
            flagged=sum(self._parts[at + 1 :]) / total,
            recall=estimate(
                hits,
                missed,
                self._largest,
                hits_squares=sum(weight * weight * n for weight, n in caught.items()),
                largest_reject_weight=max(caught, default=1),
            ),
            escapes=escapes / total if self._settled else None,
            overkill=overkill / total if self._settled else None,
        )
